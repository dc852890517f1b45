/** `/proxies`: stored proxies, made, shown, changed and removed. They lie sealed in the store. */
import type { ApiAnswer, ApiCall, ApiRoute } from '../../listen/api.ts'
import { parseDestinationUrl } from '../../plan/destination.ts'
import type { Vault } from '../../vault/vault.ts'
import { checkCode } from './check-code.ts'
import {
  checkMoved,
  patchedBody,
  type ProxyChecks,
  type ProxyParts,
  readProxy,
  showProxy,
  type StoredProxy
} from './proxy-documents.ts'
import { newProxyKey } from './proxy-key.ts'
import type { ReactorPorts } from './reactor-ports.ts'
import { mayCallUnauthenticated } from './stored-proxies.ts'
import { Documents, idOf, readAttached, requireMergePatch, shownText, stamp, type Stored } from './stored-documents.ts'
import { Faults, type JsonObject, readObject } from './token-input.ts'
import { requirePermission } from './tokens.ts'

/** @param checks asked for at each call: a reload changes them */
export function proxyRoutes(reactors: ReactorPorts, checks: () => ProxyChecks): ApiRoute[] {
  const api = new ProxyApi(reactors, checks)
  return [
    { method: 'POST', path: '/proxies', handler: (call) => api.create(call) },
    { method: 'GET', path: '/proxies', handler: (call) => api.list(call) },
    { method: 'GET', path: '/proxies/{id}', handler: (call) => api.read(call) },
    { method: 'PUT', path: '/proxies/{id}', handler: (call) => api.replace(call) },
    { method: 'PATCH', path: '/proxies/{id}', handler: (call) => api.patch(call) },
    { method: 'DELETE', path: '/proxies/{id}', handler: (call) => api.remove(call) }
  ]
}

class ProxyApi {
  readonly #vault: Vault
  readonly #reactors: ReactorPorts
  readonly #checks: () => ProxyChecks
  readonly #proxies: Documents<StoredProxy>

  constructor(reactors: ReactorPorts, checks: () => ProxyChecks) {
    const { vault } = reactors
    this.#vault = vault
    this.#reactors = reactors
    this.#checks = checks
    this.#proxies = new Documents<StoredProxy>(vault.shelves.proxies, 'proxy')
  }

  async create(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'proxy:create')
    const id = crypto.randomUUID()
    const body = readObject(call.body)
    await this.#proxies.write(call, id, await this.#newProxy(call, body, body, null), null)
    return this.#answer(call, id, 201)
  }

  async list(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'proxy:read')
    return { status: 200, body: await this.#proxies.page(call, (stored) => showProxy(stored, call.caller.tenant)) }
  }

  async read(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'proxy:read')
    return this.#answer(call, idOf(call), 200)
  }

  async replace(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'proxy:update')
    const was = await this.#proxies.read(call.caller.tenant, idOf(call))
    const body = readObject(call.body)
    await this.#proxies.write(call, was.id, await this.#newProxy(call, body, body, was), was.volume)
    return this.#answer(call, was.id, 200)
  }

  async patch(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'proxy:update')
    requireMergePatch(call)
    const was = await this.#proxies.read(call.caller.tenant, idOf(call))
    const patch = readObject(call.body)
    const body = patchedBody(was, patch)
    await this.#proxies.write(call, was.id, await this.#newProxy(call, body, patch, was), was.volume)
    return { status: 204, body: null }
  }

  async remove(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'proxy:delete')
    await this.#proxies.remove(call, idOf(call))
    return { status: 204, body: null }
  }

  async #answer(call: ApiCall, id: string, status: number): Promise<ApiAnswer> {
    const { tenant } = call.caller
    return { status, body: shownText(showProxy(await this.#proxies.read(tenant, id), tenant)) }
  }

  /** @param given the body as it came: what a patch leaves out is in `body` and not in it */
  async #newProxy(
    call: ApiCall,
    body: JsonObject,
    given: JsonObject,
    stored: Stored<StoredProxy> | null
  ): Promise<StoredProxy> {
    const was = stored?.document ?? null
    const checks = this.#checks()
    const faults = new Faults()
    const parts = readProxy(body, was, checks, faults)
    if (was !== null) checkMoved(given, was, parts, checks, faults)
    // Whoever lets anybody call it lets anybody act for the application.
    if (!parts.require_auth && was?.require_auth !== false) requirePermission(call, 'application:update')
    const application = await readAttached(this.#vault, call, body, was?.application ?? null, faults)
    faults.settle()
    if (!parts.require_auth) await this.#checkUnauthenticated(call, application, parts.destination_url, faults)
    faults.settle()
    await this.#checkCode(call, parts, was)
    return { kind: 'proxy', key: was?.key ?? newProxyKey(), application, ...parts, ...stamp(call, was) }
  }

  /** Throws ERR_CODE for code that is new and does not parse, or is no function. */
  async #checkCode(call: ApiCall, parts: ProxyParts, was: StoredProxy | null): Promise<void> {
    for (const side of ['request', 'response'] as const) {
      for (const transform of parts[`${side}_transforms`]) {
        if (transform.type !== 'code') continue
        const isKnown = was?.[`${side}_transforms`].some((old) => old.type === 'code' && old.code === transform.code)
        if (isKnown !== true)
          await checkCode(this.#reactors, call.caller.tenant, transform.code, `${side}_transform.code`)
      }
    }
  }

  /** Without an API key, the application alone says what may go where: it must say that. */
  async #checkUnauthenticated(call: ApiCall, application: string | null, url: string, faults: Faults): Promise<void> {
    const { ports, exemptOrigins } = this.#checks()
    const attached =
      application === null ? null : await this.#vault.applications.attached(call.caller.tenant, application)
    if (attached === null) faults.add('application.id', 'Without require_auth an application is required')
    else if (!mayCallUnauthenticated(attached, parseDestinationUrl(url, ports, exemptOrigins)))
      faults.add('application.id', 'Without require_auth the application must have destinations that allow this one')
  }
}
