import {
  AS_IS,
  CSV_QUOTES,
  type Escaping,
  INTRODUCERS,
  JSON_ESCAPES,
  PERCENT,
  PERCENT_PLUS,
  REFERENCES
} from './_units.ts'
import {
  PLACE_CSV,
  PLACE_CSV_QUOTED,
  PLACE_FORM,
  PLACE_HEADER,
  PLACE_JSON_STRING,
  PLACE_JSON_VALUE,
  PLACE_PART_HEADER,
  PLACE_TEXT,
  PLACE_URL_PATH,
  PLACE_URL_QUERY,
  PLACE_XML_ATTRIBUTE,
  PLACE_XML_CDATA,
  PLACE_XML_MARKUP,
  PLACE_XML_TEXT,
  type Place
} from './context.ts'
import { ANGLE, CURLY } from './delimiters.ts'

/*
 * Where a lane stands in its body, one number for all contexts: which place an opener here has, how text here is
 * escaped, and which bytes may lead to another state.
 */

export const TEXT = 0
export const HEADER = 1
export const PART_HEADER = 2
const FORM = 3
export const URL_PATH = 4
export const URL_QUERY = 5
export const JSON_OUT = 6
/** In a string. */
export const JSON_IN = 7
export const CSV_BARE = 8
/** In a quoted field. */
export const CSV_QUOTED = 9
export const XML_TEXT = 10
/** After `<`. */
export const XML_OPEN = 11
/** In a tag, outside its quotes. */
export const XML_TAG = 12
export const XML_DOUBLE = 13
export const XML_SINGLE = 14
/** In `<? … ?>`. */
export const XML_INSTRUCTION = 15
/** There, after `?`. */
export const XML_INSTRUCTION_END = 16
/** After `<!`. */
export const XML_BANG = 17
/** After `<!-`. */
export const XML_BANG_DASH = 18
export const XML_COMMENT = 19
/** There, after `-`. */
export const XML_COMMENT_DASH = 20
/** There, after `--`. */
export const XML_COMMENT_END = 21
/** In `<!DOCTYPE …>` or a declaration nested in it. */
export const XML_DECLARATION = 22
export const XML_DECLARATION_DOUBLE = 23
export const XML_DECLARATION_SINGLE = 24
export const XML_CDATA = 25
/** There, after `]`. */
export const XML_CDATA_BRACKET = 26
/** There, after `]]`. */
export const XML_CDATA_END = 27
/** After `<![`; each letter of `CDATA[` that follows adds one. */
export const XML_CDATA_OPEN = 28

interface Row {
  readonly place: Place
  readonly escaping: Escaping
  /** The bytes that matter here, null for all. */
  readonly bytes: string | null
}

const row = (place: Place, escaping: Escaping, bytes: string | null): Row => ({ place, escaping, bytes })
const markup = (bytes: string | null): Row => row(PLACE_XML_MARKUP, AS_IS, bytes)
const everyByte = markup(null)

const ROWS: readonly Row[] = [
  row(PLACE_TEXT, AS_IS, ''),
  row(PLACE_HEADER, AS_IS, ''),
  row(PLACE_PART_HEADER, AS_IS, ''),
  row(PLACE_FORM, PERCENT_PLUS, '%'),
  row(PLACE_URL_PATH, PERCENT, '%'),
  row(PLACE_URL_QUERY, PERCENT_PLUS, '%'),
  row(PLACE_JSON_VALUE, AS_IS, '"'),
  row(PLACE_JSON_STRING, JSON_ESCAPES, '"\\'),
  row(PLACE_CSV, AS_IS, '"'),
  row(PLACE_CSV_QUOTED, CSV_QUOTES, '"'),
  row(PLACE_XML_TEXT, REFERENCES, '<&'),
  everyByte,
  markup('<>"\''),
  row(PLACE_XML_ATTRIBUTE, REFERENCES, '"&'),
  row(PLACE_XML_ATTRIBUTE, REFERENCES, "'&"),
  markup('?'),
  everyByte,
  everyByte,
  everyByte,
  markup('-'),
  everyByte,
  everyByte,
  markup('<>"\''),
  markup('"'),
  markup("'"),
  row(PLACE_XML_CDATA, AS_IS, ']'),
  row(PLACE_XML_CDATA, AS_IS, null),
  row(PLACE_XML_CDATA, AS_IS, null),
  everyByte,
  everyByte,
  everyByte,
  everyByte,
  everyByte,
  everyByte
]

// :: kind → the state that a body of it begins in
export const FIRST_STATES = {
  text: TEXT,
  json: JSON_OUT,
  form: FORM,
  csv: CSV_BARE,
  xml: XML_TEXT
} as const

// :: state → place of an opener there
export const PLACES: readonly Place[] = ROWS.map(({ place }) => place)

// :: state → how text there is escaped
export const ESCAPINGS: readonly Escaping[] = ROWS.map(({ escaping }) => escaping)

/** How text is escaped, where it is escaped at all, in the body that a state belongs to. */
export function escapingAround(state: number): Escaping {
  if (state >= XML_TEXT) return REFERENCES
  if (state >= CSV_BARE) return CSV_QUOTES
  if (state >= JSON_OUT) return JSON_ESCAPES
  return ESCAPINGS[state] as Escaping
}

/** For each state a table of 256 bytes: not 0 where a byte must be looked at. */
export interface Stops {
  /** While no expression is open. */
  readonly closed: readonly Uint8Array[]
  /** While one is. */
  readonly open: readonly Uint8Array[]
}

/** The tables for a bit mask of pairs: made once. */
export function stopsFor(delimiters: number): Stops {
  const pairs = delimiters & (CURLY | ANGLE)
  STOPS[pairs] ??= {
    closed: ROWS.map((_, state) => stops(state, pairs, '')),
    open: ROWS.map((_, state) => stops(state, pairs, WITHIN))
  }
  return STOPS[pairs]
}

// :: bit mask of pairs → tables
const STOPS: Stops[] = []

function stops(state: number, pairs: number, more: string): Uint8Array {
  const table = new Uint8Array(256)
  const { bytes } = ROWS[state] as Row
  if (bytes === null) return table.fill(1)
  let all = bytes + more
  if ((pairs & CURLY) !== 0) all += '{'
  if ((pairs & ANGLE) !== 0) all += '<'
  if (more !== '') all += INTRODUCERS[escapingAround(state)]
  if (more !== '' && escapingAround(state) === PERCENT_PLUS) all += '+'
  for (let at = 0; at < all.length; at++) table[all.charCodeAt(at)] = 1
  return table
}

/** What matters within an expression: closers, `|`, quotes, control bytes and bytes that may be ill-formed UTF-8. */
const WITHIN = ((): string => {
  let bytes = '}>|\'"\\\x7f'
  for (let byte = 0; byte < 0x20; byte++)
    bytes += byte === 0x09 || byte === 0x0a || byte === 0x0d ? '' : String.fromCharCode(byte)
  for (let byte = 0x80; byte < 0x100; byte++) bytes += String.fromCharCode(byte)
  return bytes
})()
