import type { LookupAddress } from 'node:dns'
import type { TLSSocket } from 'node:tls'
import { asSluiceError, SluiceError } from '../errors.ts'
import type { CoarseClock } from './clock.ts'
import type { Connector, Opener } from './connect.ts'
import { Connection, type ConnectionOwner } from './connection.ts'
import type { Exchange, Waiting } from './exchange.ts'
import type { Peer, PeerKey } from './peer.ts'

/** What all pools of an egress share. */
export interface PoolSetting {
  readonly clock: CoarseClock
  readonly connector: Pick<Connector, 'open'>
  readonly maxConnections: number
  readonly maxWaiting: number
  readonly idleTimeoutMs: number
  /** Idle connections of all pools, resting ones too; the pools count. */
  idle: number
  /** The peer's addresses, each allowed; throws or rejects with a SluiceError. */
  addressesOf(peer: Peer): readonly LookupAddress[] | Promise<readonly LookupAddress[]>
  /** Connections are listed while their sockets live. */
  connectionBegun(connection: Connection): void
  connectionClosed(connection: Connection): void
  /** Calls the pool's `wake` once the reads of this turn of the event loop are done. */
  wakeLater(pool: Pool): void
  /** A connection became idle. */
  connectionIdle(connection: Connection): void
  connectSettled(peer: Peer, outcome: 'ok' | SluiceError, resumed: boolean): void
  exchangeRetried(): void
  /** The pool has neither connections nor waiting exchanges. */
  poolEmptied(key: PeerKey): void
}

/** The connections to one peer, and the exchanges that wait for one. */
export class Pool implements ConnectionOwner, Waiting {
  readonly #peer: Peer
  readonly #key: PeerKey
  readonly #setting: PoolSetting
  /** The last to become idle is the first to be used: it is the least likely to have been closed meanwhile. */
  readonly #idle: Connection[] = []
  /**
   * Free, but not to be used in this turn of the event loop: a read that held a whole response may hold more behind it in
   * further TLS records, and these must not be taken for the answer to a request that was not sent yet.
   */
  readonly #resting: Connection[] = []
  readonly #waiting: Exchange[] = []
  /** Idle or busy. */
  #open = 0
  #opening = 0

  constructor(peer: Peer, key: PeerKey, setting: PoolSetting) {
    this.#peer = peer
    this.#key = key
    this.#setting = setting
  }

  /** A connection is open: the peer's addresses passed. */
  get isOpen(): boolean {
    return this.#open > 0
  }

  get opening(): number {
    return this.#opening
  }

  get busy(): number {
    return this.#open - this.#idle.length - this.#resting.length
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Sends on an idle connection, or when one is free. False: too many wait already. */
  send(exchange: Exchange): boolean {
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      this.#setting.idle--
      if (connection.isUsable) {
        connection.carry(exchange)
        return true
      }
    }
    if (this.#waiting.length >= this.#setting.maxWaiting) return false
    exchange.waitUntil = this.#setting.clock.after(exchange.message.deadlines.connectTimeoutMs)
    this.#waiting.push(exchange)
    this.#openMore()
    return true
  }

  /** Fails the exchanges that have waited too long. */
  sweep(now: number): void {
    for (let i = 0; i < this.#waiting.length; i++) {
      const exchange = this.#waiting[i] as Exchange
      if (now < exchange.waitUntil) continue
      this.#waiting.splice(i--, 1)
      const full = this.#open >= this.#setting.maxConnections
      const error = full
        ? new SluiceError('ERR_OVERLOAD', 'Every connection to the destination is busy')
        : new SluiceError('ERR_DESTINATION_UNREACHABLE', 'The destination cannot be reached (no connection in time)')
      failExchange(exchange, error)
    }
    this.#checkEmpty()
  }

  /** Closes the idle connections. */
  retireIdle(): void {
    for (const connection of [...this.#idle, ...this.#resting]) connection.retire()
  }

  connectionFree(connection: Connection): void {
    this.#resting.push(connection)
    this.#setting.idle++
    if (this.#resting.length === 1) this.#setting.wakeLater(this)
    this.#setting.connectionIdle(connection)
  }

  /** The turn is over: what rested can be used, unless it was lost meanwhile. */
  wake(): void {
    for (let connection = this.#resting.shift(); connection !== undefined; connection = this.#resting.shift()) {
      const exchange = connection.isUsable ? this.#waiting.shift() : undefined
      if (exchange === undefined) {
        this.#idle.push(connection)
      } else {
        this.#setting.idle--
        connection.carry(exchange)
      }
    }
    this.#openMore()
  }

  connectionLost(connection: Connection): void {
    this.#open--
    if (remove(this.#idle, connection) || remove(this.#resting, connection)) this.#setting.idle--
    this.#openMore()
    this.#checkEmpty()
  }

  connectionClosed(connection: Connection): void {
    this.#setting.connectionClosed(connection)
  }

  retry(exchange: Exchange): void {
    exchange.detach()
    this.#setting.exchangeRetried()
    exchange.waitUntil = this.#setting.clock.after(exchange.message.deadlines.connectTimeoutMs)
    // Not on another idle connection: it has probably been closed as well.
    this.#waiting.unshift(exchange)
    this.#openMore()
  }

  abandon(exchange: Exchange): void {
    remove(this.#waiting, exchange)
    this.#checkEmpty()
  }

  /** One connection rests or is being opened for each waiting exchange, as far as the limit allows. */
  #openMore(): void {
    while (
      this.#opening + this.#resting.length < this.#waiting.length &&
      this.#open + this.#opening < this.#setting.maxConnections
    ) {
      this.#opening++
      this.#openOne()
    }
  }

  #openOne(): void {
    const connection = new Connection(this, this.#setting.clock, this.#setting.idleTimeoutMs)
    const opener = new PoolOpener(this, connection)
    let addresses: readonly LookupAddress[] | Promise<readonly LookupAddress[]>
    try {
      addresses = this.#setting.addressesOf(this.#peer)
    } catch (thrown) {
      // Later, so that the exchange does not fail before its sender holds it.
      setImmediate(() => opener.openFailed(asSluiceError(thrown)))
      return
    }
    if (!(addresses instanceof Promise)) {
      this.#setting.connector.open(this.#peer, this.#key, addresses, opener)
      return
    }
    addresses.then(
      (resolved) => this.#setting.connector.open(this.#peer, this.#key, resolved, opener),
      (thrown: unknown) => opener.openFailed(asSluiceError(thrown))
    )
  }

  /** For the opener. */
  openSettled(connection: Connection, socket: TLSSocket | null, outcome: 'ok' | SluiceError, resumed: boolean): void {
    this.#opening--
    this.#setting.connectSettled(this.#peer, outcome, resumed)
    if (socket !== null) {
      this.#open++
      this.#setting.connectionBegun(connection)
      connection.open(socket)
    } else if (outcome !== 'ok') {
      // The exchange for which it was opened may have found another connection, or have been abandoned.
      const exchange = this.#waiting.length > this.#opening ? this.#waiting.shift() : undefined
      if (exchange !== undefined) failExchange(exchange, outcome)
    }
    this.#openMore()
    this.#checkEmpty()
  }

  #checkEmpty(): void {
    if (this.#open + this.#opening + this.#waiting.length === 0) this.#setting.poolEmptied(this.#key)
  }
}

/** Joins the opening of a connection to its pool. */
class PoolOpener implements Opener {
  readonly #pool: Pool
  readonly #connection: Connection
  readonly nextBuffer: () => Buffer
  readonly onRead: (size: number, buffer: Uint8Array) => boolean

  constructor(pool: Pool, connection: Connection) {
    this.#pool = pool
    this.#connection = connection
    this.nextBuffer = connection.nextBuffer
    this.onRead = connection.onRead
  }

  opened(socket: TLSSocket, resumed: boolean): void {
    this.#pool.openSettled(this.#connection, socket, 'ok', resumed)
  }

  openFailed(error: SluiceError): void {
    this.#pool.openSettled(this.#connection, null, error, false)
  }

  onError(error: NodeJS.ErrnoException): void {
    this.#connection.onError(error)
  }
}

function remove<T>(list: T[], item: T): boolean {
  const at = list.indexOf(item)
  if (at >= 0) list.splice(at, 1)
  return at >= 0
}

/** Tells a waiting exchange that there will be no connection for it. Each gets an error of its own. */
function failExchange(exchange: Exchange, cause: SluiceError): void {
  if (exchange.isDone) return
  const error = new SluiceError(cause.code, cause.message, { retry: cause.retry, forwarded: exchange.forwarded, cause })
  exchange.finish()
  exchange.handler.fail(error)
}
