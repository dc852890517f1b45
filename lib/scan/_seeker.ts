/** Hot: per chunk. Bench: bench/micro/scan/scanner.ts. */
import { NEVER } from './_candidate.ts'
import { ANGLE, CURLY } from './delimiters.ts'

/**
 * The fast gear: goes to the next byte that could begin an opener while none is open. What was found once in a buffer
 * is remembered, so no byte of it is searched twice for the same thing.
 */
export class Seeker {
  readonly #curly: boolean
  readonly #angle: boolean
  #nextCurly = UNKNOWN
  #nextAngle = UNKNOWN
  #nextBackslash = UNKNOWN
  #words: Int32Array | null = null
  /** Index of the first whole word. */
  #wordsAt = 0

  /** `json`: whether the byte that it stopped at is in a string. Set by the caller before. */
  inString = false
  /** `json`: the opening quote right before the byte that it stopped at. Set by the caller before. */
  quoteAt = NEVER
  #stopped = false
  #escapeEnd = 0

  constructor(delimiters: number) {
    this.#curly = (delimiters & CURLY) !== 0
    this.#angle = (delimiters & ANGLE) !== 0
  }

  /** Forgets the last buffer. */
  begin(): void {
    this.#nextCurly = UNKNOWN
    this.#nextAngle = UNKNOWN
    this.#nextBackslash = UNKNOWN
    this.#words = null
  }

  /** In text without escapes. Returns `end` when there is nothing; a lone half of an opener at the very end counts. */
  text(buffer: Buffer, at: number, end: number): number {
    const next = this.#opener(buffer, at, end)
    return next === end && end > at && this.#isHalf(buffer[end - 1] as number) ? end - 1 : next
  }

  /**
   * In JSON. Stops also at an escape in a string that may spell an opener or is cut.
   * @param last Nothing follows `end`: without an opener the state need not be known.
   */
  json(buffer: Buffer, at: number, end: number, last: boolean): number {
    const until = this.#opener(buffer, at, end)
    if (last && until === end && this.#backslash(buffer, at, end) === end) return end
    this.#escapeEnd = at
    this.#stopped = false
    let to = at
    while (to < until && !this.#stopped) {
      const backslash = this.#backslash(buffer, to, end)
      const plain = backslash < until ? backslash : until
      if (plain - to >= WIDE) {
        if (this.#oddQuotes(buffer, to, plain)) this.inString = !this.inString
        to = plain
      } else {
        to = this.#walk(buffer, to, until < plain + STRETCH ? until : plain + STRETCH, end)
      }
    }
    if (to > this.#escapeEnd && to > at && (to === end || this.#stopped) && this.#isHalf(buffer[to - 1] as number)) to--
    if (to > at) {
      this.quoteAt = this.inString && to > this.#escapeEnd && buffer[to - 1] === QUOTE ? to - 1 : NEVER
    }
    return to
  }

  /** Byte by byte. */
  #walk(buffer: Buffer, from: number, until: number, end: number): number {
    let at = from
    while (at < until) {
      if (!this.inString) {
        while (at < until && buffer[at] !== QUOTE) at++
        if (at === until) return at
        this.inString = true
        at++
      }
      let byte = 0
      while (at < until) {
        byte = buffer[at] as number
        if (byte === QUOTE || byte === BACKSLASH) break
        at++
      }
      if (at >= until) return at
      if (byte === QUOTE) {
        this.inString = false
        at++
        continue
      }
      if (at + 1 >= end || this.#maySpellOpener(buffer, at, end)) {
        this.#stopped = true
        return at
      }
      at += 2
      this.#escapeEnd = at
    }
    return at
  }

  /** A backslash stands at `at`: is it `\u007b`, `\u003c`, or may become one? */
  #maySpellOpener(buffer: Buffer, at: number, end: number): boolean {
    if (buffer[at + 1] !== LOWER_U) return false
    if (at + 6 > end) return true
    if (buffer[at + 2] !== ZERO || buffer[at + 3] !== ZERO) return false
    const high = buffer[at + 4]
    const low = (buffer[at + 5] as number) | 0x20
    return (high === 0x37 && low === 0x62 && this.#curly) || (high === 0x33 && low === 0x63 && this.#angle)
  }

  /** Is the number of quotes odd? There is no backslash among the bytes. */
  #oddQuotes(buffer: Buffer, from: number, to: number): boolean {
    if (this.#words === null) {
      const start = (buffer.byteOffset + 3) & ~3
      this.#wordsAt = start - buffer.byteOffset
      this.#words = new Int32Array(buffer.buffer, start, Math.max(0, buffer.length - this.#wordsAt) >> 2)
    }
    const words = this.#words
    let count = 0
    let at = from
    for (; ((at - this.#wordsAt) & 3) !== 0; at++) if (buffer[at] === QUOTE) count++
    let word = (at - this.#wordsAt) >> 2
    const wordsEnd = (to - this.#wordsAt) >> 2
    // The top bit of each byte of `odd` ends up as the parity of the bytes that are no quote; a word has four bytes, so
    // that of the quotes is the same. Exact for every byte value: no carry leaves a byte.
    let odd = 0
    for (; word + 3 < wordsEnd; word += 4) {
      const a = (words[word] as number) ^ QUOTES
      const b = (words[word + 1] as number) ^ QUOTES
      const c = (words[word + 2] as number) ^ QUOTES
      const d = (words[word + 3] as number) ^ QUOTES
      odd ^= (((a & LOW_BITS) + LOW_BITS) | a) ^ (((b & LOW_BITS) + LOW_BITS) | b)
      odd ^= (((c & LOW_BITS) + LOW_BITS) | c) ^ (((d & LOW_BITS) + LOW_BITS) | d)
    }
    for (; word < wordsEnd; word++) {
      const a = (words[word] as number) ^ QUOTES
      odd ^= ((a & LOW_BITS) + LOW_BITS) | a
    }
    count += (odd >>> 31) + ((odd >>> 23) & 1) + ((odd >>> 15) & 1) + ((odd >>> 7) & 1)
    for (at = word * 4 + this.#wordsAt; at < to; at++) if (buffer[at] === QUOTE) count++
    return (count & 1) === 1
  }

  /** The next opener in its plain spelling. */
  #opener(buffer: Buffer, at: number, end: number): number {
    if (this.#curly && this.#nextCurly < at) this.#nextCurly = find(buffer, CURLY_OPENER, at, end, 2)
    if (this.#angle && this.#nextAngle < at) this.#nextAngle = find(buffer, ANGLE_OPENER, at, end, 2)
    const curly = this.#curly ? this.#nextCurly : end
    const angle = this.#angle ? this.#nextAngle : end
    return curly < angle ? curly : angle
  }

  #backslash(buffer: Buffer, at: number, end: number): number {
    if (this.#nextBackslash < at) this.#nextBackslash = find(buffer, BACKSLASH, at, end, 1)
    return this.#nextBackslash
  }

  #isHalf(byte: number): boolean {
    return byte === CURLY_BYTE ? this.#curly : byte === ANGLE_BYTE && this.#angle
  }
}

/** NOTE: a held buffer is longer than what is in it: what lies beyond `end` is not there. */
function find(buffer: Buffer, needle: Buffer | number, at: number, end: number, length: number): number {
  const found = buffer.indexOf(needle, at)
  return found < 0 || found + length > end ? end : found
}

const UNKNOWN = -1
/** From here on words are faster than bytes. */
const WIDE = 160
/** Bytes that are walked after a backslash before the next is looked for. */
const STRETCH = 128

const CURLY_OPENER = Buffer.from('{{')
const ANGLE_OPENER = Buffer.from('<<')
const QUOTES = 0x22222222
const LOW_BITS = 0x7f7f7f7f
const QUOTE = 0x22
const ZERO = 0x30
const ANGLE_BYTE = 0x3c
const BACKSLASH = 0x5c
const LOWER_U = 0x75
const CURLY_BYTE = 0x7b
