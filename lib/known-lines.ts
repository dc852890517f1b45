import { inOnePiece, internalized } from './json.ts'

/**
 * Hot: per line of a head.
 *
 * A head that came before on a connection. Peers say much the same each time: a line that comes again, byte for byte,
 * stands where it did among the others, need not be scanned again, and its name and value are the same strings, whose
 * hashes the engine knows.
 */
export class KnownLines {
  /** The first line, without its end. */
  readonly first: string
  /** Flat: name, value, … */
  readonly fields: readonly string[]
  /** How many of them. */
  readonly count: number
  readonly #bytes: DataView
  /** Of the first line, then of each field's: where it begins, its length, ends of name, beginning and end of value. */
  readonly #places: Int32Array

  /**
   * @param bytes the head up to its empty line; copied. It holds no NUL.
   * @param marks of each field: its name, its end, value, its end, in `bytes`
   */
  constructor(bytes: Buffer, marks: ArrayLike<number>) {
    const own = Buffer.allocUnsafeSlow(bytes.length)
    bytes.copy(own)
    const count = marks.length / MARKS
    const places = new Int32Array((count + 1) * PLACES)
    const fields: string[] = []
    const firstEnd = count > 0 ? (marks[0] as number) : own.length
    places[1] = firstEnd
    for (let line = 1; line <= count; line++) {
      const mark = (line - 1) * MARKS
      const begin = marks[mark] as number
      const place = line * PLACES
      places[place] = begin
      places[place + 1] = (line < count ? (marks[mark + MARKS] as number) : own.length) - begin
      for (let n = 1; n < MARKS; n++) places[place + 1 + n] = (marks[mark + n] as number) - begin
      // Texts of their own: what was cut out of a head keeps all of it, and is slow to compare.
      fields.push(internalized(own.toString('latin1', begin, marks[mark + 1])))
      fields.push(internalized(own.toString('latin1', marks[mark + 2], marks[mark + 3])))
    }
    this.first = own.toString('latin1', 0, firstEnd - 2)
    this.fields = fields
    this.count = count
    this.#bytes = new DataView(own.buffer, own.byteOffset, own.length)
    this.#places = places
  }

  /**
   * The length of line `line` (0: the first) when it stands whole at `from`, before `to`; else 0.
   * NOTE: eight bytes at a time, as a number that is equal to itself only: a known line holds no NUL, so that none of
   * its numbers is a zero, of which there are two; of bytes that are no number it is said that they differ.
   */
  lengthAt(line: number, bytes: DataView, from: number, to: number): number {
    const own = this.#bytes
    const place = line * PLACES
    const length = this.#places[place + 1] as number
    const end = from + length
    if (end > to || length < 8) return 0
    const known = this.#places[place] as number
    if (bytes.getFloat64(end - 8) !== own.getFloat64(known + length - 8)) return 0
    for (let at = 0; at < length - 8; at += 8) {
      if (bytes.getFloat64(from + at) !== own.getFloat64(known + at)) return 0
    }
    return length
  }

  /** Writes where name and value of a field's line that begins at `at` begin and end: four numbers, of which the first is `at`. */
  mark(line: number, at: number, marks: { [place: number]: number }, mark: number): void {
    const places = this.#places
    const place = line * PLACES + 1
    marks[mark] = at
    marks[mark + 1] = at + (places[place + 1] as number)
    marks[mark + 2] = at + (places[place + 2] as number)
    marks[mark + 3] = at + (places[place + 3] as number)
  }
}

/**
 * How many heads in a row, this one among them, were mostly unlike the known one. At UNLIKE a head is kept in its place:
 * not the only one of a connection, nor one that takes turns with the known one.
 *
 * @param others of its fields, those that are not known ones
 */
export function unlikeInARow(before: number, known: KnownLines | null, fields: number, others: number): number {
  return known !== null && 2 * others <= fields ? 0 : before + 1
}

export const UNLIKE = 2
/** A longer head is not kept. */
export const KNOWN_BYTES = 4096

const PLACES = 5
const MARKS = 4

/** A view of the buffer that was asked for last: almost always the one that all connections read into. */
export class LastView {
  #bytes: Buffer = Buffer.alloc(0)
  #view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, 0)

  of(bytes: Buffer): DataView {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    return this.#view
  }
}

/**
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
    if (place >= this.#lines.length) return ''
    const misses = this.#misses[place] as number
    if (misses <= PATIENCE && this.#values[place] === value && this.#names[place] === name) {
      this.#misses[place] = 0
      return this.#lines[place] as string
    }
    this.#misses[place] = (misses + 1) % AGAIN
    return ''
  }

  /**
   * Is it worth keeping what `known` did not know? Where each line is another than before it is for a few of many times
   * only, and not even compared at the others: to keep a text costs more than to make it.
   */
  wants(place: number): boolean {
    return place >= this.#lines.length ? place < KEPT_PLACES : (this.#misses[place] as number) <= PATIENCE
  }

  /** The line that was kept last at this place has this name. */
  knowsName(place: number, name: string): boolean {
    return this.#names[place] === name
  }

  /** What `known` gives from now on for this name and value. */
  keep(place: number, name: string, value: string, line: string): void {
    while (this.#lines.length <= place) {
      this.#names.push('')
      this.#values.push('')
      this.#lines.push('')
      this.#misses.push(0)
    }
    if (line.length > LONGEST) return
    // Of their own: a text that was cut out of a head keeps all of it.
    this.#names[place] = internalized(name)
    this.#values[place] = internalized(value)
    this.#lines[place] = inOnePiece(line)
  }
}

/** Of `FieldLines`. */
const KEPT_PLACES = 64
const LONGEST = 512
const PATIENCE = 4
const AGAIN = 64
