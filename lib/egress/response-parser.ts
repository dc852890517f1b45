/* Hot: per response and per chunk. Bench: bench/micro/egress/response-parser.ts. */

import { type BodySink, ChunkedBody } from './chunked-body.ts'
import { FieldSection, INCOMPLETE, MALFORMED } from './field-section.ts'

/** What the parser tells, in the order of the message. Methods must not throw. */
export interface ResponseSink extends BodySink {
  /** A 1xx other than 101. `rawHeaders`: name, value, name, value … as received, values trimmed. */
  informational(status: number, rawHeaders: string[]): void
  /** @param length Exact bytes of the body, 0 when there is none, -1 when only its end will tell. */
  head(status: number, reason: string, rawHeaders: string[], length: number): void
  /** The response is complete. The last thing that the parser does in a `write` or `finish`: `begin` may be called. */
  end(rawTrailers: string[]): void
}

export interface ResponseLimits {
  /** Bytes of the status line and header fields, and again of the trailer section. */
  readonly headBytes: number
  /** Header fields of a response, and again trailer fields. */
  readonly fields: number
  /** Bytes of all chunk extensions of a response. */
  readonly extensionBytes: number
  /** 1xx responses before the final one. */
  readonly informational: number
}

/**
 * A strict push parser of HTTP/1.1 responses (RFC 9112). One serves a connection: `begin` before each response. It never
 * throws: `fault` says why a response was refused, and then nothing more is told to the sink.
 *
 * It refuses, beside what no parser takes: a bare CR or LF, obs-fold, control bytes in values, white space around a
 * field's name, more than one Content-Length, one that is not all digits or over 2^53-1, Content-Length with
 * Transfer-Encoding, any coding but `chunked`, Transfer-Encoding in HTTP/1.0, bytes behind the end.
 */
export class ResponseParser {
  /** Why the response was refused, in words without any byte of it; null while all is well. */
  fault: string | null = null
  /** True for a 101, which is a fault too. */
  upgrade = false
  /** A byte of a response (a 1xx too) has come since `begin`. */
  started = false
  /** The final response's head was told to the sink. */
  headed = false
  /** After `end`: the message was delimited without doubt and the destination did not say close. */
  reusable = false
  /** The destination's own idle time (`Keep-Alive: timeout=`); -1 when it gave none. */
  keepAliveMs = -1

  readonly #sink: ResponseSink
  readonly #section: FieldSection
  readonly #chunks: ChunkedBody
  readonly #maxInformational: number
  #state = DONE
  #headRequest = false
  /** Bytes of a body of known length still to come. */
  #left = 0
  #informational = 0
  // What the fields of a head say.
  #length = NO_LENGTH
  #chunked = false
  #close = false
  #connectionBound = false

  constructor(sink: ResponseSink, limits: ResponseLimits = DEFAULT_LIMITS) {
    this.#sink = sink
    this.#section = new FieldSection(limits.headBytes, limits.fields)
    this.#chunks = new ChunkedBody(sink, limits.extensionBytes)
    this.#maxInformational = limits.informational
  }

  /** Expects the response to a request with this method. */
  begin(method: string): void {
    this.#headRequest = method === 'HEAD'
    this.#state = HEAD
    this.#section.begin(true)
    this.#informational = 0
    this.#connectionBound = false
    this.fault = null
    this.upgrade = false
    this.started = false
    this.headed = false
    this.reusable = false
    this.keepAliveMs = -1
  }

  /** A body is being read whose end is the end of the connection. */
  get untilClose(): boolean {
    return this.#state === UNTIL_CLOSE
  }

  /** The body, or what is known of it, is longer than `bytes`: for choosing how to read on. */
  expectsOver(bytes: number): boolean {
    return this.#state === LENGTH ? this.#left > bytes : this.#state === CHUNKED || this.#state === UNTIL_CLOSE
  }

  /** Parses `chunk[start, end)`. */
  write(chunk: Buffer, start: number, end: number): void {
    let at = start
    if (at >= end) return
    this.started = true
    if (this.#state === HEAD) {
      at = this.#readHead(chunk, at, end)
      if (at < 0) return
    }
    switch (this.#state) {
      case LENGTH:
        this.#readLength(chunk, at, end)
        return
      case CHUNKED:
        this.#readChunked(chunk, at, end)
        return
      case TRAILER:
        this.#readTrailer(chunk, at, end)
        return
      case UNTIL_CLOSE:
        if (at < end) this.#sink.body(chunk, at, end)
        return
      case DONE:
        if (at < end) this.#refuse('bytes after the end')
        return
      default:
    }
  }

  /** The connection has ended in order. Completes a body that only the end delimits; anything else is cut short. */
  finish(): void {
    if (this.#state === UNTIL_CLOSE) {
      this.#state = DONE
      this.#sink.end([])
    } else if (this.#state < DONE) {
      this.#refuse(this.started ? 'cut short' : 'none came')
    }
  }

  /** Tells the sink nothing more, whatever comes. May be called from the sink's methods. */
  abort(): void {
    this.#state = FAULT
    this.#chunks.abort()
    this.reusable = false
  }

  /** Returns where the body begins, or -1 when there is nothing more to read in this chunk. */
  #readHead(chunk: Buffer, start: number, end: number): number {
    const section = this.#section
    for (let at = start; at < end; at = section.end) {
      const outcome = section.read(chunk, at, end)
      if (outcome === INCOMPLETE) return -1
      if (outcome === MALFORMED) {
        this.#refuse(section.fault)
        return -1
      }
      if (this.#takeHead(end - section.end)) return section.end
      if (this.#state !== HEAD) return -1
      section.begin(true)
    }
    return -1
  }

  /** Tells the sink of the head that was read. False: it was a 1xx, or is refused, or the response ends with it. */
  #takeHead(available: number): boolean {
    const { statusLine } = this.#section
    const isVersion11 = statusLine.charCodeAt(7) === ONE
    const status = digitAt(statusLine, 9) * 100 + digitAt(statusLine, 10) * 10 + digitAt(statusLine, 11)
    this.#length = NO_LENGTH
    this.#chunked = false
    this.#close = !isVersion11
    const rawHeaders = this.#takeFields()
    if (this.#state === FAULT) return false
    if (this.#length !== NO_LENGTH && this.#chunked) return this.#refuse('Content-Length with Transfer-Encoding')
    if (this.#chunked && !isVersion11) return this.#refuse('Transfer-Encoding in HTTP/1.0')
    if (status < 200) return this.#takeInformational(status, rawHeaders)
    const doubtful = this.#frame(status)
    if (this.#state === LENGTH && available > this.#left) return this.#refuse('bytes after the end')
    if (this.#state === DONE && available > 0) return this.#refuse('bytes after the end')
    this.reusable = !this.#close && !doubtful && !this.#connectionBound && this.#state !== UNTIL_CLOSE
    this.headed = true
    const isDone = this.#state === DONE
    this.#sink.head(status, statusLine.slice(13), rawHeaders, isDone ? 0 : this.#length)
    // The sink may have aborted.
    if (isDone && this.#state === DONE) this.#sink.end([])
    return !isDone
  }

  /** Settles how the body ends (RFC 9112 section 6.3). Returns true when the fields contradict that. */
  #frame(status: number): boolean {
    if (this.#headRequest || status === 204 || status === 304) {
      this.#state = DONE
      // No body whatever the fields say. A 204 that announces one is not believed any further.
      return status === 204 && (this.#chunked || this.#length > 0)
    }
    if (this.#chunked) {
      this.#state = CHUNKED
      this.#chunks.begin()
    } else if (this.#length === NO_LENGTH) {
      this.#state = UNTIL_CLOSE
    } else {
      this.#state = this.#length === 0 ? DONE : LENGTH
      this.#left = this.#length
    }
    return false
  }

  #takeInformational(status: number, rawHeaders: string[]): false {
    this.upgrade = status === 101
    if (this.upgrade) return this.#refuse('switched protocols')
    if (this.#chunked || this.#length > 0) return this.#refuse('body in a 1xx')
    if (this.#close) return this.#refuse('1xx that closes')
    if (++this.#informational > this.#maxInformational) return this.#refuse('too many 1xx')
    this.#sink.informational(status, rawHeaders)
    return false
  }

  #readLength(chunk: Buffer, at: number, end: number): void {
    const size = end - at
    if (size > this.#left) {
      this.#refuse('bytes after the end')
    } else if (size > 0) {
      this.#left -= size
      if (this.#left === 0) this.#state = DONE
      this.#sink.body(chunk, at, end)
      if (this.#state === DONE) this.#sink.end([])
    }
  }

  #readChunked(chunk: Buffer, start: number, end: number): void {
    const at = this.#chunks.read(chunk, start, end)
    if (this.#chunks.fault !== null) {
      this.#refuse(this.#chunks.fault)
    } else if (this.#chunks.atTrailer && this.#state === CHUNKED) {
      this.#state = TRAILER
      this.#section.begin(false)
      if (at < end) this.#readTrailer(chunk, at, end)
    }
  }

  #readTrailer(chunk: Buffer, at: number, end: number): void {
    const section = this.#section
    const outcome = section.read(chunk, at, end)
    if (outcome === INCOMPLETE) return
    if (outcome === MALFORMED) {
      this.#refuse(section.fault)
      return
    }
    const rawTrailers = this.#takeTrailers()
    if (section.end < end) this.#refuse('bytes after the end')
    if (this.#state === FAULT) return
    this.#state = DONE
    this.#sink.end(rawTrailers)
  }

  /** The fields of a head, and heeds those that frame the message. */
  #takeFields(): string[] {
    const section = this.#section
    const raw: string[] = []
    for (let i = 0; i < section.count; i++) {
      const name = section.nameAt(i)
      const value = section.valueAt(i)
      raw.push(name, value)
      switch (name.length) {
        case 10:
          this.#heedConnection(name, value)
          break
        case 14:
          if (isNamed(name, 'content-length')) this.#heedLength(value, i)
          break
        case 15:
          if (isNamed(name, 'persistent-auth')) this.#connectionBound = true
          break
        case 16:
          if (isNamed(name, 'www-authenticate') && bindsConnection(value)) this.#connectionBound = true
          break
        case 17:
          if (isNamed(name, 'transfer-encoding')) this.#heedCoding(value, i)
          break
        default:
      }
    }
    return raw
  }

  /** The fields of a trailer section. One that would frame a message is refused (RFC 9110 section 6.5.1). */
  #takeTrailers(): string[] {
    const section = this.#section
    const raw: string[] = []
    for (let i = 0; i < section.count; i++) {
      const name = section.nameAt(i)
      if (isNamed(name, 'content-length') || isNamed(name, 'transfer-encoding')) this.#refuse('framing in a trailer')
      raw.push(name, section.valueAt(i))
    }
    return raw
  }

  #heedConnection(name: string, value: string): void {
    if (isNamed(name, 'connection')) {
      // The common value first: the rest splits a list.
      if (value === 'keep-alive') return
      for (const option of value.toLowerCase().split(',')) if (option.trim() === 'close') this.#close = true
    } else if (isNamed(name, 'keep-alive')) {
      this.keepAliveMs = keepAliveMs(value)
    }
  }

  #heedLength(value: string, index: number): void {
    if (this.#length !== NO_LENGTH) this.#refuse('more than one Content-Length')
    let length = 0
    for (let at = 0; at < value.length; at++) {
      const digit = digitAt(value, at)
      if (digit < 0 || digit > 9) this.#refuse('malformed Content-Length')
      length = length * 10 + digit
    }
    if (value === '') this.#refuse('malformed Content-Length')
    if (length > Number.MAX_SAFE_INTEGER) this.#refuse('Content-Length too large')
    this.#length = length
    // Where parsers disagree, they frame differently.
    if (this.#section.hasTabBehind(index)) this.#refuse('tab behind a framing value')
  }

  #heedCoding(value: string, index: number): void {
    if (this.#chunked) this.#refuse('more than one Transfer-Encoding')
    if (value.toLowerCase() !== 'chunked') this.#refuse('transfer coding other than chunked')
    if (this.#section.hasTabBehind(index)) this.#refuse('tab behind a framing value')
    this.#chunked = true
  }

  /** The first fault counts. */
  #refuse(fault: string): false {
    if (this.fault === null) this.fault = fault
    this.#state = FAULT
    this.reusable = false
    return false
  }
}

/** Compares a field's name, which holds token characters only, with one in lower case. */
function isNamed(name: string, lower: string): boolean {
  if (name.length !== lower.length) return false
  for (let at = 0; at < name.length; at++) if ((name.charCodeAt(at) | 0x20) !== lower.charCodeAt(at)) return false
  return true
}

function digitAt(text: string, at: number): number {
  return text.charCodeAt(at) - ZERO
}

/** True for a challenge of a scheme that authenticates the connection, not the request. */
function bindsConnection(challenge: string): boolean {
  const lower = challenge.toLowerCase()
  return lower.includes('ntlm') || lower.includes('negotiate')
}

function keepAliveMs(value: string): number {
  const at = value.toLowerCase().indexOf('timeout=')
  if (at < 0) return -1
  const seconds = Number.parseInt(value.slice(at + 8, at + 16), 10)
  return seconds >= 0 ? seconds * 1000 : -1
}

export const DEFAULT_LIMITS: ResponseLimits = {
  headBytes: 65536,
  fields: 1000,
  extensionBytes: 16384,
  informational: 32
}

// States. Those below DONE await bytes.
const HEAD = 0
const LENGTH = 1
const UNTIL_CLOSE = 2
const CHUNKED = 3
const TRAILER = 4
const DONE = 5
const FAULT = 6

const NO_LENGTH = -1
const ZERO = 0x30 // 0
const ONE = 0x31 // 1
