/**
 * The embedded store: one LMDB environment in a directory, shared by all processes of a machine. Reads are synchronous
 * and see a snapshot at most one event-loop turn old.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import { SluiceError } from '../../errors.ts'
import {
  type Batch,
  beyond,
  keyFault,
  type Range,
  type Refusal,
  type Row,
  type Store,
  type Table,
  TABLES
} from '../store.ts'

/** Opens or makes the store. Throws ERR_STORE_UNAVAILABLE. */
export function openLmdb(path: string): Store {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    return new LmdbStore(path)
  } catch (cause) {
    throw unavailable(cause)
  }
}

interface Waiting {
  readonly batch: Batch
  readonly resolve: (refusal: Refusal) => void
  readonly reject: (error: SluiceError) => void
}

class LmdbStore implements Store {
  readonly #root: RootDatabase<Buffer, string>
  readonly #tables: Record<Table, Database<Buffer, string>>
  readonly #meta: Database<Buffer, string>
  #waiting: Waiting[] = []
  #scheduled = false
  #writing: Promise<void> = Promise.resolve()
  #closed = false
  #viewed: Buffer | null = null
  // :: length → that many bytes of `#viewed`
  #views: Uint8Array[] = []

  constructor(path: string) {
    this.#root = open<Buffer, string>({
      path: join(path, 'vault.mdb'),
      maxDbs: 32,
      encoding: 'binary',
      // NOTE: with its own batching lmdb drops a promise, whose rejection on a full disk would end the process.
      eventTurnBatching: false
    })
    const tables: Partial<Record<Table, Database<Buffer, string>>> = {}
    for (const name of TABLES) tables[name] = this.#root.openDB<Buffer, string>({ name, encoding: 'binary' })
    this.#tables = tables as Record<Table, Database<Buffer, string>>
    this.#meta = this.#root.openDB<Buffer, string>({ name: 'meta', encoding: 'binary' })
  }

  load(table: Table, keys: readonly string[]): (Buffer | undefined)[] {
    const database = this.#tables[table]
    const rows: (Buffer | undefined)[] = []
    try {
      for (const key of keys) {
        const shared = database.getBinaryFast(key)
        rows.push(shared === undefined ? undefined : copyOf(shared))
      }
    } catch (cause) {
      throw unavailable(cause)
    }
    return rows
  }

  read(table: Table, key: Buffer, target: Buffer, at: number): number {
    try {
      // lmdb takes bytes for the string that they are in UTF-8.
      const shared = (this.#tables[table] as Database<Buffer, string | Buffer>).getBinaryFast(key)
      if (shared === undefined) return -1
      const { length } = shared
      if (length <= target.length - at) target.set(this.#view(shared, length), at)
      return length
    } catch (cause) {
      throw unavailable(cause)
    }
  }

  /** `copyOf` says why. The buffer is the same for all short rows, so that their views are kept. */
  #view(shared: Buffer, length: number): Uint8Array {
    if (length >= KEPT_VIEWS) return new Uint8Array(shared.buffer, shared.byteOffset, length)
    if (shared !== this.#viewed) {
      this.#viewed = shared
      this.#views = []
    }
    return (this.#views[length] ??= new Uint8Array(shared.buffer, shared.byteOffset, length))
  }

  /** All batches that come while a transaction runs go into the next one together. */
  write(batch: Batch): Promise<Refusal> {
    if (this.#closed) return Promise.reject(unavailable(undefined))
    const fault = keyFault(batch)
    if (fault !== null) return Promise.reject(fault)
    const changes = batch.changes.map((change) => ({
      ...change,
      value: change.value === null ? null : Buffer.from(change.value)
    }))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch: { ...batch, changes }, resolve, reject })
      if (this.#scheduled) return
      this.#scheduled = true
      this.#writing = this.#writing.then(() => this.#commit())
    })
  }

  async #commit(): Promise<void> {
    await new Promise((turn) => {
      setImmediate(turn)
    })
    const group = this.#waiting
    this.#waiting = []
    this.#scheduled = false
    try {
      // A nested one: of a plain transaction, what was written before something threw would stay.
      const refusals = await this.#root.childTransaction(() => group.map((waiting) => this.#apply(waiting.batch)))
      await this.#root.flushed
      group.forEach((waiting, index) => {
        waiting.resolve(refusals[index] as Refusal)
      })
    } catch (cause) {
      // What lmdb says beside it is a promise that is rejected, too.
      const { commitError } = cause as { commitError?: Promise<unknown> }
      commitError?.catch(() => {})
      const error = unavailable(cause)
      for (const waiting of group) waiting.reject(error)
    }
  }

  /** Inside a write transaction: checks every condition, then applies every change. */
  #apply(batch: Batch): Refusal {
    for (const { table, key } of batch.absent ?? []) {
      if (this.#tables[table].getBinaryFast(key) !== undefined) return { table, key }
    }
    for (const { table, key } of batch.present ?? []) {
      if (this.#tables[table].getBinaryFast(key) === undefined) return { table, key }
    }
    for (const { table, prefix } of batch.noneUnder ?? []) {
      for (const key of this.keys(table, { prefix, limit: 1 })) return { table, key }
    }
    for (const { table, key, expect } of batch.changes) {
      if (expect === undefined) continue
      const found = this.#tables[table].getBinary(key)
      const holds = expect === null ? found === undefined : found !== undefined && Buffer.compare(found, expect) === 0
      if (!holds) return { table, key }
    }
    for (const { table, key, value } of batch.changes) {
      if (value === null) this.#tables[table].removeSync(key)
      else this.#tables[table].putSync(key, value as Buffer)
    }
    if (batch.raise === true) this.#raise()
    return null
  }

  #raise(): void {
    const next = Buffer.alloc(6)
    next.writeUIntBE(this.generation() + 1, 0, 6)
    this.#meta.putSync('generation', next)
  }

  scan(table: Table, range: Range): Row[] {
    const rows: Row[] = []
    try {
      for (const { key, value } of this.#tables[table].getRange(bounds(range))) {
        rows.push({ key, value: Buffer.from(value) })
      }
    } catch (cause) {
      throw unavailable(cause)
    }
    return rows
  }

  keys(table: Table, range: Range): string[] {
    try {
      return Array.from(this.#tables[table].getKeys(bounds(range)))
    } catch (cause) {
      throw unavailable(cause)
    }
  }

  count(table: Table, prefix: string, limit = Number.MAX_SAFE_INTEGER): number {
    if (limit === Number.MAX_SAFE_INTEGER) {
      return this.#tables[table].getKeysCount({ start: prefix, end: beyond(prefix) })
    }
    return this.keys(table, { prefix, limit }).length
  }

  generation(): number {
    const row = this.#meta.getBinary('generation')
    return row === undefined ? 0 : row.readUIntBE(0, 6)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#writing
    await this.#root.close()
  }
}

/**
 * NOTE: lmdb hands out a buffer that its next read overwrites, and whose own `length` hides the real one: only a view
 * of it may be copied from. A pooled copy costs half of what lmdb's own copying does.
 */
function copyOf(shared: Buffer): Buffer {
  const { length } = shared
  const owned = Buffer.allocUnsafe(length)
  owned.set(new Uint8Array(shared.buffer, shared.byteOffset, length))
  return owned
}

function bounds(range: Range) {
  const { prefix, after, limit, skip, reverse } = range
  const end = beyond(prefix)
  const offset = skip === undefined ? {} : { offset: skip }
  if (reverse === true) {
    // NOTE: in reverse, lmdb takes `start` as the upper bound.
    return {
      start: after ?? end,
      exclusiveStart: true,
      ...offset,
      end: prefix,
      inclusiveEnd: true,
      reverse: true,
      limit
    }
  }
  const lower = after === undefined ? { start: prefix } : { start: after, exclusiveStart: true }
  return { ...lower, ...offset, end, limit }
}

const KEPT_VIEWS = 1024

function unavailable(cause: unknown): SluiceError {
  if (cause instanceof SluiceError) return cause
  return new SluiceError('ERR_STORE_UNAVAILABLE', 'The store of the vault is not available', { cause })
}
