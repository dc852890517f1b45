/** `/tokens` and `/v2/tokens`: create, get, update, delete, list, search. */
import { SluiceError } from '../../errors.ts'
import { type Json, parseJson } from '../../json.ts'
import type { ApiAnswer, ApiCall, ApiRoute } from '../../listen/api.ts'
import type { Condition } from '../../vault/query.ts'
import { type TokenView, tokenText } from '../../vault/token-view.ts'
import type { Vault } from '../../vault/vault.ts'
import { cursorText, pageText, readPage, readSize } from './paging.ts'
import { asObject, readNewToken, readObject, readRevision } from './token-input.ts'

export function tokenRoutes(vault: Vault): ApiRoute[] {
  return [
    { method: 'POST', path: '/tokens', handler: (call) => create(vault, call) },
    { method: 'GET', path: '/tokens', handler: (call) => list(vault, call) },
    { method: 'POST', path: '/tokens/search', handler: (call) => search(vault, call) },
    { method: 'GET', path: '/tokens/{id}', handler: (call) => read(vault, call) },
    { method: 'PATCH', path: '/tokens/{id}', handler: (call) => update(vault, call) },
    { method: 'DELETE', path: '/tokens/{id}', handler: (call) => remove(vault, call) },
    { method: 'GET', path: '/v2/tokens', handler: (call) => listByCursor(vault, call) },
    { method: 'POST', path: '/v2/tokens/search', handler: (call) => searchByCursor(vault, call) }
  ]
}

async function create(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'token:create')
  const [view] = await vault.create(call.caller, [readNewToken(readObject(call.body))], call.traceId)
  return { status: 201, body: view === undefined ? null : tokenText(view) }
}

async function read(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'token:read')
  const purpose = { door: 'read' as const, destination: null, traceId: call.traceId, reason: null, intent: 0 }
  const view = await vault.read(call.caller, call.params.id ?? '', purpose)
  if (purpose.intent !== 0) {
    await vault.released()
    vault.outcome(purpose.intent, 'shown')
  }
  return { status: 200, body: tokenText(view) }
}

async function update(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'token:update')
  if (call.contentType?.split(';')[0]?.trim().toLowerCase() !== 'application/merge-patch+json') {
    throw new SluiceError('ERR_MEDIA_TYPE', 'The content type must be application/merge-patch+json')
  }
  const revision = readRevision(readObject(call.body))
  return { status: 200, body: tokenText(await vault.update(call.caller, call.params.id ?? '', revision, call.traceId)) }
}

async function remove(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'token:delete')
  await vault.delete(call.caller, call.params.id ?? '', call.traceId)
  return { status: 204, body: null }
}

async function list(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'token:read')
  const page = readPage(call.query.get('page') ?? undefined, call.query.get('size') ?? undefined)
  const look = {
    caller: call.caller,
    condition: filterOf(call.query),
    permission: 'token:read',
    isExact: false
  } as const
  const { views, total } = await vault.page(look, page.page, page.size, call.traceId)
  return { status: 200, body: pageText(texts(views), page, total) }
}

async function listByCursor(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'token:read')
  const size = readSize(call.query.get('size') ?? undefined)
  const look = {
    caller: call.caller,
    condition: filterOf(call.query),
    permission: 'token:read',
    isExact: true
  } as const
  const { views, next } = await vault.cursorPage(look, emptyIsNull(call.query.get('start')), size, call.traceId)
  return { status: 200, body: cursorText(texts(views), size, next) }
}

async function search(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'token:search')
  const body = readObject(call.body)
  const page = readPage(body.page, body.size)
  const condition = vault.parseQuery(queryOf(body.query), false)
  const look = { caller: call.caller, condition, permission: 'token:search', isExact: false } as const
  const { views, total } = await vault.page(look, page.page, page.size, call.traceId)
  return { status: 200, body: pageText(texts(views), page, total) }
}

async function searchByCursor(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'token:search')
  const body = readObject(call.body)
  const size = readSize(body.size)
  const condition = vault.parseQuery(queryOf(body.query), true)
  const look = { caller: call.caller, condition, permission: 'token:search', isExact: true } as const
  const start = typeof body.start === 'string' ? body.start : null
  const { views, next } = await vault.cursorPage(look, emptyIsNull(start), size, call.traceId)
  return { status: 200, body: cursorText(texts(views), size, next) }
}

function queryOf(query: Json | undefined): string {
  if (typeof query === 'string' && query.trim() !== '' && query.length <= 200) return query
  const why = 'The query must be a text of 1 to 200 characters'
  throw new SluiceError('ERR_INPUT', why, { fields: { query: [why] } })
}

/** What the parameters of a list ask for, all of it; each may be repeated and then means any. null: everything. */
function filterOf(query: URLSearchParams): Condition | null {
  const of: Condition[] = []
  const pairs: (readonly [string, string])[] = []
  for (const [name, value] of query) {
    if (name === 'metadata') pairs.push(...metadataPairs(value))
    else if (name.startsWith('metadata.')) pairs.push([name, value])
  }
  for (const [field, value] of pairs) of.push({ kind: 'term', field, value, isPrefix: false })
  for (const field of ['id', 'type', 'container', 'fingerprint']) {
    const any = query
      .getAll(field)
      .map((value): Condition => ({ kind: 'term', field, value, isPrefix: field === 'container' }))
    if (any.length > 0) of.push({ kind: 'or', of: any })
  }
  return of.length === 0 ? null : { kind: 'and', of }
}

/** `metadata={"user":"7"}`, as one of the vendor's SDKs writes it. */
function metadataPairs(text: string): [string, string][] {
  let given: ReturnType<typeof asObject> = null
  try {
    given = asObject(parseJson(text))
  } catch {}
  if (given !== null && Object.values(given).every((value) => typeof value === 'string')) {
    return Object.entries(given).map(([name, value]) => [`metadata.${name}`, value as string])
  }
  const why = 'The metadata must be a JSON object of strings'
  throw new SluiceError('ERR_INPUT', why, { fields: { metadata: [why] } })
}

const texts = (views: readonly TokenView[]): string[] => views.map(tokenText)
const emptyIsNull = (text: string | null): string | null => (text === '' ? null : text)

/** A key that holds the permission nowhere is refused before anything is read. Throws ERR_PERMISSION. */
export function requirePermission(call: ApiCall, permission: string): void {
  if (call.caller.holds(permission)) return
  throw new SluiceError('ERR_PERMISSION', `Missing permission: ${permission}`, { names: [permission] })
}
