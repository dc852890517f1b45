/** What goes into a transfer file beside the tokens: everything that belongs to a vault and not to its place. */
import type { Keyring } from './keyring.ts'
import type { Records } from './records.ts'
import { open, seal } from './seal.ts'
import { shelfPlace, type ShelfTable } from './shelf.ts'
import type { Change, Store, Table } from './store.ts'

/** A row without what binds it to its vault. */
export interface MovedRow {
  readonly table: Table
  readonly key: string
  /** JSON. */
  readonly text: string
}

export interface RowParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly records: Records
}

/** The rows of all tables, page by page. */
export async function* movedRows({ store, keyring, records }: RowParts): AsyncGenerator<MovedRow[]> {
  for (const [table, how] of TABLES_MOVED) {
    for (let after: string | undefined; ; ) {
      const rows = await store.scan(table, { prefix: '', limit: PAGE, ...(after === undefined ? {} : { after }) })
      const moved: MovedRow[] = []
      for (const { key, value } of rows) {
        if (how === 'record') moved.push({ table, key, text: JSON.stringify(records.decode(table, key, value)) })
        else {
          const opener = keyring.opener(value, 0) ?? (await keyring.fetch(value, 0))
          moved.push({ table, key, text: open(opener, value, 0, value.length, placeOf(table, key)) })
        }
      }
      if (moved.length > 0) yield moved
      after = rows.at(-1)?.key
      if (rows.length < PAGE) break
    }
  }
}

/** Puts rows into a vault; one that is there already is left as it is. */
export async function putMovedRows({ store, keyring, records }: RowParts, rows: readonly MovedRow[]): Promise<void> {
  const current = await keyring.current()
  const changes = rows.map(({ table, key, text }): Change => {
    if (MOVES[table] === 'record') return records.put(table, key, JSON.parse(text), null)
    return { table, key, value: seal(current, text, placeOf(table, key)), expect: null }
  })
  await Promise.all(changes.map((change) => store.write({ changes: [change], raise: true })))
}

function placeOf(table: Table, key: string) {
  const colon = key.indexOf(':')
  return shelfPlace(table as ShelfTable, key.slice(0, colon), key.slice(colon + 1))
}

/** `record`: MACed JSON, `sealed`: a sealed document; `apart`: moved otherwise, made anew, or bound to the place. */
const MOVES: Readonly<Record<Table, 'record' | 'sealed' | 'apart'>> = {
  tokens: 'apart',
  index: 'apart',
  keyring: 'apart',
  anchors: 'apart',
  results: 'apart',
  applications: 'record',
  keys: 'record',
  settings: 'record',
  bindings: 'record',
  users: 'record',
  changes: 'record',
  proxies: 'sealed',
  reactors: 'sealed',
  configs: 'sealed'
}
const TABLES_MOVED = (Object.entries(MOVES) as [Table, 'record' | 'sealed' | 'apart'][]).filter(
  ([, how]) => how !== 'apart'
)
const PAGE = 50
