/**
 * What the vault needs of a store: ordered tables of bytes, atomic batches under conditions, and one counter. Every
 * key begins with its tenant where the row belongs to one, so a query cannot leave its tenant. Stores know nothing of
 * tokens, access or sealing; `test/vault/stores/contract.ts` is the list of what each must hold.
 */
import { SluiceError } from '../errors.ts'

/** A synchronous store answers with the value itself; the caller tests `instanceof Promise`. */
export type MaybePromise<T> = T | Promise<T>

/**
 * - `tokens`: `tenant:id` → sealed token record (token.ts)
 * - `index`: `tenant:term:…` → nothing; one row for each term that finds a token (search.ts)
 * - `applications`, `keys` (also those of stored proxies), `settings`, `bindings`: MACed JSON (records.ts)
 * - `keyring`: wrapped keys (keyring.ts)
 * - `changes`: `tenant:time:…` → a change as `/logs` shows it, or many of one caller (records.ts)
 * - `anchors`: heads of the audit chains (audit.ts)
 * - `proxies`, `reactors`, `configs`: of the dialects
 * - `results`: of calls that nobody waits for (results.ts)
 * - `users`: MACed JSON; whose vaults the fields of the Footprint dialect are (users.ts)
 */
export const TABLES = [
  'tokens',
  'index',
  'applications',
  'keys',
  'settings',
  'bindings',
  'keyring',
  'changes',
  'anchors',
  'proxies',
  'reactors',
  'configs',
  'users',
  'results'
] as const

export type Table = (typeof TABLES)[number]

export interface Change {
  readonly table: Table
  /** Well-formed Unicode without NUL, at most 1900 bytes in UTF-8. */
  readonly key: string
  /** null deletes the row. The store's own from the call of `write` on: nobody changes the bytes any more. */
  readonly value: Uint8Array | null
  /** The whole batch is refused unless the row holds exactly these bytes; null: unless there is no such row. */
  readonly expect?: Uint8Array | null
}

export interface Batch {
  readonly changes: readonly Change[]
  /** The whole batch is refused when any row of the table has a key that begins with the prefix. */
  readonly noneUnder?: readonly { readonly table: Table; readonly prefix: string }[]
  /** The whole batch is refused when such a row exists, or (`present`) when it does not. */
  readonly absent?: readonly { readonly table: Table; readonly key: string }[]
  readonly present?: readonly { readonly table: Table; readonly key: string }[]
  /** True raises the generation: a key, rule or destination changes with this batch. */
  readonly raise?: boolean
}

/** The first condition that did not hold, as `table key`; null when the batch was applied. */
export type Refusal = { readonly table: Table; readonly key: string } | null

export interface Range {
  /** Only keys that begin with this; empty, or ending in an ASCII character. */
  readonly prefix: string
  /** Only keys after this one in the order of the scan. */
  readonly after?: string
  /** How many of them to pass over. */
  readonly skip?: number
  readonly limit: number
  readonly reverse?: boolean
}

export interface Row {
  readonly key: string
  /** Owned by the caller. */
  readonly value: Buffer
}

/** A key that is written right where the store wants it. */
export interface RowKey {
  /**
   * Writes the key in UTF-8 to `target[at..]`, and gives where it ends; up to three bytes behind it are void. Throws a
   * RangeError when there is no room.
   */
  writeKey(target: DataView, at: number): number
}

export interface Store {
  /** Rows by key, in the order asked for; undefined where there is none. The buffers are the caller's. */
  load(table: Table, keys: readonly string[]): MaybePromise<(Buffer | undefined)[]>
  /**
   * Of a synchronous store: copies a row to `target[at..]` and returns its length; -1 when there is none. A row for which
   * there is no room is not copied.
   */
  read?(table: Table, key: RowKey, target: Buffer, at: number): number
  /**
   * Applies all changes or none. Resolves when they are on disk and visible to every process of this store, or with
   * the condition that failed. Rejects with ERR_STORE_UNAVAILABLE when nothing was acknowledged.
   */
  write(batch: Batch): Promise<Refusal>
  /** The same with many, each by itself: resolves when all are on disk or refused, with what `write` says of each. */
  writeEach(batches: readonly Batch[]): Promise<Refusal[]>
  /** Rows in the order of the UTF-8 bytes of their keys. */
  scan(table: Table, range: Range): MaybePromise<Row[]>
  /** Keys only. */
  keys(table: Table, range: Range): MaybePromise<string[]>
  /** How many keys begin with the prefix, counted up to `limit`. */
  count(table: Table, prefix: string, limit?: number): MaybePromise<number>
  /** The number of batches so far that had `raise`, as seen by this process at most one event-loop turn ago. */
  generation(): MaybePromise<number>
  close(): Promise<void>
}

/** What is wrong with the keys of a batch: ERR_INPUT; null when nothing is. */
export function keyFault({ changes }: Batch): SluiceError | null {
  for (const { key } of changes) {
    if (isFaulty(key)) return new SluiceError('ERR_INPUT', `A key holds NUL or more than ${MAX_KEY_BYTES} bytes`)
  }
  return null
}

/** NOTE: a store may need two bytes for U+0001 to U+0004: they count as two here. */
function isFaulty(key: string): boolean {
  if (key.includes('\0')) return true
  if (key.length * 3 <= MAX_KEY_BYTES) return false
  // oxlint-disable-next-line no-control-regex
  return Buffer.byteLength(key.replace(/[\u0001-\u0004]/g, '  ')) > MAX_KEY_BYTES
}

/** The first key after all that begin with the prefix, whose last character is ASCII. */
export function beyond(prefix: string): string {
  if (prefix === '') return '\u{10ffff}'
  const last = prefix.length - 1
  return prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1)
}

/** The longest key, in UTF-8. */
const MAX_KEY_BYTES = 1900
