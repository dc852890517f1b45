/**
 * The store of many machines: one PostgreSQL database, in its schema `sluice`. Each process has a few connections: one
 * that writes (groups of batches, one transaction each), one that hears of changes, the others read. Connections that
 * break come back by themselves; until then whoever needs one gets ERR_STORE_UNAVAILABLE.
 *
 * NOTE: a connection pooler in between has to be in session mode: named statements and LISTEN belong to a session.
 */
import { SluiceError } from '../../errors.ts'
import type { Batch, MaybePromise, Range, Refusal, Row, Store, Table } from '../store.ts'
import { Feed } from './postgres-feed.ts'
import { Link } from './postgres-link.ts'
import { migrate } from './postgres-migrations.ts'
import { GENERATION, Reader } from './postgres-reader.ts'
import { Writer } from './postgres-writer.ts'

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=…` */
  readonly url: string
  /** Connections of this process, from 3. Default 4. */
  readonly connections?: number
}

/**
 * Connects, and makes or updates the tables. Rejects with ERR_STORE_UNAVAILABLE, or with ERR_CONFIG when the database
 * is not one that this Sluice can use.
 */
export async function openPostgres({ url, connections = 4 }: PostgresOptions): Promise<Store> {
  const newLink = () => new Link({ url, timeoutMs: STATEMENT_MS })
  const readers = Array.from({ length: Math.max(1, connections - 2) }, newLink)
  const store = new PostgresStore(newLink(), readers, url)
  try {
    await migrateBy(url)
    await store.open()
    return store
  } catch (cause) {
    await store.close()
    if (cause instanceof SluiceError) throw cause
    const code = (cause as { code?: string } | null)?.code ?? 'no answer'
    const message = `vault.url: the database cannot be used (${code})`
    throw new SluiceError('ERR_STORE_UNAVAILABLE', message, { names: ['vault.url'], cause })
  }
}

async function migrateBy(url: string): Promise<void> {
  const link = new Link({ url, timeoutMs: 0 })
  await link.open()
  try {
    await migrate((text, values) => link.query(text, values))
  } finally {
    await link.close()
  }
}

class PostgresStore implements Store {
  readonly #links: readonly Link[]
  readonly #reader: Reader
  readonly #writer: Writer
  readonly #feed: Feed
  #closed = false

  constructor(writing: Link, reading: readonly Link[], url: string) {
    this.#links = [writing, ...reading]
    this.#reader = new Reader(reading)
    this.#feed = new Feed({ url, statement: GENERATION, ask: () => this.#guard(this.#reader.generation()) })
    this.#writer = new Writer(writing, (generation) => this.#feed.raised(generation))
  }

  async open(): Promise<void> {
    await Promise.all([...this.#links.map((link) => link.open()), this.#feed.open()])
  }

  load(table: Table, keys: readonly string[]): Promise<(Buffer | undefined)[]> {
    return this.#guard(this.#reader.load(table, keys))
  }

  writeEach(batches: readonly Batch[]): Promise<Refusal[]> {
    return Promise.all(batches.map((batch) => this.write(batch)))
  }

  write(batch: Batch): Promise<Refusal> {
    return this.#guard(this.#writer.write(batch))
  }

  scan(table: Table, range: Range): Promise<Row[]> {
    return this.#guard(this.#reader.scan(table, range))
  }

  keys(table: Table, range: Range): Promise<string[]> {
    return this.#guard(this.#reader.keys(table, range))
  }

  count(table: Table, prefix: string, limit = Number.MAX_SAFE_INTEGER): Promise<number> {
    return this.#guard(this.#reader.count(table, prefix, limit))
  }

  generation(): MaybePromise<number> {
    return this.#feed.generation()
  }

  async #guard<T>(asked: Promise<T>): Promise<T> {
    try {
      return await asked
    } catch (cause) {
      if (cause instanceof SluiceError) throw cause
      throw new SluiceError('ERR_STORE_UNAVAILABLE', 'The store of the vault is not available', { cause })
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#writer.close()
    await Promise.all([this.#feed.close(), ...this.#links.map((link) => link.close())])
  }
}

const STATEMENT_MS = 12_000
