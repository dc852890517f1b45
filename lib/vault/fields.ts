/** Fields of users: tokens with given ids, many of which are written, replaced and removed in one batch. */
import type { KeyObject } from 'node:crypto'
import { SluiceError } from '../errors.ts'
import type { Caller } from './access.ts'
import type { Change, Refusal, Table } from './store.ts'
import { encodeToken, TokenRecord, tokenKey } from './token.ts'
import { type Made, makeToken } from './token-draft.ts'
import { removal, rows, type TokensParts } from './tokens.ts'

/** What one field is to be. */
export interface FieldWrite {
  /** The whole id of its token: user, dot, identifier. */
  readonly id: string
  readonly type: string
  readonly container: string
  /** JSON text; null: the field is removed. */
  readonly data: string | null
  /** True: the data is a card verification code, all of it. */
  readonly isCvc?: boolean
  /** Expressions that yield what it is found by. */
  readonly searchIndexes: readonly string[]
  /** The id of the field that is to hold this one's fingerprint. */
  readonly fingerprintId?: string
}

/** What goes into the same batch. */
export interface Along {
  readonly changes: readonly Change[]
  readonly present: readonly { readonly table: Table; readonly key: string }[]
}

export class Fields {
  readonly #parts: TokensParts

  constructor(parts: TokensParts) {
    this.#parts = parts
  }

  /**
   * Writes all fields or none: a new one needs `token:create`, one that is there `token:update`. Resolves with what
   * refused the batch beside the fields themselves; null when it is on disk. Throws ERR_PERMISSION.
   */
  async write(caller: Caller, fields: readonly FieldWrite[], traceId: string, along: Along): Promise<Refusal> {
    const { store, keyring, audit } = this.#parts
    const key = await keyring.current()
    const hmac = await keyring.tenantKey(caller.tenant)
    const writes = fields.flatMap((field) => withFingerprint(field, hmac))
    for (let attempt = 0; ; attempt++) {
      const before = await store.load(
        'tokens',
        writes.map(({ id }) => tokenKey(caller.tenant, id))
      )
      const changes: Change[] = [...along.changes]
      for (const [at, write] of writes.entries()) {
        const row = before[at]
        const record = row === undefined ? null : new TokenRecord(row)
        requireWrite(caller, write.container, this.#isThere(record))
        if (write.data === null) {
          if (record === null) continue
          changes.push(...removal(caller.tenant, write.id, record), this.#log(caller, write.id, 'delete', traceId))
          continue
        }
        const made = this.#make(caller, write, write.data, record, hmac)
        const value = encodeToken(key, caller.tenant, write.id, made.header, made.data, made.cvc)
        changes.push({ table: 'tokens', key: tokenKey(caller.tenant, write.id), value, expect: row ?? null })
        const after = rows(caller.tenant, write.id, made.header, made.cvc?.takenAt ?? null)
        const kept = new Set(after.map((change) => change.key))
        if (record !== null) {
          for (const gone of removal(caller.tenant, write.id, record).slice(1)) {
            if (!kept.has(gone.key)) changes.push(gone)
          }
        }
        changes.push(...after, this.#log(caller, write.id, record === null ? 'create' : 'update', traceId))
      }
      if (changes.length === 0) return null
      const intent = await this.#intend(caller, writes, traceId)
      const refusal = await store.write({ changes, present: along.present })
      audit.outcome(intent, refusal === null ? 'written' : 'refused')
      if (refusal === null || refusal.table !== 'tokens') return refusal
      if (attempt === ATTEMPTS) throw new SluiceError('ERR_CONFLICT', 'The fields are being changed by somebody else')
    }
  }

  /** Throws ERR_PERMISSION when `write` would. Synchronous over a synchronous store. */
  check(caller: Caller, fields: readonly Pick<FieldWrite, 'id' | 'container'>[]): void | Promise<void> {
    const found = this.#parts.store.load(
      'tokens',
      fields.map(({ id }) => tokenKey(caller.tenant, id))
    )
    const settle = (loaded: readonly (Buffer | undefined)[]) => {
      for (const [at, { container }] of fields.entries()) {
        const row = loaded[at]
        requireWrite(caller, container, this.#isThere(row === undefined ? null : new TokenRecord(row)))
      }
    }
    return found instanceof Promise ? found.then(settle) : settle(found)
  }

  /** Removes those of the fields that are there. Throws ERR_PERMISSION. */
  async remove(caller: Caller, ids: readonly string[], traceId: string): Promise<void> {
    const { store, audit } = this.#parts
    for (;;) {
      const keys = ids.map((id) => tokenKey(caller.tenant, id))
      const found = await store.load('tokens', keys)
      const changes: Change[] = []
      const gone: Pick<FieldWrite, 'id'>[] = []
      for (const [at, id] of ids.entries()) {
        const row = found[at]
        if (row === undefined) continue
        const record = new TokenRecord(row)
        requirePermission(caller, 'token:delete', record.container)
        gone.push({ id })
        changes.push(...removal(caller.tenant, id, record), this.#log(caller, id, 'delete', traceId))
      }
      if (changes.length === 0) return
      const intent = await this.#intend(caller, gone, traceId)
      const refusal = await store.write({ changes })
      audit.outcome(intent, refusal === null ? 'deleted' : 'refused')
      if (refusal === null) return
    }
  }

  #make(caller: Caller, write: FieldWrite, data: string, record: TokenRecord | null, hmac: KeyObject): Made {
    const now = this.#parts.now()
    const draft = { ...write, data, expiresAt: null }
    if (record === null) {
      return makeToken(draft, { createdAt: now, createdBy: caller.application, cvcTakenAt: now }, hmac)
    }
    const { createdAt, rest } = record.header
    const stamp = { createdAt, createdBy: rest.createdBy, modifiedAt: now, modifiedBy: caller.application }
    return makeToken(draft, { ...stamp, cvcTakenAt: now }, hmac)
  }

  #isThere(record: TokenRecord | null): boolean {
    return record !== null && !record.isExpired(this.#parts.now())
  }

  #log(caller: Caller, id: string, operation: string, traceId: string): Change {
    return this.#parts.records.log(caller, 'token', id, operation, traceId, this.#parts.now())
  }

  /** Writes an intent; resolves once it is with the kernel. */
  async #intend(caller: Caller, fields: readonly Pick<FieldWrite, 'id'>[], traceId: string): Promise<number> {
    const { audit } = this.#parts
    const ids = JSON.stringify(fields.map(({ id }) => id))
    const intent = audit.intent(
      `"door":"fields",${caller.auditText}"tokens":${ids},"trace":${JSON.stringify(traceId)},`
    )
    await audit.written()
    return intent
  }
}

/** The field, and the one that holds its fingerprint. */
function withFingerprint(field: FieldWrite, hmac: KeyObject): FieldWrite[] {
  const { fingerprintId, container, data } = field
  if (fingerprintId === undefined) return [field]
  const shown = { id: fingerprintId, type: 'token', container, searchIndexes: [] }
  if (data === null) return [field, { ...shown, data: null }]
  const made = makeToken({ ...field, data, expiresAt: null }, { createdAt: 0, createdBy: '', cvcTakenAt: 0 }, hmac)
  const { fingerprint } = made.header.rest
  return [field, { ...shown, data: fingerprint === undefined ? null : JSON.stringify(fingerprint) }]
}

function requireWrite(caller: Caller, container: string, isThere: boolean): void {
  requirePermission(caller, isThere ? 'token:update' : 'token:create', container)
}

function requirePermission(caller: Caller, permission: string, container: string): void {
  if (caller.allows(permission, container) !== null) return
  throw new SluiceError('ERR_PERMISSION', `Missing permission: ${permission}`, { names: [permission] })
}

const ATTEMPTS = 10
