import type { Socket } from 'node:net'
import { type CoarseClock, NEVER } from './coarse-clock.ts'

/* Hot: per write. */

/** What a connection has to say: hands bytes to the socket, knows when they wait there, and when too long. */
export class RawOutput {
  /** Bytes wait in the socket. */
  blocked = false
  /** When the client is late in taking bytes. */
  deadline = NEVER
  readonly #socket: Socket
  readonly #clock: CoarseClock
  readonly #stallMs: number
  /** What of a large answer is not with the socket yet. */
  #rest: Buffer | null = null

  constructor(socket: Socket, clock: CoarseClock, stallMs: number) {
    this.#socket = socket
    this.#clock = clock
    this.#stallMs = stallMs
  }

  /** All that was written is with the socket. */
  get isHandedOn(): boolean {
    return this.#rest === null
  }

  /** Strings are latin1. */
  write(bytes: Uint8Array | string): void {
    const socket = this.#socket
    const taken = typeof bytes === 'string' ? socket.write(bytes, 'latin1') : socket.write(bytes)
    if (taken || this.blocked) return
    this.blocked = true
    this.deadline = this.#clock.after(this.#stallMs)
  }

  /** Hands on slices as the client takes them: a slow client of a large answer is not one that has stalled. */
  writeSliced(bytes: Buffer): void {
    this.#rest = bytes
    this.#writeRest()
  }

  /** The socket is empty. Afterwards `blocked` tells whether the next slice waits in it. */
  drained(): void {
    this.blocked = false
    this.deadline = NEVER
    this.#writeRest()
  }

  /** Nothing more goes out. */
  abandon(): void {
    this.#rest = null
    this.deadline = NEVER
  }

  #writeRest(): void {
    while (this.#rest !== null && !this.blocked) {
      const rest: Buffer = this.#rest
      this.#rest = rest.length > SLICE_BYTES ? rest.subarray(SLICE_BYTES) : null
      this.write(rest.subarray(0, SLICE_BYTES))
    }
  }
}

const SLICE_BYTES = 65_536
