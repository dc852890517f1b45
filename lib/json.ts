import { LosslessNumber, parse as parseLossless, stringify as stringifyLossless } from 'lossless-json'

export { LosslessNumber }

/**
 * JSON without losing digits: a number is a JavaScript number when printing the double gives its text back, and a
 * `LosslessNumber` (whose `value` is the text) otherwise.
 */
export type Json = null | boolean | number | string | LosslessNumber | Json[] | { [key: string]: Json }

/**
 * Parses JSON text. Own properties only: a key `__proto__` is a plain property. Throws SyntaxError, whose message may
 * quote the text: never pass it on.
 */
export function parseJson(text: string): Json {
  if (numbersAreExact(text)) return JSON.parse(text) as Json
  return parseLossless(text, undefined, {
    parseNumber: (digits: string) => (String(Number(digits)) === digits ? Number(digits) : new LosslessNumber(digits)),
    onDuplicateKey: ({ newValue }: { newValue: unknown }) => newValue
  }) as Json
}

/** Compact JSON text; numbers keep their text, `undefined` never occurs. */
export function formatJson(value: Json): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (value instanceof LosslessNumber) return value.value
  return holdsLossless(value) ? (stringifyLossless(value) as string) : JSON.stringify(value)
}

/** The text of a number, as it stood in the JSON that it came from. */
export function numberText(value: number | LosslessNumber): string {
  return typeof value === 'number' ? String(value) : value.value
}

function holdsLossless(value: Json): boolean {
  if (value === null || typeof value !== 'object') return false
  if (value instanceof LosslessNumber) return true
  if (Array.isArray(value)) return value.some(holdsLossless)
  for (const key in value) if (holdsLossless(value[key] as Json)) return true
  return false
}

/** True when every number outside strings is a plain integer of at most 15 digits: then JSON.parse loses nothing. */
function numbersAreExact(text: string): boolean {
  let run = 0
  for (let at = 0; at < text.length; at++) {
    const byte = text.charCodeAt(at)
    if (byte === QUOTE) {
      at = closingQuote(text, at)
      run = 0
    } else if (byte >= ZERO && byte <= NINE) {
      if (++run > 15) return false
    } else if (byte === DOT || byte === UPPER_E || (byte === LOWER_E && run > 0)) {
      return false
    } else if (byte === MINUS && text.charCodeAt(at + 1) === ZERO) {
      return false
    } else {
      run = 0
    }
  }
  return true
}

function closingQuote(text: string, open: number): number {
  let at = open + 1
  for (;;) {
    const quote = text.indexOf('"', at)
    if (quote < 0) return text.length
    let backslashes = 0
    while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return quote
    at = quote + 1
  }
}

const QUOTE = 0x22
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const UPPER_E = 0x45
const BACKSLASH = 0x5c
const LOWER_E = 0x65

/**
 * The same text, for one that is kept. Text that was put together stays a tree of its parts, and to walk it costs the
 * engine 200 instructions a part, each time anew; text that was cut out of a head keeps the whole head, keys and all.
 */
export function inOnePiece(text: string): string {
  return Buffer.from(text).toString()
}

/**
 * The same text, as the one string that the engine has for it: two such are compared by their addresses, in a dozen
 * instructions instead of 50 to 200. For texts that stay: names and values of heads that come again and again.
 */
export function internalized(text: string): string {
  // NOTE: what makes it one is that it is the name of a property. A prototype of null: the object is a hash table, whose
  // properties leave nothing behind.
  PROPERTIES[text] = true
  const [own = text] = Object.keys(PROPERTIES)
  delete PROPERTIES[text]
  return own
}

const PROPERTIES = Object.create(null) as Record<string, true>

// :: n → three digits
export const THOUSANDTHS: readonly string[] = Array.from({ length: 1000 }, (_, n) => String(n).padStart(3, '0'))
