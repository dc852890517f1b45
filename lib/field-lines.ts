import { inOnePiece } from './json.ts'

/**
 * Hot: per field of a head.
 *
 * The field lines that a connection carried last, by their place in a head: one that comes again is the same text, in one
 * piece, and what was checked of it need not be checked again.
 */
export class FieldLines {
  readonly #names: string[] = []
  readonly #values: string[] = []
  readonly #lines: string[] = []
  readonly #misses: number[] = []

  /** The line that name and value made at this place; '' when they are not those of before. */
  known(place: number, name: string, value: string): string {
    if (place >= this.#lines.length || this.#values[place] !== value || this.#names[place] !== name) return ''
    this.#misses[place] = 0
    return this.#lines[place] as string
  }

  /**
   * What `known` gives from now on for this name and value. A place where each line is another than before is left alone
   * for most of the time: to keep a text costs more than to make it.
   */
  keep(place: number, name: string, value: string, line: string): void {
    if (place >= PLACES || line.length > LONGEST) return
    while (this.#lines.length <= place) {
      this.#names.push('')
      this.#values.push('')
      this.#lines.push('')
      this.#misses.push(0)
    }
    const misses = ((this.#misses[place] as number) + 1) % AGAIN
    this.#misses[place] = misses
    if (misses > PATIENCE) return
    // Of their own: a text that was cut out of a head keeps all of it.
    this.#names[place] = inOnePiece(name)
    this.#values[place] = inOnePiece(value)
    this.#lines[place] = inOnePiece(line)
  }
}

const PLACES = 64
const LONGEST = 512
const PATIENCE = 4
const AGAIN = 64
