/**
 * Lists and searches. One term of the condition, the most telling, drives the walk along the index; every token that it
 * leads to is loaded and held against the whole condition, and against what the caller may see.
 */
import type { KeyObject } from 'node:crypto'
import { SluiceError } from '../errors.ts'
import type { Caller } from './access.ts'
import {
  containerTerm,
  exactTerm,
  fingerprintTerm,
  foldedTerms,
  idOfIndexKey,
  metadataTerm,
  termsOf,
  typeTerm
} from './index-terms.ts'
import type { Condition } from './query.ts'
import type { Store } from './store.ts'
import { TokenRecord, tokenKey } from './token.ts'

export interface Look {
  readonly caller: Caller
  /** null: every token. */
  readonly condition: Condition | null
  /** What the caller needs on a container to see that a token is there. */
  readonly permission: 'token:read' | 'token:search'
  /** True: values are compared with regard to case (v2). */
  readonly isExact: boolean
}

export interface Hit {
  readonly id: string
  readonly record: TokenRecord
}

/** Where a walk along the index begins: keys under each prefix in turn, or given ids. */
interface Drive {
  readonly prefixes: readonly string[]
  readonly ids: readonly string[] | null
  /** Lower leads to fewer tokens. */
  readonly rank: number
}

export class Search {
  readonly #store: Store
  readonly #now: () => number

  constructor(store: Store, now: () => number) {
    this.#store = store
    this.#now = now
  }

  /** A page by number (from 1), and how many there are in all; beyond COUNTED, at least how many. */
  async page(look: Look, key: KeyObject, page: number, size: number): Promise<{ hits: Hit[]; total: number }> {
    const drive = driveOf(look, key)
    const skip = (page - 1) * size
    const only = drive.prefixes[0]
    if (
      drive.ids === null &&
      drive.prefixes.length === 1 &&
      only !== undefined &&
      isDrivenAlone(look) &&
      seesAll(look)
    ) {
      const keys = await this.#store.keys('index', { prefix: only, skip, limit: size })
      const total = await this.#store.count('index', only, COUNTED)
      return {
        hits: (await this.#load(look.caller.tenant, keys.map(idOfIndexKey))).filter(isHit),
        total: Math.max(total, skip + keys.length)
      }
    }
    const hits: Hit[] = []
    let total = 0
    for await (const { hit } of this.#walk(look, key, drive, null)) {
      if (total >= skip && hits.length < size) hits.push(hit)
      total++
      if (total >= COUNTED && hits.length >= size) break
    }
    return { hits, total }
  }

  /** A page from a cursor on (null: the first), and the cursor of the next; null when there is none. */
  async cursorPage(
    look: Look,
    key: KeyObject,
    start: string | null,
    size: number
  ): Promise<{ hits: Hit[]; next: string | null }> {
    const drive = driveOf(look, key)
    const from = start === null ? null : readCursor(start)
    const hits: Hit[] = []
    let last: { at: number; key: string } | null = null
    for await (const { hit, at, key: row } of this.#walk(look, key, drive, from)) {
      if (hits.length === size) return { hits, next: last === null ? null : writeCursor(last) }
      hits.push(hit)
      last = { at, key: row }
    }
    return { hits, next: null }
  }

  async *#walk(
    look: Look,
    key: KeyObject,
    drive: Drive,
    from: { at: number; key: string } | null
  ): AsyncGenerator<{ hit: Hit; at: number; key: string }> {
    const { tenant } = look.caller
    const holds = (hit: Hit) =>
      this.#isVisible(look, hit) && (look.condition === null || matches(look.condition, hit, look, key))
    if (drive.ids !== null) {
      const found = await this.#load(tenant, [...new Set(drive.ids)].sort())
      for (const hit of found)
        if (hit !== null && (from === null || hit.id > from.key) && holds(hit)) yield { hit, at: 0, key: hit.id }
      return
    }
    for (let at = from?.at ?? 0; at < drive.prefixes.length; at++) {
      const prefix = drive.prefixes[at] as string
      const earlier = drive.prefixes.slice(0, at)
      let after: string | undefined =
        from !== null && from.at === at && from.key.startsWith(prefix) ? from.key : undefined
      for (;;) {
        const keys: string[] = await this.#store.keys('index', {
          prefix,
          limit: BATCH,
          ...(after === undefined ? {} : { after })
        })
        const found = await this.#load(tenant, keys.map(idOfIndexKey))
        for (let n = 0; n < keys.length; n++) {
          const hit = found[n] ?? null
          if (hit === null || earlier.some((other) => leadsTo(tenant, other, hit)) || !holds(hit)) continue
          yield { hit, at, key: keys[n] as string }
        }
        if (keys.length < BATCH) break
        after = keys.at(-1)
      }
    }
  }

  async #load(tenant: string, ids: readonly string[]): Promise<(Hit | null)[]> {
    const rows = await this.#store.load(
      'tokens',
      ids.map((id) => tokenKey(tenant, id))
    )
    return ids.map((id, at) => {
      const row = rows[at]
      if (row === undefined) return null
      const record = new TokenRecord(row)
      return record.isExpired(this.#now()) ? null : { id, record }
    })
  }

  #isVisible({ caller, permission }: Look, { record }: Hit): boolean {
    return caller.allows(permission, record.container) !== null
  }
}

function driveOf(look: Look, key: KeyObject): Drive {
  const { tenant } = look.caller
  const all = { prefixes: [`${tenant}:c:`], ids: null, rank: 9 }
  return look.condition === null ? all : (driveBy(look.condition, look, key) ?? all)
}

function driveBy(condition: Condition, look: Look, key: KeyObject): Drive | null {
  const under = (rank: number, terms: readonly string[]): Drive => ({
    prefixes: terms.map((term) => `${look.caller.tenant}:${term}:`),
    ids: null,
    rank
  })
  switch (condition.kind) {
    case 'and':
      return condition.of.map((part) => driveBy(part, look, key)).reduce(better, null)
    case 'or': {
      const drives = condition.of.map((part) => driveBy(part, look, key))
      if (drives.some((drive) => drive === null) || drives.length > 32) return null
      const known = drives as Drive[]
      if (known.every(({ ids }) => ids !== null))
        return { prefixes: [], ids: known.flatMap(({ ids }) => ids ?? []), rank: 0 }
      if (known.some(({ ids }) => ids !== null)) return null
      return {
        prefixes: [...new Set(known.flatMap(({ prefixes }) => prefixes))],
        ids: null,
        rank: Math.max(...known.map(({ rank }) => rank))
      }
    }
    case 'not':
    case 'range':
      return null
    case 'term': {
      const { field, value, isPrefix } = condition
      if (field === 'id') return { prefixes: [], ids: [value], rank: 0 }
      if (field === 'data' && !look.caller.revealsAny('token:read')) return { prefixes: [], ids: [], rank: 0 }
      if (field === 'data') return under(1, look.isExact ? [exactTerm(key, value)] : foldedTerms(key, value))
      if (field === 'fingerprint')
        return SAFE.test(value) ? under(1, [fingerprintTerm(value)]) : { prefixes: [], ids: [], rank: 0 }
      if (field.startsWith('metadata.')) return under(2, [metadataTerm(key, field.slice('metadata.'.length), value)])
      if (field === 'type') return SAFE.test(value) ? under(4, [typeTerm(value)]) : null
      if (field !== 'container' || !PATH.test(value)) return null
      const container = value.toLowerCase()
      return isPrefix
        ? { prefixes: [`${look.caller.tenant}:${containerTerm(container)}`], ids: null, rank: 5 }
        : under(3, [containerTerm(container)])
    }
  }
}

const better = (a: Drive | null, b: Drive | null): Drive | null =>
  a === null ? b : b === null || a.rank <= b.rank ? a : b

/** True when the index rows that drive the walk are the answer themselves. */
function isDrivenAlone({ condition, isExact }: Look): boolean {
  if (condition === null) return true
  if (condition.kind !== 'term') return false
  return !isExact && (condition.field === 'type' || condition.field === 'container')
}

/** True when the caller sees that a token is there whatever container it is in. */
const seesAll = ({ caller, permission }: Look): boolean => caller.allows(permission, '/') !== null

function leadsTo(tenant: string, prefix: string, { id, record }: Hit): boolean {
  return termsOf(record.header).some(
    (term) => `${tenant}:${term}:${id}`.startsWith(prefix) || `${tenant}:${term}:`.startsWith(prefix)
  )
}

function matches(condition: Condition, hit: Hit, look: Look, key: KeyObject): boolean {
  switch (condition.kind) {
    case 'and':
      return condition.of.every((part) => matches(part, hit, look, key))
    case 'or':
      return condition.of.some((part) => matches(part, hit, look, key))
    case 'not':
      return !matches(condition.of, hit, look, key)
    case 'range': {
      const { rest, createdAt } = hit.record.header
      const at = condition.field === 'created_at' ? createdAt : rest.modifiedAt
      if (at === undefined) return false
      const { from, to, isInclusive } = condition
      if (from !== null && (isInclusive ? at < from : at <= from)) return false
      return to === null || (isInclusive ? at <= to : at < to)
    }
    case 'term':
      return matchesTerm(condition, hit, look, key)
  }
}

function matchesTerm(
  { field, value, isPrefix }: Extract<Condition, { kind: 'term' }>,
  { id, record }: Hit,
  { caller, isExact }: Look,
  key: KeyObject
): boolean {
  const { type, container, createdAt, rest } = record.header
  const read = caller.allows('token:read', container)
  const same = (text: string | undefined) =>
    text !== undefined && (isExact ? text === value : text.toLowerCase() === value.toLowerCase())
  if (field.startsWith('metadata.')) {
    const name = field.slice('metadata.'.length)
    const named = (other: string) => (isExact ? other === name : other.toLowerCase() === name.toLowerCase())
    return Object.entries(rest.metadata ?? {}).some(([other, text]) => named(other) && same(text))
  }
  switch (field) {
    case 'id':
      return id === value
    case 'type':
      return same(type)
    case 'container':
      return isPrefix ? container.startsWith(value.toLowerCase()) : container === value.toLowerCase()
    case 'data': {
      // Whoever may not read the data in plain must not find it out by guessing.
      if (read !== 'reveal') return false
      const terms = isExact ? [exactTerm(key, value)] : foldedTerms(key, value)
      return rest.terms.some((term) => terms.includes(term))
    }
    case 'fingerprint':
      return read !== null && rest.fingerprint === value
    case 'created_by':
      return same(rest.createdBy)
    case 'modified_by':
      return same(rest.modifiedBy)
    case 'created_at':
      return createdAt === Date.parse(value)
    case 'modified_at':
      return rest.modifiedAt === Date.parse(value)
    case 'privacy.classification':
      return same(container.split('/')[1])
    case 'privacy.impact_level':
      return same(container.split('/')[2])
    default:
      return same(rest.privacy?.restriction_policy)
  }
}

function writeCursor({ at, key }: { at: number; key: string }): string {
  return Buffer.from(`${at} ${key}`).toString('base64url')
}

/** NOTE: a forged cursor leads nowhere: its key counts only under the prefix that the condition itself gives. */
function readCursor(text: string): { at: number; key: string } {
  const parts = /^(\d{1,2}) (.+)$/s.exec(Buffer.from(text, 'base64url').toString())
  if (parts !== null) return { at: Number(parts[1]), key: parts[2] as string }
  throw new SluiceError('ERR_INPUT', 'The cursor is not valid', { fields: { start: ['The cursor is not valid'] } })
}

const isHit = (hit: Hit | null): hit is Hit => hit !== null
const SAFE = /^[A-Za-z0-9_]{1,100}$/
const PATH = /^[A-Za-z0-9_/-]{1,400}$/
const BATCH = 200
/** How far matches are counted. */
const COUNTED = 10_000
