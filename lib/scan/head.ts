import { HEADER, URL_PATH, URL_QUERY } from './_states.ts'
import { PLACE_HEADER, PLACE_URL_PATH, PLACE_URL_QUERY } from './context.ts'
import { Lane } from './lane.ts'
import type { Spot } from './spot.ts'

/** Text as it stands, or an expression. */
export type HeadPiece = string | Spot

/** The places in a request's head that may hold expressions. */
export type HeadPlace = typeof PLACE_URL_PATH | typeof PLACE_URL_QUERY | typeof PLACE_HEADER

export interface HeadOptions {
  /** Bit mask of the pairs to look for. */
  readonly delimiters: number
  readonly expressionBytes: number
}

/**
 * Finds the expressions in a path, a query or a header's value. In a URL the delimiters count percent-encoded too
 * (`%7B%7B … %7D%7D`), and the text between them is decoded.
 *
 * @param text A string of bytes (latin1), as node:http gives them.
 * @returns The pieces in order, strings of bytes and spots whose offset is within `text`; null when there is no
 *   expression
 */
export function scanHead(text: string, place: HeadPlace, options: HeadOptions): HeadPiece[] | null {
  if (!MAY_HOLD.test(text)) return null
  const pieces: HeadPiece[] = []
  let expressions = 0
  const lane = new Lane({
    state: STATES[place],
    delimiters: options.delimiters,
    expressionBytes: options.expressionBytes,
    base: 0,
    ascii: false,
    boundaries: [],
    sink: {
      bytes: (chunk, start, end) => {
        pieces.push(chunk.toString('latin1', start, end))
      },
      expression: (spot) => {
        expressions++
        pieces.push(spot)
      }
    }
  })
  lane.end(Buffer.from(text, 'latin1'))
  return expressions === 0 ? null : pieces
}

const STATES = { [PLACE_URL_PATH]: URL_PATH, [PLACE_URL_QUERY]: URL_QUERY, [PLACE_HEADER]: HEADER } as const
/** Two opener characters in any spelling. */
const MAY_HOLD = /(?:\{|%7b){2}|(?:<|%3c){2}/i
