/**
 * Hot: per request. Bench: bench/micro/vault/reveal.ts.
 *
 * Reveal: find the tokens that a request names, check each, write the audit intent, open them. Synchronous over a
 * synchronous store.
 */
import { SluiceError, unreachable } from '../errors.ts'
import { Secret } from '../secret.ts'
import type { Caller } from './access.ts'
import { type Audit, freeText, quoted } from './audit.ts'
import { DestinationList, type DestinationName } from './destinations.ts'
import type { Keyring } from './keyring.ts'
import type { Purpose, RevealSubject } from './purpose.ts'
import { type Batch, BatchReader, type Entry } from './reveal-batch.ts'
import { describe, destinationForbidden, forbiddenTokens, unknownTokens } from './reveal-words.ts'
import { type DataKey, open, openOn, PURPOSE_CVC, PURPOSE_DATA } from './seal.ts'
import type { MaybePromise, Store } from './store.ts'
import { type Cvc, cvcId, type TokenRecord } from './token.ts'
import { tokenText } from './token-view.ts'

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
  readonly #reader: BatchReader
  /** Tokens opened so far. */
  revealed = 0

  constructor(parts: RevealParts) {
    this.#parts = parts
    this.#reader = new BatchReader(parts.store, parts.now)
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
    const batch = this.#reader.read(caller.tenant, subjects, limit)
    return batch instanceof Promise
      ? batch.then((read) => this.#settle(caller, subjects, purpose, read))
      : this.#settle(caller, subjects, purpose, batch)
  }

  /** As `Vault.invoke`. */
  invoke(caller: Caller, purpose: Purpose, id: string): void {
    const what = purpose.door === 'reactor' ? 'reactor' : 'proxy'
    purpose.intent = this.#parts.audit.intent(`"${what}":${quoted(id)},${describe(caller, purpose, NONE)}`)
  }

  #settle(
    caller: Caller,
    subjects: readonly RevealSubject[],
    purpose: Purpose,
    batch: Batch
  ): MaybePromise<FoundToken[]> {
    const { distinct, unknown } = batch
    if (unknown !== null) throw this.#refuse(caller, purpose, distinct, unknownTokens([...unknown]))
    this.#check(caller, purpose, distinct)
    this.#intend(caller, purpose, distinct)
    return this.#open(caller, subjects, batch)
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
      const { container: text } = record
      if (text !== container) {
        container = text
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

  #open(caller: Caller, subjects: readonly RevealSubject[], batch: Batch): MaybePromise<FoundToken[]> {
    const { keyring } = this.#parts
    const { distinct, chosen, places } = batch
    for (const entry of distinct) {
      const { bytes, sealAt } = entry.record
      const key = keyring.opener(bytes, sealAt) ?? keyring.fetch(bytes, sealAt)
      if (key instanceof Promise) return key.then(() => this.#open(caller, subjects, batch))
      entry.key = key
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

  #plaintext(tenant: string, { id, record, desk, key }: Entry): string {
    if (desk === null || key === null) return this.plaintext(tenant, id, record)
    const { start, headerEnd, sealAt, sealEnd } = record
    const associated = desk.completeHere(start, headerEnd, sealAt)
    const text = openOn(key, desk, sealAt, sealEnd, associated)
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

/** True when the token's own binding admits the destination. */
function boundTo(record: TokenRecord, destination: DestinationName): boolean {
  const { destinations } = record.rest
  return destinations === undefined || new DestinationList(destinations).admits(destination)
}

const NONE: readonly Entry[] = []
