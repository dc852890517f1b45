/*
 * Hot: per response and per chunk. Bench: bench/micro/egress/response-parser.ts.
 *
 * A head that lies whole in one chunk is scanned once, byte by byte, and turned into one latin1 string of which names and
 * values are substrings: measured 2.5 times as fast as a `latin1Slice` for each of them.
 */

/** What the parser tells, in the order of the message. Methods must not throw. */
export interface ResponseSink {
  /** A 1xx other than 101. `rawHeaders`: name, value, name, value … as received, values trimmed. */
  informational(status: number, rawHeaders: string[]): void
  /** @param length Exact bytes of the body, 0 when there is none, -1 when only its end will tell. */
  head(status: number, reason: string, rawHeaders: string[], length: number): void
  /** A piece of the body: `chunk[start, end)`, valid until the call returns. Never empty. */
  body(chunk: Buffer, start: number, end: number): void
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
  readonly #limits: ResponseLimits
  #state = DONE
  #headRequest = false
  /** Bytes of the body, or of the chunk, still to come. */
  #left = 0
  #digits = 0
  #extensionBytes = 0
  #informational = 0
  /** A head or trailer section whose end has not come. */
  #pending: Buffer | null = null
  #pendingLength = 0
  // What the fields of the section being read say.
  #length = NO_LENGTH
  #chunked = false
  #close = false
  #connectionBound = false

  constructor(sink: ResponseSink, limits: ResponseLimits = DEFAULT_LIMITS) {
    this.#sink = sink
    this.#limits = limits
  }

  /** Expects the response to a request with this method. */
  begin(method: string): void {
    this.#headRequest = method === 'HEAD'
    this.#state = HEAD
    this.#pending = null
    this.#informational = 0
    this.#extensionBytes = 0
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
    return this.#state === LENGTH ? this.#left > bytes : this.#state > HEAD && this.#state < DONE
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
      case DONE:
        if (at < end) this.#refuse('bytes after the end')
        return
      case FAULT:
        return
      case LENGTH:
        this.#readLength(chunk, at, end)
        return
      case UNTIL_CLOSE:
        if (at < end) this.#sink.body(chunk, at, end)
        return
      default:
        this.#readChunked(chunk, at, end)
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
    this.#pending = null
    this.reusable = false
  }

  /** Returns where the body begins, or -1 when there is nothing more to read in this chunk. */
  #readHead(chunk: Buffer, start: number, end: number): number {
    let at = start
    for (;;) {
      let bytes = chunk
      let from = at
      let to = end
      let shift = 0
      if (this.#pending !== null) {
        shift = this.#pendingLength - at
        const pending = this.#gather(chunk, at, end)
        if (pending === null) return -1
        bytes = pending
        from = 0
        to = this.#pendingLength
      }
      const fields = this.#scanStatusLine(bytes, from, to)
      const bodyAt = fields < 0 ? fields : this.#scanFields(bytes, fields, to, from)
      if (bodyAt === MALFORMED) return -1
      if (bodyAt === INCOMPLETE) {
        if (this.#pending === null) this.#hold(chunk, at, end)
        else this.#refuse('malformed head')
        return -1
      }
      this.#pending = null
      at = bodyAt - shift
      if (!this.#tellHead(bytes, from, fields, bodyAt, end - at)) {
        if (this.#state === FAULT) return -1
        if (at >= end) return -1
        continue
      }
      if (this.#state === DONE) {
        this.#sink.end([])
        return -1
      }
      return at
    }
  }

  /** Tells the sink of a head. False: it was a 1xx, or the head is refused. */
  #tellHead(bytes: Buffer, from: number, fields: number, bodyAt: number, available: number): boolean {
    const version11 = bytes[from + 7] === ONE
    const status =
      ((bytes[from + 9] ?? 0) - ZERO) * 100 + ((bytes[from + 10] ?? 0) - ZERO) * 10 + (bytes[from + 11] ?? 0) - ZERO
    const text = bytes.toString('latin1', from, bodyAt)
    this.#length = NO_LENGTH
    this.#chunked = false
    this.#close = !version11
    const rawHeaders = this.#takeFields(text)
    if (this.#state === FAULT) return false
    if (this.#length !== NO_LENGTH && this.#chunked) return this.#refuse('Content-Length with Transfer-Encoding')
    if (this.#chunked && !version11) return this.#refuse('Transfer-Encoding in HTTP/1.0')
    if (status < 200) return this.#tellInformational(status, rawHeaders)
    let length = this.#length
    let doubtful = false
    if (this.#headRequest || status === 204 || status === 304) {
      // RFC 9112 section 6.3: no body whatever the fields say. A 204 that announces one is not believed any further.
      doubtful = status === 204 && (this.#chunked || length > 0)
      length = 0
      this.#state = DONE
    } else if (this.#chunked) {
      this.#beginChunk()
    } else if (length === NO_LENGTH) {
      this.#state = UNTIL_CLOSE
    } else {
      this.#state = length === 0 ? DONE : LENGTH
    }
    if ((this.#state === DONE || this.#state === LENGTH) && available > length)
      return this.#refuse('bytes after the end')
    if (this.#state === LENGTH) this.#left = length
    this.reusable = !this.#close && !doubtful && !this.#connectionBound && this.#state !== UNTIL_CLOSE
    this.headed = true
    const reason = text.slice(13, fields - from - 2)
    this.#sink.head(status, reason, rawHeaders, length)
    return true
  }

  #tellInformational(status: number, rawHeaders: string[]): false {
    this.upgrade = status === 101
    if (this.upgrade) return this.#refuse('switched protocols')
    if (this.#chunked || this.#length > 0) return this.#refuse('body in a 1xx')
    if (this.#close) return this.#refuse('1xx that closes')
    if (++this.#informational > this.#limits.informational) return this.#refuse('too many 1xx')
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
    let at = start
    while (at < end) {
      const state = this.#state
      if (state === CHUNK_DATA) {
        const stop = Math.min(end, at + this.#left)
        this.#left -= stop - at
        if (this.#left === 0) this.#state = CHUNK_DATA_CR
        this.#sink.body(chunk, at, stop)
        at = stop
      } else if (state === CHUNK_SIZE) {
        at = this.#readChunkSize(chunk, at, end)
      } else if (state === TRAILER) {
        this.#readTrailer(chunk, at, end)
        return
      } else if (state === FAULT) {
        return
      } else {
        if (state >= EXTENSION_BEGIN) this.#readExtension(state, chunk[at] as number)
        else this.#readChunkLine(state, chunk[at] as number)
        at++
      }
    }
  }

  /** Digits of a chunk's size and the byte behind them. Returns the place behind what it read. */
  #readChunkSize(chunk: Buffer, start: number, end: number): number {
    let at = start
    for (; at < end; at++) {
      const byte = chunk[at] as number
      const digit = HEX[byte] as number
      if (digit < 16) {
        this.#left = this.#left * 16 + digit
        if (++this.#digits <= 16 && this.#left <= Number.MAX_SAFE_INTEGER) continue
        this.#refuse('chunk size too large')
      } else if (this.#digits === 0) this.#refuse('malformed chunk size')
      else if (byte === CR) this.#state = CHUNK_SIZE_LF
      else if (byte === SEMICOLON) this.#state = EXTENSION_BEGIN
      else this.#refuse('malformed chunk size')
      return at + 1
    }
    return at
  }

  /** One byte of the ends of lines around the data of a chunk. */
  #readChunkLine(state: number, byte: number): void {
    switch (state) {
      case CHUNK_SIZE_LF:
        if (byte !== LF) this.#refuse('bare CR')
        else this.#state = this.#left === 0 ? TRAILER : CHUNK_DATA
        return
      case CHUNK_DATA_CR:
        if (byte !== CR) this.#refuse('chunk longer than its size')
        else this.#state = CHUNK_DATA_LF
        return
      default:
        if (byte !== LF) this.#refuse('bare CR')
        else this.#beginChunk()
    }
  }

  /** One byte of a chunk extension: `;name`, `;name=token` or `;name="quoted"`, without white space. */
  #readExtension(state: number, byte: number): void {
    if (++this.#extensionBytes > this.#limits.extensionBytes) {
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
    else if (byte === CR) this.#state = CHUNK_SIZE_LF
    else this.#refuse('malformed chunk extension')
  }

  #beginChunk(): void {
    this.#state = CHUNK_SIZE
    this.#left = 0
    this.#digits = 0
  }

  #readTrailer(chunk: Buffer, at: number, end: number): void {
    let bytes = chunk
    let from = at
    let to = end
    let shift = 0
    if (this.#pending !== null) {
      shift = this.#pendingLength - at
      const pending = this.#gather(chunk, at, end)
      if (pending === null) return
      bytes = pending
      from = 0
      to = this.#pendingLength
    }
    const stop = this.#scanFields(bytes, from, to, from)
    if (stop === MALFORMED) return
    if (stop === INCOMPLETE) {
      if (this.#pending === null) this.#hold(chunk, at, end)
      else this.#refuse('malformed trailer section')
      return
    }
    this.#pending = null
    if (stop - shift < end) {
      this.#refuse('bytes after the end')
      return
    }
    const trailers = fieldCount === 0 ? [] : this.#takeTrailers(bytes.toString('latin1', from, stop))
    if (this.#state === FAULT) return
    this.#state = DONE
    this.#sink.end(trailers)
  }

  /** Returns where the header fields begin, INCOMPLETE, or MALFORMED with the fault set. */
  #scanStatusLine(bytes: Buffer, from: number, to: number): number {
    let at = from
    for (let i = 0; i < VERSION.length; i++, at++) {
      if (at >= to) return INCOMPLETE
      if (bytes[at] !== VERSION[i]) return this.#malformed('malformed status line')
    }
    if (to - at < 7) return this.#checkShortStatusLine(bytes, at, to)
    const minor = bytes[at]
    if (minor !== ONE && minor !== ZERO) return this.#malformed('unsupported version')
    if (bytes[at + 1] !== SPACE) return this.#malformed('malformed status line')
    const hundreds = (bytes[at + 2] as number) - ZERO
    if (hundreds < 1 || hundreds > 9 || !isDigit(bytes[at + 3]) || !isDigit(bytes[at + 4]))
      return this.#malformed('malformed status code')
    at += 5
    // NOTE: the space behind the code is required by RFC 9112 section 4, and many servers without a reason leave it out.
    if (bytes[at] === SPACE) {
      at++
      while (at < to && ((CLASS[bytes[at] as number] as number) & VALUE) !== 0) at++
    }
    if (at >= to) return INCOMPLETE
    if (bytes[at] !== CR) return this.#malformed('malformed status line')
    if (at + 1 >= to) return INCOMPLETE
    if (bytes[at + 1] !== LF) return this.#malformed('bare CR')
    return at + 2
  }

  #checkShortStatusLine(bytes: Buffer, at: number, to: number): number {
    if (at < to && bytes[at] !== ONE && bytes[at] !== ZERO) return this.#malformed('unsupported version')
    return INCOMPLETE
  }

  /**
   * Scans fields up to and with the empty line and notes their places, relative to `base`, in `marks`. Returns the place
   * behind the empty line, INCOMPLETE, or MALFORMED with the fault set.
   */
  #scanFields(bytes: Buffer, from: number, to: number, base: number): number {
    let at = from
    let count = 0
    fieldCount = 0
    for (;;) {
      if (at + 1 >= to)
        return at < to && bytes[at] !== CR && !isToken(bytes[at]) ? this.#malformed('malformed field name') : INCOMPLETE
      if (bytes[at] === CR) {
        if (bytes[at + 1] !== LF) return this.#malformed('bare CR')
        if (at + 2 - base > this.#limits.headBytes) return this.#malformed('section too large')
        fieldCount = count
        return at + 2
      }
      const name = at
      while (at < to && ((CLASS[bytes[at] as number] as number) & TOKEN) !== 0) at++
      if (at >= to) return INCOMPLETE
      if (bytes[at] !== COLON || at === name)
        return this.#malformed(isBlank(bytes[name]) ? 'obs-fold' : 'malformed field name')
      const nameEnd = at++
      while (at < to && isBlank(bytes[at])) at++
      const value = at
      while (at < to && ((CLASS[bytes[at] as number] as number) & VALUE) !== 0) at++
      if (at + 1 >= to) return at < to && bytes[at] !== CR ? this.#malformed('control byte in a value') : INCOMPLETE
      if (bytes[at] !== CR) return this.#malformed(bytes[at] === LF ? 'bare LF' : 'control byte in a value')
      if (bytes[at + 1] !== LF) return this.#malformed('bare CR')
      let valueEnd = at
      while (valueEnd > value && isBlank(bytes[valueEnd - 1])) valueEnd--
      at += 2
      if (count >= this.#limits.fields || count >= MAX_FIELDS) return this.#malformed('too many fields')
      const mark = count++ * 4
      marks[mark] = name - base
      marks[mark + 1] = nameEnd - base
      marks[mark + 2] = value - base
      marks[mark + 3] = valueEnd - base
    }
  }

  /** Cuts the fields noted in `marks` out of their text and heeds those that frame the message. */
  #takeFields(text: string): string[] {
    const raw: string[] = []
    for (let mark = 0; mark < fieldCount * 4; mark += 4) {
      const name = text.slice(marks[mark], marks[mark + 1])
      const value = text.slice(marks[mark + 2], marks[mark + 3])
      raw.push(name, value)
      switch (name.length) {
        case 10:
          this.#heedConnection(name, value)
          break
        case 14:
          if (isNamed(name, 'content-length')) this.#heedLength(value, text, mark)
          break
        case 15:
          if (isNamed(name, 'persistent-auth')) this.#connectionBound = true
          break
        case 16:
          if (isNamed(name, 'www-authenticate') && bindsConnection(value)) this.#connectionBound = true
          break
        case 17:
          if (isNamed(name, 'transfer-encoding')) this.#heedCoding(value, text, mark)
          break
        default:
      }
    }
    return raw
  }

  /** As `takeFields`; a field that would frame a message is refused (RFC 9110 section 6.5.1). */
  #takeTrailers(text: string): string[] {
    const raw: string[] = []
    for (let mark = 0; mark < fieldCount * 4; mark += 4) {
      const name = text.slice(marks[mark], marks[mark + 1])
      if (isNamed(name, 'content-length') || isNamed(name, 'transfer-encoding')) this.#refuse('framing in a trailer')
      raw.push(name, text.slice(marks[mark + 2], marks[mark + 3]))
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

  #heedLength(value: string, text: string, mark: number): void {
    if (this.#length !== NO_LENGTH) {
      this.#refuse('more than one Content-Length')
      return
    }
    let length = 0
    for (let at = 0; at < value.length; at++) {
      const digit = value.charCodeAt(at) - ZERO
      if (digit < 0 || digit > 9) {
        this.#refuse('malformed Content-Length')
        return
      }
      length = length * 10 + digit
    }
    if (value === '') this.#refuse('malformed Content-Length')
    else if (length > Number.MAX_SAFE_INTEGER) this.#refuse('Content-Length too large')
    this.#length = length
    this.#checkTab(text, mark)
  }

  #heedCoding(value: string, text: string, mark: number): void {
    if (this.#chunked) this.#refuse('more than one Transfer-Encoding')
    else if (value.toLowerCase() !== 'chunked') this.#refuse('transfer coding other than chunked')
    this.#chunked = true
    this.#checkTab(text, mark)
  }

  /** A tab behind the value is white space that some parsers take for a part of it: then they frame differently. */
  #checkTab(text: string, mark: number): void {
    for (let at = marks[mark + 3] as number; text.charCodeAt(at) !== CR; at++) {
      if (text.charCodeAt(at) === TAB) this.#refuse('tab behind a framing value')
    }
  }

  /** Begins to keep a section that came in part. */
  #hold(chunk: Buffer, at: number, end: number): void {
    const size = end - at
    if (size > this.#limits.headBytes) {
      this.#refuse('section too large')
      return
    }
    const pending = Buffer.allocUnsafeSlow(Math.max(512, size * 2))
    chunk.copy(pending, 0, at, end)
    this.#pending = pending
    this.#pendingLength = size
    this.#checkPart(pending, 0, size)
  }

  /** Adds a chunk to the kept section; returns it once its end has come, else null. Looks at each byte once. */
  #gather(chunk: Buffer, at: number, end: number): Buffer | null {
    let pending = this.#pending as Buffer
    const before = this.#pendingLength
    const length = before + end - at
    if (length > pending.length) {
      const grown = Buffer.allocUnsafeSlow(length * 2)
      pending.copy(grown, 0, 0, before)
      pending = grown
      this.#pending = grown
    }
    chunk.copy(pending, before, at, end)
    this.#pendingLength = length
    // NOTE: behind `length` lies whatever was in that memory before.
    const blank = pending.indexOf(EMPTY_LINE, Math.max(0, before - 3))
    if (blank >= 0 && blank + EMPTY_LINE.length <= length) return pending
    if (this.#state === TRAILER && length >= 2 && pending[0] === CR && pending[1] === LF) return pending
    if (length > this.#limits.headBytes) this.#refuse('section too large')
    else if (this.#checkPart(pending, before, length) && this.#state === HEAD && before < 16) {
      // The beginning may tell already that this is no HTTP.
      if (this.#scanStatusLine(pending, 0, length) === MALFORMED) return null
    }
    return null
  }

  /** A byte that no section may hold is refused as soon as it comes, not when the section is whole. */
  #checkPart(pending: Buffer, from: number, to: number): boolean {
    for (let at = from; at < to; at++) {
      const byte = pending[at] as number
      if (((CLASS[byte] as number) & VALUE) !== 0) {
        if (at > 0 && pending[at - 1] === CR) return this.#refuse('bare CR')
      } else if (byte === LF) {
        if (at === 0 || pending[at - 1] !== CR) return this.#refuse('bare LF')
      } else if (byte !== CR || (at > 0 && pending[at - 1] === CR)) {
        return this.#refuse('control byte in the head')
      }
    }
    return true
  }

  #malformed(fault: string): typeof MALFORMED {
    this.#refuse(fault)
    return MALFORMED
  }

  #refuse(fault: string): false {
    if (this.fault === null) this.fault = fault
    this.#state = FAULT
    this.#pending = null
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

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE
}

function isToken(byte: number | undefined): boolean {
  return byte !== undefined && ((CLASS[byte] as number) & TOKEN) !== 0
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB
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
const CHUNK_SIZE = 3
const CHUNK_SIZE_LF = 4
const CHUNK_DATA = 5
const CHUNK_DATA_CR = 6
const CHUNK_DATA_LF = 7
const TRAILER = 8
const EXTENSION_BEGIN = 9
const EXTENSION_NAME = 10
const EXTENSION_EQUALS = 11
const EXTENSION_TOKEN = 12
const EXTENSION_QUOTED = 13
const EXTENSION_ESCAPE = 14
const EXTENSION_QUOTED_END = 15
const DONE = 16
const FAULT = 17

const NO_LENGTH = -1
const INCOMPLETE = -1
const MALFORMED = -2

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const QUOTE = 0x22 // "
const ZERO = 0x30 // 0
const ONE = 0x31 // 1
const NINE = 0x39 // 9
const COLON = 0x3a // :
const SEMICOLON = 0x3b // ;
const EQUALS = 0x3d // =
const BACKSLASH = 0x5c // \
const VERSION = Buffer.from('HTTP/1.', 'latin1')
const EMPTY_LINE = Buffer.from('\r\n\r\n', 'latin1')

// Bits of CLASS.
const TOKEN = 1
const VALUE = 2

// :: byte → TOKEN (RFC 9110 section 5.6.2) | VALUE (HTAB, SP, VCHAR, obs-text)
const CLASS = new Uint8Array(256)
for (let byte = 0x20; byte < 0x100; byte++) if (byte !== 0x7f) CLASS[byte] = VALUE
CLASS[TAB] = VALUE
for (const byte of Buffer.from("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
  CLASS[byte] = TOKEN | VALUE
}

// :: byte → its value as a hexadecimal digit, or 255
const HEX = new Uint8Array(256).fill(255)
for (let digit = 0; digit < 16; digit++) {
  HEX[digit.toString(16).charCodeAt(0)] = digit
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
}

// Scratch of the section being read: parsing a section never re-enters. :: field → start and end of name and value
const MAX_FIELDS = 1000
const marks = new Int32Array(MAX_FIELDS * 4)
let fieldCount = 0
