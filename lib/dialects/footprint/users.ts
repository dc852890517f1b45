/** `/users`, `/businesses` and their vaults. `spec/footprint.md` A.11. */
import { SluiceError } from '../../errors.ts'
import { formatJson, type Json } from '../../json.ts'
import type { ApiAnswer, ApiCall, ApiRoute } from '../../listen/api.ts'
import type { User, UserKind } from '../../vault/users.ts'
import type { Vault } from '../../vault/vault.ts'
import { writesFor } from './fields.ts'
import { containerOf, identifierOf, splitField } from './identifiers.ts'
import { invalid, readObject, readTexts } from './wire.ts'

export function userRoutes(vault: Vault): ApiRoute[] {
  return [...routesOf(vault, 'user', '/users'), ...routesOf(vault, 'business', '/businesses'), ...entities(vault)]
}

function routesOf(vault: Vault, kind: UserKind, path: string): ApiRoute[] {
  return [
    { method: 'POST', path, handler: (call) => create(vault, kind, call) },
    { method: 'GET', path, handler: (call) => list(vault, kind, call) },
    { method: 'POST', path: `${path}/search`, handler: (call) => search(vault, kind, call) },
    { method: 'GET', path: `${path}/{id}`, handler: (call) => show(vault, kind, call) },
    { method: 'PATCH', path: `${path}/{id}`, handler: (call) => rename(vault, kind, call) },
    ...vaultRoutes(vault, kind, path)
  ]
}

/** The older path, for both kinds. */
function entities(vault: Vault): ApiRoute[] {
  return vaultRoutes(vault, null, '/entities')
}

function vaultRoutes(vault: Vault, kind: UserKind | null, path: string): ApiRoute[] {
  const at = `${path}/{id}/vault`
  return [
    { method: 'PATCH', path: at, handler: (call) => write(vault, kind, call) },
    { method: 'PUT', path: at, handler: (call) => write(vault, kind, call) },
    { method: 'GET', path: at, handler: (call) => has(vault, kind, call) },
    { method: 'DELETE', path: at, handler: (call) => remove(vault, kind, call) },
    { method: 'POST', path: `${at}/validate`, handler: (call) => validate(vault, kind, call) },
    { method: 'POST', path: `${at}/decrypt`, handler: (call) => decrypt(vault, kind, call) }
  ]
}

async function create(vault: Vault, kind: UserKind, call: ApiCall): Promise<ApiAnswer> {
  const given = readObject(call.body)
  const externalId = naming(call, 'x-external-id')
  const idempotencyId = naming(call, 'x-idempotency-id')
  const isNamed = externalId !== undefined || idempotencyId !== undefined
  if (isNamed && Object.keys(given).length > 0) {
    throw new SluiceError('ERR_INPUT', 'x-external-id and x-idempotency-id go with an empty body only')
  }
  const user = await vault.users.create(
    call.caller,
    {
      kind,
      ...(externalId === undefined ? {} : { externalId }),
      ...(idempotencyId === undefined ? {} : { idempotencyId })
    },
    (id) => writesFor(id, given),
    call.traceId
  )
  return ok(view(user))
}

/** A header that names a user, 10 to 256 characters in the vendor's words; here any text that is not empty. */
function naming(call: ApiCall, header: string): string | undefined {
  const name = call.header(header)?.trim()
  if (name === undefined || /^[\x20-\x7e]{1,256}$/.test(name)) return name
  throw invalid(header, 'must have 1 to 256 visible characters')
}

async function list(vault: Vault, kind: UserKind, call: ApiCall): Promise<ApiAnswer> {
  requireRead(call)
  const { caller, query } = call
  const externalId = query.get('external_id')
  if (externalId !== null) {
    const user = await vault.users.byExternalId(caller.tenant, kind, externalId)
    return ok({ data: user === null ? [] : [view(user)], meta: { next: null, count: user === null ? 0 : 1 } })
  }
  const users = await vault.users.list(caller.tenant, kind, query.get('cursor'), PAGE + 1)
  const page = users.slice(0, PAGE)
  const next = users.length > PAGE ? (page.at(-1)?.id ?? null) : null
  return ok({ data: page.map(view), meta: { next, count: page.length } })
}

/** Users of whom a field that is searched has exactly this value. */
async function search(vault: Vault, kind: UserKind, call: ApiCall): Promise<ApiAnswer> {
  if (!call.caller.holds('token:search')) throw missing('token:search')
  const { search: text } = readObject(call.body)
  if (typeof text !== 'string' || text.trim() === '' || text.length > 200) {
    throw invalid('search', 'must be a text of 1 to 200 characters')
  }
  const ids = new Set<string>()
  // A number is kept without the hyphens that people write in it.
  for (const value of new Set([text.trim(), text.replace(/[-\s().]/g, '')])) {
    const condition = { kind: 'term', field: 'data', value, isPrefix: false } as const
    const look = { caller: call.caller, condition, permission: 'token:search', isExact: false } as const
    for (const { id } of (await vault.page(look, 1, PAGE, call.traceId)).views) {
      const field = splitField(id)
      if (field !== null && kindOf(field.user) === kind) ids.add(field.user)
    }
  }
  return ok({ data: [...ids].map((id) => ({ id })), meta: { next: null, count: ids.size } })
}

async function show(vault: Vault, kind: UserKind, call: ApiCall): Promise<ApiAnswer> {
  requireRead(call)
  return ok(view(await userOf(vault, kind, call)))
}

async function rename(vault: Vault, kind: UserKind, call: ApiCall): Promise<ApiAnswer> {
  const user = await userOf(vault, kind, call)
  const { external_id: externalId } = readObject(call.body)
  if (externalId === undefined) return ok(view(user))
  const isName = typeof externalId === 'string' && externalId !== '' && externalId.length <= 256
  if (!isName && externalId !== null) throw invalid('external_id', 'must be a text of 1 to 256 characters, or null')
  return ok(view(await vault.users.rename(call.caller, user.id, externalId, call.traceId)))
}

async function write(vault: Vault, kind: UserKind | null, call: ApiCall): Promise<ApiAnswer> {
  const user = await userOf(vault, kind, call)
  const writes = writesFor(user.id, readObject(call.body))
  await vault.users.write(call.caller, [user.id], writes, call.traceId)
  return ok({})
}

async function validate(vault: Vault, kind: UserKind | null, call: ApiCall): Promise<ApiAnswer> {
  const user = await userOf(vault, kind, call)
  writesFor(user.id, readObject(call.body))
  return ok({})
}

/** Which of the fields are there, as far as the caller may know. */
async function has(vault: Vault, kind: UserKind | null, call: ApiCall): Promise<ApiAnswer> {
  requireRead(call)
  const user = await userOf(vault, kind, call)
  const there = new Set(
    (await vault.users.identifiers(call.caller.tenant, user.id)).filter((text) => mayKnow(call, user.id, text))
  )
  const asked = call.query.get('fields')
  const names = asked === null ? [...there] : asked.split(',').map((name) => name.trim())
  return ok(Object.fromEntries(names.filter((name) => name !== '').map((name) => [name, there.has(name)])))
}

function mayKnow(call: ApiCall, user: string, text: string): boolean {
  const identifier = identifierOf(text)
  return identifier !== null && call.caller.allows('token:read', containerOf(user, identifier)) !== null
}

/** `{fields: […]}`, or `{delete_all: true}`. What follows from a field goes with it. */
async function remove(vault: Vault, kind: UserKind | null, call: ApiCall): Promise<ApiAnswer> {
  const user = await userOf(vault, kind, call)
  const body = readObject(call.body)
  const all = body['delete_all'] === true
  const there = await vault.users.identifiers(call.caller.tenant, user.id)
  const asked = all ? there : readTexts(body['fields'], 'fields')
  const gone = new Set(asked.flatMap((name) => [name, ...there.filter((other) => followsFrom(other, name))]))
  await vault.users.remove(
    call.caller,
    [...gone].map((name) => `${user.id}.${name}`),
    call.traceId
  )
  return ok(Object.fromEntries([...gone].map((name) => [name, there.includes(name)])))
}

/** Is the first identifier derived from the second? */
function followsFrom(derived: string, name: string): boolean {
  const end = name.lastIndexOf('.') + 1
  if (!/^(?:card|bank)\.[^.]+\.$/.test(name.slice(0, end)) || !derived.startsWith(name.slice(0, end))) return false
  return FOLLOWING.get(name.slice(end))?.includes(derived.slice(end)) ?? false
}

const EXPIRATION = ['expiration', 'expiration_month', 'expiration_year', 'exp_month', 'exp_year']
// :: end of an identifier → the ends of those that follow from it
const FOLLOWING = new Map<string, readonly string[]>([
  ['number', ['number_last4', 'issuer', 'fingerprint']],
  ['expiration', EXPIRATION],
  ['exp_month', ['expiration', 'expiration_month']],
  ['exp_year', ['expiration', 'expiration_year']],
  ['ach_account_number', ['fingerprint']]
])

async function decrypt(vault: Vault, kind: UserKind | null, call: ApiCall): Promise<ApiAnswer> {
  if (!call.caller.holds('token:read')) throw missing('token:read')
  const user = await userOf(vault, kind, call)
  const body = readObject(call.body)
  const fields = [...new Set(readTexts(body['fields'], 'fields'))]
  for (const name of fields) if (identifierOf(name) === null) throw invalid('fields', 'must be data identifiers')
  const transforms = body['transforms'] === undefined ? [] : readTexts(body['transforms'], 'transforms')
  const { reason = null } = body
  if (reason !== null && typeof reason !== 'string') throw invalid('reason', 'must be text')
  if (fields.length === 0) return ok({})
  const purpose = { door: 'decrypt' as const, destination: null, traceId: call.traceId, reason, intent: 0 }
  const values = await vault.users.decrypt(call.caller, user.id, fields, transforms, purpose)
  await vault.released()
  vault.outcome(purpose.intent, 'shown')
  return ok(Object.fromEntries(fields.map((name, at) => [name, values[at] ?? null])))
}

/** The user that the path names. Throws ERR_NOT_FOUND. */
async function userOf(vault: Vault, kind: UserKind | null, call: ApiCall): Promise<User> {
  const user = await vault.users.read(call.caller.tenant, call.params['id'] ?? '')
  if (user !== null && (kind === null || user.kind === kind)) return user
  throw new SluiceError('ERR_NOT_FOUND', `There is no such ${kind ?? 'entity'}`)
}

const kindOf = (id: string): UserKind => (id.startsWith('fp_bid_') ? 'business' : 'user')

function view({ id, externalId }: User): Record<string, Json> {
  return { id, external_id: externalId }
}

function requireRead(call: ApiCall): void {
  if (!call.caller.holds('token:read')) throw missing('token:read')
}

const missing = (permission: string) =>
  new SluiceError('ERR_PERMISSION', `Missing permission: ${permission}`, { names: [permission] })
const ok = (body: Json): ApiAnswer => ({ status: 200, body: formatJson(body) })
const PAGE = 100
