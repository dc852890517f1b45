import { type ErrorCode, SluiceError } from '../errors.ts'
import { type RequestHead, readHead } from './head.ts'

/*
 * Hot: per request and per chunk. Bench: bench/micro/listen/request-parser.ts.
 *
 * Every byte of a head is looked at once, whatever pieces it comes in: the scanner stops at the end of a piece and goes
 * on in the next. A complete head becomes one latin1 string, of which names and values are substrings.
 */

/** What the parser tells, in the order of the message. */
export interface RequestSink {
  /** The head is complete and unambiguous. @param minor 0 for HTTP/1.0, else 1 */
  requestHead(head: RequestHead, minor: number): void
  /** A piece of the body: `chunk[start, end)`, valid until the call returns. Never empty. False: stop behind it. */
  requestBody(chunk: Buffer, start: number, end: number): boolean
  /** The last byte of the body was told. Not called for a request without one. */
  requestComplete(): void
}

/**
 * A strict push parser of HTTP/1.1 requests (RFC 9112), one for a connection. It never throws: `fault` says why a request
 * was refused, and then nothing more is told to the sink.
 *
 * It refuses, beside what no parser takes: a bare CR or LF, obs-fold, control bytes, white space around a field's name,
 * more than one leading empty line, more than one space in the request line, a target with `#` or bytes over 0x7e,
 * methods that it does not know, any version but 1.0 and 1.1, what `readHead` refuses, and trailer fields that frame.
 *
 *     START ─▶ METHOD ─▶ TARGET ─▶ VERSION ─▶ FIELD … ─▶ BODY_LENGTH ─────────────────────────▶ DONE
 *                                                     └▶ CHUNK_SIZE ⇄ CHUNK_DATA ─▶ trailers ─▶ DONE
 */
export class RequestParser {
  /** Why the request was refused, in words without any byte of it; null while all is well. */
  fault: SluiceError | null = null

  readonly #sink: RequestSink
  readonly #headBytes: number
  #state = START
  /** Bytes of the body, or of the chunk, still to come. */
  #left = 0
  #digits = 0
  #extensionBytes = 0
  #trailer = false
  // The section being scanned: places are relative to its first byte.
  #methodAt = 0
  #methodEnd = 0
  #targetEnd = 0
  #versionAt = 0
  #minor = 1
  #lineAt = 0
  #fields = 0
  /** A tab stands behind the value of a field whose name is as long as that of one which frames. */
  #tabBehind = false
  /** A section whose end has not come, and the places found in it. */
  #pending: Buffer | null = null
  #pendingLength = 0
  #marks: number[] = MARKS

  /** @param headBytes limit of the request line with the header fields; beyond: ERR_HEAD_SIZE */
  constructor(sink: RequestSink, headBytes: number) {
    this.#sink = sink
    this.#headBytes = headBytes
  }

  /** Some of a head has come, more than an empty line. */
  get started(): boolean {
    return this.#pending !== null && this.#pendingLength > this.#methodAt
  }

  /** Bytes of the body that are known to be still to come: exact with a length, of the current chunk without. */
  get left(): number {
    return this.#left
  }

  /**
   * Parses from `chunk[at]` on and returns the place behind what it took: it stops behind a head, where the sink asks for
   * it, and behind the end of a request. The next byte then begins the next request.
   */
  write(chunk: Buffer, at: number, end: number): number {
    if (at >= end || this.#state === FAULT) return end
    if (this.#state <= LAST_SECTION_STATE) return this.#readSection(chunk, at, end)
    if (this.#state === BODY_LENGTH) return this.#readLength(chunk, at, end)
    return this.#readChunked(chunk, at, end)
  }

  /** A head, or the trailers. */
  #readSection(chunk: Buffer, start: number, end: number): number {
    const limit = this.#trailer ? TRAILER_BYTES : this.#headBytes
    const before = this.#pendingLength
    const pending = this.#pending
    let stop: number
    if (pending === null) {
      stop = this.#scan(chunk, start, end, start)
      if (stop > 0) {
        if (stop - start > limit) return this.#tooLarge(end)
        this.#sectionRead(chunk, start, stop)
        return this.fault === null ? stop : end
      }
    } else {
      // One byte over the limit is enough to know.
      const taken = Math.min(end - start, limit + 1 - before)
      const bytes = this.#append(pending, chunk, start, start + taken)
      stop = this.#scan(bytes, before, before + taken, 0)
      if (stop > 0) {
        if (stop > limit) return this.#tooLarge(end)
        this.#pending = null
        this.#pendingLength = 0
        this.#sectionRead(bytes, 0, stop)
        this.#marks = MARKS
        return this.fault === null ? start + stop - before : end
      }
    }
    if (this.fault !== null) return end
    if (pending === null) {
      if (end - start > limit) return this.#tooLarge(end)
      this.#marks = MARKS.slice(0, this.#fields * MARKS_PER_FIELD + MARKS_PER_FIELD)
      this.#append(Buffer.allocUnsafe(Math.max(PENDING_BYTES, end - start)), chunk, start, end)
    } else if (this.#pendingLength > limit) {
      return this.#tooLarge(end)
    }
    return end
  }

  #append(pending: Buffer, chunk: Buffer, start: number, end: number): Buffer {
    const length = this.#pendingLength + end - start
    let bytes = pending
    if (length > pending.length) {
      bytes = Buffer.allocUnsafe(Math.max(length, pending.length * 2))
      pending.copy(bytes, 0, 0, this.#pendingLength)
    }
    chunk.copy(bytes, this.#pendingLength, start, end)
    this.#pending = bytes
    this.#pendingLength = length
    return bytes
  }

  #sectionRead(bytes: Buffer, base: number, stop: number): void {
    if (this.#trailer) {
      if (this.#fields > 0 && !this.#trailersAreHarmless(bytes, base, stop)) return
      this.#finish()
      this.#sink.requestComplete()
      return
    }
    const text = bytes.toString('latin1', base, stop)
    const method = METHODS.get(text.slice(this.#methodAt, this.#methodEnd))
    if (method === undefined || method === 'CONNECT') {
      this.#refuse('The method is not allowed here', 'ERR_METHOD')
      return
    }
    const target = text.slice(this.#methodEnd + 1, this.#targetEnd)
    if (target.charCodeAt(0) !== SLASH && !ABSOLUTE_FORM.test(target)) {
      this.#refuse('The target is malformed')
      return
    }
    let head: RequestHead
    try {
      head = readHead(method, target, this.#takeFields(bytes, base, text), this.#minor)
    } catch (error) {
      this.#state = FAULT
      this.fault = error as SluiceError
      return
    }
    if (this.#tabBehind) {
      this.#refuse('A tab behind a value')
      return
    }
    if (head.bodyBytes === 0) {
      this.#finish()
    } else if (head.bodyBytes > 0) {
      this.#left = head.bodyBytes
      this.#state = BODY_LENGTH
    } else {
      this.#extensionBytes = 0
      this.#beginChunk()
    }
    this.#sink.requestHead(head, this.#minor)
  }

  /** Ready for the next request. */
  #finish(): void {
    this.#state = START
    this.#trailer = false
    this.#left = 0
  }

  #takeFields(bytes: Buffer, base: number, text: string): string[] {
    const marks = this.#marks
    const count = this.#fields
    const fields = new Array<string>(count * 2)
    for (let index = 0, mark = 0; index < count; index++, mark += MARKS_PER_FIELD) {
      const name = marks[mark] as number
      const nameEnd = marks[mark + 1] as number
      fields[index * 2] = knownName(bytes, base + name, base + nameEnd) ?? text.slice(name, nameEnd)
      fields[index * 2 + 1] = text.slice(marks[mark + 2], marks[mark + 3])
    }
    return fields
  }

  /** Trailers are dropped, unless they are of a kind that somebody could take for the next head's. RFC 9110, 6.5.1. */
  #trailersAreHarmless(bytes: Buffer, base: number, stop: number): boolean {
    const fields = this.#takeFields(bytes, base, bytes.toString('latin1', base, stop))
    for (let at = 0; at < fields.length; at += 2) {
      if (FRAMING.has((fields[at] as string).toLowerCase())) return this.#refuse('A framing field in the trailers') > 0
    }
    return true
  }

  /**
   * Scans `bytes[from, to)`, part of the section that begins at `base`. Returns the place behind its empty line, or a
   * negative number: the end has not come, or `fault` is set.
   */
  #scan(bytes: Buffer, from: number, to: number, base: number): number {
    const marks = this.#marks
    let at = from
    let state = this.#state
    while (at < to) {
      const byte = bytes[at] as number
      switch (state) {
        case START:
          this.#fields = 0
          this.#tabBehind = false
          this.#methodAt = at - base
          state = METHOD
          if (byte !== CR) break
          state = EMPTY_LINE_LF
          at++
          break
        case EMPTY_LINE_LF:
          if (byte !== LF) return this.#refuse('A bare CR')
          this.#methodAt = ++at - base
          state = METHOD
          break
        case METHOD:
          while (at < to && ((CLASS[bytes[at] as number] as number) & TOKEN) !== 0) at++
          if (at >= to) break
          if (bytes[at] !== SPACE || at - base === this.#methodAt) return this.#refuse('The method is malformed')
          this.#methodEnd = at++ - base
          state = TARGET
          break
        case TARGET:
          while (at < to && ((CLASS[bytes[at] as number] as number) & TARGET_BYTE) !== 0) at++
          if (at >= to) break
          if (bytes[at] !== SPACE || at - base === this.#methodEnd + 1) return this.#refuse('The target is malformed')
          this.#targetEnd = at++ - base
          this.#versionAt = 0
          state = VERSION
          break
        case VERSION: {
          let index = this.#versionAt
          while (at < to && index < VERSION_BYTES.length && bytes[at] === VERSION_BYTES[index]) {
            at++
            index++
          }
          this.#versionAt = index
          if (at >= to) break
          if (index < VERSION_BYTES.length) return this.#refuse('The version is not HTTP/1.0 or HTTP/1.1')
          const minor = (bytes[at++] as number) - ZERO
          if (minor !== 0 && minor !== 1) return this.#refuse('The version is not HTTP/1.0 or HTTP/1.1')
          this.#minor = minor
          state = LINE_CR
          break
        }
        case LINE_CR:
          if (byte !== CR) return this.#refuse('The request line is malformed')
          at++
          state = LINE_LF
          break
        case LINE_LF:
          if (byte !== LF) return this.#refuse('A bare CR')
          at++
          state = FIELD
          break
        case FIELD:
          if (byte === CR) {
            at++
            state = END_LF
            break
          }
          this.#lineAt = at - base
          state = NAME
          break
        case NAME: {
          while (at < to && ((CLASS[bytes[at] as number] as number) & TOKEN) !== 0) at++
          if (at >= to) break
          if (bytes[at] !== COLON || at - base === this.#lineAt) return this.#refuse('A field name is malformed')
          if (this.#fields === FIELDS) return this.#refuse('Too many header fields', 'ERR_HEAD_SIZE')
          const mark = this.#fields * MARKS_PER_FIELD
          marks[mark] = this.#lineAt
          marks[mark + 1] = at++ - base
          state = BEFORE_VALUE
          break
        }
        case BEFORE_VALUE:
          while (at < to && (bytes[at] === SPACE || bytes[at] === TAB)) at++
          if (at >= to) break
          marks[this.#fields * MARKS_PER_FIELD + 2] = at - base
          state = VALUE
          break
        case VALUE: {
          while (at < to && ((CLASS[bytes[at] as number] as number) & VALUE_BYTE) !== 0) at++
          if (at >= to) break
          if (bytes[at] !== CR) return this.#refuse(bytes[at] === LF ? 'A bare LF' : 'A control byte in a value')
          const mark = this.#fields * MARKS_PER_FIELD
          const start = (marks[mark + 2] as number) + base
          let end = at
          while (end > start && (bytes[end - 1] === SPACE || bytes[end - 1] === TAB)) {
            if (bytes[--end] === TAB && FRAMING_LENGTHS.has((marks[mark + 1] as number) - (marks[mark] as number))) {
              this.#tabBehind = true
            }
          }
          marks[mark + 3] = end - base
          this.#fields++
          at++
          state = LINE_LF
          break
        }
        default:
          // END_LF
          if (byte !== LF) return this.#refuse('A bare CR')
          return at + 1
      }
    }
    this.#state = state
    return -1
  }

  #readLength(chunk: Buffer, at: number, end: number): number {
    const stop = Math.min(end, at + this.#left)
    this.#left -= stop - at
    this.#sink.requestBody(chunk, at, stop)
    if (this.#left === 0 && this.#state === BODY_LENGTH) {
      this.#finish()
      this.#sink.requestComplete()
    }
    return stop
  }

  #readChunked(chunk: Buffer, start: number, end: number): number {
    let at = start
    while (at < end) {
      const state = this.#state
      if (state === CHUNK_DATA) {
        const stop = Math.min(end, at + this.#left)
        this.#left -= stop - at
        if (this.#left === 0) this.#state = CHUNK_DATA_CR
        if (!this.#sink.requestBody(chunk, at, stop)) return stop
        at = stop
        continue
      }
      if (state <= LAST_SECTION_STATE) return this.#readSection(chunk, at, end)
      if (!this.#readChunkFrame(state, chunk[at] as number)) return end
      at++
    }
    return end
  }

  /** One byte between the data of two chunks. RFC 9112, 7.1. */
  #readChunkFrame(state: number, byte: number): boolean {
    switch (state) {
      case CHUNK_SIZE: {
        const digit = HEX[byte] as number
        if (digit < 16) {
          this.#left = this.#left * 16 + digit
          if (++this.#digits > SIZE_DIGITS || this.#left > Number.MAX_SAFE_INTEGER) {
            return this.#refuse('A chunk size is too large') > 0
          }
          return true
        }
        if (this.#digits === 0) return this.#refuse('A chunk size is malformed') > 0
        if (byte === CR) this.#state = CHUNK_SIZE_LF
        else if (byte === SEMICOLON) this.#state = EXTENSION
        else return this.#refuse('A chunk size is malformed') > 0
        return true
      }
      case CHUNK_SIZE_LF:
        if (byte !== LF) return this.#refuse('A bare CR') > 0
        if (this.#left === 0) {
          this.#trailer = true
          this.#fields = 0
          this.#state = FIELD
        } else {
          this.#state = CHUNK_DATA
        }
        return true
      case CHUNK_DATA_CR:
        if (byte !== CR) return this.#refuse('A chunk is longer than its size') > 0
        this.#state = CHUNK_DATA_LF
        return true
      case CHUNK_DATA_LF:
        if (byte !== LF) return this.#refuse('A bare CR') > 0
        this.#beginChunk()
        return true
      default:
        return this.#readExtension(state, byte)
    }
  }

  /** `;name`, `;name=token` or `;name="quoted"`: read for its form, and dropped. RFC 9112, 7.1.1. */
  #readExtension(state: number, byte: number): boolean {
    if (++this.#extensionBytes > EXTENSION_BYTES) return this.#refuse('The chunk extensions are too long') > 0
    const kind = CLASS[byte] as number
    if (state === EXTENSION_QUOTED) {
      if (byte === QUOTE) this.#state = EXTENSION_QUOTE_END
      else if (byte === BACKSLASH) this.#state = EXTENSION_ESCAPE
      else if ((kind & VALUE_BYTE) === 0) return this.#refuse('A chunk extension is malformed') > 0
      return true
    }
    if (state === EXTENSION_ESCAPE) {
      if ((kind & VALUE_BYTE) === 0) return this.#refuse('A chunk extension is malformed') > 0
      this.#state = EXTENSION_QUOTED
      return true
    }
    if ((kind & TOKEN) !== 0 && state !== EXTENSION_QUOTE_END) {
      if (state === EXTENSION) this.#state = EXTENSION_NAME
      else if (state === EXTENSION_EQUALS) this.#state = EXTENSION_TOKEN
      return true
    }
    if (byte === QUOTE && state === EXTENSION_EQUALS) this.#state = EXTENSION_QUOTED
    else if (byte === EQUALS && state === EXTENSION_NAME) this.#state = EXTENSION_EQUALS
    else if (state === EXTENSION || state === EXTENSION_EQUALS)
      return this.#refuse('A chunk extension is malformed') > 0
    else if (byte === CR) this.#state = CHUNK_SIZE_LF
    else if (byte === SEMICOLON) this.#state = EXTENSION
    else return this.#refuse('A chunk extension is malformed') > 0
    return true
  }

  #beginChunk(): void {
    this.#state = CHUNK_SIZE
    this.#left = 0
    this.#digits = 0
  }

  #tooLarge(end: number): number {
    this.#refuse(
      this.#trailer ? 'The trailers are too large' : 'The header section is over listen.headerBytes',
      'ERR_HEAD_SIZE'
    )
    return end
  }

  /** Returns a negative number. */
  #refuse(what: string, code: ErrorCode = 'ERR_HTTP_SYNTAX'): number {
    this.#state = FAULT
    this.#pending = null
    this.fault = new SluiceError(code, what)
    return -1
  }
}

/** The shared string of a common field name in one of its two usual spellings, so that none is made for it. */
function knownName(bytes: Buffer, start: number, end: number): string | undefined {
  const length = end - start
  const known = NAMES[nameSlot(length, bytes[start] as number, bytes[end - 1] as number)]
  if (known === undefined || known.length !== length) return undefined
  for (let at = 0; at < length; at++) if (known.charCodeAt(at) !== bytes[start + at]) return undefined
  return known
}

function nameSlot(length: number, first: number, last: number): number {
  return (length * 37 + first * 5 + last * 3) & NAME_SLOTS_MASK
}

const START = 0
const EMPTY_LINE_LF = 1
const METHOD = 2
const TARGET = 3
const VERSION = 4
const LINE_CR = 5
const LINE_LF = 6
const FIELD = 7
const NAME = 8
const BEFORE_VALUE = 9
const VALUE = 10
const END_LF = 11
const LAST_SECTION_STATE = END_LF
const BODY_LENGTH = 12
const CHUNK_SIZE = 13
const CHUNK_SIZE_LF = 14
const CHUNK_DATA = 15
const CHUNK_DATA_CR = 16
const CHUNK_DATA_LF = 17
const EXTENSION = 18
const EXTENSION_NAME = 19
const EXTENSION_EQUALS = 20
const EXTENSION_TOKEN = 21
const EXTENSION_QUOTED = 22
const EXTENSION_ESCAPE = 23
const EXTENSION_QUOTE_END = 24
const FAULT = 25

/** Header fields of a request; node:http loses what is beyond it without a word. */
const FIELDS = 1000
const TRAILER_BYTES = 8192
/** Bytes of all chunk extensions of a request. */
const EXTENSION_BYTES = 1024
/** Leading zeros count. */
const SIZE_DIGITS = 16
const PENDING_BYTES = 1024

/** Places of the fields of a head that lies whole in one chunk: name, its end, value, its end. */
const MARKS: number[] = new Array<number>(64).fill(0)
const MARKS_PER_FIELD = 4

const METHODS = new Map(
  ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT'].map((name) => [name, name])
)
/** RFC 9112, 3.2.2; no userinfo (RFC 9110, 4.2.4). The rare case. */
const ABSOLUTE_FORM = /^https?:\/\/[\w.~:[\]%-]+(?:[/?]|$)/i
/** Content-Length, Transfer-Encoding: some parsers trim a tab behind their values, and some do not. */
const FRAMING_LENGTHS = new Set([14, 17])
const FRAMING = new Set(['content-length', 'transfer-encoding', 'host'])

const VERSION_BYTES = Buffer.from('HTTP/1.')
const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const QUOTE = 0x22
const SLASH = 0x2f
const ZERO = 0x30
const COLON = 0x3a
const SEMICOLON = 0x3b
const EQUALS = 0x3d
const BACKSLASH = 0x5c

/** Bits of CLASS. */
const TOKEN = 1
const VALUE_BYTE = 2
const TARGET_BYTE = 4

const CLASS = new Uint8Array(256)
for (let byte = 0; byte < 256; byte++) {
  if (/[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(String.fromCharCode(byte))) CLASS[byte] = TOKEN
  if (byte === TAB || (byte >= SPACE && byte !== 0x7f)) CLASS[byte] = (CLASS[byte] as number) | VALUE_BYTE
  if (byte > SPACE && byte < 0x7f && byte !== 0x23) CLASS[byte] = (CLASS[byte] as number) | TARGET_BYTE
}

const HEX = new Uint8Array(256).fill(255)
for (let digit = 0; digit < 16; digit++) {
  HEX[digit.toString(16).charCodeAt(0)] = digit
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
}

const NAME_SLOTS_MASK = 511
const NAMES: (string | undefined)[] = new Array<string | undefined>(NAME_SLOTS_MASK + 1).fill(undefined)
for (const name of [
  'Host',
  'User-Agent',
  'Accept',
  'Accept-Encoding',
  'Accept-Language',
  'Authorization',
  'BT-API-KEY',
  'BT-PROXY-URL',
  'BT-PROXY-KEY',
  'BT-TRACE-ID',
  'BT-IDEMPOTENCY-KEY',
  'Cache-Control',
  'Connection',
  'Content-Type',
  'Content-Length',
  'Content-Encoding',
  'Cookie',
  'Expect',
  'Idempotency-Key',
  'Transfer-Encoding',
  'X-API-KEY',
  'X-Request-Id',
  'X-Forwarded-For',
  'X-Forwarded-Proto',
  'X-Footprint-Secret-Key',
  'Traceparent',
  'Tracestate'
]) {
  for (const spelling of [name, name.toLowerCase()]) {
    const slot = nameSlot(spelling.length, spelling.charCodeAt(0), spelling.charCodeAt(spelling.length - 1))
    NAMES[slot] ??= spelling
  }
}
