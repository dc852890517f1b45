import { FIRST_STATES } from './_states.ts'
import type { Context } from './context.ts'
import { Lane } from './lane.ts'
import { Multipart } from './multipart.ts'
import type { ScanSink } from './spot.ts'

export { type ScanSink, Spot } from './spot.ts'

export interface ScanOptions {
  /** What `settleContext` said. */
  readonly context: Context
  /** Bit mask of the pairs to look for (`delimiters.ts`). */
  readonly delimiters: number
  /**
   * The most bytes from opener to closer, both counted: an opener without a closer so near is literal text. At least 24:
   * an opener alone may be as long (`&#x0000003c;` twice).
   */
  readonly expressionBytes: number
  readonly sink: ScanSink
  /** Scan multipart parts of binary types too, as text. Default: they are passed. */
  readonly scanBinary?: boolean
}

/**
 * Finds the expressions in a body that comes in chunks cut anywhere: `write(chunk)` … `end()`, or `end(body)` for one
 * that is whole. What goes to the sink does not depend on how the body is cut. Holds at most `expressionBytes` and a
 * small constant.
 *
 * An opener without its closer within `expressionBytes` is literal text, and so is one whose text holds a control byte
 * other than TAB, CR and LF, or is not well-formed UTF-8, or, in a JSON string, is not closed before the string is.
 */
export class Scanner {
  readonly #lane: Lane | Multipart

  constructor(options: ScanOptions) {
    const { context, delimiters, expressionBytes, sink } = options
    const { kind, boundary = '', ascii = false } = context
    const base = 0
    const boundaries = NO_BOUNDARIES
    // NOTE: an object spread here costs more than scanning a small body does.
    if (kind === 'multipart') {
      const scanBinary = options.scanBinary === true
      this.#lane = new Multipart({ boundary, delimiters, expressionBytes, scanBinary, sink, base, boundaries })
    } else {
      const state = FIRST_STATES[kind]
      this.#lane = new Lane({ state, delimiters, expressionBytes, sink, base, ascii, boundaries })
    }
  }

  /** @param chunk The sink may get slices of it; the scanner itself keeps none. */
  write(chunk: Buffer): void {
    this.#lane.write(chunk)
  }

  /** @param last The last chunk, or all of the body: cheaper than `write` where it holds no opener. */
  end(last?: Buffer): void {
    this.#lane.end(last)
  }

  /** Openers that were left as literal text so far. */
  get literalOpeners(): number {
    return this.#lane.literalOpeners
  }

  /** Bytes that wait for what follows. */
  get heldBytes(): number {
    return this.#lane.heldBytes
  }
}

const NO_BOUNDARIES: readonly string[] = []
