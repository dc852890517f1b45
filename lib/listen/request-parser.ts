import { type ErrorCode, SluiceError } from '../errors.ts'
import { inOnePiece } from '../json.ts'
import { KNOWN_BYTES, KnownLines, LastView, UNLIKE, unlikeInARow } from '../known-lines.ts'
import * as octets from './bytes.ts'
import { ChunkFrame, FRAME_DATA, FRAME_LAST, FRAME_MALFORMED } from './chunk-frame.ts'
import { type RequestHead, readHead } from './head.ts'
import { HeldBytes } from './held-bytes.ts'

/*
 * Hot: per request and per chunk. Bench: bench/micro/listen/request-parser.ts.
 *
 * Every byte of a head is looked at once, whatever pieces it comes in: the scanner stops at the end of a piece and goes
 * on in the next. A complete head becomes one latin1 string, of which names and values are substrings; lines that stood
 * in the connection's head before are compared with it instead (known-lines.ts).
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
 *     START ─▶ METHOD ─▶ TARGET ─▶ VERSION ─▶ FIELD … ─▶ BODY_LENGTH ──────────────────────────▶ DONE
 *                                                     └▶ CHUNK_FRAME ⇄ CHUNK_DATA ─▶ trailers ─▶ DONE
 */
export class RequestParser {
  /** Why the request was refused, in words without any byte of it; null while all is well. */
  fault: SluiceError | null = null

  readonly #sink: RequestSink
  readonly #headBytes: number
  #state = START
  /** With a length: bytes of the body still to come. */
  #left = 0
  #frame: ChunkFrame | null = null
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
  #pending: HeldBytes | null = null
  #marks: number[] = MARKS
  /** A head before this one; none before the second, since many connections carry one request. */
  #known: KnownHead | null = null
  #unlike = 0
  /** Which of its lines is looked for next; 0: the request line. */
  #line = 0
  /** The request line is the known one. */
  #sameLine = false
  /** Fields that are not known ones. */
  #others = 0

  /** @param headBytes limit of the request line with the header fields; beyond: ERR_HEAD_SIZE */
  constructor(sink: RequestSink, headBytes: number) {
    this.#sink = sink
    this.#headBytes = headBytes
  }

  /** Some of a head has come, more than an empty line. */
  get started(): boolean {
    return this.#pending !== null && this.#pending.end > this.#methodAt
  }

  /** Bytes of the body that are known to be still to come: exact with a length, of the current chunk without. */
  get left(): number {
    return this.#state === CHUNK_DATA ? (this.#frame as ChunkFrame).left : this.#left
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
    const pending = this.#pending
    if (pending === null) {
      const stop = this.#scan(chunk, start, end, start)
      if (this.fault !== null) return end
      if ((stop < 0 ? end : stop) - start > limit) return this.#tooLarge(end)
      if (stop < 0) {
        this.#pending = new HeldBytes(chunk, start, end)
        this.#markKnown()
        this.#marks = MARKS.slice(0, (this.#fields + 1) * MARKS_PER_FIELD)
        return end
      }
      this.#sectionRead(chunk, start, stop, true)
      return this.fault === null ? stop : end
    }
    const before = pending.end
    // One byte over the limit is enough to know.
    pending.append(chunk, start, Math.min(end, start + limit + 1 - before))
    const stop = this.#scan(pending.bytes, before, pending.end, 0)
    if (this.fault !== null) return end
    if ((stop < 0 ? pending.end : stop) > limit) return this.#tooLarge(end)
    if (stop < 0) return end
    this.#pending = null
    this.#sectionRead(pending.bytes, 0, stop, false)
    this.#marks = MARKS
    return this.fault === null ? start + stop - before : end
  }

  /** @param whole it came in one piece: what is said of known lines holds */
  #sectionRead(bytes: Buffer, base: number, stop: number, whole: boolean): void {
    if (this.#trailer) {
      if (this.#fields > 0 && !this.#trailersAreHarmless(bytes, base, stop)) return
      this.#finish()
      this.#sink.requestComplete()
      return
    }
    const known = whole ? this.#known : null
    const isSame = known !== null && this.#sameLine
    const text = isSame && this.#others === 0 ? '' : bytes.toString('latin1', base, stop)
    const method = isSame ? known.method : METHODS.get(text.slice(this.#methodAt, this.#methodEnd))
    const target = isSame ? known.target : text.slice(this.#methodEnd + 1, this.#targetEnd)
    if (method === undefined || method === 'CONNECT' || (method === 'OPTIONS' && target === '*')) {
      this.#refuse('The method is not allowed here', 'ERR_METHOD')
      return
    }
    if (target.charCodeAt(0) !== SLASH && !ABSOLUTE_FORM.test(target)) {
      this.#refuse('The target is malformed')
      return
    }
    let head: RequestHead
    try {
      head = readHead(method, target, this.#takeFields(text, known), this.#minor)
    } catch (error) {
      this.#state = FAULT
      this.fault = error as SluiceError
      return
    }
    if (this.#tabBehind) {
      this.#refuse('A tab behind a value')
      return
    }
    if (whole) this.#learn(method, target, bytes, base, stop)
    if (head.bodyBytes === 0) {
      this.#finish()
    } else if (head.bodyBytes > 0) {
      this.#left = head.bodyBytes
      this.#state = BODY_LENGTH
    } else {
      this.#frame ??= new ChunkFrame()
      this.#frame.begin()
      this.#state = CHUNK_FRAME
    }
    this.#sink.requestHead(head, this.#minor)
  }

  /** Ready for the next request. */
  #finish(): void {
    this.#state = START
    this.#trailer = false
    this.#left = 0
  }

  /** The head is kept for the next ones, at the second in a row that is mostly unlike the known one. */
  #learn(method: string, target: string, bytes: Buffer, base: number, stop: number): void {
    this.#unlike = unlikeInARow(this.#unlike, this.#known, this.#fields, this.#others)
    if (this.#unlike < UNLIKE) return
    this.#unlike = 0
    const at = this.#methodAt
    const length = stop - 2 - base - at
    if (length > KNOWN_BYTES) return
    this.#markKnown()
    const marks = MARKS.slice(0, this.#fields * MARKS_PER_FIELD)
    if (at > 0) for (let mark = 0; mark < marks.length; mark++) marks[mark] = (marks[mark] as number) - at
    const head = bytes.subarray(base + at, stop - 2)
    this.#known = new KnownHead(head, marks, method, target, this.#minor)
  }

  /** Of known lines only the beginnings are marked. */
  #markKnown(): void {
    const known = this.#known
    if (known === null || this.#trailer) return
    for (let index = 0; index < this.#fields; index++) {
      const line = KNOWN[index] as number
      const mark = index * MARKS_PER_FIELD
      if (line > 0) known.mark(line, MARKS[mark] as number, MARKS, mark)
    }
  }

  /** Fields of lines that are known: where they stand in `KNOWN`. */
  #takeFields(text: string, known: KnownHead | null): string[] {
    const marks = this.#marks
    const count = this.#fields
    const fields: string[] = []
    for (let index = 0, mark = 0; index < count; index++, mark += MARKS_PER_FIELD) {
      const line = known === null ? 0 : (KNOWN[index] as number)
      if (known !== null && line > 0) {
        fields[2 * index] = known.fields[2 * line - 2] as string
        fields[2 * index + 1] = known.fields[2 * line - 1] as string
        continue
      }
      fields[2 * index] = text.slice(marks[mark], marks[mark + 1])
      fields[2 * index + 1] = text.slice(marks[mark + 2], marks[mark + 3])
    }
    return fields
  }

  /** Trailers are dropped, unless they are of a kind that somebody could take for the next head's. RFC 9110, 6.5.1. */
  #trailersAreHarmless(bytes: Buffer, base: number, stop: number): boolean {
    const fields = this.#takeFields(bytes.toString('latin1', base, stop), null)
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
          this.#line = 0
          this.#others = 0
          this.#sameLine = false
          state = METHOD
          if (byte !== CR) {
            const behind = this.#known === null ? at : this.#behindKnownLine(this.#known, bytes, at, to, base)
            if (behind > at) {
              at = behind
              state = FIELD
            }
            break
          }
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
          if (this.#line > 0 && this.#pending === null) {
            const behind = this.#behindKnown(this.#known as KnownHead, bytes, at, to, base)
            if (behind > at) {
              at = behind
              break
            }
          }
          this.#lineAt = at - base
          state = NAME
          break
        case NAME: {
          while (at < to && ((CLASS[bytes[at] as number] as number) & TOKEN) !== 0) at++
          if (at >= to) break
          if (bytes[at] !== COLON || at - base === this.#lineAt) return this.#refuse('A field name is malformed')
          if (this.#fields === MOST_FIELDS) return this.#refuse('Too many header fields', 'ERR_HEAD_SIZE')
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
          if (to - at >= WIDE) at = behindPlain(bytes, at, to)
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
          KNOWN[this.#fields] = 0
          this.#others++
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

  /** The place behind the request line, when it is the known one; else `from`. */
  #behindKnownLine(known: KnownHead, bytes: Buffer, from: number, to: number, base: number): number {
    this.#line = 1
    const length = known.lengthAt(0, VIEW.of(bytes), from, to)
    if (length === 0) return from
    this.#sameLine = true
    this.#methodEnd = from - base + known.method.length
    this.#targetEnd = from - base + known.method.length + 1 + known.target.length
    this.#minor = known.minor
    return from + length
  }

  /** The place behind all lines from `from` on that are the next known ones. The one that is not stands for its like. */
  #behindKnown(known: KnownLines, bytes: Buffer, from: number, to: number, base: number): number {
    const view = VIEW.of(bytes)
    const marks = this.#marks
    let at = from
    let line = this.#line
    let fields = this.#fields
    for (; line <= known.count && fields < MOST_FIELDS; line++) {
      const length = known.lengthAt(line, view, at, to)
      if (length === 0) break
      marks[fields * MARKS_PER_FIELD] = at - base
      KNOWN[fields++] = line
      at += length
    }
    this.#fields = fields
    this.#line = line + 1
    return at
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
    const frame = this.#frame as ChunkFrame
    let at = start
    while (at < end) {
      if (this.#state === CHUNK_DATA) {
        const stop = Math.min(end, at + frame.left)
        frame.left -= stop - at
        if (frame.left === 0) this.#state = CHUNK_FRAME
        if (!this.#sink.requestBody(chunk, at, stop)) return stop
        at = stop
        continue
      }
      const told = frame.read(chunk[at++] as number)
      if (told === FRAME_DATA) {
        this.#state = CHUNK_DATA
      } else if (told === FRAME_LAST) {
        this.#trailer = true
        this.#fields = 0
        this.#state = FIELD
        return at
      } else if (told === FRAME_MALFORMED) {
        this.#refuse(frame.fault)
        return end
      }
    }
    return end
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

/** A head before this one on the connection. */
class KnownHead extends KnownLines {
  readonly method: string
  readonly target: string
  readonly minor: number

  constructor(bytes: Buffer, marks: readonly number[], method: string, target: string, minor: number) {
    super(bytes, marks)
    this.method = method
    this.target = inOnePiece(target)
    this.minor = minor
  }
}

/**
 * Skips visible ASCII and spaces four bytes at a time, a third of what it costs by the byte. Stops at the latest where
 * another byte stands, or fewer than four.
 */
function behindPlain(bytes: Buffer, from: number, to: number): number {
  const view = VIEW.of(bytes)
  let at = from
  while (at + 4 <= to) {
    const four = view.getInt32(at)
    const rubout = four ^ RUBOUTS
    // Each term has its byte's high bit when a byte is over 0x7f, below 0x20, or 0x7f.
    if (((four | (four - SPACES) | ((rubout - ONES) & ~rubout)) & HIGH_BITS) !== 0) break
    at += 4
  }
  return at
}

const VIEW = new LastView()
const WIDE = 16
const ONES = 0x01010101
const SPACES = 0x20202020
const RUBOUTS = 0x7f7f7f7f
const HIGH_BITS = 0x80808080

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
const CHUNK_FRAME = 13
const CHUNK_DATA = 14
const FAULT = 15

/** Header fields of a request. */
export const MOST_FIELDS = 1000
const TRAILER_BYTES = 8192

/** Places of the fields of a head that lies whole in one chunk: name, its end, value, its end. */
const MARKS: number[] = []
const MARKS_PER_FIELD = 4
/** Of the same head's fields: which line of the known head each is; 0: none. */
const KNOWN: number[] = []

const METHODS = new Map(
  ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT'].map((name) => [name, name])
)
/** RFC 9112, 3.2.2; no userinfo (RFC 9110, 4.2.4). The rare case. */
const ABSOLUTE_FORM = /^https?:\/\/[\w.~:[\]%-]+(?:[/?]|$)/i
/** Content-Length, Transfer-Encoding: some parsers trim a tab behind their values, and some do not. */
const FRAMING_LENGTHS = new Set([14, 17])
const FRAMING = new Set(['content-length', 'transfer-encoding', 'host'])

const VERSION_BYTES = Buffer.from('HTTP/1.')

// NOTE: V8 folds constants of a module's own scope and loads imported ones anew each time: half of a head's time.
const { CLASS, COLON, CR, LF, SLASH, SPACE, TAB, TARGET_BYTE, TOKEN, VALUE_BYTE, ZERO } = octets
