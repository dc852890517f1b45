import { createHash, type Hash } from 'node:crypto'

/** Counts the bytes of one framed body as they come, and hashes them when it is asked to. Trailers are not known here. */
export class BodyCount {
  /** Body bytes so far, framing not counted. */
  bytes = 0
  done: boolean
  readonly #hash: Hash | null
  readonly #chunked: boolean
  /** Bytes left of the body or of the chunk with its CRLF; 0 in a chunked body: a size line is awaited. */
  #left: number
  /** Of what is left: the CRLF behind a chunk. */
  #framing = 0
  #line = ''

  /** @param length Content-Length; null: chunked. */
  constructor(length: number | null, hashed: boolean) {
    this.#chunked = length === null
    this.#left = length ?? 0
    this.done = length === 0
    this.#hash = hashed ? createHash('sha256') : null
  }

  /** SHA-256 of the whole body, hexadecimal; call it once, when done. */
  digest(): string {
    return this.#hash?.digest('hex') ?? ''
  }

  /** Takes bytes from `start` on and returns where the body ends in them, or their length. */
  write(bytes: Buffer, start: number): number {
    let at = start
    while (at < bytes.length && !this.done) at = this.#left > 0 ? this.#data(bytes, at) : this.#sizeLine(bytes, at)
    return at
  }

  #data(bytes: Buffer, start: number): number {
    const end = Math.min(bytes.length, start + this.#left)
    const body = Math.max(0, Math.min(end - start, this.#left - this.#framing))
    this.bytes += body
    this.#hash?.update(bytes.subarray(start, start + body))
    this.#left -= end - start
    this.done = this.#left === 0 && !this.#chunked
    return end
  }

  #sizeLine(bytes: Buffer, start: number): number {
    const lineEnd = bytes.indexOf('\n', start)
    const end = lineEnd < 0 ? bytes.length : lineEnd + 1
    this.#line += bytes.toString('latin1', start, end)
    if (lineEnd < 0) return end
    const size = Number.parseInt(this.#line, 16)
    if (this.#line === '\r\n') this.done = true
    else if (Number.isNaN(size)) throw new Error('a chunk without a size')
    else if (size > 0) {
      this.#left = size + 2
      this.#framing = 2
    }
    this.#line = ''
    return end
  }
}
