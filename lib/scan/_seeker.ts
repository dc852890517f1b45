/** Hot: per chunk. Bench: bench/micro/scan/scanner.ts. */
import { NEVER } from './_candidate.ts'
import { find, Openers } from './_openers.ts'
import {
  CSV_BARE,
  CSV_QUOTED,
  JSON_IN,
  JSON_OUT,
  XML_DOUBLE,
  XML_OPEN,
  XML_SINGLE,
  XML_TAG,
  XML_TEXT
} from './_states.ts'
import { AS_IS, CSV_QUOTES, type Escaping, JSON_ESCAPES, REFERENCES } from './_units.ts'

/**
 * The fast gear: goes to the next byte that could begin an opener while none is open, and keeps the state of the context
 * right on the way.
 */
export class Seeker {
  readonly #openers: Openers
  #nextBackslash = UNKNOWN
  #words: Int32Array | null = null
  /** Index of the first whole word. */
  #wordsAt = 0

  /** State at the byte that it stopped at. Set by the caller before. */
  state = 0
  /** The opening quote of a JSON string right before that byte, or NEVER. Set by the caller before. */
  quoteAt = NEVER
  #inString = false
  #stopped = false
  #escapeEnd = 0

  constructor(delimiters: number) {
    this.#openers = new Openers(delimiters)
  }

  /** Forgets the last buffer. */
  begin(): void {
    this.#openers.begin()
    this.#nextBackslash = UNKNOWN
    this.#words = null
  }

  /**
   * Returns the next index that matters; `end` when there is none; -1 in a state that it does not know.
   *
   * @param last Nothing follows `end`.
   * @param previous The byte before index 0.
   */
  skip(escaping: Escaping, buffer: Buffer, at: number, end: number, last: boolean, previous: number): number {
    switch (escaping) {
      case AS_IS:
        return this.#text(buffer, at, end)
      case JSON_ESCAPES: {
        this.#inString = this.state === JSON_IN
        const next = this.#json(buffer, at, end, last)
        this.state = this.#inString ? JSON_IN : JSON_OUT
        return next
      }
      case REFERENCES:
        return this.state <= XML_SINGLE && this.state !== XML_OPEN ? this.#xml(buffer, at, end) : -1
      case CSV_QUOTES:
        return this.#csv(buffer, at, end, previous)
      default:
        return this.#percent(buffer, at, end)
    }
  }

  /** In text without escapes. Returns `end` when there is nothing; a lone half of an opener at the very end counts. */
  #text(buffer: Buffer, at: number, end: number): number {
    const next = this.#openers.next(buffer, at, end)
    return next === end && end > at && this.#openers.isHalf(buffer[end - 1]) ? end - 1 : next
  }

  /**
   * In JSON. Stops also at an escape in a string that may spell an opener or is cut. At the last bytes of all the state
   * need not be known.
   */
  #json(buffer: Buffer, at: number, end: number, last: boolean): number {
    const until = this.#openers.next(buffer, at, end)
    if (last && until === end && this.#backslash(buffer, at, end) === end) return end
    this.#escapeEnd = at
    this.#stopped = false
    let to = at
    while (to < until && !this.#stopped) {
      const backslash = this.#backslash(buffer, to, end)
      const plain = backslash < until ? backslash : until
      if (plain - to >= WIDE) {
        if (this.#oddQuotes(buffer, to, plain)) this.#inString = !this.#inString
        to = plain
      } else {
        const stretch = until < plain + STRETCH ? until : plain + STRETCH
        to = stretch - to < WIDE ? this.#walk(buffer, to, stretch, end) : this.#stride(buffer, to, stretch, end)
      }
    }
    if (to > this.#escapeEnd && to > at && (to === end || this.#stopped) && this.#openers.isHalf(buffer[to - 1])) to--
    if (to > at) {
      this.quoteAt = this.#inString && to > this.#escapeEnd && buffer[to - 1] === QUOTE ? to - 1 : NEVER
    }
    return to
  }

  /** Word by word where there is no backslash, else byte by byte. */
  #stride(buffer: Buffer, from: number, until: number, end: number): number {
    const words = this.#wordsOf(buffer)
    const shift = this.#wordsAt
    const wordsEnd = (until - shift) >> 2
    let at = from
    while (at < until && !this.#stopped) {
      let word = (at - shift + 3) >> 2
      const aligned = word * 4 + shift
      if (aligned > at || word >= wordsEnd) {
        at = this.#walk(buffer, at, aligned > at && aligned < until ? aligned : until, end)
        continue
      }
      let odd = 0
      for (; word < wordsEnd; word++) {
        const four = words[word] as number
        const backslash = four ^ BACKSLASHES
        if (((((backslash & LOW_BITS) + LOW_BITS) | backslash) & TOP_BITS) !== TOP_BITS) break
        const quote = four ^ QUOTES
        odd ^= ((quote & LOW_BITS) + LOW_BITS) | quote
      }
      if (isOdd(odd)) this.#inString = !this.#inString
      at = word * 4 + shift
      if (word < wordsEnd) at = this.#walk(buffer, at, at + 4, end)
    }
    return at
  }

  /** Byte by byte. */
  #walk(buffer: Buffer, from: number, until: number, end: number): number {
    let at = from
    while (at < until) {
      if (!this.#inString) {
        while (at < until && buffer[at] !== QUOTE) at++
        if (at === until) return at
        this.#inString = true
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
        this.#inString = false
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
    return (
      (high === 0x37 && low === 0x62 && this.#openers.curly) || (high === 0x33 && low === 0x63 && this.#openers.angle)
    )
  }

  /** Is the number of quotes odd? There is no backslash among the bytes. */
  #oddQuotes(buffer: Buffer, from: number, to: number): boolean {
    const words = this.#wordsOf(buffer)
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
    if (isOdd(odd)) count++
    for (at = word * 4 + this.#wordsAt; at < to; at++) if (buffer[at] === QUOTE) count++
    return (count & 1) === 1
  }

  #wordsOf(buffer: Buffer): Int32Array {
    if (this.#words === null) {
      const start = (buffer.byteOffset + 3) & ~3
      this.#wordsAt = start - buffer.byteOffset
      this.#words = new Int32Array(buffer.buffer, start, Math.max(0, buffer.length - this.#wordsAt) >> 2)
    }
    return this.#words
  }

  #backslash(buffer: Buffer, at: number, end: number): number {
    if (this.#nextBackslash < at) this.#nextBackslash = find(buffer, BACKSLASH, at, end)
    return this.#nextBackslash
  }

  /** In a form or URL. Stops also at an escape that may spell an opener or is cut. */
  #percent(buffer: Buffer, from: number, end: number): number {
    const until = this.#openers.next(buffer, from, end)
    let at = from
    for (; at < until; at++) {
      if (buffer[at] !== PERCENT) continue
      const high = buffer[at + 1]
      if (at + 2 >= end || high === 0x37 || high === 0x33) break
    }
    return this.#orHalf(buffer, from, at, end)
  }

  /** In CSV. Stops also at a quote that may be cut. */
  #csv(buffer: Buffer, from: number, end: number, previous: number): number {
    const until = this.#openers.next(buffer, from, end)
    let quoted = this.state === CSV_QUOTED
    let at = from
    for (; at < until; at++) {
      if (buffer[at] !== QUOTE) continue
      if (!quoted) {
        quoted = beginsField(at > 0 ? (buffer[at - 1] as number) : previous)
      } else if (at + 1 >= end) {
        break
      } else if (buffer[at + 1] === QUOTE) {
        at++
      } else {
        quoted = false
      }
    }
    this.state = quoted ? CSV_QUOTED : CSV_BARE
    return this.#orHalf(buffer, from, at, end)
  }

  /**
   * In XML, from character data, a tag or an attribute: over those. Stops also before other markup and at a reference
   * that may spell an opener or is cut.
   */
  #xml(buffer: Buffer, from: number, end: number): number {
    const until = this.#openers.next(buffer, from, end)
    let at = from
    let now = this.state
    while (at < until) {
      const byte = buffer[at] as number
      if (now === XML_TAG) {
        if (byte === GREATER) now = XML_TEXT
        else if (byte === QUOTE) now = XML_DOUBLE
        else if (byte === APOSTROPHE) now = XML_SINGLE
        else if (byte === LESS) break
      } else if (byte === AMPERSAND) {
        const next = buffer[at + 1]
        if (at + 1 >= end || next === HASH || next === LOWER_L) break
      } else if (now === XML_TEXT) {
        if (byte === LESS) {
          if (at + 1 >= end || !isTagStart(buffer[at + 1] as number)) break
          now = XML_TAG
          at++
        }
      } else if (byte === (now === XML_DOUBLE ? QUOTE : APOSTROPHE)) {
        now = XML_TAG
      }
      at++
    }
    this.state = now
    return this.#orHalf(buffer, from, at, end)
  }

  /** `at`, or the byte before when it may be the first half of an opener whose second is spelled otherwise or cut. */
  #orHalf(buffer: Buffer, from: number, at: number, end: number): number {
    return at > from && at <= end && this.#openers.isHalf(buffer[at - 1]) ? at - 1 : at
  }
}

/** Is the number of top bits odd? */
function isOdd(four: number): boolean {
  const two = four ^ (four << 16)
  return ((two ^ (two << 8)) & (1 << 31)) !== 0
}

/** Does a quote after this byte begin a quoted field? */
export function beginsField(previous: number): boolean {
  return previous === COMMA || previous === SEMICOLON || previous === TAB || previous === LF || previous === CR
}

function isTagStart(byte: number): boolean {
  return byte === SLASH || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a)
}

const UNKNOWN = -1
/** From here on words are faster than bytes. */
const WIDE = 64
/** Bytes after a backslash before the next is looked for by native search. */
const STRETCH = 1024

const QUOTES = 0x22222222
const BACKSLASHES = 0x5c5c5c5c
const LOW_BITS = 0x7f7f7f7f
const TOP_BITS = 0x80808080 | 0
const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const QUOTE = 0x22
const HASH = 0x23
const PERCENT = 0x25
const AMPERSAND = 0x26
const APOSTROPHE = 0x27
const COMMA = 0x2c
const SLASH = 0x2f
const ZERO = 0x30
const SEMICOLON = 0x3b
const LESS = 0x3c
const GREATER = 0x3e
const BACKSLASH = 0x5c
const LOWER_L = 0x6c
const LOWER_U = 0x75
