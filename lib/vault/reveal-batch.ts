/**
 * Hot: per request. Bench: bench/micro/vault/reveal.ts.
 *
 * What the subjects of a request find in the store, before anything of it is checked or opened.
 */
import { unreachable } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { Associated } from './associated.ts'
import type { RevealSubject } from './purpose.ts'
import { overLimit } from './reveal-words.ts'
import { isPlain } from './scratch.ts'
import { type DataKey, PURPOSE_DATA } from './seal.ts'
import type { MaybePromise, Store } from './store.ts'
import { isSameId, isWellFormed, TokenRecord, tokenKey } from './token.ts'

/** A token that is there. */
export class Entry {
  readonly id: string
  readonly record: TokenRecord
  /** Where the record lies behind the beginning of its associated data, until the next batch; null: on its own. */
  readonly desk: Associated | null
  /** True when the id can stand in JSON as it is. */
  readonly isPlain: boolean
  /** True once a subject has chosen it. */
  isChosen = false
  /** Opens it, once it is at hand. */
  key: DataKey | null = null
  data: Secret | null = null

  constructor(id: string, record: TokenRecord, plain: boolean, desk: Associated | null) {
    this.id = id
    this.record = record
    this.desk = desk
    this.isPlain = plain
  }
}

/** One for each subject that found something, in the order of the subjects, and who found nothing. */
export class Batch {
  readonly chosen: Entry[] = []
  /** Which of its subject's candidates each of `chosen` is. */
  readonly places: number[] = []
  readonly distinct: Entry[] = []
  unknown: Set<string> | null = null

  find(id: string): Entry | undefined {
    const { distinct } = this
    for (let nth = 0; nth < distinct.length; nth++) {
      const entry = distinct[nth] as Entry
      if (isSameId(entry.id, id)) return entry
    }
    return undefined
  }

  choose(entry: Entry, place: number): void {
    this.chosen.push(entry)
    this.places.push(place)
    if (entry.isChosen) return
    entry.isChosen = true
    this.distinct.push(entry)
  }

  miss({ text }: RevealSubject): void {
    this.unknown ??= new Set()
    this.unknown.add(text)
  }
}

export class BatchReader {
  readonly #store: Store
  readonly #now: () => number
  /** A few records and their associated data, for the length of one batch. */
  readonly #desks: Associated[] = []

  constructor(store: Store, now: () => number) {
    this.#store = store
    this.#now = now
  }

  /** Synchronous over a synchronous store. Throws ERR_TOKEN_LIMIT when there are more tokens than `limit`. */
  read(tenant: string, subjects: readonly RevealSubject[], limit: number): MaybePromise<Batch> {
    const areFew = subjects.length <= limit && subjects.length <= FEW
    if (areFew && this.#store.read !== undefined) return this.#readFew(tenant, subjects)
    const ids = areFew ? fewCandidates(subjects) : candidates(subjects, limit)
    const rows = this.#store.load(
      'tokens',
      ids.map((id) => tokenKey(tenant, id))
    )
    return rows instanceof Promise
      ? rows.then((loaded) => this.#settle(subjects, ids, loaded, limit))
      : this.#settle(subjects, ids, rows, limit)
  }

  /** Each id is looked for once, and none after the one that a subject means. */
  #readFew(tenant: string, subjects: readonly RevealSubject[]): Batch {
    const now = this.#now()
    const batch = new Batch()
    const missing: string[] = []
    for (let nth = 0; nth < subjects.length; nth++) {
      const subject = subjects[nth] as RevealSubject
      const { candidates: tried } = subject
      let entry: Entry | undefined
      for (let place = 0; entry === undefined && place < tried.length; place++) {
        const id = tried[place] as string
        entry = batch.find(id)
        if (entry === undefined && (missing.length === 0 || !missing.includes(id))) {
          entry = this.#readEntry(tenant, id, batch.distinct.length, now)
          if (entry === undefined) missing.push(id)
        }
        if (entry !== undefined) batch.choose(entry, place)
      }
      if (entry === undefined) batch.miss(subject)
    }
    return batch
  }

  /** The row is read right behind the beginning of its associated data. */
  #readEntry(tenant: string, id: string, nth: number, now: number): Entry | undefined {
    const desk = (this.#desks[nth] ??= new Associated())
    const start = desk.beginPlain(PURPOSE_DATA, tenant, id)
    if (start < 0) return this.#loadEntry(tenant, id, now)
    const length = this.#store.read?.('tokens', desk, desk.bytes, start) ?? -1
    if (length < 0) return undefined
    if (length > desk.bytes.length - start) return this.#loadEntry(tenant, id, now)
    return entryOf(id, new TokenRecord(desk.bytes, start, start + length, desk.words), true, desk, now)
  }

  /** The same for an id or a row out of the ordinary. */
  #loadEntry(tenant: string, id: string, now: number): Entry | undefined {
    const rows = this.#store.load('tokens', [tokenKey(tenant, id)])
    return rows instanceof Promise ? unreachable('a store that reads at once') : loadedEntry(id, rows[0], now)
  }

  #settle(
    subjects: readonly RevealSubject[],
    ids: readonly string[],
    rows: readonly (Buffer | undefined)[],
    limit: number
  ): Batch {
    const now = this.#now()
    // :: id → what the store has under it
    const entries = new Map(ids.map((id, at) => [id, loadedEntry(id, rows[at], now)]))
    const batch = new Batch()
    for (const subject of subjects) {
      const place = subject.candidates.findIndex((id) => entries.get(id) !== undefined)
      const entry = entries.get(subject.candidates[place] ?? '')
      if (entry === undefined) batch.miss(subject)
      else batch.choose(entry, place)
    }
    if (batch.distinct.length > limit) throw overLimit(limit)
    return batch
  }
}

function loadedEntry(id: string, row: Buffer | undefined, now: number): Entry | undefined {
  // Half a surrogate pair would pass for another id in UTF-8.
  if (row === undefined || !isWellFormed(id)) return undefined
  return entryOf(id, new TokenRecord(row), isPlain(id), null, now)
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

/** Every distinct id to look for, of few subjects. */
function fewCandidates(subjects: readonly RevealSubject[]): string[] {
  return [...new Set(subjects.flatMap((subject) => subject.candidates))]
}

/** The same of many. The tokens that subjects with different beginnings name are different. */
function candidates(subjects: readonly RevealSubject[], limit: number): string[] {
  const ids = new Set<string>()
  const beginnings = new Set<string>()
  for (const subject of subjects) {
    let shortest = subject.candidates[0] ?? ''
    for (const candidate of subject.candidates) {
      ids.add(candidate)
      if (candidate.length < shortest.length) shortest = candidate
    }
    const dot = shortest.indexOf('.')
    beginnings.add(dot > 0 ? shortest.slice(0, dot) : shortest)
    if (beginnings.size > limit || ids.size > limit * LOOKUPS_PER_TOKEN) throw overLimit(limit)
  }
  return [...ids]
}

/** Bounds the work of subjects with many dots. */
const LOOKUPS_PER_TOKEN = 64
const FEW = 8
