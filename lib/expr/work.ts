import { limitFault, valueFault } from './faults.ts'

/**
 * Counted work: how much one evaluation, or all evaluations that share it, may still do. A unit is about twenty
 * nanoseconds: one character looked at or written, one node of a path visited; dearer things count more. Counted, not
 * timed, so the same expression on the same value always ends the same way. Running out is ERR_EXPR_VALUE, since how
 * far it gets depends on the value.
 */
export class Work {
  #left: number

  /** @param units Default: WORK_UNITS, about 100 ms. */
  constructor(units: number = WORK_UNITS) {
    this.#left = units
  }

  /** Takes `units` off what is left; a fraction, a negative or NaN counts as nothing. Throws ERR_EXPR_VALUE. */
  spend(units: number): void {
    if (!(units > 0)) return
    this.#left -= units
    if (this.#left < 0) throw valueFault()
  }

  /** Text of this length is about to be written: at most OUTPUT_CHARACTERS. Throws ERR_EXPR_VALUE. */
  write(characters: number): void {
    if (characters > OUTPUT_CHARACTERS) throw valueFault()
    this.spend(characters)
  }

  /** A list of this length is about to be made: at most LIST_ITEMS. Throws ERR_EXPR_VALUE. */
  list(items: number): void {
    if (items > LIST_ITEMS) throw valueFault()
    this.spend(items)
  }

  /** A chain of filters of this length is about to be compiled. Throws ERR_EXPR_LIMIT: this depends on no value. */
  compile(characters: number): void {
    this.#left -= COMPILE_UNITS + COMPILE_CHARACTER_UNITS * characters
    if (this.#left < 0) throw limitFault('too many different chains of filters')
  }
}

/** Units of one evaluation: a text of the longest length may pass a few filters. */
const WORK_UNITS = 4 * 1024 * 1024
/** Units of all the expressions that are evaluated in one turn of the event loop: about 100 ms. */
export const TURN_UNITS = 4 * 1024 * 1024
const COMPILE_UNITS = 1000
const COMPILE_CHARACTER_UNITS = 25
/** The longest text that a filter may make, in UTF-16 units. */
export const OUTPUT_CHARACTERS = 1024 * 1024
/** The longest list that a filter may make. */
export const LIST_ITEMS = 100_000
/** The most filters in one chain. */
export const CHAIN_FILTERS = 64
