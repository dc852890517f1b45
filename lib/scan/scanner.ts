import { FIRST_STATES } from './_states.ts'
import type { Context } from './context.ts'
import { Lane } from './lane.ts'
import { Multipart } from './multipart.ts'
import type { ScanSink } from './spot.ts'
import { Pass, type Reader, Unsettled } from './unsettled.ts'

export { type ScanSink, Spot } from './spot.ts'

/** A body whose first bytes are not there yet: the scanner waits for SETTLE_BYTES of them and settles by itself. */
export interface ByType {
  readonly kind: 'by-type'
  readonly contentType: string | undefined
}

export interface ScanOptions {
  /** What `settleContext` said, or what to ask it. */
  readonly context: Context | ByType
  /** Bit mask of the pairs to look for (`delimiters.ts`). */
  readonly delimiters: number
  /**
   * The most bytes from opener to closer, both counted: an opener without a closer so near is literal text. At least 24:
   * an opener alone may be as long (`&#x0000003c;` twice).
   */
  readonly expressionBytes: number
  readonly sink: ScanSink
  /** Scan bodies and parts of binary types too, as text. Default: they are passed. */
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
  readonly #reader: Reader

  /** @throws ERR_CONTENT_TYPE never here, but with `by-type` from `write` and `end`, like all of `settleContext` */
  constructor(options: ScanOptions) {
    const { context } = options
    this.#reader =
      context.kind === 'by-type'
        ? new Unsettled(context.contentType, 0, (settled) => newReader(settled, options))
        : newReader(context, options)
  }

  /** @param chunk The sink may get slices of it; the scanner itself keeps none. */
  write(chunk: Buffer): void {
    this.#reader.write(chunk)
  }

  /** @param last The last chunk, or all of the body: cheaper than `write` where it holds no opener. */
  end(last?: Buffer): void {
    this.#reader.end(last)
  }

  /** Openers that were left as literal text so far. */
  get literalOpeners(): number {
    return this.#reader.literalOpeners
  }

  /** Bytes that wait for what follows. */
  get heldBytes(): number {
    return this.#reader.heldBytes
  }
}

function newReader(context: Context | null, options: ScanOptions): Reader {
  const { delimiters, expressionBytes, sink } = options
  const scanBinary = options.scanBinary === true
  if (context === null && !scanBinary) return new Pass(sink)
  const { kind, boundary = '', ascii = false } = context ?? TEXT
  const base = 0
  const boundaries = NO_BOUNDARIES
  // NOTE: an object spread here costs more than scanning a small body does.
  if (kind === 'multipart') {
    return new Multipart({ boundary, delimiters, expressionBytes, scanBinary, sink, base, boundaries })
  }
  return new Lane({ state: FIRST_STATES[kind], delimiters, expressionBytes, sink, base, ascii, boundaries })
}

const TEXT: Context = { kind: 'text' }
const NO_BOUNDARIES: readonly string[] = []
