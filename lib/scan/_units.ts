/** Hot: per escape. Bench: bench/micro/scan/scanner.ts. */

/** How text is escaped in a place. */
export type Escaping = number
export const AS_IS = 0
/** `\"` `\n` `\u003c` … (RFC 8259, 7) */
export const JSON_ESCAPES = 1
/** `%7B` (RFC 3986, 2.1) */
export const PERCENT = 2
/** The same, and `+` for a space (application/x-www-form-urlencoded). */
export const PERCENT_PLUS = 3
/** `&lt;` `&#60;` `&#x3c;` (XML 1.0, 4.1 and 4.6) */
export const REFERENCES = 4
/** `""` for `"` (RFC 4180, 2) */
export const CSV_QUOTES = 5

// :: escaping → the byte that every escape begins with
export const INTRODUCERS: readonly string[] = ['', '\\', '%', '%', '&', '"']

/** The longest escape, in bytes. */
export const UNIT_BYTES = 12

/** `readUnit`: what stands there may be an escape; more bytes will tell. */
export const INCOMPLETE = -1

/**
 * Reads the escape that may begin at `at`, where the introducer of `escaping` stands. Returns
 * `character << 4 | length in bytes`, or INCOMPLETE unless `final`. The character is a code point; for `%XX` a byte;
 * for `\uXXXX` a UTF-16 unit. What is no escape is the introducer alone.
 */
export function readUnit(escaping: Escaping, buffer: Buffer, at: number, end: number, final: boolean): number {
  if (escaping === JSON_ESCAPES) return jsonUnit(buffer, at, end, final)
  if (escaping === REFERENCES) return referenceUnit(buffer, at, end, final)
  if (escaping === CSV_QUOTES) {
    if (at + 1 >= end) return final ? unit(QUOTE, 1) : INCOMPLETE
    return unit(QUOTE, buffer[at + 1] === QUOTE ? 2 : 1)
  }
  return percentUnit(buffer, at, end, final)
}

/**
 * Text between the delimiters, un-escaped. Null when it is not well-formed Unicode: then it is no expression.
 * @param buffer Not kept.
 */
export function unescape(escaping: Escaping, buffer: Buffer, start: number, end: number): string | null {
  if (escaping === AS_IS) return wellFormed(buffer, start, end) ? buffer.toString('utf8', start, end) : null
  // No escape is shorter than what it stands for.
  const out = Buffer.allocUnsafe(end - start)
  const introducer = (INTRODUCERS[escaping] as string).charCodeAt(0)
  let to = 0
  let at = start
  while (at < end) {
    const byte = buffer[at] as number
    if (byte !== introducer) {
      out[to++] = byte === PLUS && escaping === PERCENT_PLUS ? SPACE : byte
      at++
      continue
    }
    const read = readUnit(escaping, buffer, at, end, true)
    let character = read >> 4
    at += read & 0xf
    if (escaping === JSON_ESCAPES && character >= 0xd800 && character <= 0xdfff) {
      const low = readLow(buffer, at, end)
      if (character > 0xdbff || low < 0) return null
      character = 0x10000 + ((character - 0xd800) << 10) + (low - 0xdc00)
      at += 6
    }
    if (character < 0x80 || escaping === PERCENT || escaping === PERCENT_PLUS) out[to++] = character
    else to = encodeUtf8(character, out, to)
  }
  return wellFormed(out, 0, to) ? out.toString('utf8', 0, to) : null
}

function unit(character: number, length: number): number {
  return (character << 4) | length
}

function jsonUnit(buffer: Buffer, at: number, end: number, final: boolean): number {
  if (at + 1 >= end) return final ? unit(BACKSLASH, 1) : INCOMPLETE
  switch (buffer[at + 1]) {
    case QUOTE:
      return unit(QUOTE, 2)
    case BACKSLASH:
      return unit(BACKSLASH, 2)
    case SLASH:
      return unit(SLASH, 2)
    case LOWER_B:
      return unit(0x08, 2)
    case LOWER_F:
      return unit(0x0c, 2)
    case LOWER_N:
      return unit(0x0a, 2)
    case LOWER_R:
      return unit(0x0d, 2)
    case LOWER_T:
      return unit(0x09, 2)
    case LOWER_U:
      break
    default:
      return unit(BACKSLASH, 1)
  }
  let character = 0
  for (let digit = at + 2; digit < at + 6; digit++) {
    if (digit >= end) return final ? unit(BACKSLASH, 1) : INCOMPLETE
    const value = hexDigit(buffer[digit] as number)
    if (value < 0) return unit(BACKSLASH, 1)
    character = (character << 4) | value
  }
  return unit(character, 6)
}

/** The low surrogate spelled at `at`, or -1. */
function readLow(buffer: Buffer, at: number, end: number): number {
  if (at >= end || buffer[at] !== BACKSLASH) return -1
  const character = jsonUnit(buffer, at, end, true) >> 4
  return character >= 0xdc00 && character <= 0xdfff ? character : -1
}

function percentUnit(buffer: Buffer, at: number, end: number, final: boolean): number {
  let character = 0
  for (let digit = at + 1; digit < at + 3; digit++) {
    if (digit >= end) return final ? unit(PERCENT_SIGN, 1) : INCOMPLETE
    const value = hexDigit(buffer[digit] as number)
    if (value < 0) return unit(PERCENT_SIGN, 1)
    character = (character << 4) | value
  }
  return unit(character, 3)
}

function referenceUnit(buffer: Buffer, at: number, end: number, final: boolean): number {
  let stop = at + 1
  for (; ; stop++) {
    if (stop - at >= UNIT_BYTES) return unit(AMPERSAND, 1)
    if (stop >= end) return final ? unit(AMPERSAND, 1) : INCOMPLETE
    const byte = buffer[stop] as number
    if (byte === SEMICOLON) break
    if (!isAlphanumeric(byte) && byte !== HASH) return unit(AMPERSAND, 1)
  }
  const character =
    buffer[at + 1] === HASH ? numericReference(buffer, at + 2, stop) : namedReference(buffer, at + 1, stop)
  return character < 0 ? unit(AMPERSAND, 1) : unit(character, stop + 1 - at)
}

function numericReference(buffer: Buffer, start: number, end: number): number {
  const hex = buffer[start] === LOWER_X
  let at = hex ? start + 1 : start
  if (at === end) return -1
  let character = 0
  for (; at < end; at++) {
    const digit = hexDigit(buffer[at] as number)
    if (digit < 0 || (!hex && digit > 9)) return -1
    character = character * (hex ? 16 : 10) + digit
  }
  const legal = character > 0 && character <= 0x10ffff && (character < 0xd800 || character > 0xdfff)
  return legal ? character : -1
}

function namedReference(buffer: Buffer, start: number, end: number): number {
  for (let row = 0; row < NAMES.length; row++) {
    const name = NAMES[row] as string
    if (name.length !== end - start) continue
    let at = 0
    while (at < name.length && name.charCodeAt(at) === buffer[start + at]) at++
    if (at === name.length) return NAMED.charCodeAt(row)
  }
  return -1
}

function isAlphanumeric(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a)
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

function encodeUtf8(character: number, out: Buffer, at: number): number {
  let to = at
  if (character < 0x800) {
    out[to++] = 0xc0 | (character >> 6)
  } else if (character < 0x10000) {
    out[to++] = 0xe0 | (character >> 12)
    out[to++] = 0x80 | ((character >> 6) & 0x3f)
  } else {
    out[to++] = 0xf0 | (character >> 18)
    out[to++] = 0x80 | ((character >> 12) & 0x3f)
    out[to++] = 0x80 | ((character >> 6) & 0x3f)
  }
  out[to++] = 0x80 | (character & 0x3f)
  return to
}

/** Well-formed UTF-8 (Unicode 15, table 3-7). A decoder that throws costs microseconds; hostile bodies would use it. */
function wellFormed(buffer: Buffer, start: number, end: number): boolean {
  let at = start
  while (at < end) {
    const lead = buffer[at++] as number
    if (lead < 0x80) continue
    if (lead < 0xc2 || lead > 0xf4) return false
    let more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3
    if (at + more > end) return false
    const second = buffer[at++] as number
    const least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
    const most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
    if (second < least || second > most) return false
    while (--more > 0) {
      const next = buffer[at++] as number
      if (next < 0x80 || next > 0xbf) return false
    }
  }
  return true
}

const NAMES: readonly string[] = ['lt', 'gt', 'amp', 'quot', 'apos']
const NAMED = '<>&"\''

const SPACE = 0x20
const QUOTE = 0x22
const HASH = 0x23
const PERCENT_SIGN = 0x25
const AMPERSAND = 0x26
const PLUS = 0x2b
const SLASH = 0x2f
const SEMICOLON = 0x3b
const BACKSLASH = 0x5c
const LOWER_B = 0x62
const LOWER_F = 0x66
const LOWER_N = 0x6e
const LOWER_R = 0x72
const LOWER_T = 0x74
const LOWER_U = 0x75
const LOWER_X = 0x78
