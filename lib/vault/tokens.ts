/** Creating, reading and deleting tokens: check, audit, then touch the store. */
import { SluiceError } from '../errors.ts'
import type { Json } from '../json.ts'
import { Secret } from '../secret.ts'
import type { Caller } from './access.ts'
import type { Audit } from './audit.ts'
import type { DestinationRule } from './destinations.ts'
import { indexKey, termsOf } from './index-terms.ts'
import type { Keyring } from './keyring.ts'
import type { Transform } from './permissions.ts'
import type { Records } from './records.ts'
import type { Purpose, Revealer } from './reveal.ts'
import type { DataKey } from './seal.ts'
import type { Change, Store } from './store.ts'
import { encodeToken, isWellFormed, type TokenHeader, TokenRecord, tokenKey } from './token.ts'
import type { TokenView } from './token-view.ts'

/** A token to make. Everything is checked already but what depends on the caller and on what exists. */
export interface NewToken {
  readonly id?: string
  readonly type: string
  readonly container: string
  /** JSON text. */
  readonly data: string
  readonly mask?: Json
  readonly metadata?: Readonly<Record<string, string>>
  readonly privacy?: Readonly<Record<string, string>>
  readonly searchIndexes?: readonly string[]
  readonly fingerprintExpression?: string
  readonly destinations?: readonly DestinationRule[]
  readonly expiresAt: number | null
}

export interface TokensParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly records: Records
  readonly audit: Audit
  readonly revealer: Revealer
  readonly now: () => number
}

export class Tokens {
  readonly #parts: TokensParts

  constructor(parts: TokensParts) {
    this.#parts = parts
  }

  /** As `Vault.create`. */
  async create(caller: Caller, tokens: readonly NewToken[], traceId: string): Promise<TokenView[]> {
    for (const { container } of tokens) requirePermission(caller, 'token:create', container)
    const current = this.#parts.keyring.current()
    const key = current instanceof Promise ? await current : current
    const now = this.#parts.now()
    const changes: Change[] = []
    const absent: { table: 'tokens'; key: string }[] = []
    const noneUnder: { table: 'tokens'; prefix: string }[] = []
    const views: TokenView[] = []
    for (const token of tokens) {
      const id = token.id ?? crypto.randomUUID()
      const header = headerOf(caller, token, now)
      this.#put(changes, key, caller.tenant, id, header, token.data)
      if (token.id !== undefined) guardName(caller.tenant, id, absent, noneUnder)
      changes.push(this.#change(caller, id, 'create', now, traceId))
      views.push(viewOf(caller, id, header, 'token:create', new Secret(token.data)))
    }
    checkAmongThemselves(tokens)
    const refusal = await this.#parts.store.write({ changes, absent, noneUnder })
    if (refusal !== null)
      throw tokens.some(({ id }) => tokenKey(caller.tenant, id ?? '') === refusal.key) ? conflict() : planted()
    return views
  }

  #put(changes: Change[], key: DataKey, tenant: string, id: string, header: TokenHeader, data: string): void {
    const value = encodeToken(key, tenant, id, header, data, null)
    changes.push({ table: 'tokens', key: tokenKey(tenant, id), value, expect: null })
    for (const term of termsOf(header)) {
      changes.push({ table: 'index', key: indexKey(tenant, term, header.createdAt, id), value: NOTHING })
    }
  }

  /** A row of `/logs`. */
  #change(caller: Caller, id: string, operation: string, now: number, traceId: string): Change {
    const key = `${caller.tenant}:${String(now).padStart(14, '0')}:${crypto.randomUUID()}`
    const value = {
      at: now,
      operation,
      entity: 'token',
      id,
      application: caller.application,
      key: caller.keyId,
      traceId
    }
    return this.#parts.records.put('changes', key, value)
  }

  /** As `Vault.read`. */
  async read(caller: Caller, id: string, purpose: Purpose): Promise<TokenView> {
    const record = await this.#load(caller.tenant, id)
    if (record === null) throw notFound()
    const transform = requirePermission(caller, 'token:read', record.container)
    const header = record.header
    if (transform !== 'reveal') return viewOf(caller, id, header, 'token:read', null)
    const [found] = await this.#parts.revealer.reveal(
      caller,
      [{ text: id, form: 'data', candidates: [id] }],
      purpose,
      1
    )
    if (found === undefined) throw notFound()
    return viewOf(caller, id, header, 'token:read', found.data)
  }

  /** As `Vault.delete`. */
  async delete(caller: Caller, id: string, traceId: string): Promise<void> {
    for (;;) {
      const record = await this.#load(caller.tenant, id)
      if (record === null) throw notFound()
      requirePermission(caller, 'token:delete', record.container)
      const changes: Change[] = [
        { table: 'tokens', key: tokenKey(caller.tenant, id), value: null, expect: record.bytes }
      ]
      for (const term of termsOf(record.header)) {
        changes.push({ table: 'index', key: indexKey(caller.tenant, term, record.createdAt, id), value: null })
      }
      changes.push(this.#change(caller, id, 'delete', this.#parts.now(), traceId))
      if ((await this.#parts.store.write({ changes })) === null) return
    }
  }

  async #load(tenant: string, id: string): Promise<TokenRecord | null> {
    if (id.length > MAX_ID || !isWellFormed(id)) return null
    const [row] = await this.#parts.store.load('tokens', [tokenKey(tenant, id)])
    if (row === undefined) return null
    const record = new TokenRecord(row)
    return record.isExpired(this.#parts.now()) ? null : record
  }
}

function headerOf(caller: Caller, token: NewToken, now: number): TokenHeader {
  const { type, container, expiresAt, mask, metadata, privacy, searchIndexes, fingerprintExpression, destinations } =
    token
  const rest = {
    createdBy: caller.application,
    ...(metadata === undefined ? {} : { metadata }),
    ...(mask === undefined ? {} : { mask }),
    ...(privacy === undefined ? {} : { privacy }),
    ...(searchIndexes === undefined ? {} : { searchIndexes }),
    ...(fingerprintExpression === undefined ? {} : { fingerprintExpression }),
    ...(destinations === undefined ? {} : { destinations }),
    terms: []
  }
  return { type, container, createdAt: now, expiresAt, rest }
}

/**
 * Nobody may plant a token under somebody else's name: a given id is refused when a leading part of it, cut at a dot,
 * is a token, or when it would be such a part of one.
 */
function guardName(
  tenant: string,
  id: string,
  absent: { table: 'tokens'; key: string }[],
  noneUnder: { table: 'tokens'; prefix: string }[]
): void {
  for (let at = id.indexOf('.'); at >= 0; at = id.indexOf('.', at + 1)) {
    if (at > 0) absent.push({ table: 'tokens', key: tokenKey(tenant, id.slice(0, at)) })
  }
  noneUnder.push({ table: 'tokens', prefix: `${tokenKey(tenant, id)}.` })
}

/** The same within one batch. */
function checkAmongThemselves(tokens: readonly NewToken[]): void {
  const ids = new Set<string>()
  for (const { id } of tokens) {
    if (id === undefined) continue
    if (ids.has(id)) throw conflict()
    ids.add(id)
  }
  for (const id of ids) {
    for (let at = id.indexOf('.'); at >= 0; at = id.indexOf('.', at + 1)) if (ids.has(id.slice(0, at))) throw planted()
  }
}

/** What of the token the caller may see: by `token:read`; without it the mask, and never the plain data. */
function viewOf(caller: Caller, id: string, header: TokenHeader, permission: string, data: Secret | null): TokenView {
  const read = caller.allows('token:read', header.container)
  const shown = (read ?? weaker(caller.allows(permission, header.container))) === 'reveal' ? data : null
  return { ...header, tenant: caller.tenant, id, shown, mayKnow: read !== null }
}

const weaker = (transform: Transform | null): Transform => (transform === 'redact' ? 'redact' : 'mask')

/** Throws ERR_PERMISSION. */
function requirePermission(caller: Caller, permission: string, container: string): Transform {
  const transform = caller.allows(permission, container)
  if (transform === null)
    throw new SluiceError('ERR_PERMISSION', `Missing permission: ${permission}`, { names: [permission] })
  return transform
}

const notFound = () => new SluiceError('ERR_NOT_FOUND', 'The token was not found')
const conflict = () =>
  new SluiceError('ERR_CONFLICT', 'A token with this id exists', { fields: { id: ['A token with this id exists'] } })

const planted = () => {
  const why = 'The id runs into the id of another token at a dot'
  return new SluiceError('ERR_INPUT', why, { fields: { id: [why] } })
}

const NOTHING = Buffer.alloc(0)
const MAX_ID = 400
