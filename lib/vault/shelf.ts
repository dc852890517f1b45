/**
 * Sealed documents of the dialects: stored proxies, reactors, configurations, with the secrets in them. Each row is one
 * seal over its JSON, bound to table, tenant and id.
 */
import { SluiceError } from '../errors.ts'
import { digestOf, type Keyring } from './keyring.ts'
import type { Actor, Records } from './records.ts'
import { type DataKey, open, PURPOSE_ROW, type SealPlace, seal } from './seal.ts'
import type { Change, MaybePromise, Store } from './store.ts'

export type ShelfTable = 'proxies' | 'reactors' | 'configs'

/** A document, and the bytes it was read from: what `write` and `remove` expect to be there still. */
export interface Volume {
  readonly id: string
  /** JSON text. */
  readonly text: string
  readonly bytes: Buffer
}

export interface ShelfParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly records: Records
  readonly now: () => number
}

/** A row of the table `keys`, by the SHA-256 of a key that is in a document. */
interface KeyRow {
  readonly shelf: ShelfTable
  readonly tenant: string
  readonly id: string
}

/** A document that was found by its key. */
export interface FoundVolume {
  readonly tenant: string
  readonly volume: Volume
}

export class Shelf {
  readonly #table: ShelfTable
  /** What it is called in `/logs`. */
  readonly #entity: string
  readonly #parts: ShelfParts
  readonly #keyIn: (text: string) => string | null

  /** @param keyIn The key in a document that `find` finds it by. The store holds its SHA-256 alone. */
  constructor(table: ShelfTable, entity: string, parts: ShelfParts, keyIn: (text: string) => string | null = noKey) {
    this.#table = table
    this.#entity = entity
    this.#parts = parts
    this.#keyIn = keyIn
  }

  /** The document with this key in it, of whatever tenant; null when there is none. */
  async find(key: string): Promise<FoundVolume | null> {
    const digest = digestOf(key)
    const [row] = await this.#parts.store.load('keys', [digest])
    if (row === undefined) return null
    const { shelf, tenant, id } = this.#parts.records.decode<KeyRow>('keys', digest, row)
    if (shelf !== this.#table) return null
    const volume = await this.read(tenant, id)
    // A row that was put back after the document had gone, or got another key, finds nothing.
    return volume === null || this.#keyIn(volume.text) !== key ? null : { tenant, volume }
  }

  /** null when there is none. Synchronous over a synchronous store. */
  read(tenant: string, id: string): MaybePromise<Volume | null> {
    const rows = this.#parts.store.load(this.#table, [`${tenant}:${id}`])
    if (rows instanceof Promise) return rows.then(([row]) => (row === undefined ? null : this.#open(tenant, id, row)))
    return rows[0] === undefined ? null : this.#open(tenant, id, rows[0])
  }

  #open(tenant: string, id: string, bytes: Buffer): MaybePromise<Volume> {
    const { keyring } = this.#parts
    const key = keyring.opener(bytes, 0) ?? keyring.fetch(bytes, 0)
    const read = (opener: DataKey): Volume => ({
      id,
      bytes,
      text: open(opener, bytes, 0, bytes.length, this.#place(tenant, id))
    })
    return key instanceof Promise ? key.then(read) : read(key)
  }

  /** Is there any document, of whatever tenant? */
  async holdsAny(): Promise<boolean> {
    return (await this.#parts.store.keys(this.#table, { prefix: '', limit: 1 })).length > 0
  }

  /** In the order of their ids, and how many there are. */
  async list(tenant: string, skip: number, limit: number): Promise<{ volumes: Volume[]; total: number }> {
    const prefix = `${tenant}:`
    const rows = await this.#parts.store.scan(this.#table, { prefix, skip, limit })
    const volumes: Volume[] = []
    for (const { key, value } of rows) volumes.push(await this.#open(tenant, key.slice(prefix.length), value))
    return { volumes, total: await this.#parts.store.count(this.#table, prefix) }
  }

  /**
   * Puts a document in place of what was read (null: of nothing). Every process hears of it at once. Throws
   * ERR_CONFLICT when something else is there.
   */
  async write(by: Actor, id: string, text: string, was: Volume | null, traceId: string): Promise<void> {
    const { store, keyring, records, now } = this.#parts
    const value = seal(await keyring.current(), text, this.#place(by.tenant, id))
    const change = { table: this.#table, key: `${by.tenant}:${id}`, value, expect: was?.bytes ?? null }
    const log = records.log(by, this.#entity, id, was === null ? 'create' : 'update', traceId, now())
    const changes = [change, log, ...this.#keyChanges(by.tenant, id, was?.text ?? null, text)]
    if ((await store.write({ changes, raise: true })) !== null) throw changed()
  }

  /** Throws ERR_CONFLICT when something else is there. */
  async remove(by: Actor, was: Volume, traceId: string): Promise<void> {
    const { store, records, now } = this.#parts
    const change = { table: this.#table, key: `${by.tenant}:${was.id}`, value: null, expect: was.bytes }
    const log = records.log(by, this.#entity, was.id, 'delete', traceId, now())
    const changes = [change, log, ...this.#keyChanges(by.tenant, was.id, was.text, null)]
    if ((await store.write({ changes, raise: true })) !== null) throw changed()
  }

  #keyChanges(tenant: string, id: string, was: string | null, is: string | null): Change[] {
    const before = was === null ? null : this.#keyIn(was)
    const after = is === null ? null : this.#keyIn(is)
    if (before === after) return []
    const changes: Change[] = []
    if (before !== null) changes.push({ table: 'keys', key: digestOf(before), value: null })
    const row: KeyRow = { shelf: this.#table, tenant, id }
    if (after !== null) changes.push(this.#parts.records.put('keys', digestOf(after), row, null))
    return changes
  }

  #place(tenant: string, id: string): SealPlace {
    return shelfPlace(this.#table, tenant, id)
  }
}

/** Where the seal of a document belongs. */
export function shelfPlace(table: ShelfTable | 'results', tenant: string, id: string): SealPlace {
  return { purpose: PURPOSE_ROW, tenant, id: `${table}/${id}`, header: NOTHING, start: 0, end: 0 }
}

const changed = () => new SluiceError('ERR_CONFLICT', 'Somebody else changed it meanwhile')
const noKey = () => null
const NOTHING = Buffer.alloc(0)
