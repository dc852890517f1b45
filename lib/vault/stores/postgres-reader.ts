/**
 * Reads over a few pipelined connections. All rows that are asked for in one event-loop turn go out as one statement a
 * table. A read whose connection broke is tried once more.
 */
import { beyond, type Range, type Row, type Table } from '../store.ts'
import { type Link, LostConnection, type Statement } from './postgres-link.ts'
import { TABLE_NUMBERS } from './postgres-tables.ts'

interface Load {
  readonly keys: readonly string[]
  readonly resolve: (rows: (Buffer | undefined)[]) => void
  readonly reject: (error: unknown) => void
}

export class Reader {
  readonly #links: readonly Link[]
  // :: table → what is asked of it in this turn
  #loads = new Map<Table, Load[]>()

  constructor(links: readonly Link[]) {
    this.#links = links
  }

  /** As `Store.load`; like the others here it rejects with what the link says. */
  load(table: Table, keys: readonly string[]): Promise<(Buffer | undefined)[]> {
    if (keys.length === 0) return Promise.resolve([])
    return new Promise((resolve, reject) => {
      if (this.#loads.size === 0) setImmediate(this.#flush)
      const load = { keys, resolve, reject }
      const loads = this.#loads.get(table)
      if (loads === undefined) this.#loads.set(table, [load])
      else loads.push(load)
    })
  }

  readonly #flush = (): void => {
    const tables = this.#loads
    this.#loads = new Map()
    for (const [table, loads] of tables) {
      let group: Load[] = []
      let size = 0
      for (const load of loads) {
        if (size > 0 && size + load.keys.length > LOAD_KEYS) {
          void this.#loadGroup(table, group)
          group = []
          size = 0
        }
        group.push(load)
        size += load.keys.length
      }
      void this.#loadGroup(table, group)
    }
  }

  async #loadGroup(table: Table, loads: readonly Load[]): Promise<void> {
    // NOTE: a key with NUL would fail the whole statement, and names no row.
    const keys = new Set(loads.flatMap((load) => load.keys).filter((key) => !key.includes('\0')))
    try {
      const found = new Map((await this.#read(LOAD, [TABLE_NUMBERS[table], [...keys]])) as [string, Buffer][])
      for (const load of loads) load.resolve(load.keys.map((key) => take(found, keys, key)))
    } catch (cause) {
      for (const load of loads) load.reject(cause)
    }
  }

  async scan(table: Table, range: Range): Promise<Row[]> {
    const statement = range.reverse === true ? SCAN_REVERSE : SCAN
    const rows = (await this.#read(statement, boundsOf(table, range))) as [string, Buffer][]
    return rows.map(([key, value]) => ({ key, value }))
  }

  async keys(table: Table, range: Range): Promise<string[]> {
    const statement = range.reverse === true ? KEYS_REVERSE : KEYS
    const rows = (await this.#read(statement, boundsOf(table, range))) as [string][]
    return rows.map(([key]) => key)
  }

  async count(table: Table, prefix: string, limit: number): Promise<number> {
    const [[count] = []] = await this.#read(COUNT, [TABLE_NUMBERS[table], prefix, beyond(prefix), limit])
    return Number(count)
  }

  async generation(): Promise<number> {
    const [[value] = []] = await this.#read(GENERATION, [])
    return Number(value)
  }

  async #read(statement: Statement, values: readonly unknown[]): Promise<unknown[][]> {
    try {
      return await this.#link().query(statement, values)
    } catch (cause) {
      if (!(cause instanceof LostConnection)) throw cause
    }
    return this.#link().query(statement, values)
  }

  /** The one with the least to do, of those that are up; else one that is about to be. */
  #link(): Link {
    let best = this.#links[0] as Link
    for (const link of this.#links) if (rank(link) < rank(best)) best = link
    return best
  }
}

const rank = (link: Link): number => {
  if (link.isUp) return link.pending
  return link.isConnecting ? 1e9 : 2e9
}

/** Who asks for a row first gets the row itself, others copies of it. */
function take(found: ReadonlyMap<string, Buffer>, fresh: Set<string>, key: string): Buffer | undefined {
  const row = found.get(key)
  if (row === undefined) return undefined
  return fresh.delete(key) ? row : Buffer.from(row)
}

function boundsOf(table: Table, { prefix, after, skip = 0, limit, reverse }: Range): unknown[] {
  const end = beyond(prefix)
  return [TABLE_NUMBERS[table], prefix, end, after ?? (reverse === true ? end : ''), limit, skip]
}

/** What the feed asks, too. */
export const GENERATION: Statement = { name: 'generation', text: 'select value from sluice.generation' }

/**
 * NOTE: `key = any ($2)` would be a filter over the whole table in a plan that was made while it was small; `offset 0`
 * makes each key a query of its own.
 */
const LOAD: Statement = {
  name: 'load',
  text: `select found.key, found.value from unnest($2::text[]) as asked (key), lateral
    (select r.key, r.value from sluice.rows r where r.tab = $1 and r.key = asked.key offset 0) as found`
}
const range = (name: string, columns: string, after: string, order: string): Statement => ({
  name,
  text: `select ${columns} from sluice.rows
    where tab = $1 and key >= $2 and key < $3 and key ${after} $4 order by key ${order} limit $5 offset $6`
})
const SCAN = range('scan', 'key, value', '>', 'asc')
const SCAN_REVERSE = range('scan reverse', 'key, value', '<', 'desc')
const KEYS = range('keys', 'key', '>', 'asc')
const KEYS_REVERSE = range('keys reverse', 'key', '<', 'desc')
const COUNT: Statement = {
  name: 'count',
  text: `select count(*) from
    (select from sluice.rows where tab = $1 and key >= $2 and key < $3 limit $4) as found`
}
const LOAD_KEYS = 1024
