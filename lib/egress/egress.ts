import type { LookupAddress } from 'node:dns'
import { LRUCache } from 'lru-cache'
import { SluiceError } from '../errors.ts'
import { CoarseClock, systemTime, type TimeSource } from './clock.ts'
import { Connector } from './connect.ts'
import type { Connection } from './connection.ts'
import { Exchange, type OutgoingMessage, type ResponseHandler } from './exchange.ts'
import { digestOf, TlsIdentity, type TlsMaterial } from './identity.ts'
import { type Peer, type PeerKey, peerKey } from './peer.ts'
import { type AllowedNetworks, AddressPolicy, type ListenAddress } from './policy.ts'
import { Pool, type PoolSetting } from './pool.ts'
import { type Lookup, Resolver } from './resolve.ts'

/** The `egress` section of the configuration, files read. */
export interface EgressOptions {
  /** `egress.hosts`, as a question: planning asks it too, this is the door that nothing goes around. */
  readonly allowsHost: (host: string) => boolean
  readonly ports: readonly number[]
  readonly allowPrivateNetworks: AllowedNetworks
  /** PEM of authorities beside the default roots. */
  readonly ca: readonly string[]
  readonly localAddress: string | null
  readonly connectTimeoutMs: number
  /** For a connection without a request; 0 keeps none. */
  readonly idleTimeoutMs: number
  readonly maxConnectionsPerPeer: number
  /** `host:port` pairs that may have any port and any address but our own: the echo destination of `sluice dev`. */
  readonly relaxed?: readonly string[]
  /** Exchanges that may wait for a connection to one peer. Default 1024. */
  readonly maxWaitingPerPeer?: number
  /** Idle connections to all peers; beyond, the one idle for longest is closed. Default 4096. */
  readonly maxIdleConnections?: number
  readonly time?: TimeSource
  /** Milliseconds since 1970, for the dates of certificates. */
  readonly wallClock?: () => number
  readonly lookup?: Lookup
}

/** Counts since the start; read at scrape. */
export interface EgressCounters {
  // :: 'ok' or the code of the error → connections tried
  readonly connects: Map<string, number>
  resumed: number
  retried: number
}

type MaybePromise<T> = T | Promise<T>

/** The way out: HTTP/1.1 over pooled TLS connections to destinations that the policy allows. */
export class Egress {
  readonly counters: EgressCounters = { connects: new Map(), resumed: 0, retried: 0 }
  readonly #options: EgressOptions
  readonly #policy: AddressPolicy
  readonly #resolver: Resolver
  readonly #connector: Connector
  readonly #clock: CoarseClock
  readonly #setting: PoolSetting
  readonly #pools = new Map<PeerKey, Pool>()
  readonly #connections: Connection[] = []
  // :: digest of the material → the identity
  readonly #identities = new LRUCache<string, TlsIdentity>({ max: 256 })
  /** Pools with connections that rest until this turn of the event loop is over. */
  readonly #resting: Pool[] = []
  #draining = false
  #lastPeer: Peer | null = null
  #lastKey: PeerKey = ''

  /** Throws ERR_CONFIG for a CA or a block that does not parse. */
  constructor(options: EgressOptions) {
    this.#options = options
    this.#policy = new AddressPolicy(options.allowPrivateNetworks)
    this.#resolver = new Resolver(options.connectTimeoutMs, options.lookup)
    this.#connector = new Connector(options)
    this.#clock = new CoarseClock(options.time ?? systemTime, (now) => this.#sweep(now))
    this.#setting = this.#newSetting()
  }

  /** Where we listen ourselves: never a destination. */
  set listening(addresses: readonly ListenAddress[]) {
    this.#policy.listening = addresses
  }

  /**
   * Checks a client certificate and pins; the same material gives the same object again. Throws ERR_INPUT that names the
   * part at fault.
   */
  identity(material: TlsMaterial): TlsIdentity {
    const digest = digestOf(material)
    const nowMs = (this.#options.wallClock ?? Date.now)()
    const known = this.#identities.get(digest)
    if (known?.isValidAt(nowMs) === true) return known
    const identity = new TlsIdentity(material, nowMs)
    this.#connector.prepare(identity)
    this.#identities.set(digest, identity)
    return identity
  }

  /**
   * Resolves the peer's name and checks every address of it, before anything is revealed. Nothing to wait for when a
   * connection is open or the addresses are known. Throws or rejects with ERR_DESTINATION_FORBIDDEN,
   * ERR_DESTINATION_DNS or ERR_DESTINATION_URL.
   */
  reach(peer: Peer): MaybePromise<void> {
    const pool = this.#pools.get(this.#keyOf(peer))
    if (pool?.isOpen === true) return
    const addresses = this.#addressesOf(peer)
    if (addresses instanceof Promise) return addresses.then(() => undefined)
  }

  /** A request's peer is one object, from `reach` to `send`: its key is made once. */
  #keyOf(peer: Peer): PeerKey {
    if (peer !== this.#lastPeer) {
      this.#lastKey = peerKey(peer)
      this.#lastPeer = peer
    }
    return this.#lastKey
  }

  /** Sends a request; the handler hears of what comes, never before this returns unless a connection is idle. */
  send(peer: Peer, message: OutgoingMessage, handler: ResponseHandler): Exchange {
    checkHead(message.head)
    const key = this.#keyOf(peer)
    let pool = this.#pools.get(key)
    if (pool === undefined) {
      pool = new Pool(peer, key, this.#setting)
      this.#pools.set(key, pool)
      this.#clock.start()
    }
    const exchange = new Exchange(message, handler, pool)
    if (!pool.send(exchange)) setImmediate(overload, exchange)
    return exchange
  }

  /** Closes idle connections and keeps none from now on; exchanges go on. */
  drain(): void {
    this.#draining = true
    for (const pool of this.#pools.values()) pool.retireIdle()
  }

  /** Destroys every connection, those being opened too; their exchanges fail. */
  destroy(): void {
    this.#draining = true
    this.#connector.destroy()
    for (const connection of this.#connections) connection.destroy()
  }

  get idle(): number {
    return this.#setting.idle
  }

  get busy(): number {
    return this.#sum((pool) => pool.busy)
  }

  get opening(): number {
    return this.#sum((pool) => pool.opening)
  }

  get waiting(): number {
    return this.#sum((pool) => pool.waiting)
  }

  #newSetting(): PoolSetting {
    const { maxConnectionsPerPeer, maxWaitingPerPeer = 1024, idleTimeoutMs, maxIdleConnections = 4096 } = this.#options
    const setting: PoolSetting = {
      idle: 0,
      clock: this.#clock,
      connector: this.#connector,
      maxConnections: maxConnectionsPerPeer,
      maxWaiting: maxWaitingPerPeer,
      idleTimeoutMs,
      addressesOf: (peer) => this.#addressesOf(peer),
      connectionBegun: (connection) => {
        connection.slot = this.#connections.push(connection) - 1
      },
      connectionClosed: (connection) => this.#unlist(connection),
      wakeLater: (pool) => {
        if (this.#resting.push(pool) === 1) setImmediate(this.#wake)
      },
      connectionIdle: (connection) => {
        if (this.#draining) connection.retire()
        else if (setting.idle > maxIdleConnections) this.#retireOldest()
      },
      connectSettled: (peer, outcome, resumed) => {
        const label = outcome === 'ok' ? outcome : outcome.code
        if (label === 'ERR_DESTINATION_UNREACHABLE') this.#resolver.forget(peer.host)
        this.counters.connects.set(label, (this.counters.connects.get(label) ?? 0) + 1)
        if (resumed) this.counters.resumed++
      },
      exchangeRetried: () => {
        this.counters.retried++
      },
      poolEmptied: (key) => {
        this.#pools.delete(key)
        if (this.#pools.size === 0 && this.#connections.length === 0) this.#clock.stop()
      }
    }
    return setting
  }

  #addressesOf(peer: Peer): MaybePromise<readonly LookupAddress[]> {
    const { allowsHost, ports, relaxed = [] } = this.#options
    const isRelaxed = relaxed.includes(`${peer.host}:${peer.port}`)
    if (!isRelaxed && !allowsHost(peer.host)) throw forbidden('its host is not allowed')
    if (!isRelaxed && !ports.includes(peer.port)) {
      throw new SluiceError('ERR_DESTINATION_URL', 'The destination URL names a port that is not allowed', {
        forwarded: 'no'
      })
    }
    const resolved = this.#resolver.resolve(peer.host)
    if (resolved instanceof Promise) return resolved.then((addresses) => this.#checked(peer, addresses, isRelaxed))
    return this.#checked(peer, resolved, isRelaxed)
  }

  /** Every address must pass: a name with one good and one bad address is not half good. */
  #checked(peer: Peer, addresses: readonly LookupAddress[], isRelaxed: boolean): readonly LookupAddress[] {
    for (const { address } of addresses) {
      const refusal = this.#policy.refusal(address, peer.port, isRelaxed)
      if (refusal !== null) throw forbidden(`its name resolves to ${refusal}`)
    }
    return addresses
  }

  readonly #wake = (): void => {
    for (const pool of this.#resting.splice(0)) pool.wake()
  }

  #sweep(now: number): void {
    for (let i = this.#connections.length - 1; i >= 0; i--) this.#connections[i]?.sweep(now)
    for (const pool of this.#pools.values()) if (pool.waiting > 0) pool.sweep(now)
  }

  #unlist(connection: Connection): void {
    const last = this.#connections.pop()
    if (last !== undefined && last !== connection) {
      this.#connections[connection.slot] = last
      last.slot = connection.slot
    }
    connection.slot = -1
    if (this.#pools.size === 0 && this.#connections.length === 0) this.#clock.stop()
  }

  #retireOldest(): void {
    let oldest: Connection | undefined
    for (const connection of this.#connections) {
      if (connection.isIdle && (oldest === undefined || connection.idleSince < oldest.idleSince)) oldest = connection
    }
    oldest?.retire()
  }

  #sum(count: (pool: Pool) => number): number {
    let sum = 0
    for (const pool of this.#pools.values()) sum += count(pool)
    return sum
  }
}

/** The last line of defence: whatever planned the head, it is lines of latin1 and holds no empty one. */
function checkHead(head: string): void {
  // NOTE: on a one-byte string this test does not look at a single character (13 ns); characters beyond latin1 would
  // lose their high byte when written, and U+010A would become a line feed.
  if (NOT_LATIN1.test(head) || !head.endsWith('\r\n') || head.includes('\r\n\r\n')) {
    throw new SluiceError('ERR_INTERNAL', 'A request head is malformed', { forwarded: 'no' })
  }
}

function overload(exchange: Exchange): void {
  if (exchange.isDone) return
  const error = new SluiceError('ERR_OVERLOAD', 'Too many requests wait for the destination', { forwarded: 'no' })
  exchange.finish()
  exchange.handler.fail(error)
}

function forbidden(why: string): SluiceError {
  return new SluiceError('ERR_DESTINATION_FORBIDDEN', `The destination is not allowed: ${why}`, { forwarded: 'no' })
}

const NOT_LATIN1 = /[\u0100-\uffff]/
