/**
 * The embedded store: one LMDB environment in a directory, shared by all processes of a machine. Reads are synchronous
 * and see a snapshot at most one event-loop turn old.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, open, type RootDatabase, type RootDatabaseOptionsWithPath } from 'lmdb'
import { SluiceError } from '../../errors.ts'
import { copyAll, Scratch, writePlain } from '../scratch.ts'
import {
  type Batch,
  beyond,
  type Change,
  keyFault,
  type Range,
  type Refusal,
  type Row,
  type RowKey,
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

/** A batch under conditions that lmdb's thread cannot check by itself. */
interface Waiting {
  readonly batch: Batch
  readonly resolve: (refusal: Refusal) => void
  readonly reject: (cause: unknown) => void
}

/** What lmdb gives with `separateFlushed`: resolves when it is committed, and its `flushed` when that is on disk. */
interface Written extends Promise<boolean> {
  readonly flushed: Promise<unknown>
}

class LmdbStore implements Store {
  readonly #root: RootDatabase<Buffer, string>
  readonly #tables: Record<Table, Database<Buffer, string>>
  readonly #meta: Database<Buffer, string>
  #waiting: Waiting[] = []
  #unsettled = 0
  #settled: () => void = () => {}
  #closed = false
  #viewed: Buffer | null = null
  // :: length → that many bytes of `#viewed`
  #views: Uint8Array[] = []

  constructor(path: string) {
    // NOTE: its types lack the threshold.
    const options: RootDatabaseOptionsWithPath & { txnStartThreshold: number } = {
      path: join(path, 'vault.mdb'),
      maxDbs: 32,
      encoding: 'binary',
      // NOTE: with its own batching lmdb drops a promise, whose rejection on a full disk would end the process.
      eventTurnBatching: false,
      txnStartThreshold: START_AT,
      separateFlushed: true
    }
    this.#root = open<Buffer, string>(options)
    const tables: Partial<Record<Table, Database<Buffer, string>>> = {}
    // NOTE: its types lack the encoder.
    const ways = { encoding: 'binary', keyEncoder: keyEncoderOver(this.#root as unknown as KeyEncoder) } as const
    const openTable = (name: string) => this.#root.openDB<Buffer, string>({ name, ...ways })
    for (const name of TABLES) tables[name] = openTable(name)
    this.#tables = tables as Record<Table, Database<Buffer, string>>
    this.#meta = openTable('meta')
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

  read(table: Table, key: RowKey, target: Buffer, at: number): number {
    try {
      asked = key
      const shared = this.#tables[table].getBinaryFast(ASKED)
      if (shared === undefined) return -1
      const { length } = shared
      if (length <= target.length - at) copyAll(this.#view(shared, length), target, at)
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

  /**
   * All batches of an event-loop turn, and all that come before a running transaction is through with what it has, go
   * into one transaction. It runs in lmdb's thread, which by itself checks that rows are absent; whatever else a batch
   * asks for is checked and done here, at the end of the transaction.
   */
  async writeEach(batches: readonly Batch[]): Promise<Refusal[]> {
    if (this.#closed) throw unavailable(undefined)
    for (const batch of batches) {
      const fault = keyFault(batch)
      if (fault !== null) throw fault
    }
    this.#unsettled++
    try {
      return await this.#writeEach(batches)
    } catch (cause) {
      // What lmdb says beside it is a promise that is rejected, too.
      const { commitError } = cause as { commitError?: Promise<unknown> }
      commitError?.catch(() => {})
      throw unavailable(cause)
    } finally {
      if (--this.#unsettled === 0) this.#settled()
    }
  }

  async write(batch: Batch): Promise<Refusal> {
    const [refusal = null] = await this.writeEach([batch])
    return refusal
  }

  async #writeEach(batches: readonly Batch[]): Promise<Refusal[]> {
    const outcomes: Promise<Refusal>[] = []
    let flushed: Promise<unknown> | undefined
    for (const batch of batches) {
      const absent = absentOnly(batch)
      if (absent === null) outcomes.push(this.#check(batch))
      else {
        const written = this.#instruct(batch.changes, absent)
        // Of the last transaction that any is in: its sync is one of those before as well.
        flushed = written[0]?.flushed
        outcomes.push(Promise.all(written).then((held) => refusalOf(held, absent)))
      }
    }
    const refusals = await Promise.all(outcomes)
    await flushed
    return refusals
  }

  /** Instructions for lmdb's thread: one condition within the other, and the changes in the innermost. */
  #instruct(changes: readonly Change[], absent: readonly Change[]): Written[] {
    const written: Written[] = []
    const put = () => {
      for (const { table, key, value } of changes) {
        if (value === null) void this.#tables[table].remove(key)
        else void this.#tables[table].put(bytesOf(key), value as Buffer)
      }
    }
    const within = (at: number): void => {
      const { table, key } = absent[at] as Change
      const next = at + 1 < absent.length ? () => within(at + 1) : put
      written[at] = this.#tables[table].ifNoExists(bytesOf(key), next) as Written
    }
    if (absent.length === 0) written.push(this.#root.batch(put) as Written)
    else within(0)
    return written
  }

  #check(batch: Batch): Promise<Refusal> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, resolve, reject })
      if (this.#waiting.length === 1) void this.#transact()
    })
  }

  async #transact(): Promise<void> {
    let group: Waiting[] = []
    const take = () => {
      if (group.length === 0) [group, this.#waiting] = [this.#waiting, group]
      return group
    }
    try {
      // A nested one: of a plain transaction, what was written before something threw would stay.
      const applied = this.#root.childTransaction(() => take().map(({ batch }) => this.#apply(batch)))
      // Asked for now: later it would be that of another transaction.
      const flushed = this.#root.flushed.then((isFlushed) => isFlushed)
      const refusals = await applied
      await flushed
      for (const [at, { resolve }] of group.entries()) resolve(refusals[at] as Refusal)
    } catch (cause) {
      for (const { reject } of take()) reject(cause)
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
    // Read before lmdb's next read overwrites it.
    return this.#meta.getBinaryFast('generation')?.readUIntBE(0, 6) ?? 0
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    if (this.#unsettled > 0) {
      await new Promise<void>((resolve) => {
        this.#settled = resolve
      })
    }
    await this.#root.close()
  }
}

/** The changes that want their rows absent, when the batch asks for nothing else and they are few; else null. */
function absentOnly({ changes, absent, present, noneUnder, raise }: Batch): Change[] | null {
  if (raise === true || present !== undefined) return null
  if ((absent?.length ?? 0) > 0 || (noneUnder?.length ?? 0) > 0) return null
  const wanted: Change[] = []
  for (const change of changes) {
    if (change.expect === undefined) continue
    if (change.expect !== null || wanted.length === MOST_NESTED) return null
    wanted.push(change)
  }
  return wanted
}

/**
 * A short key as the bytes that lmdb would make of it, one by one and three times as slowly; they are copied by its next
 * call. A key with anything but printable ASCII stays as it is: lmdb escapes some characters.
 */
function bytesOf(key: string): string {
  if (key === '' || key.length > MOST_BY_ONE || !writePlain(key, keyBytes, 0)) return key
  // lmdb takes bytes for the string that they are in UTF-8.
  return keyBytes.view(key.length) as unknown as string
}

/** How a database of lmdb writes and reads its keys. */
interface KeyEncoder {
  readonly writeKey: (key: unknown, target: Uint8Array & { readonly dataView: DataView }, at: number) => number
  readonly readKey: (source: Uint8Array, start: number, end: number) => unknown
}

/** lmdb's own, but that a key that is asked for by `read` writes itself: given as bytes it costs 2000 instructions more. */
function keyEncoderOver({ writeKey, readKey }: KeyEncoder): KeyEncoder & { enableNullTermination(): void } {
  return {
    writeKey(key, target, at) {
      if (key !== ASKED) return writeKey(key, target, at)
      const end = asked.writeKey(target.dataView, at)
      target.dataView.setInt32(end, 0)
      return end
    },
    readKey,
    // NOTE: lmdb compares keys in another order when an encoder lacks this: its own has turned it on before.
    enableNullTermination() {}
  }
}

function refusalOf(held: readonly boolean[], absent: readonly Change[]): Refusal {
  const change = absent[held.indexOf(false)]
  return change === undefined ? null : { table: change.table, key: change.key }
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

/** Instructions of one event-loop turn: those of some twenty creates. */
const START_AT = 100
const MOST_NESTED = 32
/** Longer keys lmdb writes at once. */
const MOST_BY_ONE = 63
const keyBytes = new Scratch()
/** Stands for the key that `read` asks for. */
const ASKED = {} as unknown as string
let asked: RowKey
const KEPT_VIEWS = 1024

function unavailable(cause: unknown): SluiceError {
  if (cause instanceof SluiceError) return cause
  return new SluiceError('ERR_STORE_UNAVAILABLE', 'The store of the vault is not available', { cause })
}
