import { Buffer } from 'node:buffer'
import { Socket } from 'node:net'

/** Called with the socket as `this`; the bytes are valid until it returns. */
export type OnRead = (this: Socket, size: number, buffer: Buffer) => boolean

/**
 * Makes an accepted socket read into `first`, and then into what `next` names after each read, instead of allocating a
 * buffer for each read: a seventh of what a small request costs. `next` is asked right after `onRead`. False when this
 * version of Node cannot do it; then the socket emits `data` as usual.
 *
 * NOTE: that is Node's `onread` option, which it documents for sockets that connect and has no way to set for ones that
 * are accepted. The properties that the option sets are found by setting it on a socket that goes nowhere.
 */
export function readInto(socket: Socket, first: Buffer, next: () => Buffer, onRead: OnRead): boolean {
  if (FIELDS === null) return false
  const target = socket as unknown as Record<symbol, unknown> & {
    _handle?: { useUserBuffer?: (buffer: Buffer) => void }
  }
  const handle = target._handle
  if (typeof handle?.useUserBuffer !== 'function') return false
  target[FIELDS.buffer] = first
  target[FIELDS.next] = next
  target[FIELDS.callback] = onRead
  handle.useUserBuffer(first)
  return true
}

/** The buffers that one connection reads into. */
export class ReadBuffer {
  /** Size of the last read. */
  lastBytes = 0
  readonly #ownBytes: number
  #buffer: Buffer = SHARED_BUFFER
  /** A piece of the buffer was given away: read into another one. */
  #given = false

  /** @param ownBytes size of a buffer that pieces may be given away of */
  constructor(ownBytes: number) {
    this.#ownBytes = ownBytes
  }

  /** @param large the next read may hold a large piece of a body */
  next(large: boolean): Buffer {
    if (!large || this.lastBytes < GIVE_BYTES) this.#buffer = SHARED_BUFFER
    else if (this.#given || this.#buffer === SHARED_BUFFER) this.#buffer = Buffer.allocUnsafeSlow(this.#ownBytes)
    this.#given = false
    return this.#buffer
  }

  /** `chunk[start, end)` for somebody to keep. */
  piece(chunk: Buffer, start: number, end: number): Buffer {
    if (chunk === SHARED_BUFFER || end - start < GIVE_BYTES) {
      const piece = Buffer.allocUnsafe(end - start)
      chunk.copy(piece, 0, start, end)
      return piece
    }
    this.#given = true
    return chunk.subarray(start, end)
  }
}

/** Pieces from this size on are given away with the buffer that they lie in; smaller ones are copied. */
export const GIVE_BYTES = 4096

/** All connections read into this one: what lies in it is dealt with before the next read of any. */
export const SHARED_BUFFER = Buffer.allocUnsafeSlow(65_536)

interface OnReadFields {
  readonly buffer: symbol
  readonly next: symbol
  readonly callback: symbol
}

function findFields(): OnReadFields | null {
  const given = Buffer.alloc(1)
  const callback = (): boolean => true
  const next = (): Buffer => given
  const fixed = socketWith({ onread: { buffer: given, callback } })
  const generated = socketWith({ onread: { buffer: next, callback } })
  const find = (owner: Record<symbol, unknown>, value: unknown): symbol | undefined =>
    Object.getOwnPropertySymbols(owner).find((symbol) => owner[symbol] === value)
  const fields = { buffer: find(fixed, given), next: find(generated, next), callback: find(fixed, callback) }
  const { buffer, next: generator, callback: called } = fields
  if (buffer === undefined || generator === undefined || called === undefined) return null
  return { buffer, next: generator, callback: called }
}

/** The types know the option for `connect` alone. */
function socketWith(options: object): Record<symbol, unknown> {
  return new Socket(options) as unknown as Record<symbol, unknown>
}

const FIELDS = findFields()
