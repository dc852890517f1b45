/** The store of tests: same contract, nothing on disk. */
import type { Batch, Range, Refusal, Row, RowKey, Store, Table } from '../store.ts'
import { keyFault, TABLES } from '../store.ts'

export function openMemory(): Store {
  return new MemoryStore()
}

class MemoryStore implements Store {
  readonly #tables = new Map<Table, Map<string, Buffer>>()
  #generation = 0

  constructor() {
    for (const name of TABLES) this.#tables.set(name, new Map())
  }

  load(table: Table, keys: readonly string[]): (Buffer | undefined)[] {
    const rows = this.#rows(table)
    return keys.map((key) => copyOf(rows.get(key)))
  }

  read(table: Table, key: RowKey, target: Buffer, at: number): number {
    const end = key.writeKey(keyWords, 0)
    const row = this.#rows(table).get(keyBytes.toString('utf8', 0, end))
    if (row === undefined) return -1
    if (row.length <= target.length - at) row.copy(target, at)
    return row.length
  }

  writeEach(batches: readonly Batch[]): Promise<Refusal[]> {
    return Promise.all(batches.map((batch) => this.write(batch)))
  }

  async write(batch: Batch): Promise<Refusal> {
    const fault = keyFault(batch)
    if (fault !== null) throw fault
    for (const { table, key } of batch.absent ?? []) if (this.#rows(table).has(key)) return { table, key }
    for (const { table, key } of batch.present ?? []) if (!this.#rows(table).has(key)) return { table, key }
    for (const { table, prefix } of batch.noneUnder ?? []) {
      for (const key of this.#rows(table).keys()) if (key.startsWith(prefix)) return { table, key }
    }
    for (const { table, key, expect } of batch.changes) {
      if (expect === undefined) continue
      const found = this.#rows(table).get(key)
      const holds = expect === null ? found === undefined : found !== undefined && Buffer.compare(found, expect) === 0
      if (!holds) return { table, key }
    }
    for (const { table, key, value } of batch.changes) {
      if (value === null) this.#rows(table).delete(key)
      else this.#rows(table).set(key, Buffer.from(value))
    }
    if (batch.raise === true) this.#generation++
    return null
  }

  scan(table: Table, range: Range): Row[] {
    const rows = this.#rows(table)
    return this.keys(table, range).map((key) => ({ key, value: Buffer.from(rows.get(key) as Buffer) }))
  }

  keys(table: Table, range: Range): string[] {
    const { prefix, after, limit, skip = 0, reverse } = range
    const keys = [...this.#rows(table).keys()].filter((key) => key.startsWith(prefix)).sort(byBytes)
    if (reverse === true) keys.reverse()
    const rest =
      after === undefined ? keys : keys.filter((key) => byBytes(key, after) * (reverse === true ? -1 : 1) > 0)
    return rest.slice(skip, skip + limit)
  }

  count(table: Table, prefix: string, limit = Number.MAX_SAFE_INTEGER): number {
    return Math.min(limit, [...this.#rows(table).keys()].filter((key) => key.startsWith(prefix)).length)
  }

  generation(): number {
    return this.#generation
  }

  async close(): Promise<void> {}

  #rows(table: Table): Map<string, Buffer> {
    return this.#tables.get(table) as Map<string, Buffer>
  }
}

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
const copyOf = (row: Buffer | undefined): Buffer | undefined => (row === undefined ? undefined : Buffer.from(row))
/** Where keys of `read` are written: larger ones are in no store. */
const keyBytes = Buffer.alloc(4096)
const keyWords = new DataView(keyBytes.buffer, keyBytes.byteOffset, keyBytes.length)
