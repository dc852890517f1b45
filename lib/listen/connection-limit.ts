import type { Server, Socket } from 'node:net'
import type { Server as TlsServer, TLSSocket } from 'node:tls'
import { performance } from 'node:perf_hooks'

/** What a connection is to its server: the lowest goes first when room is needed. */
export const STRANGER = 0
/** It has presented a key that is one, and carries no request now. */
export const KNOWN = 1
/** A request is under way. */
export const BUSY = 2
export type Standing = typeof STRANGER | typeof KNOWN | typeof BUSY

export interface ConnectionLimitOptions {
  /** Connections at once, those in their handshake too; 0: any number. */
  readonly most: number
  readonly standing: (socket: Socket) => Standing
  /** Hears of each connection that was ended for want of room. */
  readonly dropped: () => void
}

/**
 * All connections of a server, and room for the next. Beyond the limit those give way that were open longest without a
 * valid key or a request under way, in a handshake or a head that does not end; then idle ones; then the newcomer. So
 * whoever has no key can fill the server, but keeps nobody out of it. Costs nothing per request.
 */
export class ConnectionLimit {
  readonly #options: ConnectionLimitOptions
  /** Sockets of TCP, in the order in which they came. */
  readonly #open = new Set<LimitedSocket>()
  /** All were busy: nobody is looked for before this moment. */
  #fullUntil = 0

  constructor(server: Server | TlsServer, options: ConnectionLimitOptions) {
    this.#options = options
    server.on('connection', (socket: LimitedSocket) => this.#take(socket))
    server.on('secureConnection', (socket: TLSSocket) => {
      // NOTE: a property that Node does not document; nothing else leads from the socket of TLS to that of TCP.
      const { _parent: under } = socket as TLSSocket & { _parent?: LimitedSocket }
      if (under !== undefined) under[SECURED] = socket
    })
  }

  destroyAll(): void {
    for (const socket of this.#open) top(socket).destroy()
  }

  #take(socket: LimitedSocket): void {
    const { most } = this.#options
    this.#open.add(socket)
    socket[OPEN] = this.#open
    socket.on('close', forget)
    if (most > 0 && this.#open.size > most) this.#makeRoom(socket)
  }

  #makeRoom(newcomer: LimitedSocket): void {
    if (performance.now() >= this.#fullUntil) {
      const leaving = this.#leaving(newcomer)
      for (const socket of leaving) this.#drop(socket)
      if (leaving.length > 0) return
      this.#fullUntil = performance.now() + LOOK_AGAIN_MS
    }
    this.#drop(newcomer)
  }

  /** Several at once, so that a flood does not have all of them looked at for each that comes. */
  #leaving(newcomer: LimitedSocket): LimitedSocket[] {
    const { most, standing } = this.#options
    const enough = Math.max(1, Math.floor(most * SHARE))
    const strangers: LimitedSocket[] = []
    const known: LimitedSocket[] = []
    for (const socket of this.#open) {
      if (socket === newcomer) continue
      const is = standing(top(socket))
      if (is === STRANGER) strangers.push(socket)
      else if (is === KNOWN && known.length < enough) known.push(socket)
      if (strangers.length === enough) break
    }
    return strangers.length > 0 ? strangers : known
  }

  #drop(socket: LimitedSocket): void {
    this.#open.delete(socket)
    top(socket).destroy()
    this.#options.dropped()
  }
}

const OPEN = Symbol('open')
const SECURED = Symbol('secured')

type LimitedSocket = Socket & {
  [OPEN]?: Set<LimitedSocket>
  [SECURED]?: TLSSocket
}

/** The socket that speaks HTTP: that of TLS once its handshake is over. */
function top(socket: LimitedSocket): Socket {
  return socket[SECURED] ?? socket
}

function forget(this: LimitedSocket): void {
  this[OPEN]?.delete(this)
}

const SHARE = 1 / 64
const LOOK_AGAIN_MS = 100
