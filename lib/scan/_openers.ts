/** Hot: per chunk. Bench: bench/micro/scan/scanner.ts. */
import { uncurried } from '../uncurried.ts'
import { ANGLE, CURLY } from './delimiters.ts'

/**
 * Finds openers in their plain spelling, by native search. What was found once in a buffer is remembered, so no byte of
 * it is searched twice for the same pair.
 */
export class Openers {
  readonly curly: boolean
  readonly angle: boolean
  #nextCurly = UNKNOWN
  #nextAngle = UNKNOWN

  constructor(delimiters: number) {
    this.curly = (delimiters & CURLY) !== 0
    this.angle = (delimiters & ANGLE) !== 0
  }

  /** Forgets the last buffer. */
  begin(): void {
    this.#nextCurly = UNKNOWN
    this.#nextAngle = UNKNOWN
  }

  /** The next opener from `at` on, or `end`. */
  next(buffer: Buffer, at: number, end: number): number {
    let next = end
    if (this.curly) {
      if (this.#nextCurly < at) this.#nextCurly = findPair(buffer, CURLY_BYTE, CURLY_OPENER, at, end)
      next = this.#nextCurly
    }
    if (this.angle) {
      if (this.#nextAngle < at) this.#nextAngle = findPair(buffer, ANGLE_BYTE, ANGLE_OPENER, at, end)
      if (this.#nextAngle < next) next = this.#nextAngle
    }
    return next
  }

  /** Is it half of an opener? */
  isHalf(byte: number | undefined): boolean {
    return byte === CURLY_BYTE ? this.curly : byte === ANGLE_BYTE && this.angle
  }
}

/** NOTE: a held buffer is longer than what is in it: what lies beyond `end` is not there. */
export function find(buffer: Buffer, byte: number, at: number, end: number): number {
  const found = indexOf(buffer, byte, at)
  return found < 0 || found >= end ? end : found
}

/** Where `byte` stands twice. A search for one byte costs a third of one for two, unless it has to be repeated often. */
function findPair(buffer: Buffer, byte: number, pair: Buffer, from: number, end: number): number {
  let at = from
  for (let tries = 0; tries < TRIES; tries++) {
    const found = indexOf(buffer, byte, at)
    if (found < 0 || found + 2 > end) return end
    at = found + 1
    if (buffer[at] === byte) return found
  }
  const found = buffer.indexOf(pair, at)
  return found < 0 || found + 2 > end ? end : found
}

const indexOf = uncurried<(buffer: Buffer, byte: number, at: number) => number>(Buffer.prototype, 'indexOf')
const UNKNOWN = -1
const TRIES = 3
const CURLY_OPENER = Buffer.from('{{')
const ANGLE_OPENER = Buffer.from('<<')
const ANGLE_BYTE = 0x3c
const CURLY_BYTE = 0x7b
