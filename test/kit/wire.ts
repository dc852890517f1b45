import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/** What is kept of the bytes that arrive: all of them, or only their number. */
export type Keep = 'all' | 'count'

/**
 * One end of a connection in a test: sends exactly the bytes it is told to and keeps every byte that arrives. The base
 * of the test client and of a destination's connections.
 */
export class Wire {
  /** Resolves when the other side has ended (`end`) or cut (`reset`) the connection. */
  readonly closed: Promise<'end' | 'reset'>
  /** Bytes that arrived, kept or not. */
  arrived = 0
  /** Called with each chunk as it arrives. */
  onChunk: ((chunk: Buffer) => void) | null = null
  readonly #socket: Socket
  readonly #keep: Keep
  #chunks: Buffer[] = []
  #ended: 'end' | 'reset' | null = null
  #waiting: (() => void)[] = []
  #pauseMs = 0
  #pace: NodeJS.Timeout | null = null

  constructor(socket: Socket, keep: Keep = 'all') {
    this.#socket = socket
    this.#keep = keep
    this.closed = new Promise((resolve) => {
      const close = (how: 'end' | 'reset') => {
        this.#ended ??= how
        resolve(this.#ended)
        this.#waken()
      }
      socket.on('end', () => close('end'))
      socket.on('error', () => close('reset'))
      socket.on('close', () => {
        if (this.#pace !== null) clearTimeout(this.#pace)
        close('reset')
      })
    })
    socket.on('data', (chunk: Buffer) => this.#arrive(chunk))
  }

  /** Every byte that arrived and was not taken. */
  get received(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0] ?? Buffer.alloc(0)
  }

  /** How the other side closed, null while it has not. */
  get ended(): 'end' | 'reset' | null {
    return this.#ended
  }

  /** True when TLS resumed an earlier session; false without TLS. */
  get resumed(): boolean {
    return this.#socket instanceof TLSSocket && this.#socket.isSessionReused()
  }

  /** The serial number of the certificate that the other side showed, in hexadecimal; null without one. */
  get peerSerial(): string | null {
    return this.#socket instanceof TLSSocket ? (this.#socket.getPeerCertificate()?.serialNumber ?? null) : null
  }

  /** The server name that the client asked for in TLS. */
  get servername(): string | null {
    const name = this.#socket instanceof TLSSocket ? (this.#socket as { servername?: unknown }).servername : null
    return typeof name === 'string' ? name : null
  }

  /** Resolves when the bytes are with the kernel (or the connection is gone). Strings are latin1. */
  send(bytes: Buffer | string): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, () => resolve())
    })
  }

  /** Resolves once all of `bytes` (latin1) has arrived in a row; rejects when the connection closes without it. */
  async receives(bytes: string): Promise<void> {
    while (!this.received.includes(bytes, 0, 'latin1')) await this.more(`no ${JSON.stringify(bytes)}`)
  }

  /** Resolves once `count` bytes have arrived in all. */
  async receivesBytes(count: number): Promise<void> {
    while (this.arrived < count) await this.more(`${this.arrived} of ${count} bytes`)
  }

  /** Takes `count` bytes off the front of `received`. */
  take(count: number): Buffer {
    const all = this.received
    this.#chunks = count < all.length ? [all.subarray(count)] : []
    return all.subarray(0, count)
  }

  /** Stops reading: the other side's writes fill the kernel's buffers and then wait. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** From now on reads one chunk (at most 64 KiB), then nothing for `pauseMs`. */
  readSlowly(pauseMs: number): void {
    this.#pauseMs = pauseMs
  }

  /** Ends our side only. */
  end(): void {
    this.#socket.end()
  }

  /**
   * Cuts the connection with a TCP reset and no FIN before it. (Node's own `resetAndDestroy` ends the writing side first,
   * and a TLS socket has none.) It waits two turns of the event loop: when bytes and the reset arrive in the same poll of
   * the receiver, libuv reports a clean end instead.
   */
  reset(): void {
    const below = ((this.#socket as unknown as { _parent?: Socket | null })._parent ?? this.#socket) as Socket & {
      resetAndClosing?: boolean
    }
    setImmediate(() =>
      setImmediate(() => {
        below.resetAndClosing = true
        below.destroy()
      })
    )
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Resolves at the next chunk; rejects, naming what is `lacking`, when there will be none. */
  async more(lacking: string): Promise<void> {
    if (this.#ended !== null) throw new Error(`the connection closed (${this.#ended}) with ${lacking}`)
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve)
    })
  }

  #arrive(chunk: Buffer): void {
    this.arrived += chunk.length
    if (this.#keep === 'all') this.#chunks.push(chunk)
    this.onChunk?.(chunk)
    if (this.#pauseMs > 0) {
      this.#socket.pause()
      this.#pace = setTimeout(() => this.#socket.resume(), this.#pauseMs)
    }
    this.#waken()
  }

  #waken(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }
}
