import { BACKSLASH, CLASS, CR, EQUALS, LF, QUOTE, SEMICOLON, TOKEN, VALUE_BYTE } from './bytes.ts'

/* Hot: per byte between the data of two chunks. */

/**
 * Reads what stands between the data of two chunks: `CRLF size [;name[="value"]] CRLF`, the first time without the CRLF in
 * front. Extensions are read for their form, and dropped. RFC 9112, 7.1.
 */
export class ChunkFrame {
  /** Bytes of the chunk's data: known at FRAME_DATA; the owner counts them down. */
  left = 0
  /** Why it is malformed. */
  fault = ''
  #state = SIZE
  #digits = 0
  #extensionBytes = 0

  /** Ready for the first chunk of a body. */
  begin(): void {
    this.#extensionBytes = 0
    this.#beginSize()
  }

  /** Takes the next byte. Returns FRAME_MORE, FRAME_DATA, FRAME_LAST (trailers follow) or FRAME_MALFORMED. */
  read(byte: number): number {
    switch (this.#state) {
      case SIZE:
        return this.#readSize(byte)
      case SIZE_LF:
        if (byte !== LF) return this.#malformed('A bare CR')
        this.#state = DATA_CR
        return this.left === 0 ? FRAME_LAST : FRAME_DATA
      case DATA_CR:
        if (byte !== CR) return this.#malformed('A chunk is longer than its size')
        this.#state = DATA_LF
        return FRAME_MORE
      case DATA_LF:
        if (byte !== LF) return this.#malformed('A bare CR')
        this.#beginSize()
        return FRAME_MORE
      default:
        return this.#readExtension(byte)
    }
  }

  #beginSize(): void {
    this.#state = SIZE
    this.left = 0
    this.#digits = 0
  }

  #readSize(byte: number): number {
    const digit = HEX[byte] as number
    if (digit < 16) {
      this.left = this.left * 16 + digit
      const tooLarge = ++this.#digits > SIZE_DIGITS || this.left > Number.MAX_SAFE_INTEGER
      return tooLarge ? this.#malformed('A chunk size is too large') : FRAME_MORE
    }
    if (this.#digits === 0) return this.#malformed('A chunk size is malformed')
    if (byte === CR) this.#state = SIZE_LF
    else if (byte === SEMICOLON) this.#state = NAME_START
    else return this.#malformed('A chunk size is malformed')
    return FRAME_MORE
  }

  #readExtension(byte: number): number {
    if (++this.#extensionBytes > EXTENSION_BYTES) return this.#malformed('The chunk extensions are too long')
    const next = this.#afterExtensionByte(byte, CLASS[byte] as number)
    if (next < 0) return this.#malformed('A chunk extension is malformed')
    this.#state = next
    return FRAME_MORE
  }

  /** The next state; negative when the byte has no place here. */
  #afterExtensionByte(byte: number, bits: number): number {
    const state = this.#state
    switch (state) {
      case QUOTED:
        if (byte === QUOTE) return QUOTE_END
        if (byte === BACKSLASH) return ESCAPE
        return (bits & VALUE_BYTE) === 0 ? -1 : QUOTED
      case ESCAPE:
        return (bits & VALUE_BYTE) === 0 ? -1 : QUOTED
      case NAME_START:
        return (bits & TOKEN) === 0 ? -1 : NAME
      case VALUE_START:
        if (byte === QUOTE) return QUOTED
        return (bits & TOKEN) === 0 ? -1 : VALUE
      default:
        // NAME, VALUE, QUOTE_END
        if ((bits & TOKEN) !== 0 && state !== QUOTE_END) return state
        if (byte === EQUALS && state === NAME) return VALUE_START
        if (byte === CR) return SIZE_LF
        return byte === SEMICOLON ? NAME_START : -1
    }
  }

  #malformed(why: string): number {
    this.fault = why
    return FRAME_MALFORMED
  }
}

const FRAME_MORE = 0
/** `left` bytes of data follow. */
export const FRAME_DATA = 1
/** The last chunk: the trailer section follows. */
export const FRAME_LAST = 2
export const FRAME_MALFORMED = 3

const SIZE = 0
const SIZE_LF = 1
const DATA_CR = 2
const DATA_LF = 3
const NAME_START = 4
const NAME = 5
const VALUE_START = 6
const VALUE = 7
const QUOTED = 8
const ESCAPE = 9
const QUOTE_END = 10

/** Leading zeros count. */
const SIZE_DIGITS = 16
/** Bytes of all chunk extensions of a request. */
const EXTENSION_BYTES = 1024

const HEX = new Uint8Array(256).fill(255)
for (let digit = 0; digit < 16; digit++) {
  HEX[digit.toString(16).charCodeAt(0)] = digit
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
}
