/** `/proxies`: stored proxies, made, shown, changed and removed. They lie sealed in the store. */
import type { ApiAnswer, ApiCall, ApiRoute } from '../../listen/api.ts'
import { parseDestinationUrl } from '../../plan/destination.ts'
import type { Vault } from '../../vault/vault.ts'
import { checkMoved, type ProxyChecks, proxyBody, readProxy, showProxy, type StoredProxy } from './proxy-documents.ts'
import { newProxyKey } from './proxy-key.ts'
import { mayCallUnauthenticated } from './stored-proxies.ts'
import {
  asBody,
  Documents,
  idOf,
  patched,
  readAttached,
  requireMergePatch,
  stamp,
  type Stored
} from './stored-documents.ts'
import { Faults, type JsonObject, readObject } from './token-input.ts'
import { requirePermission } from './tokens.ts'

/** @param checks asked for at each call: a reload changes them */
export function proxyRoutes(vault: Vault, checks: () => ProxyChecks): ApiRoute[] {
  const api = new ProxyApi(vault, checks)
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
  readonly #checks: () => ProxyChecks
  readonly #proxies: Documents<StoredProxy>

  constructor(vault: Vault, checks: () => ProxyChecks) {
    this.#vault = vault
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
    const body = patched(asBody(proxyBody(was)), patch)
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
    return { status, body: JSON.stringify(showProxy(await this.#proxies.read(tenant, id), tenant)) }
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
    return { kind: 'proxy', key: was?.key ?? newProxyKey(), application, ...parts, ...stamp(call, was) }
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
