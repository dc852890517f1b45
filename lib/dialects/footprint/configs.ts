/** `/vault_proxy/configs`: stored configurations, made, shown, changed and removed. They lie sealed in the store. */
import { randomInt } from 'node:crypto'
import { SluiceError } from '../../errors.ts'
import type { ApiAnswer, ApiCall, ApiRoute } from '../../listen/api.ts'
import { parseDestinationUrl } from '../../plan/destination.ts'
import type { CaptureRule, CaptureType } from '../../proxy/capture.ts'
import type { Volume } from '../../vault/shelf.ts'
import type { Vault } from '../../vault/vault.ts'
import { type ConfigParts, readChanges, readNewConfig, type StoredConfig, viewOf } from './config.ts'
import { forwardable } from './controls.ts'
import { readCaptureType, readRule } from './rules.ts'
import type { TlsMaterial } from './tls.ts'
import { readObject } from './wire.ts'

/** What is needed to check a configuration before it is kept. */
export interface ConfigPorts {
  /** Ports that a destination may have, and origins that may have any. */
  readonly ports: readonly number[]
  readonly exemptOrigins: readonly string[]
  readonly looksLikeOurs: (key: string) => boolean
  /** Throws ERR_INPUT that names the part at fault. */
  identity(material: TlsMaterial): unknown
  /** Throws ERR_EXPR_*. */
  compileRules(type: CaptureType, rules: readonly CaptureRule[]): unknown
}

/** @param ports asked for at each call: a reload changes them */
export function configRoutes(vault: Vault, ports: () => ConfigPorts): ApiRoute[] {
  const path = '/vault_proxy/configs'
  return [
    { method: 'POST', path, handler: (call) => create(vault, ports(), call) },
    { method: 'GET', path, handler: (call) => list(vault, call) },
    { method: 'GET', path: `${path}/{id}`, handler: (call) => show(vault, call) },
    { method: 'PATCH', path: `${path}/{id}`, handler: (call) => update(vault, ports(), call) },
    { method: 'DELETE', path: `${path}/{id}`, handler: (call) => remove(vault, call) }
  ]
}

async function create(vault: Vault, ports: ConfigPorts, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'proxy:create')
  const parts = await readNewConfig(readObject(call.body))
  checkParts(parts, ports)
  const now = new Date().toISOString()
  const config: StoredConfig = { id: newId(), live: call.caller.live, ...parts, created_at: now, modified_at: now }
  await vault.shelves.configs.write(call.caller, config.id, JSON.stringify(config), null, call.traceId)
  return ok(viewOf(config))
}

async function list(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'proxy:read')
  const { volumes } = await vault.shelves.configs.list(call.caller.tenant, 0, MOST)
  const configs = volumes.map(configOf).filter(({ live }) => live === call.caller.live)
  return ok({ data: configs.map(viewOf), meta: { next: null, count: configs.length } })
}

async function show(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'proxy:read')
  return ok(viewOf((await find(vault, call)).config))
}

async function update(vault: Vault, ports: ConfigPorts, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'proxy:update')
  const { config, volume } = await find(vault, call)
  const parts = await readChanges(readObject(call.body), config)
  if (hasMoved(config, parts)) {
    const why = 'must be given anew with a url of another origin'
    throw new SluiceError('ERR_INPUT', `secret_headers and client_identity ${why}`, {
      fields: { secret_headers: [why] }
    })
  }
  checkParts(parts, ports)
  const changed = { ...config, ...parts, modified_at: new Date().toISOString() }
  await vault.shelves.configs.write(call.caller, config.id, JSON.stringify(changed), volume, call.traceId)
  return ok(viewOf(changed))
}

async function remove(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'proxy:delete')
  const { volume } = await find(vault, call)
  await vault.shelves.configs.remove(call.caller, volume, call.traceId)
  return { status: 204, body: null }
}

async function find(vault: Vault, call: ApiCall): Promise<{ config: StoredConfig; volume: Volume }> {
  const volume = await vault.shelves.configs.read(call.caller.tenant, call.params['id'] ?? '')
  if (volume !== null) {
    const config = configOf(volume)
    if (config.live === call.caller.live) return { config, volume }
  }
  throw new SluiceError('ERR_NOT_FOUND', 'There is no such configuration')
}

/** The configuration in a document of the shelf. */
export function configOf(volume: Volume): StoredConfig {
  return JSON.parse(volume.text) as StoredConfig
}

/** Would a kept secret go to another origin than the one it was given for? Then changing would be reading. */
function hasMoved(was: StoredConfig, is: ConfigParts): boolean {
  if (originOf(was.url) === originOf(is.url)) return false
  const kept = is.secret_headers.some(({ name, value }) =>
    was.secret_headers.some((other) => other.name === name && other.value === value)
  )
  return kept || (is.client_identity !== null && is.client_identity === was.client_identity)
}

const originOf = (url: string): string => /^https:\/\/[^/?#]*/i.exec(url)?.[0].toLowerCase() ?? ''

/** Throws ERR_DESTINATION_URL, ERR_HTTP_SYNTAX, ERR_INPUT, ERR_EXPR_*: what a call would be refused for. */
function checkParts(parts: ConfigParts, ports: ConfigPorts): void {
  parseDestinationUrl(parts.url, ports.ports, ports.exemptOrigins)
  for (const { name, value } of [...parts.headers, ...parts.secret_headers])
    forwardable(name, value, ports.looksLikeOurs)
  const { client_identity: identity, pinned_server_certificates: pins } = parts
  if (identity !== null || pins.length > 0) {
    ports.identity({ certificate: identity?.certificate ?? null, key: identity?.key ?? null, pins })
  }
  if (parts.ingress_settings === null) return
  const { content_type: contentType, rules } = parts.ingress_settings
  const type = readCaptureType(contentType)
  const anybody = rules.some(({ token }) => token.startsWith('business.')) ? 'fp_bid_0' : 'fp_id_0'
  ports.compileRules(
    type,
    rules.map(({ token, target }, at) => readRule(`${token}=${target}`, type, anybody, at + 1))
  )
}

function requirePermission(call: ApiCall, permission: string): void {
  if (call.caller.holds(permission)) return
  throw new SluiceError('ERR_PERMISSION', `Missing permission: ${permission}`, { names: [permission] })
}

const newId = (): string =>
  `proxy_id_${Array.from({ length: 22 }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')}`
const ok = (body: unknown): ApiAnswer => ({ status: 200, body: JSON.stringify(body) })
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const MOST = 1000
