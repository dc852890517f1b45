/** Hot: per chunk. Bench: bench/micro/scan/scanner.ts. */
import { Candidate, CLOSED, FAILED, follow, lower, NEVER } from './_candidate.ts'
import { beginsField, Seeker } from './_seeker.ts'
import {
  CSV_BARE,
  CSV_QUOTED,
  ESCAPINGS,
  escapingAround,
  JSON_IN,
  JSON_OUT,
  PLACES,
  type Stops,
  stopsFor,
  XML_TEXT
} from './_states.ts'
import { AS_IS, type Escaping, INCOMPLETE, INTRODUCERS, readUnit, UNIT_BYTES, unescape } from './_units.ts'
import { maySubject } from './_subject.ts'
import { behindWord, endsWord } from './_word.ts'
import { DEEPER, SHALLOWER, STATE, xmlStep } from './_xml.ts'
import { PLACE_JSON_KEY, PLACE_JSON_STRING, PLACE_JSON_WHOLE, type Place } from './context.ts'
import { ANGLE, CURLY } from './delimiters.ts'
import { Hold } from './hold.ts'
import { type ScanSink, Spot } from './spot.ts'

export interface LaneOptions {
  /** The state that it begins in (`_states.ts`). */
  readonly state: number
  /** Bit mask of the pairs to look for. */
  readonly delimiters: number
  /** The most bytes from opener to closer, both counted. */
  readonly expressionBytes: number
  readonly sink: ScanSink
  /** Offset in the body of the lane's first byte. */
  readonly base: number
  /** For the spots: values must be ASCII. */
  readonly ascii: boolean
  /** For the spots. */
  readonly boundaries: readonly string[]
}

/**
 * Scans bytes of one context. Two gears: while no expression is open it skips to the next byte that could begin one,
 * keeping only the state of the context right; from an opener on it looks at every byte that matters. Openers are never
 * looked for twice: a second one inside an unclosed one restarts there, quoted or not, and the two pairs are followed
 * side by side; the first to close wins. So each byte costs a bounded amount of work whatever the body.
 */
export class Lane extends Hold {
  readonly #sink: ScanSink
  readonly #stops: Stops
  readonly #limit: number
  readonly #ascii: boolean
  readonly #boundaries: readonly string[]
  readonly #hasCurly: boolean
  readonly #hasAngle: boolean
  readonly #curly = new Candidate(0x7d, false)
  readonly #angle = new Candidate(0x3e, true)
  readonly #seeker: Seeker
  readonly #escaping: Escaping
  /** The byte that begins every escape, or -1. */
  readonly #introducer: number

  #state: number
  #depth = 0
  /** The next byte to look at. */
  #at = 0
  /** Bytes before it are with the sink. */
  #emitted = 0
  /** Bytes before it belong to an escape whose effect on the state is known. */
  #stepAt = 0
  /** The opening quote of the JSON string. */
  #quoteAt = NEVER
  /** The byte before index 0. */
  #previous = LF
  #literals = 0

  /** A closed expression that may be a whole JSON string: decided by what follows. Null: none. */
  #pending: string | null = null
  #pendingStart = NEVER
  /** Of the word bytes that were skipped last. */
  #wordFrom = NEVER
  #wordTo = NEVER
  #viewed: Buffer | null = null
  #view: DataView | null = null
  #pendingAngle = false
  #pendingWord = false
  /** Of the text that was read last. */
  #isWord = false
  #aheadAt = NEVER

  constructor(options: LaneOptions) {
    super(options.base, options.expressionBytes + LOOK_AHEAD + 2 * UNIT_BYTES)
    this.#sink = options.sink
    this.#stops = stopsFor(options.delimiters)
    this.#limit = options.expressionBytes
    this.#ascii = options.ascii
    this.#boundaries = options.boundaries
    this.#hasCurly = (options.delimiters & CURLY) !== 0
    this.#hasAngle = (options.delimiters & ANGLE) !== 0
    this.#seeker = new Seeker(options.delimiters)
    this.#state = options.state
    this.#escaping = escapingAround(options.state)
    this.#introducer = this.#escaping === AS_IS ? -1 : (INTRODUCERS[this.#escaping] as string).charCodeAt(0)
  }

  /** Openers that were left as literal text so far. */
  get literalOpeners(): number {
    return this.#literals
  }

  override end(last?: Buffer): void {
    super.end(last)
    if (this.#curly.active) this.#fail(this.#curly)
    if (this.#angle.active) this.#fail(this.#angle)
  }

  protected override rebase(delta: number): void {
    this.#curly.rebase(delta)
    this.#angle.rebase(delta)
    this.#at -= delta
    this.#emitted -= delta
    this.#stepAt = lower(this.#stepAt, delta)
    this.#quoteAt = lower(this.#quoteAt, delta)
    this.#pendingStart = lower(this.#pendingStart, delta)
    this.#aheadAt = lower(this.#aheadAt, delta)
    this.#wordFrom = NEVER
  }

  protected override run(buffer: Buffer, end: number, final: boolean): number {
    const curly = this.#curly
    const angle = this.#angle
    const { open, closed } = this.#stops
    let at = this.#at
    this.#seeker.begin()
    for (;;) {
      if (this.#pending !== null) {
        const next = this.#settle(buffer, at, end, final)
        if (next === INCOMPLETE) break
        at = next
      }
      let stop = end
      if (curly.active || angle.active) {
        if (curly.active && curly.start + this.#limit < stop) stop = curly.start + this.#limit
        if (angle.active && angle.start + this.#limit < stop) stop = angle.start + this.#limit
        const table = open[this.#state] as Uint8Array
        if (this.#state < XML_TEXT) {
          if (at < stop && buffer[at] === SPACE) at++
          this.#wordFrom = at
          at = behindWord(this.#viewOf(buffer), at, stop)
          this.#wordTo = at
        } else {
          this.#wordFrom = NEVER
        }
        while (at < stop && table[buffer[at] as number] === 0) at++
        const closed = this.#closesPlainly(buffer, at, end)
        if (closed > at) {
          at = closed
          continue
        }
      } else {
        // An escape of which no expression wants the rest.
        if (at < this.#stepAt) at = this.#stepAt
        if (at < end && curly.halfEnd !== at && angle.halfEnd !== at) {
          at = this.#skip(buffer, at, end, final)
          if (this.#opensPlainly(buffer, at, end)) {
            at += 2
            continue
          }
        }
      }
      if (at >= stop) {
        if (this.#expire(at)) continue
        break
      }
      const table = (curly.active || angle.active ? open : closed)[this.#state] as Uint8Array
      if (table[buffer[at] as number] === 0) {
        at++
        continue
      }
      const next = this.#look(buffer, at, end, final)
      if (next === INCOMPLETE) break
      at = next
    }
    this.#at = at
    const keep = final ? end : this.#keep(at)
    this.#flush(buffer, keep)
    if (keep > 0) this.#previous = buffer[keep - 1] as number
    return keep
  }

  /** The fast gear. */
  #skip(buffer: Buffer, from: number, end: number, final: boolean): number {
    const seeker = this.#seeker
    seeker.state = this.#state
    seeker.quoteAt = this.#quoteAt
    let at = seeker.skip(this.#escaping, buffer, from, end, final, this.#previous)
    this.#state = seeker.state
    this.#quoteAt = seeker.quoteAt
    if (at >= 0) return at
    // Comments and other markup.
    const table = this.#stops.closed[this.#state] as Uint8Array
    at = from
    while (at < end && table[buffer[at] as number] === 0) at++
    return at
  }

  /** The usual opener: two plain characters at once, where markup does not matter. */
  #opensPlainly(buffer: Buffer, at: number, end: number): boolean {
    const state = this.#state
    if (at + 1 >= end || state >= XML_TEXT) return false
    const byte = buffer[at]
    if (byte !== buffer[at + 1]) return false
    let candidate: Candidate
    if (byte === CURLY_OPENER && this.#hasCurly) candidate = this.#curly
    else if (byte === ANGLE_OPENER && this.#hasAngle) candidate = this.#angle
    else return false
    candidate.open(at, at + 2, state, 0, state === JSON_IN && this.#quoteAt === at - 1)
    candidate.halfFrom = at + 1
    candidate.halfEnd = at + 2
    candidate.halfState = state
    this.#stepAt = at + 2
    return true
  }

  /** The usual closer, likewise. Returns the index behind it, or -1. */
  #closesPlainly(buffer: Buffer, at: number, end: number): number {
    if (at + 1 >= end || buffer[at] !== buffer[at + 1] || this.#state >= XML_TEXT) return -1
    const candidate = this.#curly.active ? this.#curly : this.#angle
    const other = this.#curly.active ? this.#angle : this.#curly
    if (other.active || buffer[at] !== candidate.closer || candidate.quote !== 0) return -1
    if (at < candidate.next || candidate.closerEnd === at) return -1
    candidate.closerFrom = at
    candidate.closerEnd = at + 2
    this.#close(buffer, candidate, other)
    return at + 2
  }

  /** Looks at one byte that may matter. Returns the next index, or INCOMPLETE when more bytes must come first. */
  #look(buffer: Buffer, at: number, end: number, final: boolean): number {
    const byte = buffer[at] as number
    let character = byte
    let length = 1
    if (byte === this.#introducer) {
      const read = readUnit(this.#escaping, buffer, at, end, final)
      if (read === INCOMPLETE) return INCOMPLETE
      character = read >> 4
      length = read & 0xf
    }
    if (at >= this.#stepAt) this.#step(buffer, at, byte, character, length)
    const curly = this.#curly
    const angle = this.#angle
    const escaped = byte === this.#introducer
    if (curly.active && at >= curly.next) {
      const told = follow(curly, at, byte, escaped && ESCAPINGS[curly.state] !== AS_IS, character, length)
      if (told === FAILED) this.#fail(curly)
      else if (told === CLOSED && this.#close(buffer, curly, angle)) return curly.closerEnd
    }
    if (angle.active && at >= angle.next) {
      const told = follow(angle, at, byte, escaped && ESCAPINGS[angle.state] !== AS_IS, character, length)
      if (told === FAILED) this.#fail(angle)
      else if (told === CLOSED && this.#close(buffer, angle, curly)) return angle.closerEnd
    }
    return at + 1
  }

  /** What the byte does to the state, and whether it makes an opener. */
  #step(buffer: Buffer, at: number, byte: number, read: number, readLength: number): void {
    const before = this.#state
    const depth = this.#depth
    const escapes = ESCAPINGS[before] !== AS_IS
    const character = escapes ? read : byte
    let length = escapes ? readLength : 1
    if (before === JSON_IN) {
      if (byte === QUOTE) this.#endString()
      // NOTE: a backslash takes the next byte with it even where the two are no escape: `"\{{id}}"` must not let the
      // backslash reach the value.
      else if (byte === BACKSLASH && length === 1) length = 2
    } else if (before === JSON_OUT) {
      if (byte === QUOTE) {
        this.#state = JSON_IN
        this.#quoteAt = at
      }
    } else if (before >= XML_TEXT) {
      if (length === 1) this.#stepXml(byte)
    } else if (before === CSV_QUOTED) {
      if (byte === QUOTE && length === 1) this.#state = CSV_BARE
    } else if (before === CSV_BARE) {
      if (byte === QUOTE && beginsField(at > 0 ? (buffer[at - 1] as number) : this.#previous)) this.#state = CSV_QUOTED
    }
    this.#stepAt = at + length
    if (character === CURLY_OPENER && this.#hasCurly) this.#half(this.#curly, at, length, before, depth)
    else if (character === ANGLE_OPENER && this.#hasAngle) this.#half(this.#angle, at, length, before, depth)
  }

  #stepXml(byte: number): void {
    const next = xmlStep(this.#state, byte, this.#depth)
    this.#state = next & STATE
    if ((next & DEEPER) !== 0) this.#depth++
    else if ((next & SHALLOWER) !== 0) this.#depth--
  }

  /** A JSON string ends: whatever was opened in it is literal. */
  #endString(): void {
    this.#state = JSON_OUT
    if (this.#curly.active && this.#curly.state === JSON_IN) this.#fail(this.#curly)
    if (this.#angle.active && this.#angle.state === JSON_IN) this.#fail(this.#angle)
  }

  /** An opener character stands at `at`. The second of two makes an opener; of a longer run the last two count. */
  #half(candidate: Candidate, at: number, length: number, before: number, depth: number): void {
    if (candidate.halfEnd === at) {
      if (candidate.active && candidate.textStart !== at) this.#fail(candidate)
      const start = candidate.halfFrom
      const afterQuote = candidate.halfState === JSON_IN && this.#quoteAt === start - 1
      candidate.open(start, at + length, candidate.halfState, candidate.halfDepth, afterQuote)
    }
    candidate.halfFrom = at
    candidate.halfEnd = at + length
    candidate.halfState = before
    candidate.halfDepth = depth
  }

  /** Both closers of `candidate` were seen. False when it is no expression after all. */
  #close(buffer: Buffer, candidate: Candidate, other: Candidate): boolean {
    const end = candidate.closerEnd
    const source = end - candidate.start <= this.#limit ? this.#source(buffer, candidate) : null
    if (source === null) {
      this.#fail(candidate)
      return false
    }
    candidate.active = false
    if (other.active) {
      // One that began before it now holds an expression; one that began within it is part of its text.
      if (other.start < candidate.start) this.#fail(other)
      other.active = false
    }
    candidate.halfEnd = NEVER
    other.halfEnd = NEVER
    const state = candidate.state
    this.#state = state
    this.#depth = candidate.depth
    // To the markup around it a value is as good as a letter.
    if (state >= XML_TEXT) this.#stepXml(LETTER)
    this.#stepAt = end
    if (candidate.afterQuote) {
      this.#pending = source
      this.#pendingWord = this.#isWord
      this.#pendingStart = candidate.start
      this.#pendingAngle = candidate.angle
      this.#aheadAt = end + 1
      return true
    }
    this.#quoteAt = NEVER
    this.#emit(
      buffer,
      candidate.start,
      candidate.start,
      end,
      source,
      this.#isWord,
      PLACES[state] as Place,
      candidate.angle
    )
    return true
  }

  #viewOf(buffer: Buffer): DataView {
    if (this.#view === null || buffer !== this.#viewed) {
      this.#viewed = buffer
      this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
    }
    return this.#view
  }

  /** The text of a closed expression, or null when it cannot be one. Sets `#isWord`. */
  #source(buffer: Buffer, candidate: Candidate): string | null {
    let from = candidate.textStart
    let to = candidate.closerFrom
    // NOTE: here, where it is free. A text that is trimmed is part of another one, and slow to walk.
    while (from < to && buffer[from] === SPACE) from++
    while (to > from && buffer[to - 1] === SPACE) to--
    this.#isWord = from === this.#wordFrom && endsWord(this.#viewOf(buffer), from, this.#wordTo, to)
    const source = candidate.special
      ? (unescape(ESCAPINGS[candidate.state] as Escaping, buffer, from, to)?.replace(SPACES_AROUND, '') ?? null)
      : buffer.toString('latin1', from, to)
    return source === null || (candidate.angle && !maySubject(source)) ? null : source
  }

  /**
   * A closed expression right after the opening quote of a JSON string is the whole of it when the closing quote comes
   * next; then the quotes go with it, unless the string is a key. Returns the next index, or INCOMPLETE.
   */
  #settle(buffer: Buffer, at: number, end: number, final: boolean): number {
    const source = this.#pending as string
    const start = this.#pendingStart
    let place = PLACE_JSON_STRING
    if (at >= end) {
      if (!final) return INCOMPLETE
    } else if (buffer[at] === QUOTE) {
      const bound = at + 1 + LOOK_AHEAD
      let ahead = this.#aheadAt
      while (ahead < end && ahead < bound && isJsonSpace(buffer[ahead] as number)) ahead++
      this.#aheadAt = ahead
      if (ahead >= bound) place = PLACE_JSON_KEY
      else if (ahead < end) place = buffer[ahead] === COLON ? PLACE_JSON_KEY : PLACE_JSON_WHOLE
      else if (final) place = PLACE_JSON_WHOLE
      else return INCOMPLETE
    }
    this.#pending = null
    this.#quoteAt = NEVER
    if (place === PLACE_JSON_WHOLE) {
      this.#state = JSON_OUT
      this.#stepAt = at + 1
      this.#emit(buffer, start - 1, start, at + 1, source, this.#pendingWord, place, this.#pendingAngle)
      return at + 1
    }
    this.#emit(buffer, start, start, at, source, this.#pendingWord, place, this.#pendingAngle)
    return at
  }

  /** Hands on what stands before `from`, and the expression, which goes on to `end`. */
  #emit(
    buffer: Buffer,
    from: number,
    start: number,
    end: number,
    source: string,
    isWord: boolean,
    place: Place,
    angle: boolean
  ): void {
    this.#flush(buffer, from)
    this.#emitted = end
    this.#sink.expression(new Spot(source, isWord, this.base + start, place, angle, this.#ascii, this.#boundaries))
  }

  #flush(buffer: Buffer, to: number): void {
    if (to <= this.#emitted) return
    const from = this.#emitted
    this.#emitted = to
    this.#sink.bytes(buffer, from, to)
  }

  /** The opener is literal text, unless an expression of the other pair around it takes it in. */
  #fail(candidate: Candidate): void {
    const other = candidate === this.#curly ? this.#angle : this.#curly
    candidate.active = false
    if (other.active && other.start < candidate.start) other.inner += 1 + candidate.inner
    else this.#literals += 1 + candidate.inner
  }

  /** Gives up what has not closed within the limit. */
  #expire(at: number): boolean {
    const curly = this.#curly.active && at - this.#curly.start >= this.#limit
    const angle = this.#angle.active && at - this.#angle.start >= this.#limit
    if (curly) this.#fail(this.#curly)
    if (angle) this.#fail(this.#angle)
    return curly || angle
  }

  /** The first byte that must not be let go of. */
  #keep(at: number): number {
    let keep = at
    if (this.#pending !== null) keep = this.#pendingStart
    keep = keepOf(this.#curly, at, keep)
    keep = keepOf(this.#angle, at, keep)
    return this.#quoteAt === keep - 1 ? keep - 1 : keep
  }
}

function keepOf(candidate: Candidate, at: number, keep: number): number {
  if (candidate.active && candidate.start < keep) return candidate.start
  return candidate.halfEnd === at && candidate.halfFrom < keep ? candidate.halfFrom : keep
}

function isJsonSpace(byte: number): boolean {
  return byte === SPACE || byte === TAB || byte === LF || byte === CR
}

/** White space that may stand between a string and the colon that makes it a key. */
const LOOK_AHEAD = 256

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const SPACES_AROUND = /^ +| +$/g
const QUOTE = 0x22
const COLON = 0x3a
const ANGLE_OPENER = 0x3c
const LETTER = 0x78
const BACKSLASH = 0x5c
const CURLY_OPENER = 0x7b
