import { SluiceError } from '../errors.ts'
import { parseMediaType } from './media-type.ts'

/** How the bytes of a body are read, and so how values are escaped. */
export type ContextKind = 'json' | 'form' | 'xml' | 'csv' | 'text' | 'multipart'

export interface Context {
  readonly kind: ContextKind
  /** With `multipart` alone. */
  readonly boundary?: string
  /** Declared in a charset other than UTF-8: only ASCII can be written. */
  readonly ascii?: boolean
}

/** Where an expression stands: decides how its text is un-escaped and, in expr/encode, how its value is escaped. */
export type Place = number
export const PLACE_TEXT = 1
/** A part of a string (of a key, too). */
export const PLACE_JSON_STRING = 2
/** The whole of a string that is no key: the spot takes in both quotes. */
export const PLACE_JSON_WHOLE = 3
/** The whole of a key: the quotes stay. */
export const PLACE_JSON_KEY = 4
/** Outside any string. */
export const PLACE_JSON_VALUE = 5
export const PLACE_FORM = 6
export const PLACE_XML_TEXT = 7
/** In a quoted attribute. */
export const PLACE_XML_ATTRIBUTE = 8
export const PLACE_XML_CDATA = 9
/** In a tag, comment, instruction or declaration: nothing may stand there. */
export const PLACE_XML_MARKUP = 10
/** In a CSV field without quotes. */
export const PLACE_CSV = 11
export const PLACE_URL_PATH = 12
export const PLACE_URL_QUERY = 13
export const PLACE_HEADER = 14
/** In the head of a multipart part. */
export const PLACE_PART_HEADER = 15
/** In a CSV field in quotes, which stay. */
export const PLACE_CSV_QUOTED = 16

/** Bytes of a body's beginning that `settleContext` looks at. */
export const SETTLE_BYTES = 256

/**
 * Settles how a body is read: by its declared type, and by its first bytes where that says too little. Null: a type
 * that holds no expressions.
 *
 * @param contentType The one Content-Type field, or undefined.
 * @param first The beginning of the body. The first SETTLE_BYTES of it are looked at; give all of them, or all there is.
 * @param last The end of the body (it may be the same buffer); null while more is to come.
 * @throws ERR_CHARSET for UTF-16, UTF-32 and an XML encoding that is neither UTF-8 nor ASCII
 * @throws ERR_CONTENT_TYPE for a type that is ambiguous, and for multipart without a boundary
 */
export function settleContext(
  contentType: string | undefined,
  first: Uint8Array,
  last: Uint8Array | null
): Context | null {
  const { essence, charset, boundary, isBinary } = parseMediaType(contentType)
  if (isBinary) return null
  if (charset !== undefined && WIDE_CHARSET.test(charset)) throw charsetFault('of the Content-Type')
  if (essence.startsWith('multipart/')) {
    if (boundary === undefined || !BOUNDARY.test(boundary)) {
      throw new SluiceError('ERR_CONTENT_TYPE', 'A multipart body needs a boundary of 1 to 70 characters')
    }
    return { kind: 'multipart', boundary }
  }
  const kind = kindOf(essence, first, last)
  if (kind !== 'text' || essence === '' || essence.startsWith('text/')) refuseWide(kind, first)
  let ascii = charset !== undefined && !UTF8.test(charset)
  if (kind === 'xml') {
    const encoding = XML_ENCODING.exec(latin1(first.subarray(0, SETTLE_BYTES)))
    const name = encoding?.[1] ?? encoding?.[2]
    if (name !== undefined && !UTF8.test(name)) {
      if (!ASCII.test(name)) throw charsetFault('of the XML declaration')
      ascii = true
    }
  }
  return ascii ? { kind, ascii } : CONTEXTS[kind]
}

function kindOf(essence: string, first: Uint8Array, last: Uint8Array | null): Exclude<ContextKind, 'multipart'> {
  if (essence === JSON_TYPE) return 'json'
  if (essence === '') return beginsJson(first) ? 'json' : 'text'
  if (essence === FORM_TYPE) return isLabelledJson(first, last) ? 'json' : 'form'
  const subtype = essence.slice(essence.indexOf('/') + 1)
  if (subtype.endsWith('+json') || subtype.endsWith('+json-seq') || JSON_SUBTYPE.test(subtype)) return 'json'
  if (subtype.endsWith('+xml') || XML_TYPES.has(essence)) return 'xml'
  return CSV_TYPES.has(essence) ? 'csv' : 'text'
}

/** `{` or `[` comes first, and it is not the opener of an expression. */
function beginsJson(first: Uint8Array): boolean {
  const at = firstNonBlank(first)
  return first[at] === BRACKET || (first[at] === BRACE && first[at + 1] !== BRACE)
}

/** The body is JSON, although its type says form: what curl does with `-d` unless told otherwise. */
function isLabelledJson(first: Uint8Array, last: Uint8Array | null): boolean {
  const at = firstNonBlank(first)
  const closer = first[at] === BRACE ? CLOSING_BRACE : first[at] === BRACKET ? CLOSING_BRACKET : -1
  if (closer < 0 || (last !== null && last[lastNonBlank(last)] !== closer)) return false
  const next = firstNonBlank(first, at + 1)
  const rest = latin1(first.subarray(next, next + 5))
  return closer === CLOSING_BRACE ? /^["}]/.test(rest) : /^(?:["{[\]\d]|-\d|true|false|null)/.test(rest)
}

/** In UTF-16 and UTF-32 no delimiter would be found: such a body must not pass as one that holds none. */
function refuseWide(kind: ContextKind, first: Uint8Array): void {
  // NOTE: one by one. To take an array apart costs ten times this.
  const a = first[0]
  const b = first[1]
  const c = first[2]
  const d = first[3]
  const mark =
    (a === 0xfe && b === 0xff) || (a === 0xff && b === 0xfe) || (a === 0 && b === 0 && c === 0xfe && d === 0xff)
  const zeros = first.length > 1 && (kind === 'json' || kind === 'xml') && (a === 0 || b === 0)
  if (mark || zeros) throw charsetFault('of the body')
}

function charsetFault(which: string): SluiceError {
  return new SluiceError('ERR_CHARSET', `The charset ${which} is not supported: send UTF-8`)
}

/** Index of the first byte that is neither white space nor a byte order mark. */
function firstNonBlank(bytes: Uint8Array, from = -1): number {
  let at = from
  if (at < 0) at = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
  while (at < bytes.length && isBlank(bytes[at] as number)) at++
  return at
}

function lastNonBlank(bytes: Uint8Array): number {
  let at = bytes.length - 1
  while (at >= 0 && isBlank(bytes[at] as number)) at--
  return at
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}

const CONTEXTS = {
  json: { kind: 'json' },
  form: { kind: 'form' },
  xml: { kind: 'xml' },
  csv: { kind: 'csv' },
  text: { kind: 'text' }
} as const satisfies Partial<Record<ContextKind, Context>>

const JSON_TYPE = 'application/json'
const FORM_TYPE = 'application/x-www-form-urlencoded'
const JSON_SUBTYPE = /^(?:x-)?(?:json|ndjson|jsonl|jsonlines|json-lines|json-seq)$|^x-amz-json-/
const XML_TYPES = new Set(['application/xml', 'text/xml', 'application/xml-external-parsed-entity'])
const CSV_TYPES = new Set(['text/csv', 'application/csv', 'text/comma-separated-values', 'text/tab-separated-values'])

const WIDE_CHARSET = /^(?:cs)?(?:utf-?(?:16|32)|ucs-?[24]|iso-10646-ucs|unicode$)/
const UTF8 = /^utf-?8$/i
const ASCII = /^(?:us-)?ascii$/i
/** RFC 2046, 5.1.1; more than its characters are let through, as browsers and servers do. */
const BOUNDARY = /^[\x20-\x7e]{0,69}[\x21-\x7e]$/
const XML_ENCODING = /^(?:\xef\xbb\xbf)?<\?xml\s[^>]*?\sencoding\s*=\s*(?:"([^"]*)"|'([^']*)')/

const BRACKET = 0x5b
const CLOSING_BRACKET = 0x5d
const BRACE = 0x7b
const CLOSING_BRACE = 0x7d
