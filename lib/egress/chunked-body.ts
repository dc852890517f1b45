/* Hot: per chunk. Bench: bench/micro/egress/response-parser.ts. */

import { CLASSES, HEX_DIGITS, IN_TOKEN, IN_VALUE } from './octets.ts'

/** Takes the pieces of a body. */
export interface BodySink {
  /** `chunk[start, end)`, valid until the call returns. Never empty. */
  body(chunk: Buffer, start: number, end: number): void
}

/** Takes the chunked coding off a body, up to its trailer section (RFC 9112 section 7.1). */
export class ChunkedBody {
  /** Why the coding was refused; null while all is well. */
  fault: string | null = null
  /** The last chunk has come: what follows is the trailer section. */
  atTrailer = false

  readonly #sink: BodySink
  readonly #maxExtensionBytes: number
  #state = SIZE
  /** The size of the chunk as far as it is read; then what is to come of its data. */
  #left = 0
  #digits = 0
  #extensionBytes = 0

  /** @param maxExtensionBytes Bytes of all chunk extensions of a body. */
  constructor(sink: BodySink, maxExtensionBytes: number) {
    this.#sink = sink
    this.#maxExtensionBytes = maxExtensionBytes
  }

  begin(): void {
    this.fault = null
    this.atTrailer = false
    this.#extensionBytes = 0
    this.#beginChunk()
  }

  /** Tells the sink nothing more. */
  abort(): void {
    this.#state = FAULT
  }

  /** Reads `chunk[start, end)`; returns where it stopped: at the end, at the trailer section, or anywhere with a fault. */
  read(chunk: Buffer, start: number, end: number): number {
    let at = start
    while (at < end && !this.atTrailer) {
      const state = this.#state
      if (state === DATA) {
        const stop = Math.min(end, at + this.#left)
        this.#left -= stop - at
        if (this.#left === 0) this.#state = DATA_CR
        this.#sink.body(chunk, at, stop)
        at = stop
      } else if (state === SIZE) {
        at = this.#readSize(chunk, at, end)
      } else if (state === FAULT) {
        return at
      } else {
        if (state >= EXTENSION_BEGIN) this.#readExtension(state, chunk[at] as number)
        else this.#readLineEnd(state, chunk[at] as number)
        at++
      }
    }
    return at
  }

  /** Digits of a size and the byte behind them. Returns the place behind what it read. */
  #readSize(chunk: Buffer, start: number, end: number): number {
    for (let at = start; at < end; at++) {
      const byte = chunk[at] as number
      const digit = HEX[byte] as number
      if (digit < 16) {
        this.#left = this.#left * 16 + digit
        if (++this.#digits <= MAX_DIGITS && this.#left <= Number.MAX_SAFE_INTEGER) continue
        this.#refuse('chunk size too large')
      } else if (this.#digits === 0) this.#refuse('malformed chunk size')
      else if (byte === CR) this.#state = SIZE_LF
      else if (byte === SEMICOLON) this.#state = EXTENSION_BEGIN
      else this.#refuse('malformed chunk size')
      return at + 1
    }
    return end
  }

  /** One byte of the ends of lines around the data. */
  #readLineEnd(state: number, byte: number): void {
    if (state === DATA_CR) {
      if (byte === CR) this.#state = DATA_LF
      else this.#refuse('chunk longer than its size')
    } else if (byte !== LF) {
      this.#refuse('bare CR')
    } else if (state === DATA_LF) {
      this.#beginChunk()
    } else {
      this.#state = DATA
      this.atTrailer = this.#left === 0
    }
  }

  /** One byte of an extension: `;name`, `;name=token` or `;name="quoted"`, without white space. */
  #readExtension(state: number, byte: number): void {
    if (++this.#extensionBytes > this.#maxExtensionBytes) {
      this.#refuse('chunk extensions too long')
      return
    }
    const kind = CLASS[byte] as number
    if (state === EXTENSION_QUOTED) {
      if (byte === QUOTE) this.#state = EXTENSION_QUOTED_END
      else if (byte === BACKSLASH) this.#state = EXTENSION_ESCAPE
      else if ((kind & VALUE) === 0) this.#refuse('malformed chunk extension')
    } else if (state === EXTENSION_ESCAPE) {
      if ((kind & VALUE) === 0) this.#refuse('malformed chunk extension')
      else this.#state = EXTENSION_QUOTED
    } else if ((kind & TOKEN) !== 0 && state !== EXTENSION_QUOTED_END) {
      if (state === EXTENSION_BEGIN) this.#state = EXTENSION_NAME
      else if (state === EXTENSION_EQUALS) this.#state = EXTENSION_TOKEN
    } else if (byte === QUOTE && state === EXTENSION_EQUALS) this.#state = EXTENSION_QUOTED
    else if (byte === EQUALS && state === EXTENSION_NAME) this.#state = EXTENSION_EQUALS
    else if (state === EXTENSION_BEGIN || state === EXTENSION_EQUALS) this.#refuse('malformed chunk extension')
    else if (byte === SEMICOLON) this.#state = EXTENSION_BEGIN
    else if (byte === CR) this.#state = SIZE_LF
    else this.#refuse('malformed chunk extension')
  }

  #beginChunk(): void {
    this.#state = SIZE
    this.#left = 0
    this.#digits = 0
  }

  #refuse(fault: string): void {
    this.fault = fault
    this.#state = FAULT
  }
}

const SIZE = 0
const SIZE_LF = 1
const DATA = 2
const DATA_CR = 3
const DATA_LF = 4
const FAULT = 5
const EXTENSION_BEGIN = 6
const EXTENSION_NAME = 7
const EXTENSION_EQUALS = 8
const EXTENSION_TOKEN = 9
const EXTENSION_QUOTED = 10
const EXTENSION_ESCAPE = 11
const EXTENSION_QUOTED_END = 12

/** Leading zeros are digits too. */
const MAX_DIGITS = 16

const LF = 0x0a
const CR = 0x0d
const QUOTE = 0x22 // "
const SEMICOLON = 0x3b // ;
const EQUALS = 0x3d // =
const BACKSLASH = 0x5c // \
const CLASS = CLASSES
const HEX = HEX_DIGITS
const TOKEN = IN_TOKEN
const VALUE = IN_VALUE
