/**
 * Hot: per request. Bench: bench/micro/vault/reveal.ts.
 *
 * Reveal: find the tokens that a request names, check each, write the audit intent, open them. Synchronous over a
 * synchronous store.
 */
import { SluiceError, unreachable } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Caller } from './access.ts'
import { type Audit, freeText } from './audit.ts'
import { DestinationList, type DestinationName } from './destinations.ts'
import type { Keyring } from './keyring.ts'
import { isPlain, Scratch } from './scratch.ts'
import { type DataKey, open, openWith, PURPOSE_CVC, PURPOSE_DATA } from './seal.ts'
import type { MaybePromise, Store } from './store.ts'
import { Associated } from './associated.ts'
import { type Cvc, cvcId, isWellFormed, TokenRecord, tokenKey } from './token.ts'
import { tokenText } from './token-view.ts'

/** Why a token is revealed. `proxy` and `reactor` send it to a destination, the others show it to the caller. */
export type Door = 'proxy' | 'reactor' | 'reflect' | 'detokenize' | 'decrypt' | 'read'

export interface Purpose {
  readonly door: Door
  /** null: it goes to no destination. */
  readonly destination: DestinationName | null
  readonly traceId: string
  /** What the caller gives as its reason; written to the audit log without long numbers. */
  readonly reason: string | null
  /** 0, until `reveal` writes the number of the audit intent here. */
  intent: number
}

/** What a request names: an id, or an id and a path behind it. */
export interface RevealSubject {
  readonly text: string
  readonly form: 'data' | 'token'
  /** Ids to try, best first. */
  readonly candidates: readonly string[]
}

/** What was found for a subject. */
export class FoundToken {
  readonly candidate: number
  readonly id: string
  readonly data: Secret
  readonly #record: TokenRecord | null
  readonly #tenant: string

  /** `record` is needed for `whole` only. */
  constructor(candidate: number, id: string, data: Secret, record: TokenRecord | null, tenant: string) {
    this.candidate = candidate
    this.id = id
    this.data = data
    this.#record = record
    this.#tenant = tenant
  }

  /** The whole token object as JSON, of a subject whose form is `token`. */
  whole(): Secret {
    if (this.#record === null) return unreachable('the data of a token was asked for, not all of it')
    const view = { ...this.#record.header, id: this.id, tenant: this.#tenant, shown: this.data, mayKnow: true }
    return new Secret(tokenText(view))
  }
}

/** The destinations that containers are bound to. */
export interface ContainerBindings {
  /** True when every binding of the container and of those above it admits the destination. */
  admit(tenant: string, container: string, destination: DestinationName): boolean
}

/** What the store has under an id. */
class Entry {
  readonly id: string
  readonly record: TokenRecord
  /** Where the record lies behind the beginning of its associated data; null: elsewhere. */
  readonly desk: Associated | null
  /** True when the id can stand in JSON as it is. */
  readonly isPlain: boolean
  /** True once a subject has chosen it. */
  isChosen = false
  data: Secret | null = null

  constructor(id: string, record: TokenRecord, plain: boolean, desk: Associated | null) {
    this.id = id
    this.record = record
    this.desk = desk
    this.isPlain = plain
  }
}

export interface RevealParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly audit: Audit
  readonly bindings: ContainerBindings
  readonly now: () => number
  readonly cvcRetentionMs: number
}

export class Revealer {
  readonly #parts: RevealParts
  /** A few records and their associated data, for the length of one batch. */
  readonly #desks: Associated[] = []
  readonly #rowKey = new Scratch()
  /** Tokens opened so far. */
  revealed = 0

  constructor(parts: RevealParts) {
    this.#parts = parts
  }

  /** As `Vault.reveal`. */
  reveal(
    caller: Caller,
    subjects: readonly RevealSubject[],
    purpose: Purpose,
    limit: number
  ): MaybePromise<FoundToken[]> {
    if (purpose.destination !== null && !caller.mayReach(purpose.destination)) {
      throw this.#refuse(caller, purpose, [], destinationForbidden())
    }
    const ids = this.#candidates(subjects, limit)
    const { store } = this.#parts
    if (ids.length <= FEW && store.read !== undefined) {
      return this.#settle(caller, subjects, purpose, limit, ids, this.#readEntries(store, caller.tenant, ids))
    }
    const rows = store.load('tokens', tokenKeys(caller.tenant, ids))
    if (rows instanceof Promise) {
      return rows.then((loaded) => this.#settle(caller, subjects, purpose, limit, ids, this.#entries(ids, loaded)))
    }
    return this.#settle(caller, subjects, purpose, limit, ids, this.#entries(ids, rows))
  }

  /** As `Vault.invoke`. */
  invoke(caller: Caller, purpose: Purpose, id: string): void {
    const what = purpose.door === 'reactor' ? 'reactor' : 'proxy'
    purpose.intent = this.#parts.audit.intent(`"${what}":${quote(id)},${describe(caller, purpose, NONE)}`)
  }

  /** Every distinct id to look for. The tokens that subjects with different beginnings name are different. */
  #candidates(subjects: readonly RevealSubject[], limit: number): string[] {
    if (subjects.length <= limit && subjects.length <= FEW) return fewCandidates(subjects)
    const ids = new Set<string>()
    const beginnings = new Set<string>()
    for (const { candidates } of subjects) {
      let shortest = candidates[0] ?? ''
      for (const candidate of candidates) {
        ids.add(candidate)
        if (candidate.length < shortest.length) shortest = candidate
      }
      const dot = shortest.indexOf('.')
      beginnings.add(dot > 0 ? shortest.slice(0, dot) : shortest)
      if (beginnings.size > limit || ids.size > limit * LOOKUPS_PER_TOKEN) throw overLimit(limit)
    }
    return [...ids]
  }

  /** What the store has under each id: each row is read right behind the beginning of its associated data. */
  #readEntries(store: Store, tenant: string, ids: readonly string[]): (Entry | undefined)[] {
    const now = this.#parts.now()
    const entries: (Entry | undefined)[] = []
    for (let at = 0; at < ids.length; at++) {
      const id = ids[at] as string
      const desk = (this.#desks[at] ??= new Associated())
      const start = desk.beginPlain(PURPOSE_DATA, tenant, id)
      const length =
        start < 0 ? UNREAD : (store.read?.('tokens', desk.rowKey(this.#rowKey), desk.bytes, start) ?? UNREAD)
      if (length > desk.bytes.length - start) entries.push(this.#loadEntry(store, tenant, id))
      else
        entries.push(
          length < 0 ? undefined : entryOf(id, new TokenRecord(desk.bytes, start, start + length), true, desk, now)
        )
    }
    return entries
  }

  /** The same for an id or a row out of the ordinary. */
  #loadEntry(store: Store, tenant: string, id: string): Entry | undefined {
    const rows = store.load('tokens', [tokenKey(tenant, id)])
    return rows instanceof Promise ? unreachable('a store that reads at once') : this.#entries([id], rows)[0]
  }

  #entries(ids: readonly string[], rows: readonly (Buffer | undefined)[]): (Entry | undefined)[] {
    const now = this.#parts.now()
    return ids.map((id, at) => {
      const row = rows[at]
      // Half a surrogate pair would pass for another id in UTF-8.
      if (row === undefined || !isWellFormed(id)) return undefined
      return entryOf(id, new TokenRecord(row), isPlain(id), null, now)
    })
  }

  #settle(
    caller: Caller,
    subjects: readonly RevealSubject[],
    purpose: Purpose,
    limit: number,
    ids: readonly string[],
    entries: readonly (Entry | undefined)[]
  ): MaybePromise<FoundToken[]> {
    const places = ids.length <= FEW ? null : placesOf(ids)
    const chosen: Entry[] = []
    const candidatesChosen: number[] = []
    const distinct: Entry[] = []
    let unknown: Set<string> | null = null
    for (let nth = 0; nth < subjects.length; nth++) {
      const { text, candidates } = subjects[nth] as RevealSubject
      let place = 0
      let entry: Entry | undefined
      for (; place < candidates.length; place++) {
        entry = entries[placeOf(candidates[place] as string, ids, nth, places)]
        if (entry !== undefined) break
      }
      if (entry === undefined) {
        unknown ??= new Set()
        unknown.add(text)
        continue
      }
      chosen.push(entry)
      candidatesChosen.push(place)
      if (!entry.isChosen) distinct.push(entry)
      entry.isChosen = true
    }
    if (distinct.length > limit) throw overLimit(limit)
    if (unknown !== null) throw this.#refuse(caller, purpose, distinct, unknownTokens([...unknown]))
    this.#check(caller, purpose, distinct)
    this.#intend(caller, purpose, distinct)
    return this.#open(caller, subjects, distinct, chosen, candidatesChosen)
  }

  /** Permission for each token's container, then the bindings of containers and tokens. */
  #check(caller: Caller, purpose: Purpose, entries: readonly Entry[]): void {
    const permission = purpose.door === 'proxy' || purpose.door === 'reactor' ? 'token:use' : 'token:read'
    let forbidden: string[] | null = null
    const { destination } = purpose
    let admitted = true
    // Of the container before: most batches have but one.
    let container: string | null = null
    let isAllowed = false
    let isAdmitted = false
    for (const { id, record } of entries) {
      if (record.container !== container) {
        container = record.container
        isAllowed = caller.allows(permission, container) === 'reveal'
        isAdmitted = destination === null || this.#parts.bindings.admit(caller.tenant, container, destination)
      }
      if (!isAllowed) {
        forbidden ??= []
        forbidden.push(id)
      } else if (!isAdmitted || (destination !== null && record.isBound && !boundTo(record, destination))) {
        admitted = false
      }
    }
    if (forbidden !== null) throw this.#refuse(caller, purpose, entries, forbiddenTokens(permission, forbidden))
    if (!admitted) throw this.#refuse(caller, purpose, entries, destinationForbidden())
  }

  #intend(caller: Caller, purpose: Purpose, entries: readonly Entry[]): void {
    const more = purpose.intent === 0 ? '' : `"with":${purpose.intent},`
    const intent = this.#parts.audit.intent(more + describe(caller, purpose, entries))
    if (purpose.intent === 0) purpose.intent = intent
  }

  /** Writes down that it was refused, and gives the error back. */
  #refuse(caller: Caller, purpose: Purpose, entries: readonly Entry[], error: SluiceError): SluiceError {
    const names =
      error.code === 'ERR_TOKEN_UNKNOWN'
        ? `"unknown":[${(error.names ?? []).map((name) => freeText(name)).join(',')}],`
        : ''
    this.#parts.audit.intent(`${describe(caller, purpose, entries)}${names}"refused":"${error.code}",`)
    return error
  }

  #open(
    caller: Caller,
    subjects: readonly RevealSubject[],
    distinct: readonly Entry[],
    chosen: readonly Entry[],
    places: readonly number[]
  ): MaybePromise<FoundToken[]> {
    const { keyring } = this.#parts
    for (const { record } of distinct) {
      if (keyring.opener(record.bytes, record.sealAt) !== undefined) continue
      const fetched = keyring.fetch(record.bytes, record.sealAt)
      if (fetched instanceof Promise) return fetched.then(() => this.#open(caller, subjects, distinct, chosen, places))
    }
    for (const entry of distinct) entry.data = new Secret(this.#plaintext(caller.tenant, entry))
    this.revealed += distinct.length
    const found: FoundToken[] = []
    for (let at = 0; at < chosen.length; at++) {
      const { id, record, data } = chosen[at] as Entry
      if (data === null) continue
      // What lies on a desk is gone with the next batch.
      const kept = (subjects[at] as RevealSubject).form === 'token' ? record.owned() : null
      found.push(new FoundToken(places[at] as number, id, data, kept, caller.tenant))
    }
    return found
  }

  #plaintext(tenant: string, { id, record, desk }: Entry): string {
    if (desk === null) return this.plaintext(tenant, id, record)
    const { bytes, start, headerEnd, sealAt, sealEnd } = record
    const text = openWith(
      this.#opener(bytes, sealAt),
      bytes,
      sealAt,
      sealEnd,
      desk.complete(start, headerEnd, bytes, sealAt)
    )
    return record.hasCvc ? this.#withCvc(tenant, id, record, text) : text
  }

  #opener(bytes: Buffer, at: number): DataKey {
    const key = this.#parts.keyring.opener(bytes, at)
    if (key === undefined) throw new SluiceError('ERR_INTERNAL', 'A data key was not fetched')
    return key
  }

  /** Makes sure that the keys that open a record are at hand. */
  async fetchKeys(record: TokenRecord): Promise<void> {
    const { keyring } = this.#parts
    if (keyring.opener(record.bytes, record.sealAt) === undefined) await keyring.fetch(record.bytes, record.sealAt)
    if (!record.hasCvc || keyring.opener(record.bytes, record.cvcSealAt) !== undefined) return
    await keyring.fetch(record.bytes, record.cvcSealAt)
  }

  /** Opens a record whose data key is at hand. The cvc is null once its time is over. */
  plaintext(tenant: string, id: string, record: TokenRecord): string {
    const text = this.data(tenant, id, record)
    return record.hasCvc ? this.#withCvc(tenant, id, record, text) : text
  }

  /** The same without a cvc. */
  data(tenant: string, id: string, record: TokenRecord): string {
    const { bytes, start, sealAt, sealEnd, headerEnd } = record
    const place = { purpose: PURPOSE_DATA, tenant, id, header: bytes, start, end: headerEnd }
    return open(this.#opener(bytes, sealAt), bytes, sealAt, sealEnd, place)
  }

  #withCvc(tenant: string, id: string, record: TokenRecord, data: string): string {
    const cvc = this.cvc(tenant, id, record)?.text ?? 'null'
    if (record.cvcKind === 'whole') return cvc
    const body = data.slice(0, -1)
    return `${body}${body === '{' ? '' : ','}"cvc":${cvc}}`
  }

  /** The cvc of a record; null when there is none, or its time is over. */
  cvc(tenant: string, id: string, record: TokenRecord): Cvc | null {
    if (!record.hasCvc || record.cvcTakenAt + this.#parts.cvcRetentionMs <= this.#parts.now()) return null
    const { bytes, start, end, sealEnd, cvcSealAt, headerEnd } = record
    const place = {
      purpose: PURPOSE_CVC,
      tenant,
      id: cvcId(id, bytes, sealEnd),
      header: bytes,
      start,
      end: headerEnd
    }
    const text = open(this.#opener(bytes, cvcSealAt), bytes, cvcSealAt, end, place)
    return { text, kind: record.cvcKind, takenAt: record.cvcTakenAt }
  }
}

/** Of few subjects, which cannot be over the limit, without a set. */
function fewCandidates(subjects: readonly RevealSubject[]): string[] {
  const ids: string[] = []
  for (let nth = 0; nth < subjects.length; nth++) {
    const { candidates } = subjects[nth] as RevealSubject
    for (let at = 0; at < candidates.length; at++) {
      const id = candidates[at] as string
      let known = 0
      while (known < ids.length && ids[known] !== id) known++
      if (known === ids.length) ids.push(id)
    }
  }
  return ids
}

function entryOf(
  id: string,
  record: TokenRecord,
  plain: boolean,
  desk: Associated | null,
  now: number
): Entry | undefined {
  return record.isExpired(now) ? undefined : new Entry(id, record, plain, desk)
}

function tokenKeys(tenant: string, ids: readonly string[]): string[] {
  const keys: string[] = []
  for (const id of ids) keys.push(tokenKey(tenant, id))
  return keys
}

function placesOf(ids: readonly string[]): Map<string, number> {
  // :: id → its index
  const places = new Map<string, number>()
  for (let at = 0; at < ids.length; at++) places.set(ids[at] as string, at)
  return places
}

/** The index of an id, which is most often that of its subject; `places` is null when they are few. */
function placeOf(id: string, ids: readonly string[], likely: number, places: Map<string, number> | null): number {
  if (ids[likely] === id) return likely
  return places === null ? ids.indexOf(id) : (places.get(id) ?? -1)
}

/** True when the token's own binding admits the destination. */
function boundTo(record: TokenRecord, destination: DestinationName): boolean {
  const { destinations } = record.rest
  return destinations === undefined || new DestinationList(destinations).admits(destination)
}

/** The members of an audit record, each with a comma after it. */
function describe(caller: Caller, purpose: Purpose, entries: readonly Entry[]): string {
  const { door, destination, traceId, reason } = purpose
  let text = `"door":"${door}",${caller.auditText}"tokens":[`
  for (let at = 0; at < entries.length; at++) {
    const { id, isPlain: plain } = entries[at] as Entry
    text += plain ? (at === 0 ? `"${id}"` : `,"${id}"`) : `${at === 0 ? '' : ','}${JSON.stringify(id)}`
  }
  text += '],'
  if (destination !== null) text += destinationText(destination)
  if (reason !== null) text += `"reason":${freeText(reason)},`
  return `${text}"trace":${quote(traceId)},`
}

/** The same for a destination: the last one's is kept. */
function destinationText({ host, port, method }: DestinationName): string {
  const last = lastDestination
  if (last.host === host && last.port === port && last.method === method) return last.text
  const text = `"to":${quote(`${host}:${port}`)},"method":${quote(method)},`
  lastDestination = { host, port, method, text }
  return text
}

let lastDestination = { host: '', port: 0, method: '', text: '' }

const quote = (text: string): string => (isPlain(text) ? `"${text}"` : JSON.stringify(text))

const overLimit = (limit: number) => new SluiceError('ERR_TOKEN_LIMIT', `The request names more than ${limit} tokens`)
const destinationForbidden = () =>
  new SluiceError(
    'ERR_DESTINATION_FORBIDDEN',
    'The destination is not one that these tokens or this API key may be sent to'
  )
const forbiddenTokens = (permission: string, names: string[]) =>
  new SluiceError('ERR_TOKEN_FORBIDDEN', `Missing permission: ${permission} for some tokens: ${names.join(', ')}`, {
    names
  })
const unknownTokens = (names: string[]) => {
  const message = `Failed to detokenize some tokens: ${names.join(', ')}. Tokens were not found.`
  return new SluiceError('ERR_TOKEN_UNKNOWN', message, { names })
}

const NONE: readonly Entry[] = []
/** The length of a row that `read` cannot tell. */
const UNREAD = Number.MAX_SAFE_INTEGER
/** Bounds the work of subjects with many dots. */
const LOOKUPS_PER_TOKEN = 64
const FEW = 8
