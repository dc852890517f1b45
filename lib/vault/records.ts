/**
 * Rows that are not secret but must not be changed behind the vault's back: applications with their rules, key
 * hashes, settings, bindings. A row is `mac (32 bytes) | JSON text`, the MAC over table, key and text.
 */
import { type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto'
import { SluiceError } from '../errors.ts'
import { macOf } from './keyring.ts'
import type { Change, Table } from './store.ts'

export class Records {
  readonly #key: KeyObject
  /** Keeps the changes of one millisecond in order. */
  #logged = 0
  /** No other process's changes have the same keys. */
  readonly #origin = randomBytes(12).toString('base64url')

  constructor(key: KeyObject) {
    this.#key = key
  }

  /** The bytes of a row. */
  encode(table: Table, key: string, value: unknown): Buffer {
    const text = JSON.stringify(value)
    const row = Buffer.allocUnsafe(32 + Buffer.byteLength(text))
    row.write(text, 32)
    row.set(macOf(this.#key, [table, key, row.subarray(32)]))
    return row
  }

  /** A change that puts the row in place of `expect` (null: of nothing; undefined: of whatever is there). */
  put(table: Table, key: string, value: unknown, expect?: Buffer | null): Change {
    const bytes = this.encode(table, key, value)
    return expect === undefined ? { table, key, value: bytes } : { table, key, value: bytes, expect }
  }

  /** The value of a row. Throws ERR_INTERNAL when its MAC is not ours. */
  decode<T>(table: Table, key: string, row: Buffer): T {
    const text = row.subarray(32)
    if (row.length < 32 || !timingSafeEqual(row.subarray(0, 32), macOf(this.#key, [table, key, text]))) {
      throw new SluiceError('ERR_INTERNAL', `A record of the vault was changed by someone else (${table})`)
    }
    return JSON.parse(text.toString()) as T
  }

  /** A row of `/logs`. */
  log(by: Actor, entity: string, id: string, operation: string, traceId: string, at: number): Change {
    return this.logEach(by, entity, [[id, traceId]], operation, at)
  }

  /** A row of `/logs` for many, by `[id, trace id]`: all that one caller did in one batch. */
  logEach(by: Actor, entity: string, each: readonly Logged[], operation: string, at: number): Change {
    const place = `${String(at).padStart(14, '0')}:${(this.#logged++).toString(36).padStart(10, '0')}`
    const key = `${by.tenant}:${place}:${this.#origin}`
    return this.put('changes', key, { at, entity, operation, application: by.application, key: by.keyId, each })
  }

  /** The entries of such a row, oldest first. Throws ERR_INTERNAL as `decode` does. */
  entriesOf(key: string, row: Buffer): LogEntry[] {
    const entry = this.decode<LogEntry | LogRow>('changes', key, row)
    if (!('each' in entry)) return [entry]
    const { each, ...shared } = entry
    return each.map(([id, traceId]) => ({ ...shared, id, traceId }))
  }
}

type Logged = readonly [id: string, traceId: string]

/** Entries that differ in these alone. */
interface LogRow extends Omit<LogEntry, 'id' | 'traceId'> {
  readonly each: readonly Logged[]
}

/** Who changes something: a caller, or the command line. */
export interface Actor {
  readonly tenant: string
  readonly application: string
  readonly keyId: string
}

/** Who changed what, when. */
export interface LogEntry {
  readonly at: number
  readonly entity: string
  readonly id: string
  readonly operation: string
  readonly application: string
  readonly key: string
  readonly traceId: string
}
