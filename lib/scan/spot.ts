import type { Place } from './context.ts'

/** One expression and where it stands. Made by the scanner, read by `expr/encode`. */
export class Spot {
  /** The text between the delimiters, un-escaped for its place, without the spaces around it. */
  readonly source: string
  /** The text is letters, digits, `-` and `_` alone, and was so in the body. False says nothing. */
  readonly isWord: boolean
  /** Byte of the opener in the decoded body. */
  readonly offset: number
  readonly place: Place
  /** The pair is `<< >>`. */
  readonly angle: boolean
  /** The body or part is declared in a charset other than UTF-8: a value that is not ASCII cannot be written. */
  readonly ascii: boolean
  /** The boundaries of the multipart bodies around it, outermost first: no value may hold one. */
  readonly boundaries: readonly string[]

  constructor(
    source: string,
    isWord: boolean,
    offset: number,
    place: Place,
    angle: boolean,
    ascii: boolean,
    boundaries: readonly string[]
  ) {
    this.source = source
    this.isWord = isWord
    this.offset = offset
    this.place = place
    this.angle = angle
    this.ascii = ascii
    this.boundaries = boundaries
  }
}

/** Where the pieces of a body go, in order. Both are called while `write` or `end` runs. */
export interface ScanSink {
  /**
   * Bytes that no expression touches. They may be kept: the scanner never writes to a byte that it has handed over
   * (buffers that the scanner did not make belong to whoever gave them to it).
   */
  bytes(chunk: Buffer, start: number, end: number): void
  /** A place where a value goes, instead of the bytes of the expression. */
  expression(spot: Spot): void
}
