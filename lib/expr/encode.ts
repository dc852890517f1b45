/** Hot: per expression. Bench: bench/micro/expr/render.ts. */
import { unreachable } from '../errors.ts'
import { type Json, LosslessNumber } from '../json.ts'
import {
  PLACE_CSV,
  PLACE_CSV_QUOTED,
  PLACE_FORM,
  PLACE_HEADER,
  PLACE_JSON_KEY,
  PLACE_JSON_STRING,
  PLACE_JSON_VALUE,
  PLACE_JSON_WHOLE,
  PLACE_PART_HEADER,
  PLACE_TEXT,
  PLACE_URL_PATH,
  PLACE_URL_QUERY,
  PLACE_XML_ATTRIBUTE,
  PLACE_XML_CDATA,
  PLACE_XML_MARKUP,
  PLACE_XML_TEXT,
  type Place
} from '../scan/context.ts'
import { type Chain, NO_FILTERS } from './chain.ts'
import { evaluate, type Found } from './evaluate.ts'
import {
  cdata,
  csv,
  csvQuoted,
  form,
  header,
  isAscii,
  jsonEscape,
  jsonString,
  partHeader,
  urlPath,
  urlQuery,
  xmlAttribute,
  xmlText
} from './escapes.ts'
import type { Expression } from './expression.ts'
import { asValueFault, valueFault } from './faults.ts'
import { printOf, textOf } from './value.ts'
import { Work } from './work.ts'

/** What encode needs to know of where an expression stands. */
export interface EncodeSpot {
  readonly place: Place
  /** Only ASCII can be written there. */
  readonly ascii?: boolean
  /** The boundaries of the multipart bodies around it. */
  readonly boundaries?: readonly string[]
}

/**
 * The text that stands in the spot's stead, so that the value cannot change the structure around it. Written out as
 * UTF-8, except in a header: there it is a string of bytes (latin1).
 *
 * @param work What is written counts on it. Default: no bound for an expression without filters, whose value is as
 *   long as it is; else WORK_UNITS.
 * @throws ERR_EXPR_VALUE for a value that cannot stand in that place
 */
export function encode(value: Json, expression: Expression, spot: EncodeSpot, work: Work = ample(expression)): string {
  try {
    const text = place(value, expression.chain, spot.place, work)
    work.spend(expression.chain === NO_FILTERS ? text.length / BARE_CHARACTERS : text.length)
    if (spot.ascii === true && !isAscii(text)) throw valueFault()
    if (spot.boundaries?.some((boundary) => text.includes(boundary)) === true) throw valueFault()
    return text
  } catch (thrown) {
    throw asValueFault(thrown)
  }
}

/**
 * `encode(evaluate(…))`, without parsing the token's data where its JSON text can stand as it is.
 *
 * @throws ERR_EXPR_VALUE
 */
export function render(expression: Expression, found: Found, spot: EncodeSpot, work: Work = ample(expression)): string {
  if (
    expression.chain === NO_FILTERS &&
    (spot.place === PLACE_JSON_STRING || spot.place === PLACE_JSON_WHOLE) &&
    spot.ascii !== true &&
    (spot.boundaries === undefined || spot.boundaries.length === 0) &&
    expression.subject.form === 'data' &&
    expression.paths[found.candidate]?.length === 0
  ) {
    const json = found.data.exposeText()
    if (json.charCodeAt(0) === QUOTE && json.charCodeAt(json.length - 1) === QUOTE) {
      work.spend(json.length / BARE_CHARACTERS)
      return spot.place === PLACE_JSON_WHOLE ? json : json.slice(1, -1)
    }
  }
  return encode(evaluate(expression, found, work), expression, spot, work)
}

function ample(expression: Expression): Work {
  return expression.chain.steps.length === 0 ? new Work(Number.POSITIVE_INFINITY) : new Work()
}

function place(value: Json, { raw, bare }: Chain, where: Place, work: Work): string {
  if (where === PLACE_JSON_WHOLE) return whole(value, raw, bare, work)
  if (where === PLACE_JSON_VALUE) return raw ? printOf(value, work) : json(value, work)
  const text = printOf(value, work)
  switch (where) {
    case PLACE_TEXT:
      return text
    case PLACE_JSON_STRING:
    case PLACE_JSON_KEY:
      return raw ? text : jsonEscape(text)
    case PLACE_FORM:
      return raw ? text : form(text)
    case PLACE_XML_TEXT:
      return raw ? text : xmlText(text)
    case PLACE_XML_ATTRIBUTE:
      return raw ? text : xmlAttribute(text)
    case PLACE_XML_CDATA:
      return raw ? text : cdata(text)
    case PLACE_XML_MARKUP:
      if (raw) return text
      throw valueFault()
    case PLACE_CSV:
      return raw ? text : csv(text)
    case PLACE_CSV_QUOTED:
      return raw ? text : csvQuoted(text)
    case PLACE_URL_PATH:
      return urlPath(text, raw)
    case PLACE_URL_QUERY:
      return urlQuery(text, raw)
    case PLACE_HEADER:
      return header(text)
    case PLACE_PART_HEADER:
      return partHeader(text, raw)
    default:
      return unreachable('a place without an escape')
  }
}

/** The whole of a JSON string, whose quotes the value replaces where it is none. Numbers stay text unless cast. */
function whole(value: Json, raw: boolean, bare: boolean, work: Work): string {
  if (typeof value === 'string') return raw ? `"${value}"` : jsonString(value)
  if (typeof value === 'boolean' || typeof value === 'number' || value instanceof LosslessNumber) {
    return bare ? textOf(value) : `"${textOf(value)}"`
  }
  return json(value, work)
}

function json(value: Json, work: Work): string {
  if (typeof value === 'string') return jsonString(value)
  return value === null ? 'null' : printOf(value, work)
}

const QUOTE = 0x22
/** Characters for a unit of work where no filter has been: a large document is copied at most. */
const BARE_CHARACTERS = 8
