/**
 * Hot: per create. Bench: bench/micro/vault/create.ts.
 *
 * Creating tokens: check, audit, then write. Creates of one event-loop turn that ask for no id and no deduplication wait
 * for the audit together, and what one caller wants goes to the store as a few batches with one row of `/logs` each.
 */
import type { KeyObject } from 'node:crypto'
import { SluiceError } from '../errors.ts'
import type { Caller } from './access.ts'
import { quoted, type Release } from './audit.ts'
import { fingerprintTerm, idOfIndexKey } from './index-terms.ts'
import type { DataKey } from './seal.ts'
import type { Batch, Change, Refusal } from './store.ts'
import { encodeToken, TokenRecord, tokenKey } from './token.ts'
import { aliasOf, type Draft, idDataFault, type Made, makeToken } from './token-draft.ts'
import { randomId } from './token-id.ts'
import { type TokenView, viewOf } from './token-view.ts'
import { removal, requirePermission, rows, type Tokens, type TokensParts } from './tokens.ts'

/** A token to make. */
export interface NewToken extends Draft {
  /** An id, or an expression that yields one. undefined: a random one. */
  readonly id?: string
  /** True: when there is a token of this type and fingerprint, that one is answered. */
  readonly deduplicate?: boolean
}

/** A batch that grows, and what it will answer. */
interface Growing {
  readonly changes: Change[]
  readonly absent: { table: 'tokens'; key: string }[]
  readonly noneUnder: { table: 'tokens' | 'index'; prefix: string }[]
  readonly ids: string[]
  readonly views: TokenView[]
}

/** A create that waits for its turn to be written. */
interface Waiting {
  readonly caller: Caller
  readonly tokens: readonly NewToken[]
  readonly traceId: string
  readonly growing: Growing
  readonly intent: number
  readonly resolve: (views: TokenView[]) => void
  readonly reject: (error: unknown) => void
}

export class Creates {
  readonly #parts: TokensParts
  readonly #tokens: Tokens
  #turn: Turn | null = null

  constructor(parts: TokensParts, tokens: Tokens) {
    this.#parts = parts
    this.#tokens = tokens
  }

  /** As `Vault.create`. */
  create(caller: Caller, tokens: readonly NewToken[], traceId: string): Promise<TokenView[]> {
    const { keyring, audit } = this.#parts
    const key = keyring.current()
    const hmac = keyring.tenantKey(caller.tenant)
    if (key instanceof Promise || hmac instanceof Promise || !tokens.every(isPlain))
      return this.#createAlone(caller, tokens, traceId)
    return new Promise((resolve, reject) => {
      for (const { container } of tokens) requirePermission(caller, 'token:create', container)
      const growing = emptyBatch()
      const stamp = this.#stamp(caller)
      for (const token of tokens) this.#add(caller, key, token, makeToken(token, stamp, hmac), 0, growing)
      const intent = this.#intent(caller, growing.ids, traceId)
      // Not one of a turn whose records are being written just now: the intent would not be among them.
      if (this.#turn === null || this.#turn.number !== audit.turn) {
        this.#turn = new Turn(audit.turn, (waiting) => this.#write(waiting))
        audit.release(this.#turn)
      }
      this.#turn.waiting.push({ caller, tokens, traceId, growing, intent, resolve, reject })
      if (this.#turn.waiting.length >= TOGETHER) audit.flush()
    })
  }

  #write(turn: readonly Waiting[]): void {
    const groups = groupsOf(turn)
    this.#parts.store.writeEach(groups.map((group) => this.#batchOf(group))).then(
      (refusals) => {
        for (const [at, refusal] of refusals.entries())
          for (const waiting of groups[at] as Waiting[]) this.#settle(waiting, refusal)
      },
      (error: unknown) => {
        for (const { reject } of turn) reject(error)
      }
    )
  }

  /** What a group wants, and its row in the log. */
  #batchOf(group: readonly Waiting[]): Batch {
    const changes: Change[] = []
    const logged: [string, string][] = []
    for (const { growing, traceId } of group) {
      for (const change of growing.changes) changes.push(change)
      for (const id of growing.ids) logged.push([id, traceId])
    }
    const { caller } = group[0] as Waiting
    if (logged.length > 0) changes.push(this.#log(caller, logged))
    return { changes }
  }

  #log(caller: Caller, logged: readonly [string, string][]): Change {
    const { records, now } = this.#parts
    return records.logEach(caller, 'token', logged, 'create', now())
  }

  #settle({ caller, tokens, traceId, growing, intent, resolve, reject }: Waiting, refusal: Refusal): void {
    this.#parts.audit.outcome(intent, refusal === null ? 'created' : 'refused')
    if (refusal === null) resolve(growing.views)
    // A random id of the group was there: nobody has seen one, but a copied machine may draw what another has drawn.
    else this.#createAlone(caller, tokens, traceId).then(resolve, reject)
  }

  async #createAlone(caller: Caller, tokens: readonly NewToken[], traceId: string): Promise<TokenView[]> {
    for (const { container } of tokens) requirePermission(caller, 'token:create', container)
    const { keyring, audit } = this.#parts
    const key = await keyring.current()
    const hmac: KeyObject = await keyring.tenantKey(caller.tenant)
    for (let attempt = 0; ; attempt++) {
      const growing = emptyBatch()
      const stamp = this.#stamp(caller)
      for (const token of tokens) {
        const made = makeToken(token, stamp, hmac)
        const existing = token.deduplicate === true ? await this.#deduplicated(caller, token, made, growing) : null
        if (existing === null) this.#add(caller, key, token, made, attempt, growing)
        else growing.views.push(existing)
      }
      const intent = this.#intent(caller, growing.ids, traceId)
      const read = this.#readingIntent(caller, growing.views, traceId)
      await audit.written()
      const { ids } = growing
      if (ids.length > 0)
        growing.changes.push(
          this.#log(
            caller,
            ids.map((id) => [id, traceId])
          )
        )
      const refusal = await this.#parts.store.write(growing)
      audit.outcome(intent, refusal === null ? 'created' : 'refused')
      if (read !== 0) audit.outcome(read, refusal === null ? 'shown' : 'refused')
      if (refusal === null) return growing.views
      if (refusal.table === 'tokens' && (await this.#mayTryAgain(caller, tokens, refusal.key, attempt))) continue
      if (refusal.table === 'index' && attempt < ATTEMPTS) continue
      throw growing.ids.some((id) => tokenKey(caller.tenant, id) === refusal.key) ? conflict() : planted()
    }
  }

  /** Tokens that were there and will be shown in plain are read; 0 when there are none. */
  #readingIntent(caller: Caller, views: readonly TokenView[], traceId: string): number {
    const ids: string[] = []
    for (const { id, container, deduplicated } of views) {
      if (deduplicated === true && caller.allows('token:read', container) === 'reveal') ids.push(id)
    }
    return ids.length === 0 ? 0 : this.#intent(caller, ids, traceId, 'read')
  }

  #stamp(caller: Caller) {
    const now = this.#parts.now()
    return { createdAt: now, createdBy: caller.application, cvcTakenAt: now }
  }

  #intent(caller: Caller, ids: readonly string[], traceId: string, door = 'create'): number {
    let tokens = ''
    for (const id of ids) tokens += tokens === '' ? quoted(id) : `,${quoted(id)}`
    return this.#parts.audit.intent(
      `"door":"${door}",${caller.auditText}"tokens":[${tokens}],"trace":${quoted(traceId)},`
    )
  }

  /** After a refusal because of a row: true when it had only expired, or an alias can be drawn anew. */
  async #mayTryAgain(caller: Caller, tokens: readonly NewToken[], key: string, attempt: number): Promise<boolean> {
    if (attempt > ATTEMPTS) return false
    const [row] = await this.#parts.store.load('tokens', [key])
    if (row === undefined) return true
    const record = new TokenRecord(row)
    const id = key.slice(caller.tenant.length + 1)
    if (record.isExpired(this.#parts.now())) {
      await this.#parts.store.write({ changes: removal(caller.tenant, id, record) })
      return true
    }
    return tokens.some((token) => isTemplate(token.id) && RANDOM.test(token.id ?? ''))
  }

  #add(caller: Caller, key: DataKey, token: NewToken, made: Made, attempt: number, growing: Growing): void {
    const id = newId(token, attempt)
    if (token.id !== undefined) guardName(caller.tenant, id, growing)
    if (growing.ids.includes(id)) throw conflict()
    growing.ids.push(id)
    const value = encodeToken(key, caller.tenant, id, made.header, made.data, made.cvc)
    growing.changes.push({ table: 'tokens', key: tokenKey(caller.tenant, id), value, expect: null })
    for (const row of rows(caller.tenant, id, made.header, made.cvc?.takenAt ?? null)) growing.changes.push(row)
    const view = viewOf(caller, id, made.header, 'token:create', { data: made.data, whole: token.data })
    if (token.deduplicate !== true) growing.views.push(view)
    else if (view.mayKnow) growing.views.push({ ...view, deduplicated: false })
    else growing.views.push(token.id === undefined ? { ...view, isBare: true } : view)
  }

  /**
   * The existing token that stands for a new one. Whoever may not read it learns nothing: it is found only in the
   * container that was asked for, never under another id than the one that was asked for, is shown as bare as a new one
   * is to them, and costs a durable write as well.
   */
  async #deduplicated(caller: Caller, token: NewToken, made: Made, growing: Growing): Promise<TokenView | null> {
    const { fingerprint } = made.header.rest
    if (fingerprint === undefined) return null
    const { store, now } = this.#parts
    const prefix = `${caller.tenant}:${fingerprintTerm(fingerprint)}:`
    let isElsewhere = false
    for (const key of await store.keys('index', { prefix, limit: 100 })) {
      const id = idOfIndexKey(key)
      const [row] = await store.load('tokens', [tokenKey(caller.tenant, id)])
      if (row === undefined) continue
      const record = new TokenRecord(row)
      if (record.isExpired(now())) {
        await store.write({ changes: removal(caller.tenant, id, record) })
        continue
      }
      const mayRead = caller.allows('token:read', record.container) !== null
      if (!mayRead && (record.container !== token.container || token.id !== undefined)) {
        isElsewhere = true
        continue
      }
      growing.changes.push(this.#tokens.change(caller, id, 'deduplicate', ''))
      const view = await this.#tokens.view(caller, id, record, 'token:create')
      return view.mayKnow ? { ...view, deduplicated: true } : { ...view, isBare: true }
    }
    if (!isElsewhere) growing.noneUnder.push({ table: 'index', prefix })
    return null
  }
}

/** The creates whose intents go to the kernel together. */
class Turn implements Release {
  readonly number: number
  readonly waiting: Waiting[] = []
  readonly #write: (waiting: readonly Waiting[]) => void

  constructor(number: number, write: (waiting: readonly Waiting[]) => void) {
    this.number = number
    this.#write = write
  }

  released(): void {
    this.#write(this.waiting)
  }

  refused(error: SluiceError): void {
    for (const { reject } of this.waiting) reject(error)
  }
}

/** Creates of one caller, few together. */
function groupsOf(turn: readonly Waiting[]): Waiting[][] {
  const groups: Waiting[][] = []
  let tokens = 0
  for (const waiting of turn) {
    const group = groups.at(-1)
    tokens += waiting.tokens.length
    if (group !== undefined && group[0]?.caller === waiting.caller && tokens <= IN_GROUP) group.push(waiting)
    else {
      groups.push([waiting])
      tokens = waiting.tokens.length
    }
  }
  return groups
}

const emptyBatch = (): Growing => ({ changes: [], absent: [], noneUnder: [], ids: [], views: [] })

/** True when nothing but that its row is absent is asked for. */
const isPlain = (token: NewToken): boolean => token.id === undefined && token.deduplicate !== true

function newId(token: NewToken, attempt: number): string {
  const { id, data } = token
  if (id === undefined || (isTemplate(id) && attempt > ATTEMPTS - 2)) return randomId()
  if (isTemplate(id)) return aliasOf(id, data)
  const fault = idDataFault(id, data)
  if (fault !== null) throw new SluiceError('ERR_INPUT', fault, { fields: { id: [fault] } })
  return id
}

const isTemplate = (id: string | undefined): boolean => id?.includes('{') === true
/**
 * Nobody may plant a token under somebody else's name: a given id is refused when a leading part of it, cut at a dot,
 * is a token, or when it would be such a part of one.
 */
function guardName(tenant: string, id: string, growing: Growing): void {
  for (let at = id.indexOf('.'); at >= 0; at = id.indexOf('.', at + 1)) {
    const part = id.slice(0, at)
    if (growing.ids.includes(part)) throw planted()
    if (at > 0) growing.absent.push({ table: 'tokens', key: tokenKey(tenant, part) })
  }
  if (growing.ids.some((other) => other.startsWith(`${id}.`))) throw planted()
  growing.noneUnder.push({ table: 'tokens', prefix: `${tokenKey(tenant, id)}.` })
}

const conflict = () =>
  new SluiceError('ERR_CONFLICT', 'A token with this id exists', { fields: { id: ['A token with this id exists'] } })
const planted = () => {
  const why = 'The id runs into the id of another token at a dot'
  return new SluiceError('ERR_INPUT', why, { fields: { id: [why] } })
}

const RANDOM = /\balias_/
const ATTEMPTS = 10
/** So many go to the store at once, that its thread writes them while this one prepares the next. */
const TOGETHER = 32
/** Tokens of a group: its second half goes to the store while the first is being written. */
const IN_GROUP = 16
