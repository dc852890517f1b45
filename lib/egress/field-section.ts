/*
 * Hot: per response. Bench: bench/micro/egress/response-parser.ts.
 *
 * A section that lies whole in one chunk is scanned once, byte by byte, and turned into one latin1 string of which names
 * and values are substrings: measured 2.5 times as fast as a `latin1Slice` for each of them. Lines that stood in the
 * connection's head before are compared with it instead (known-lines.ts).
 */

import { KNOWN_BYTES, KnownLines, LastView, UNLIKE, unlikeInARow } from '../known-lines.ts'
import { CLASSES, IN_TOKEN, IN_VALUE } from './octets.ts'

/** The section's empty line has come. */
const WHOLE = 1
/** More of it must come. */
export const INCOMPLETE = -1
/** It is refused: see `fault`. */
export const MALFORMED = -2

/** A head (status line and header fields) or a trailer section, read strictly, in whatever pieces it comes. */
export class FieldSection {
  /** Why the section was refused, in words without any byte of it. */
  fault = ''
  /** Once whole: how many fields there are. */
  count = 0
  /** Once whole: the place behind it in the chunk that was read last. */
  end = 0

  readonly #maxBytes: number
  readonly #maxFields: number
  #isHead = true
  /** Once whole: the section as latin1, its empty line too; empty when every line of it is known. */
  #text = ''
  /** Once whole: where the fields begin in it. */
  #fieldsAt = 0
  /** A head before this one; none before the second. */
  #known: KnownLines | null = null
  #unlike = 0
  /** The first line is the known one. */
  #sameLine = false
  /** Fields that are not known ones. */
  #others = 0
  /** What has come of a section whose end has not. */
  #pending: Buffer | null = null
  #length = 0

  constructor(maxBytes: number, maxFields: number) {
    this.#maxBytes = maxBytes
    this.#maxFields = Math.min(maxFields, MAX_FIELDS)
  }

  /** Expects a section: a head, or the trailer section of a chunked body. */
  begin(isHead: boolean): void {
    this.#isHead = isHead
    this.#pending = null
  }

  /** Reads `chunk[at, end)`; returns WHOLE, INCOMPLETE or MALFORMED. */
  read(chunk: Buffer, at: number, end: number): number {
    if (this.#pending === null) {
      const outcome = this.#scan(chunk, at, end)
      if (outcome !== INCOMPLETE) return outcome
      return this.#hold(chunk, at, end)
    }
    const before = this.#length
    const gathered = this.#gather(chunk, at, end)
    if (gathered !== WHOLE) return gathered
    const outcome = this.#scan(this.#pending, 0, this.#length)
    if (outcome === INCOMPLETE) return this.#refuse('malformed section')
    this.end += at - before
    this.#pending = null
    return outcome
  }

  /** The status line of the whole head, without its end. */
  get statusLine(): string {
    return this.#sameLine ? (this.#known as KnownLines).first : this.#text.slice(0, this.#fieldsAt - 2)
  }

  /** The name of the `index`-th field of the whole section, as received. */
  nameAt(index: number): string {
    const line = lines[index] as number
    if (line > 0) return (this.#known as KnownLines).fields[2 * line - 2] as string
    return this.#text.slice(marks[index * 4], marks[index * 4 + 1])
  }

  /** The value of the `index`-th field, without the white space around it. */
  valueAt(index: number): string {
    const line = lines[index] as number
    if (line > 0) return (this.#known as KnownLines).fields[2 * line - 1] as string
    return this.#text.slice(marks[index * 4 + 2], marks[index * 4 + 3])
  }

  /** True when a tab stands behind the value of the `index`-th field: some parsers take it for a part of the value. */
  hasTabBehind(index: number): boolean {
    // No head with a tab is kept.
    if ((lines[index] as number) > 0) return false
    for (let at = marks[index * 4 + 3] as number; ; at++) {
      const code = this.#text.charCodeAt(at)
      if (code === CR) return false
      if (code === TAB) return true
    }
  }

  #scan(bytes: Buffer, from: number, to: number): number {
    const known = this.#isHead && this.#pending === null ? this.#known : null
    let fieldsAt = from
    this.#sameLine = false
    this.#others = 0
    if (this.#isHead) {
      if (known !== null) fieldsAt += known.lengthAt(0, VIEW.of(bytes), from, to)
      this.#sameLine = fieldsAt > from
      if (!this.#sameLine) fieldsAt = this.#scanStatusLine(bytes, from, to)
      if (fieldsAt < 0) return fieldsAt
    }
    const end = this.#scanFields(bytes, fieldsAt, to, from, known)
    if (end < 0) return end
    this.#text = this.#sameLine && this.#others === 0 ? '' : bytes.toString('latin1', from, end)
    this.#fieldsAt = fieldsAt - from
    this.end = end
    if (this.#isHead && this.#pending === null) this.#learn(bytes, from, end)
    return WHOLE
  }

  /** The head is kept for the next ones, at the second in a row that is mostly unlike the known one. */
  #learn(bytes: Buffer, from: number, end: number): void {
    this.#unlike = unlikeInARow(this.#unlike, this.#known, this.count, this.#others)
    if (this.#unlike < UNLIKE) return
    this.#unlike = 0
    const head = bytes.subarray(from, end - 2)
    if (head.length > KNOWN_BYTES || head.includes(TAB)) return
    for (let index = 0; index < this.count; index++) {
      const line = lines[index] as number
      if (line > 0) (this.#known as KnownLines).mark(line, marks[index * 4] as number, marks, index * 4)
      lines[index] = index + 1
    }
    this.#known = new KnownLines(head, marks.subarray(0, this.count * 4))
    this.#sameLine = true
  }

  /** Returns where the header fields begin, INCOMPLETE or MALFORMED. */
  #scanStatusLine(bytes: Buffer, from: number, to: number): number {
    let at = from
    for (let i = 0; i < VERSION.length; i++, at++) {
      if (at >= to) return INCOMPLETE
      if (bytes[at] !== VERSION[i]) return this.#refuse('malformed status line')
    }
    if (at < to && bytes[at] !== ONE && bytes[at] !== ZERO) return this.#refuse('unsupported version')
    if (to - at < 7) return INCOMPLETE
    if (bytes[at + 1] !== SPACE) return this.#refuse('malformed status line')
    const hundreds = (bytes[at + 2] as number) - ZERO
    if (hundreds < 1 || hundreds > 9 || !isDigit(bytes[at + 3]) || !isDigit(bytes[at + 4])) {
      return this.#refuse('malformed status code')
    }
    at += 5
    // NOTE: the space behind the code is required by RFC 9112 section 4, and many servers without a reason leave it out.
    if (bytes[at] === SPACE) {
      at++
      while (at < to && ((CLASS[bytes[at] as number] as number) & VALUE) !== 0) at++
    }
    if (at >= to) return INCOMPLETE
    if (bytes[at] !== CR) return this.#refuse('malformed status line')
    if (at + 1 >= to) return INCOMPLETE
    if (bytes[at + 1] !== LF) return this.#refuse('bare CR')
    return at + 2
  }

  /**
   * Scans fields up to and with the empty line and notes their places, relative to `base`, in `marks`. Returns the place
   * behind the empty line, INCOMPLETE or MALFORMED.
   */
  #scanFields(bytes: Buffer, from: number, to: number, base: number, known: KnownLines | null): number {
    let at = from
    let count = 0
    let line = 1
    for (;;) {
      if (at + 1 >= to) return INCOMPLETE
      if (bytes[at] === CR) {
        if (bytes[at + 1] !== LF) return this.#refuse('bare CR')
        if (at + 2 - base > this.#maxBytes) return this.#refuse('section too large')
        this.count = count
        return at + 2
      }
      if (known !== null) {
        const first = count
        for (; line <= known.count && count < this.#maxFields; line++) {
          const length = known.lengthAt(line, VIEW.of(bytes), at, to)
          if (length === 0) break
          marks[count * 4] = at - base
          lines[count++] = line
          at += length
        }
        // The one that is not stands for its like.
        line++
        if (count > first) continue
      }
      const name = at
      while (at < to && ((CLASS[bytes[at] as number] as number) & TOKEN) !== 0) at++
      if (at >= to) return INCOMPLETE
      if (bytes[at] !== COLON || at === name) {
        return this.#refuse(isBlank(bytes[name]) ? 'obs-fold' : 'malformed field name')
      }
      const nameEnd = at++
      while (at < to && isBlank(bytes[at])) at++
      const value = at
      while (at < to && ((CLASS[bytes[at] as number] as number) & VALUE) !== 0) at++
      if (at >= to) return INCOMPLETE
      if (bytes[at] !== CR) return this.#refuse(bytes[at] === LF ? 'bare LF' : 'control byte in a value')
      if (at + 1 >= to) return INCOMPLETE
      if (bytes[at + 1] !== LF) return this.#refuse('bare CR')
      let valueEnd = at
      while (valueEnd > value && isBlank(bytes[valueEnd - 1])) valueEnd--
      at += 2
      if (count >= this.#maxFields) return this.#refuse('too many fields')
      lines[count] = 0
      this.#others++
      const mark = count++ * 4
      marks[mark] = name - base
      marks[mark + 1] = nameEnd - base
      marks[mark + 2] = value - base
      marks[mark + 3] = valueEnd - base
    }
  }

  /** Begins to keep a section that came in part. */
  #hold(chunk: Buffer, at: number, end: number): number {
    const size = end - at
    if (size > this.#maxBytes) return this.#refuse('section too large')
    const pending = Buffer.allocUnsafeSlow(Math.max(512, size * 2))
    chunk.copy(pending, 0, at, end)
    this.#pending = pending
    this.#length = size
    return this.#checkPart(pending, 0, size)
  }

  /** Adds a chunk to the kept section; returns WHOLE once its end has come. Looks at each byte once. */
  #gather(chunk: Buffer, at: number, end: number): number {
    let pending = this.#pending as Buffer
    const before = this.#length
    const length = before + end - at
    if (length > pending.length) {
      const grown = Buffer.allocUnsafeSlow(length * 2)
      pending.copy(grown, 0, 0, before)
      pending = grown
      this.#pending = grown
    }
    chunk.copy(pending, before, at, end)
    this.#length = length
    // NOTE: behind `length` lies whatever was in that memory before.
    const blank = pending.indexOf(EMPTY_LINE, Math.max(0, before - 3))
    if (blank >= 0 && blank + EMPTY_LINE.length <= length) return WHOLE
    if (!this.#isHead && length >= 2 && pending[0] === CR && pending[1] === LF) return WHOLE
    if (length > this.#maxBytes) return this.#refuse('section too large')
    const outcome = this.#checkPart(pending, before, length)
    // The beginning may tell already that this is no HTTP.
    if (outcome === INCOMPLETE && this.#isHead && before < 16) {
      return this.#scanStatusLine(pending, 0, length) === MALFORMED ? MALFORMED : INCOMPLETE
    }
    return outcome
  }

  /** A byte that no section may hold is refused as soon as it comes, not when the section is whole. */
  #checkPart(pending: Buffer, from: number, to: number): number {
    for (let at = from; at < to; at++) {
      const byte = pending[at] as number
      const afterCr = at > 0 && pending[at - 1] === CR
      if (byte === LF) {
        if (!afterCr) return this.#refuse('bare LF')
      } else if (afterCr) {
        return this.#refuse('bare CR')
      } else if (byte !== CR && ((CLASS[byte] as number) & VALUE) === 0) {
        return this.#refuse('control byte in a section')
      }
    }
    return INCOMPLETE
  }

  #refuse(fault: string): typeof MALFORMED {
    this.fault = fault
    this.#pending = null
    return MALFORMED
  }
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB
}

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const ZERO = 0x30 // 0
const ONE = 0x31 // 1
const NINE = 0x39 // 9
const COLON = 0x3a // :
const CLASS = CLASSES
const TOKEN = IN_TOKEN
const VALUE = IN_VALUE
const VERSION = Buffer.from('HTTP/1.', 'latin1')
const EMPTY_LINE = Buffer.from('\r\n\r\n', 'latin1')

// Scratch of the section that was read last, of whichever connection: whoever reads one takes its fields at once.
// :: field → start and end of its name and of its value in the text; of a known line only its start
const MAX_FIELDS = 1000
const marks = new Int32Array(MAX_FIELDS * 4)
// :: field → which line of the known head it is; 0: none
const lines = new Int32Array(MAX_FIELDS)

const VIEW = new LastView()
