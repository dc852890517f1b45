/** Reading, changing and deleting tokens: check, audit, then touch the store. Creating: creates.ts. */
import type { KeyObject } from 'node:crypto'
import { SluiceError } from '../errors.ts'
import { formatJson, type Json, parseJson } from '../json.ts'
import type { Caller } from './access.ts'
import type { Audit } from './audit.ts'
import { dueKey, dueOf, indexKey, termsOf } from './index-terms.ts'
import type { Keyring } from './keyring.ts'
import type { Transform } from './permissions.ts'
import type { Records } from './records.ts'
import type { Purpose } from './purpose.ts'
import type { Revealer } from './reveal.ts'
import type { Batch, Change, Store } from './store.ts'
import { encodeToken, isWellFormed, type TokenHeader, TokenRecord, tokenKey } from './token.ts'
import { type Draft, isObject, makeToken } from './token-draft.ts'
import { type TokenView, viewOf } from './token-view.ts'

/** What changes in a token, by a function of what it is. Sees the plain data. */
export type Revision = (was: { readonly header: TokenHeader; readonly data: Json }) => {
  readonly draft: Draft
  /** True: some of the old data may be in the new, so that whoever is shown the token reads. */
  readonly keepsData: boolean
  /** True: besides, something changes whose new value could show the old data. */
  readonly isReading: boolean
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

  /** As `Vault.read`. */
  async read(caller: Caller, id: string, purpose: Purpose): Promise<TokenView> {
    const record = await this.load(caller.tenant, id)
    if (record === null) throw notFound()
    const transform = requirePermission(caller, 'token:read', record.container)
    if (transform !== 'reveal') return this.view(caller, id, record, 'token:read')
    const [found] = await this.#parts.revealer.reveal(
      caller,
      [{ text: id, form: 'data', candidates: [id] }],
      purpose,
      1
    )
    if (found === undefined) throw notFound()
    return viewOf(caller, id, record.header, 'token:read', {
      data: found.data.exposeText(),
      whole: found.data.exposeText()
    })
  }

  /** As `Vault.update`. */
  async update(caller: Caller, id: string, revise: Revision, traceId: string): Promise<TokenView> {
    const { store, keyring, revealer, audit, now } = this.#parts
    const current = await keyring.current()
    const hmac: KeyObject = await keyring.tenantKey(caller.tenant)
    for (;;) {
      const record = await this.load(caller.tenant, id)
      if (record === null) throw notFound()
      requirePermission(caller, 'token:update', record.container)
      await revealer.fetchKeys(record)
      const was = record.header
      const text = revealer.plaintext(caller.tenant, id, record)
      const { draft, keepsData, isReading } = revise({ header: was, data: parseJson(text) })
      requirePermission(caller, 'token:update', draft.container)
      if (isReading && caller.allows('token:read', record.container) !== 'reveal') throw missing('token:read')
      const stamp = {
        createdAt: was.createdAt,
        createdBy: was.rest.createdBy,
        modifiedAt: now(),
        modifiedBy: caller.application,
        cvcTakenAt: record.hasCvc && sameCvc(text, draft.data) ? record.cvcTakenAt : now()
      }
      const wasCvc = record.hasCvc && record.cvcKind === 'whole'
      const made = makeToken(wasCvc ? { ...draft, isCvc: true } : draft, stamp, hmac)
      const shows = keepsData && caller.allows('token:read', draft.container) === 'reveal'
      const read = shows ? this.#intent(caller, 'read', [id], traceId) : 0
      const intent = await this.#intend(caller, 'update', [id], traceId)
      const value = encodeToken(current, caller.tenant, id, made.header, made.data, made.cvc)
      const changes: Change[] = [{ table: 'tokens', key: tokenKey(caller.tenant, id), value, expect: record.bytes }]
      const after = rows(caller.tenant, id, made.header, made.cvc?.takenAt ?? null)
      const kept = new Set(after.map(({ key }) => key))
      for (const row of removal(caller.tenant, id, record).slice(1)) if (!kept.has(row.key)) changes.push(row)
      changes.push(...after, this.change(caller, id, 'update', traceId))
      const refusal = await store.write({ changes })
      audit.outcome(intent, refusal === null ? 'updated' : 'refused')
      if (read !== 0) audit.outcome(read, refusal === null ? 'shown' : 'refused')
      if (refusal === null)
        return viewOf(caller, id, made.header, 'token:update', { data: made.data, whole: draft.data })
    }
  }

  /** As `Vault.delete`. */
  async delete(caller: Caller, id: string, traceId: string): Promise<void> {
    for (;;) {
      const record = await this.load(caller.tenant, id)
      if (record === null) throw notFound()
      requirePermission(caller, 'token:delete', record.container)
      const intent = await this.#intend(caller, 'delete', [id], traceId)
      const changes = [...removal(caller.tenant, id, record), this.change(caller, id, 'delete', traceId)]
      const refusal = await this.#parts.store.write({ changes })
      this.#parts.audit.outcome(intent, refusal === null ? 'deleted' : 'refused')
      if (refusal === null) return
    }
  }

  /** A token of the store; null when there is none, or it has expired. Checks nothing. */
  async load(tenant: string, id: string): Promise<TokenRecord | null> {
    if (id.length > MAX_ID || !isWellFormed(id)) return null
    const [row] = await this.#parts.store.load('tokens', [tokenKey(tenant, id)])
    if (row === undefined) return null
    const record = new TokenRecord(row)
    return record.isExpired(this.#parts.now()) ? null : record
  }

  /** As the caller may see it, without an audit record unless it is plain: for lists, masks and answers. */
  async view(caller: Caller, id: string, record: TokenRecord, permission: string): Promise<TokenView> {
    const { revealer } = this.#parts
    await revealer.fetchKeys(record)
    const data = revealer.data(caller.tenant, id, record)
    return viewOf(caller, id, record.header, permission, { data, whole: revealer.plaintext(caller.tenant, id, record) })
  }

  /** Views of many, with one audit record for those that are shown in plain. */
  async views(
    caller: Caller,
    found: readonly { id: string; record: TokenRecord }[],
    permission: string,
    traceId: string
  ): Promise<TokenView[]> {
    const views: TokenView[] = []
    const plain: string[] = []
    for (const { id, record } of found) {
      if (caller.allows('token:read', record.container) === 'reveal') plain.push(id)
      views.push(await this.view(caller, id, record, permission))
    }
    if (plain.length > 0) {
      const intent = await this.#intend(caller, 'read', plain, traceId)
      this.#parts.audit.outcome(intent, 'shown')
    }
    return views
  }

  #intent(caller: Caller, door: string, ids: readonly string[], traceId: string): number {
    const trace = JSON.stringify(traceId)
    return this.#parts.audit.intent(
      `"door":"${door}",${caller.auditText}"tokens":${JSON.stringify(ids)},"trace":${trace},`
    )
  }

  /** Writes an intent; resolves once it is with the kernel, and all before it. */
  async #intend(caller: Caller, door: string, ids: readonly string[], traceId: string): Promise<number> {
    const intent = this.#intent(caller, door, ids, traceId)
    await this.#parts.audit.written()
    return intent
  }

  /** A row of `/logs`. */
  change(caller: Caller, id: string, operation: string, traceId: string): Change {
    const { records, now } = this.#parts
    return records.log(caller, 'token', id, operation, traceId, now())
  }

  /**
   * Deletes tokens that have expired and cvcs whose time is over, at most `limit` of each. Gives how many it looked at.
   */
  async purge(cvcRetentionMs: number, limit: number): Promise<number> {
    const { store, now } = this.#parts
    const time = now()
    let seen = 0
    for (const [kind, until] of [
      ['x', time],
      ['v', time - cvcRetentionMs]
    ] as const) {
      for (const key of await store.keys('index', { prefix: `!${kind}:`, limit })) {
        const due = dueOf(key)
        if (due.at > until) break
        seen++
        const [row] = await store.load('tokens', [tokenKey(due.tenant, due.id)])
        await store.write(
          purgeBatch(kind, key, due.tenant, due.id, row === undefined ? null : new TokenRecord(row), until)
        )
      }
    }
    return seen
  }
}

/** Without its row when that has gone or changed meanwhile. */
function purgeBatch(
  kind: 'x' | 'v',
  dueRow: string,
  tenant: string,
  id: string,
  record: TokenRecord | null,
  until: number
): Batch {
  const done: Change = { table: 'index', key: dueRow, value: null }
  if (record === null) return { changes: [done] }
  if (kind === 'x') return { changes: record.isExpired(until) ? removal(tenant, id, record) : [done] }
  if (!record.hasCvc || record.cvcTakenAt > until) return { changes: [done] }
  // NOTE: a record that is a cvc and nothing else stays, as null: its id keeps its meaning.
  const value = record.bytes.subarray(0, record.sealEnd)
  return { changes: [{ table: 'tokens', key: tokenKey(tenant, id), value, expect: record.bytes }, done] }
}

/** The rows by which a token is found, and by which it is purged. */
export function rows(tenant: string, id: string, header: TokenHeader, cvcTakenAt: number | null): Change[] {
  const keys = termsOf(header).map((term) => indexKey(tenant, term, header.createdAt, id))
  if (header.expiresAt !== null) keys.push(dueKey('x', header.expiresAt, tenant, id))
  if (cvcTakenAt !== null) keys.push(dueKey('v', cvcTakenAt, tenant, id))
  return keys.map((key) => ({ table: 'index', key, value: NOTHING }))
}

/** What removes a token: its row first, then all that leads to it. */
export function removal(tenant: string, id: string, record: TokenRecord): Change[] {
  const taken = record.hasCvc ? record.cvcTakenAt : null
  const gone = rows(tenant, id, record.header, taken).map((row) => ({ ...row, value: null }))
  return [{ table: 'tokens', key: tokenKey(tenant, id), value: null, expect: record.bytes }, ...gone]
}

/** True when an update left the cvc as it was. */
function sameCvc(before: string, after: string): boolean {
  const [was, is] = [parseJson(before), parseJson(after)]
  if (isObject(was) && isObject(is)) return formatJson(was.cvc ?? null) === formatJson(is.cvc ?? null)
  return before === after
}

/** Throws ERR_PERMISSION. */
export function requirePermission(caller: Caller, permission: string, container: string): Transform {
  const transform = caller.allows(permission, container)
  if (transform === null) throw missing(permission)
  return transform
}

const missing = (permission: string) =>
  new SluiceError('ERR_PERMISSION', `Missing permission: ${permission}`, { names: [permission] })
const notFound = () => new SluiceError('ERR_NOT_FOUND', 'The token was not found')
const NOTHING = Buffer.alloc(0)
const MAX_ID = 400
