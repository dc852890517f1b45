/** Hot: per opener. Bench: bench/micro/scan/scanner.ts. */

/**
 * The latest opener of one pair that may yet become an expression, and the half of an opener that may come before it.
 * All indices are of the buffer that is run. There is never more than one of a pair: a second opener inside an unclosed
 * one restarts there.
 */
export class Candidate {
  readonly closer: number
  readonly angle: boolean

  /** The last opener character: where it begins, where it ends, and the state before it. */
  halfFrom = NEVER
  halfEnd = NEVER
  halfState = 0
  halfDepth = 0

  /** An expression is open. */
  active = false
  start = NEVER
  textStart = NEVER
  /** State (and XML depth) before the opener: what holds again after the expression. */
  state = 0
  depth = 0
  /** It began right after the opening quote of a JSON string. */
  afterQuote = false
  /** A `|` was seen: quotes count. */
  piped = false
  /** The quote that is open, or 0. */
  quote = 0
  /** The character that begins here is escaped by a backslash. */
  escapedAt = NEVER
  /** The last closer character outside quotes. */
  closerFrom = NEVER
  closerEnd = NEVER
  /** Bytes before it belong to an escape that was read already. */
  next = 0
  /** The text may hold escapes or bytes over 0x7f. */
  special = false
  /** Openers of the other pair within the text that came to nothing: literal only if this one is. */
  inner = 0

  constructor(closer: number, angle: boolean) {
    this.closer = closer
    this.angle = angle
  }

  open(start: number, textStart: number, state: number, depth: number, afterQuote: boolean): void {
    this.active = true
    this.start = start
    this.textStart = textStart
    this.state = state
    this.depth = depth
    this.afterQuote = afterQuote
    this.piped = false
    this.quote = 0
    this.escapedAt = NEVER
    this.closerEnd = NEVER
    this.next = textStart
    this.special = false
    this.inner = 0
  }

  rebase(delta: number): void {
    this.halfFrom = lower(this.halfFrom, delta)
    this.halfEnd = lower(this.halfEnd, delta)
    if (!this.active) return
    this.start -= delta
    this.textStart -= delta
    this.escapedAt = lower(this.escapedAt, delta)
    this.closerFrom = lower(this.closerFrom, delta)
    this.closerEnd = lower(this.closerEnd, delta)
    this.next = lower(this.next, delta)
  }
}

/** `follow`: nothing yet. */
const OPEN = 0
/** `follow`: that was the second closer. */
export const CLOSED = 1
/** `follow`: no expression holds this. */
export const FAILED = 2

/**
 * One more character of an open expression.
 *
 * @param escaped An escape begins at `at`: `read` is the character that it spells in `readLength` bytes.
 */
export function follow(
  candidate: Candidate,
  at: number,
  byte: number,
  escaped: boolean,
  read: number,
  readLength: number
): number {
  let character = byte
  let end = at + 1
  if (escaped) {
    character = read
    end = at + readLength
    candidate.special = true
  } else if (byte >= 0x80 || byte === PLUS) {
    candidate.special = true
    return OPEN
  }
  candidate.next = end
  if (isControl(character)) return FAILED
  if (candidate.quote !== 0) {
    if (candidate.escapedAt === at) return OPEN
    if (character === BACKSLASH) candidate.escapedAt = end
    else if (character === candidate.quote) candidate.quote = 0
  } else if (character === candidate.closer) {
    if (candidate.closerEnd === at) {
      candidate.closerEnd = end
      return CLOSED
    }
    candidate.closerFrom = at
    candidate.closerEnd = end
  } else if (character === PIPE) {
    candidate.piped = true
  } else if (candidate.piped && (character === QUOTE || character === APOSTROPHE)) {
    candidate.quote = character
  }
  return OPEN
}

function isControl(character: number): boolean {
  return character < 0x20 ? character !== TAB && character !== LF && character !== CR : character === 0x7f
}

/** An index that no byte has. */
export const NEVER = -2

/** An index after `delta` bytes are gone; NEVER when it went with them. */
export function lower(index: number, delta: number): number {
  return index >= delta ? index - delta : NEVER
}

const TAB = 0x09
const LF = 0x0a
const CR = 0x0d
const QUOTE = 0x22
const APOSTROPHE = 0x27
const PLUS = 0x2b
const BACKSLASH = 0x5c
const PIPE = 0x7c
