/**
 * One connection to PostgreSQL that comes back by itself: the only file that knows the driver. Statements are pipelined,
 * each its own transaction, so many callers can share it.
 */
import pg from 'pg'

/** A statement that the server plans once for each connection. */
export interface Statement {
  readonly name: string
  readonly text: string
}

export interface LinkOptions {
  /** `postgres://…`, with the driver's options (`sslmode`, `sslrootcert`, `host` …) as its query. */
  readonly url: string
  /** A statement that takes longer breaks the connection. 0: no limit. */
  readonly timeoutMs: number
  /** Told after each loss, before the first attempt to connect again. */
  readonly onLost?: () => void
  /** Listens on the channel `sluice`, and is told what comes. */
  readonly onNotice?: (payload: string) => void
}

/** There is no connection, or it broke before the answer: a write may or may not have been done. */
export class LostConnection extends Error {}

export class Link {
  readonly #options: LinkOptions
  #client: pg.Client | null = null
  #attempt: Promise<pg.Client> | null = null
  #retry: NodeJS.Timeout | null = null
  #failures = 0
  #closed = false
  /** Statements that wait for their answer. */
  pending = 0

  constructor(options: LinkOptions) {
    this.#options = options
  }

  /** The first connection. Rejects with what the driver says, and then does not try again. */
  async open(): Promise<void> {
    await this.#connect()
  }

  get isUp(): boolean {
    return this.#client !== null
  }

  get isConnecting(): boolean {
    return this.#attempt !== null
  }

  /**
   * Rows as arrays of columns. While an attempt to connect runs, its end is waited for; between two attempts
   * LostConnection is thrown at once. Rejects with LostConnection, or with what the server says.
   */
  async query(statement: Statement | string, values: readonly unknown[] = []): Promise<unknown[][]> {
    const client = this.#client ?? (await this.#awaited())
    const texts = typeof statement === 'string' ? { text: statement } : statement
    this.pending++
    try {
      const result = await client.query<unknown[]>({ ...texts, values: [...values], rowMode: 'array' })
      return result.rows
    } catch (cause) {
      if (!isLoss(cause)) throw cause
      this.#lose(client)
      throw new LostConnection('The connection to the database broke', { cause })
    } finally {
      this.pending--
    }
  }

  async #awaited(): Promise<pg.Client> {
    if (this.#attempt === null) throw new LostConnection('There is no connection to the database')
    try {
      return await this.#attempt
    } catch (cause) {
      throw new LostConnection('There is no connection to the database', { cause })
    }
  }

  #connect(): Promise<pg.Client> {
    const attempt = this.#begin().finally(() => {
      if (this.#attempt === attempt) this.#attempt = null
    })
    this.#attempt = attempt
    return attempt
  }

  async #begin(): Promise<pg.Client> {
    const { url, timeoutMs, onNotice } = this.#options
    const client = new pg.Client({
      connectionString: url,
      application_name: 'sluice',
      pipeline: true,
      keepAlive: true,
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: timeoutMs
    })
    client.on('error', () => this.#lose(client))
    client.on('end', () => this.#lose(client))
    try {
      await client.connect()
      const results = (await client.query(SESSION)) as unknown as readonly pg.QueryResult<{ standby?: boolean }>[]
      if (results.at(-1)?.rows[0]?.standby === true) throw new Error('The database is a standby')
      if (onNotice !== undefined) {
        client.on('notification', ({ payload = '' }) => onNotice(payload))
        await client.query('listen sluice')
      }
      if (this.#closed) throw new Error('Closed')
    } catch (cause) {
      endQuietly(client)
      throw cause
    }
    this.#client = client
    this.#failures = 0
    return client
  }

  #lose(client: pg.Client): void {
    if (client !== this.#client) return
    this.#client = null
    endQuietly(client)
    if (this.#closed) return
    this.#options.onLost?.()
    this.#heal()
  }

  /** At once, then after 50, 100, 200 … at most 1000 ms, a quarter more or less. */
  #heal(): void {
    this.#connect().catch(() => {
      if (this.#closed) return
      const delay = Math.min(1000, 50 * 2 ** this.#failures++)
      this.#retry = setTimeout(() => this.#heal(), delay * (0.75 + Math.random() / 2))
      this.#retry.unref()
    })
  }

  /** Waits for what is pending. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#retry !== null) clearTimeout(this.#retry)
    const client = this.#client
    this.#client = null
    await client?.end()
  }
}

/** True when nothing more can be asked on this connection. */
function isLoss(cause: unknown): boolean {
  if (!(cause instanceof pg.DatabaseError)) return true
  const { severity, code = '' } = cause
  return severity === 'FATAL' || severity === 'PANIC' || code.startsWith('08') || LOSSES.includes(code)
}

function endQuietly(client: pg.Client): void {
  client.end().catch(() => {})
}

/**
 * Shut down (57P0x), a server that became a standby (25006), and named statements that are gone or planned for tables
 * that changed (26000, 0A000): a new connection mends these.
 */
const LOSSES = ['57P01', '57P02', '57P03', '25006', '26000', '0A000']

/**
 * Every statement of ours goes by the primary key. The planner is kept from other ways, which it would choose while the
 * table is small, and keep for as long as nothing tells it to plan anew. Acknowledged means on disk, whatever the server's
 * default.
 */
const SESSION = `
  set default_transaction_isolation = 'read committed';
  set statement_timeout = 10000;
  set plan_cache_mode = force_generic_plan;
  select set_config(name, 'off', false) from pg_settings where name in ('jit', 'enable_seqscan', 'enable_bitmapscan',
    'enable_hashjoin', 'enable_mergejoin', 'enable_material', 'enable_memoize');
  select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off';
  select pg_is_in_recovery() as standby`
const CONNECT_MS = 2000
