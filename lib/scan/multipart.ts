/** Hot: per chunk. Bench: bench/micro/scan/scanner.ts. */
import { SluiceError } from '../errors.ts'
import { lower } from './_candidate.ts'
import { FIRST_STATES, PART_HEADER, TEXT } from './_states.ts'
import type { Context } from './context.ts'
import { ANGLE, CURLY } from './delimiters.ts'
import { Hold } from './hold.ts'
import { Lane } from './lane.ts'
import type { ScanSink } from './spot.ts'
import { type MakeReader, Pass, type Reader, Unsettled } from './unsettled.ts'

export interface MultipartOptions {
  readonly boundary: string
  readonly delimiters: number
  readonly expressionBytes: number
  /** Scan parts of binary types too, as text. */
  readonly scanBinary: boolean
  readonly sink: ScanSink
  /** Offset in the body of the first byte. */
  readonly base: number
  /** The boundaries around it, outermost first. */
  readonly boundaries: readonly string[]
}

/**
 * Scans a multipart body (RFC 2046, 5.1): every part by its own type, its head as lines of text, and what stands before
 * the first and after the last boundary as text. A boundary counts at the beginning of a line, with nothing but white
 * space behind it; a line may end in LF alone. No expression reaches across a boundary.
 */
export class Multipart extends Hold {
  readonly #options: MultipartOptions
  readonly #boundaries: readonly string[]
  readonly #make: MakeReader
  /** `--boundary` */
  readonly #needle: Buffer
  #state = PART
  /** What reads the part; null before its first byte. */
  #reader: Reader | null
  #contentType: string | undefined
  #literals = 0

  /** Bytes before it are with the reader or the sink. */
  #from = 0
  /** Nothing that is looked for begins before it. */
  #at = 0
  /** First byte of the head or part. */
  #partAt = 0

  /** Set by `#find`: the end of the part's bytes, the end of the boundary's line, and whether it is the last. */
  #dataEnd = 0
  #next = 0
  #isLast = false

  constructor(options: MultipartOptions) {
    super(options.base, HEAD_BYTES)
    this.#options = options
    this.#boundaries = [...options.boundaries, options.boundary]
    if (this.#boundaries.length > MOST_NESTED) {
      throw new SluiceError('ERR_CONTENT_TYPE', `Multipart bodies are nested more than ${MOST_NESTED} deep`)
    }
    this.#needle = Buffer.from(`--${options.boundary}`, 'latin1')
    this.#make = (context, base) => this.#readerFor(context, base)
    this.#reader = this.#newLane(TEXT, options.base)
  }

  get literalOpeners(): number {
    return this.#literals + (this.#reader?.literalOpeners ?? 0)
  }

  override get heldBytes(): number {
    return super.heldBytes + (this.#reader?.heldBytes ?? 0)
  }

  override end(last?: Buffer): void {
    super.end(last)
    this.#endReader()
  }

  protected override rebase(delta: number): void {
    this.#from -= delta
    this.#at -= delta
    this.#partAt = lower(this.#partAt, delta)
  }

  protected override run(buffer: Buffer, end: number, final: boolean): number {
    for (;;) {
      const more = this.#state === HEAD ? this.#head(buffer, end, final) : this.#part(buffer, end, final)
      if (!more) return this.#from
    }
  }

  /** Reads the head of a part. False when it needs more bytes. */
  #head(buffer: Buffer, end: number, final: boolean): boolean {
    let lineAt = this.#at
    for (;;) {
      const found = buffer.indexOf(LF, lineAt)
      const lineEnd = found < 0 || found >= end ? end : found
      if (lineEnd - this.#from > HEAD_BYTES) {
        throw new SluiceError('ERR_HTTP_SYNTAX', `The head of a part is over ${HEAD_BYTES} bytes`, {
          offset: this.base + this.#from
        })
      }
      if (lineEnd === end) break
      if (lineEnd === lineAt || (lineEnd === lineAt + 1 && buffer[lineAt] === CR)) {
        this.#endHead(buffer, lineEnd + 1)
        return true
      }
      const tail = lineAt + this.#needle.length
      if (tail <= lineEnd && this.#isNeedle(buffer, lineAt, tail) && this.#tail(buffer, tail, end, true) >= 0) {
        // A part without a body, not even an empty one.
        this.#scanHead(buffer, lineAt)
        this.#pass(buffer, this.#next)
        this.#begin(this.#isLast ? EPILOGUE : HEAD)
        return true
      }
      lineAt = lineEnd + 1
    }
    this.#at = lineAt
    if (final) this.#scanHead(buffer, end)
    return false
  }

  /** @param end Where the part's bytes begin. */
  #endHead(buffer: Buffer, end: number): void {
    this.#contentType = this.#readContentType(buffer.toString('latin1', this.#from, end))
    this.#scanHead(buffer, end)
    this.#begin(PART)
  }

  #scanHead(buffer: Buffer, end: number): void {
    const head = buffer.subarray(this.#from, end)
    if (head.includes('{{') || head.includes('<<')) {
      const lane = this.#newLane(PART_HEADER, this.base + this.#from)
      lane.end(head)
      this.#literals += lane.literalOpeners
      this.#from = end
    } else {
      this.#pass(buffer, end)
    }
  }

  /** Hands on the bytes of a part as far as they are known to be its own. False when more must come. */
  #part(buffer: Buffer, end: number, final: boolean): boolean {
    if (this.#state === EPILOGUE) {
      this.#give(buffer, end)
      return false
    }
    const found = this.#find(buffer, end, final)
    this.#give(buffer, found ? this.#dataEnd : this.#at)
    if (!found) return false
    this.#endReader()
    this.#pass(buffer, this.#next)
    this.#begin(this.#isLast ? EPILOGUE : HEAD)
    return true
  }

  #readerFor(context: Context | null, base: number): Reader {
    const { delimiters, expressionBytes, scanBinary, sink } = this.#options
    if (context === null) return scanBinary ? this.#newLane(TEXT, base) : new Pass(sink)
    if (context.kind !== 'multipart') return this.#newLane(FIRST_STATES[context.kind], base, context.ascii)
    const boundary = context.boundary ?? ''
    const boundaries = this.#boundaries
    return new Multipart({ boundary, delimiters, expressionBytes, scanBinary, sink, base, boundaries })
  }

  #newLane(state: number, base: number, ascii = false): Lane {
    const { delimiters, expressionBytes, sink } = this.#options
    const boundaries = this.#boundaries
    return new Lane({ state, delimiters, expressionBytes, sink, base, ascii, boundaries })
  }

  /** Gives the part's bytes up to `end` to its reader. */
  #give(buffer: Buffer, end: number): void {
    if (end <= this.#from) return
    this.#reader ??= new Unsettled(this.#contentType, this.base + this.#from, this.#make)
    const from = this.#from
    this.#from = end
    this.#at = Math.max(this.#at, end)
    this.#reader.write(buffer.subarray(from, end))
  }

  /** Bytes up to `end` go on as they are. */
  #pass(buffer: Buffer, end: number): void {
    if (end > this.#from) this.#options.sink.bytes(buffer, this.#from, end)
    this.#from = end
    this.#at = end
  }

  #begin(state: number): void {
    this.#state = state
    this.#at = this.#from
    this.#partAt = this.#from
    if (state === EPILOGUE) this.#reader = this.#newLane(TEXT, this.base + this.#from)
  }

  #endReader(): void {
    if (this.#reader === null) return
    this.#reader.end()
    this.#literals += this.#reader.literalOpeners
    this.#reader = null
  }

  /** Looks for the next boundary. When there is none, `#at` is the first byte that may yet belong to one. */
  #find(buffer: Buffer, end: number, final: boolean): boolean {
    const needle = this.#needle
    for (let at = this.#at; ; ) {
      const found = buffer.indexOf(needle, at)
      if (found < 0 || found + needle.length > end) break
      at = found + 1
      if (found !== this.#partAt && (found === 0 || buffer[found - 1] !== LF)) continue
      const next = this.#tail(buffer, found + needle.length, end, final)
      if (next === NO_BOUNDARY) continue
      const dataEnd = this.#lineStart(buffer, found)
      if (next === MORE) {
        this.#at = dataEnd
        return false
      }
      this.#dataEnd = dataEnd
      return true
    }
    this.#at = final ? end : this.#partial(buffer, end)
    return false
  }

  /** Where the line end before a boundary begins: it belongs to the boundary. */
  #lineStart(buffer: Buffer, found: number): number {
    if (found === this.#partAt) return found
    return found - 2 >= this.#from && buffer[found - 2] === CR ? found - 2 : found - 1
  }

  /** The first byte from which all that follows may be the beginning of a boundary and the line end before it. */
  #partial(buffer: Buffer, end: number): number {
    if (
      this.#partAt >= this.#from &&
      end - this.#partAt < this.#needle.length &&
      this.#isNeedle(buffer, this.#partAt, end)
    ) {
      return this.#partAt
    }
    let at = Math.max(this.#from, end - this.#needle.length)
    for (;;) {
      const line = buffer.indexOf(LF, at)
      if (line < 0 || line >= end) break
      if (this.#isNeedle(buffer, line + 1, end)) return line > this.#from && buffer[line - 1] === CR ? line - 1 : line
      at = line + 1
    }
    return end > this.#from && buffer[end - 1] === CR ? end - 1 : end
  }

  /** Do the bytes from `at` begin like the boundary, as far as they go? */
  #isNeedle(buffer: Buffer, at: number, end: number): boolean {
    const length = Math.min(this.#needle.length, end - at)
    return buffer.compare(this.#needle, 0, length, at, at + length) === 0
  }

  /** What follows a boundary. Returns the index after its line and sets `#next` and `#isLast`, or NO_BOUNDARY or MORE. */
  #tail(buffer: Buffer, from: number, end: number, final: boolean): number {
    const more = final ? NO_BOUNDARY : MORE
    let at = from
    if (at < end && buffer[at] === DASH) {
      if (at + 1 >= end) return more
      if (buffer[at + 1] !== DASH) return NO_BOUNDARY
      this.#isLast = true
      this.#next = at + 2
      return this.#next
    }
    while (at < end && (buffer[at] === SPACE || buffer[at] === TAB)) {
      if (++at - from > PADDING) return NO_BOUNDARY
    }
    if (at < end && buffer[at] === CR) at++
    if (at >= end) return more
    if (buffer[at] !== LF) return NO_BOUNDARY
    this.#isLast = false
    this.#next = at + 1
    return this.#next
  }

  /**
   * The Content-Type of a part's head.
   *
   * @throws ERR_CONTENT_TYPE when there are several, or when it holds an expression: it decides how values are escaped
   */
  #readContentType(head: string): string | undefined {
    let found: string | undefined
    for (const line of head.replace(/\r?\n[ \t]+/g, ' ').split('\n')) {
      if (!/^content-type[ \t]*:/i.test(line)) continue
      const value = line.slice(line.indexOf(':') + 1).trim()
      const { delimiters } = this.#options
      const holdsOpener =
        ((delimiters & CURLY) !== 0 && value.includes('{{')) || ((delimiters & ANGLE) !== 0 && value.includes('<<'))
      if (holdsOpener || (found !== undefined && found !== value)) {
        throw new SluiceError('ERR_CONTENT_TYPE', 'The type of a part is ambiguous', { offset: this.base + this.#from })
      }
      found = value
    }
    return found
  }
}

const HEAD = 1
const PART = 2
const EPILOGUE = 3

/** `#tail`: this is no boundary. */
const NO_BOUNDARY = -1
/** `#tail`: more bytes will tell. */
const MORE = -2

/** The longest head of a part. */
const HEAD_BYTES = 8192
/** White space after a boundary (RFC 2046: transport padding). */
const PADDING = 64
/** Each byte is seen once per level. */
const MOST_NESTED = 4

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const DASH = 0x2d
