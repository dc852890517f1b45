/**
 * Group commit: the batches that come while a group is being written go out together in the next one, as one
 * transaction in one round trip. A group ends before the first batch that touches what an earlier one of it does, so
 * that the conditions of all can be checked at once; the order of batches is kept.
 */
import { type Batch, beyond, type Change, keyFault, type Refusal, type Table } from '../store.ts'
import { type Link, LostConnection, type Statement } from './postgres-link.ts'
import { TABLE_NUMBERS } from './postgres-tables.ts'

interface Waiting {
  readonly batch: Batch
  readonly bytes: number
  readonly resolve: (refusal: Refusal) => void
  readonly reject: (error: unknown) => void
}

export class Writer {
  readonly #link: Link
  readonly #raised: (generation: number) => void
  #waiting: Waiting[] = []
  #running = false
  #done: Promise<void> = Promise.resolve()
  #closed = false

  /** `raised` is told the generation after each group that raised it. */
  constructor(link: Link, raised: (generation: number) => void) {
    this.#link = link
    this.#raised = raised
  }

  /** As `Store.write`, but rejects with what the link says. */
  write(batch: Batch): Promise<Refusal> {
    if (this.#closed) return Promise.reject(new Error('The store is closed'))
    const fault = keyFault(batch)
    if (fault !== null) return Promise.reject(fault)
    let bytes = 0
    for (const { key, value } of batch.changes) bytes += key.length + (value?.length ?? 0)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, bytes, resolve, reject })
      if (this.#running) return
      this.#running = true
      this.#done = this.#run()
    })
  }

  async #run(): Promise<void> {
    await new Promise((turn) => {
      setImmediate(turn)
    })
    while (this.#waiting.length > 0) await this.#commit(this.#nextGroup())
    this.#running = false
  }

  #nextGroup(): Waiting[] {
    const footprint = new Footprint()
    let size = 0
    let bytes = 0
    for (const { batch, bytes: more } of this.#waiting) {
      if (size > 0 && (size === GROUP_BATCHES || bytes + more > GROUP_BYTES || !footprint.admits(batch))) break
      footprint.add(batch)
      bytes += more
      size++
    }
    return this.#waiting.splice(0, size)
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    try {
      const [row = []] = await this.#link.query(WRITE, parametersOf(group.map((waiting) => waiting.batch)))
      const [batches, tables, keys, raised] = row as [number[], number[], string[], string | null]
      if (raised !== null) this.#raised(Number(raised))
      const refusals = new Map(batches.map((batch, at) => [batch, refusalOf(tables[at] ?? 0, keys[at] ?? '')]))
      group.forEach((waiting, at) => waiting.resolve(refusals.get(at) ?? null))
    } catch (cause) {
      // What the server refuses was not done, and may be the fault of one batch.
      const isOne = group.length === 1 || cause instanceof LostConnection
      if (isOne) for (const waiting of group) waiting.reject(cause)
      else for (const waiting of group) await this.#commit([waiting])
    }
  }

  /** Writes what is waiting, and refuses the rest. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#done
  }
}

/** What the batches of a group look at and what they change, each as `table key`. */
class Footprint {
  readonly #changed = new Set<string>()
  readonly #looked = new Set<string>()
  readonly #prefixes = new Set<string>()
  readonly #prefixLengths = new Set<number>()
  // :: length → the beginnings of that length of all that is changed
  readonly #beginnings = new Map<number, Set<string>>()

  /** True when the batch finds the same whether it comes before, after or between those of the group. */
  admits(batch: Batch): boolean {
    for (const name of changedBy(batch)) {
      if (this.#changed.has(name) || this.#looked.has(name)) return false
      for (const length of this.#prefixLengths) if (this.#prefixes.has(name.slice(0, length))) return false
    }
    for (const name of lookedAtBy(batch)) if (this.#changed.has(name)) return false
    for (const { table, prefix } of batch.noneUnder ?? []) {
      const name = nameOf(table, prefix)
      if (this.#beginningsOf(name.length).has(name)) return false
    }
    return true
  }

  add(batch: Batch): void {
    for (const name of changedBy(batch)) {
      this.#changed.add(name)
      for (const [length, beginnings] of this.#beginnings) beginnings.add(name.slice(0, length))
    }
    for (const name of lookedAtBy(batch)) this.#looked.add(name)
    for (const { table, prefix } of batch.noneUnder ?? []) {
      const name = nameOf(table, prefix)
      this.#prefixes.add(name)
      this.#prefixLengths.add(name.length)
    }
  }

  #beginningsOf(length: number): Set<string> {
    let beginnings = this.#beginnings.get(length)
    if (beginnings === undefined) {
      beginnings = new Set()
      for (const name of this.#changed) beginnings.add(name.slice(0, length))
      this.#beginnings.set(length, beginnings)
    }
    return beginnings
  }
}

const nameOf = (table: Table, key: string): string => `${table} ${key}`
const changedBy = (batch: Batch): string[] => batch.changes.map(({ table, key }) => nameOf(table, key))

function lookedAtBy(batch: Batch): string[] {
  const rows = [
    ...(batch.absent ?? []),
    ...(batch.present ?? []),
    ...batch.changes.filter((c) => c.expect !== undefined)
  ]
  return rows.map(({ table, key }) => nameOf(table, key))
}

/** The parameters of `sluice.write`: conditions in the order in which they are to be checked. */
function parametersOf(batches: readonly Batch[]): unknown[] {
  const conditions = new Columns(6)
  const changes = new Columns(4)
  const raising: number[] = []
  batches.forEach((batch, at) => {
    for (const { table, key } of batch.absent ?? []) conditions.add(at, NONE, TABLE_NUMBERS[table], key, null, null)
    for (const { table, key } of batch.present ?? []) conditions.add(at, SOME, TABLE_NUMBERS[table], key, null, null)
    for (const { table, prefix } of batch.noneUnder ?? []) {
      conditions.add(at, NONE_UNDER, TABLE_NUMBERS[table], prefix, beyond(prefix), null)
    }
    for (const { table, key, expect } of batch.changes) {
      if (expect === undefined) continue
      conditions.add(at, expect === null ? NONE : EQUAL, TABLE_NUMBERS[table], key, null, expect)
    }
    for (const { table, key, value } of lastOfEach(batch.changes)) changes.add(at, TABLE_NUMBERS[table], key, value)
    if (batch.raise === true) raising.push(at)
  })
  return [...conditions.columns, ...changes.columns, raising]
}

/** Of several changes of one row the last. */
function lastOfEach(changes: readonly Change[]): Iterable<Change> {
  return new Map(changes.map((change) => [nameOf(change.table, change.key), change])).values()
}

class Columns {
  readonly columns: unknown[][]

  constructor(width: number) {
    this.columns = Array.from({ length: width }, () => [])
  }

  add(...row: readonly unknown[]): void {
    for (let at = 0; at < row.length; at++) this.columns[at]?.push(row[at])
  }
}

function refusalOf(number: number, key: string): Refusal {
  const table = Object.keys(TABLE_NUMBERS).find((name) => TABLE_NUMBERS[name as Table] === number)
  return { table: table as Table, key }
}

const WRITE: Statement = {
  name: 'write',
  text: 'select r_batch, r_tab, r_key, raised from sluice.write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)'
}
const NONE = 0
const SOME = 1
const NONE_UNDER = 2
const EQUAL = 3
const GROUP_BATCHES = 1024
const GROUP_BYTES = 8_388_608
