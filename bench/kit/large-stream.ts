import type { TLSSocket } from 'node:tls'
import { BLOCK_BYTES, type BodyKind, block, bodyBytes, type Piece } from '../data/large-body.ts'

/** A large body as it crosses a process boundary. */
export interface BodyPlan {
  readonly kind: BodyKind
  readonly pieces: readonly Piece[]
  /** Chunked coding, or an exact Content-Length. */
  readonly chunked: boolean
}

/** What became of a body that was received. Times are of the system's monotonic clock, in ms. */
export interface Receipt {
  readonly bytes: number
  /** Every byte was the expected one, and it ended where it should. */
  readonly exact: boolean
  readonly firstByteMs: number
  readonly lastByteMs: number
  readonly framing: 'length' | 'chunked'
}

/** The header line (with CRLF) that frames a body. */
export function framingLine(plan: BodyPlan): string {
  return plan.chunked ? 'Transfer-Encoding: chunked\r\n' : `Content-Length: ${bodyBytes(plan.pieces)}\r\n`
}

/** Milliseconds of the clock that all processes of a machine share. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}

/**
 * Writes the body as fast as the socket takes it, block by block; nothing is allocated on the way. `pause` is awaited
 * before the second half. Resolves when the last byte is with the kernel.
 */
export async function sendBody(socket: TLSSocket, plan: BodyPlan, pause: Promise<void> | null): Promise<void> {
  const content = block(plan.kind)
  const framed = plan.chunked ? chunk(content) : content
  for (const [at, piece] of plan.pieces.entries()) {
    if (pause !== null && at === Math.ceil(plan.pieces.length / 2)) await pause
    if ('text' in piece) {
      const text = Buffer.from(piece.text, 'latin1')
      socket.write(plan.chunked ? chunk(text) : text)
      continue
    }
    for (let left = piece.blocks; left > 0; left--) {
      if (!socket.write(framed)) await drained(socket)
    }
  }
  await new Promise<void>((resolve, reject) => {
    socket.write(plan.chunked ? '0\r\n\r\n' : '', (error) => (error ? reject(error) : resolve()))
  })
}

/** Reads one framed body and compares it with what it should be, byte by byte. */
export class BodyReader {
  readonly #expected: readonly Piece[]
  readonly #block: Buffer
  readonly #chunked: boolean
  /** Bytes left of the body or of the chunk; -1: a chunk's size line is awaited. */
  #left: number
  #line = ''
  #piece = 0
  #offset = 0
  #bytes = 0
  #exact = true
  #firstByteMs = 0
  #lastByteMs = 0
  #done = false

  /** @param length Content-Length, null when chunked. */
  constructor(kind: BodyKind, expected: readonly Piece[], length: number | null) {
    this.#expected = expected
    this.#block = block(kind)
    this.#chunked = length === null
    this.#left = length ?? -1
  }

  get done(): boolean {
    return this.#done
  }

  get bytes(): number {
    return this.#bytes
  }

  get receipt(): Receipt {
    return {
      bytes: this.#bytes,
      exact: this.#exact && this.#done && this.#piece === this.#expected.length,
      firstByteMs: this.#firstByteMs,
      lastByteMs: this.#lastByteMs,
      framing: this.#chunked ? 'chunked' : 'length'
    }
  }

  /** Takes bytes from `start` on. What follows the body is a fault: nobody here pipelines. */
  write(bytes: Buffer, start: number): void {
    let at = start
    while (at < bytes.length) {
      if (this.#done) {
        this.#exact = false
        return
      }
      at = this.#left < 0 ? this.#readLine(bytes, at) : this.#readData(bytes, at)
    }
  }

  #readData(bytes: Buffer, start: number): number {
    const end = Math.min(bytes.length, start + this.#left)
    this.#compare(bytes, start, end)
    this.#left -= end - start
    if (this.#left === 0) {
      if (this.#chunked) this.#left = -1
      else this.#finish()
    }
    return end
  }

  /** A chunk's size line, the CRLF before it included. */
  #readLine(bytes: Buffer, start: number): number {
    let at = start
    while (at < bytes.length) {
      this.#line += String.fromCharCode(bytes[at++] ?? 0)
      if (!this.#line.endsWith('\r\n') || this.#line === '\r\n') continue
      if (/^(\r\n)?0+\r\n\r\n$/.test(this.#line)) {
        this.#finish()
        return at
      }
      const size = /^(?:\r\n)?([0-9a-fA-F]+)\r\n$/.exec(this.#line)?.[1]
      if (size === undefined) throw new Error('a chunk without a size')
      if (/^0+$/.test(size)) continue
      this.#left = Number.parseInt(size, 16)
      this.#line = ''
      return at
    }
    return at
  }

  #compare(bytes: Buffer, start: number, end: number): void {
    if (this.#bytes === 0) this.#firstByteMs = monotonicMs()
    this.#bytes += end - start
    let at = start
    while (at < end) {
      const piece = this.#expected[this.#piece]
      if (piece === undefined) {
        this.#exact = false
        return
      }
      const source = 'text' in piece ? Buffer.from(piece.text, 'latin1') : this.#block
      const total = 'text' in piece ? source.length : piece.blocks * BLOCK_BYTES
      const phase = 'text' in piece ? this.#offset : this.#offset % BLOCK_BYTES
      const length = Math.min(end - at, source.length - phase)
      if (bytes.compare(source, phase, phase + length, at, at + length) !== 0) this.#exact = false
      at += length
      this.#offset += length
      if (this.#offset === total) {
        this.#piece++
        this.#offset = 0
      }
    }
  }

  #finish(): void {
    this.#done = true
    this.#lastByteMs = monotonicMs()
  }
}

/** Splits a message's first bytes into its head (latin1, without the empty line) and the offset of the body. */
export function headOf(bytes: Buffer): { readonly head: string; readonly bodyAt: number } | null {
  const end = bytes.indexOf('\r\n\r\n')
  return end < 0 ? null : { head: bytes.toString('latin1', 0, end), bodyAt: end + 4 }
}

/** Content-Length of a head; null when it has none. */
export function lengthOf(head: string): number | null {
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  return length === undefined ? null : Number(length)
}

function chunk(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
}

function drained(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    const off = () => {
      socket.off('drain', onDrain).off('close', onClose)
    }
    const onDrain = () => {
      off()
      resolve()
    }
    const onClose = () => {
      off()
      reject(new Error('the connection was closed in the middle of the body'))
    }
    socket.once('drain', onDrain).once('close', onClose)
  })
}
