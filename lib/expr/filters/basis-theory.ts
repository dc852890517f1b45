import { LosslessNumber } from '../../json.ts'
import { codePoints, tail } from '../characters.ts'
import { valueFault } from '../faults.ts'
import { ANY, type Filter, filter, type Intake, type Parameter, Refusal, TEXT } from '../filter.ts'
import { character, flag, integer, text } from '../parameters.ts'
import { compilePath, type Path } from '../path.ts'
import { isObject, printOf, textOf, type Value } from '../value.ts'
import { OUTPUT_CHARACTERS, type Work } from '../work.ts'
import { hmac, randomBelow } from './crypto.ts'
import { STANDARD } from './standard.ts'

/** Bytes, or the UTF-8 bytes of text. */
const BYTES: Intake<Uint8Array> = {
  convert: (value) => (value instanceof Uint8Array ? value : Buffer.from(textOf(value)))
}
const ENCODES = { nulls: 'refuse', takesBytes: true } as const
/** Random each time, so never evaluated ahead; nothing to alias is an error. */
const ALIAS = { nulls: 'refuse', pure: false } as const

/**
 * The filters of the Basis Theory dialect that Liquid lacks. Characters are code points. Null stays null unless a row
 * says otherwise; a value that a filter cannot take is ERR_EXPR_VALUE.
 */
const CUSTOM: readonly Filter[] = [
  filter('alias_preserve_format', TEXT, [length('first', 0), length('last', 0)], preserveFormat, ALIAS),
  filter('alias_preserve_length', TEXT, [length('first', 0), length('last', 0)], preserveLength, ALIAS),
  filter('alias_card', TEXT, [flag('reveal_bin', false), flag('reveal_last4', false)], aliasCard, ALIAS),
  filter('json', ANY, [path('path')], (input, work, find) => find(asJson(input), work)),
  filter('last4', TEXT, [], (input) => tail(input, 4), { nulls: 'null' }),
  filter(
    'reveal',
    TEXT,
    [length('first', 0), length('last', 0), character('mask_char', 'X'), text('preserve', '')],
    reveal,
    {
      nulls: 'null'
    }
  ),
  filter('reveal_last', TEXT, [length('length'), character('mask_char', 'X')], revealLast, { nulls: 'null' }),
  filter(
    'pad_left',
    TEXT,
    [length('length'), character('pad_char')],
    (input, work, to, pad) => padding(input, work, to, pad) + input,
    {
      nulls: 'null'
    }
  ),
  filter(
    'pad_right',
    TEXT,
    [length('length'), character('pad_char')],
    (input, work, to, pad) => input + padding(input, work, to, pad),
    {
      nulls: 'null'
    }
  ),
  ...['stringify', 'json_stringify'].map((name) => filter(name, ANY, [], printOf, { nulls: 'null' })),
  filter(
    'card_mask',
    TEXT,
    [flag('reveal_bin', false), flag('reveal_last4', false), character('mask_char', 'X'), text('preserve', '')],
    cardMask,
    { nulls: 'null' }
  ),
  filter('card_bin', TEXT, [text('separator', '')], cardBin, { nulls: 'null' }),
  filter('card_exp', ANY, [expiryFormat('format')], cardExpiry, { nulls: 'null' }),
  filter('to_number', ANY, [], toNumber, { nulls: 'null' }),
  filter('to_boolean', ANY, [], toBoolean, { nulls: 'null' }),
  filter('to_string', TEXT, [], (input) => input, { nulls: 'null' }),
  filter(
    'hmac',
    TEXT,
    [algorithm('algorithm'), text('key')],
    (input, work, hash, key) => {
      work.write(input.length)
      return hmac(hash, key, input)
    },
    { nulls: 'refuse', keyed: true, gives: 'bytes' }
  ),
  filter('to_base16', BYTES, [], (input, work) => encoded(input, work, 'hex').toUpperCase(), ENCODES),
  filter('to_base64', BYTES, [], (input, work) => encoded(input, work, 'base64'), ENCODES),
  // The chain takes it off; its row is here for its name and that it has no arguments.
  filter('raw', ANY, [], (input) => input)
]

/** Every filter of the Liquid grammar by name. */
export const FILTERS: ReadonlyMap<string, Filter> = new Map([...STANDARD, ...CUSTOM].map((row) => [row.name, row]))

/** Letters become random lower-case letters and digits random digits; everything else stays. */
function preserveFormat(input: string, work: Work, first: number, last: number): string {
  return hidden(input, work, first, last, (character) => {
    if (DIGIT.test(character)) return pick(DIGITS)
    return LETTER.test(character) ? pick(LETTERS) : character
  })
}

/** Every character becomes a random lower-case letter or digit. */
function preserveLength(input: string, work: Work, first: number, last: number): string {
  return hidden(input, work, first, last, () => pick(LETTERS_AND_DIGITS))
}

/** An alias that would show everything is ERR_EXPR_VALUE: it would be the value. */
function hidden(input: string, work: Work, first: number, last: number, hide: (character: string) => string): string {
  const all = characters(input, work)
  if (first + last >= all.length) throw valueFault()
  return all.map((character, at) => (at < first || at >= all.length - last ? character : hide(character))).join('')
}

/** Random digits; `-` and space stay. A number that is shown whole is ERR_EXPR_VALUE, as is one with other characters. */
function aliasCard(input: string, work: Work, bin: boolean, last4: boolean): string {
  work.spend(input.length * CHARACTER_UNITS)
  if (!/^[0-9 -]+$/.test(input)) throw valueFault()
  const digits = count(input)
  const head = bin ? binLength(digits) : 0
  const tail = last4 ? 4 : 0
  if (head + tail >= digits) throw valueFault()
  let at = 0
  return input.replace(/[0-9]/g, (digit) => {
    at++
    return at <= head || at > digits - tail ? digit : pick(DIGITS)
  })
}

/** Everything is masked when nothing would stay hidden. */
function reveal(input: string, work: Work, first: number, last: number, mask: string, preserve: string): string {
  const all = characters(input, work)
  const kept = new Set(preserve)
  const masked =
    all.length <= first + last
      ? input
      : all
          .map((character, at) => (at < first || at >= all.length - last || kept.has(character) ? character : mask))
          .join('')
  return masked === input ? mask.repeat(all.length) : masked
}

/** `-` stays; a text that is no longer than what is shown stays whole. */
function revealLast(input: string, work: Work, shown: number, mask: string): string {
  if (!APART.test(input)) {
    work.spend(input.length * CHARACTER_UNITS)
    const hidden = Math.max(0, input.length - shown)
    return mask.repeat(hidden) + input.slice(hidden)
  }
  const all = characters(input, work)
  let masked = ''
  for (let at = 0; at < all.length; at++) {
    const character = all[at] as string
    masked += at >= all.length - shown || character === '-' ? character : mask
  }
  return masked
}

function padding(input: string, work: Work, to: number, pad: string): string {
  work.spend(input.length)
  const missing = to - codePoints(input)
  if (missing <= 0) return ''
  work.write(missing * pad.length + input.length)
  return pad.repeat(missing)
}

/** The BIN and the last four are counted in digits; what stands between shown digits is shown. */
function cardMask(input: string, work: Work, bin: boolean, last4: boolean, mask: string, preserve: string): string {
  const all = characters(input, work)
  const kept = new Set(preserve)
  const digits = count(input)
  const head = bin ? binLength(digits) : 0
  const tail = last4 ? 4 : 0
  let seen = 0
  const masked = all
    .map((character) => {
      if (DIGIT.test(character)) {
        seen++
        return seen <= head || seen > digits - tail ? character : mask
      }
      return kept.has(character) || (seen > 0 && seen < head) || (tail > 0 && seen > digits - tail) ? character : mask
    })
    .join('')
  return masked === input ? mask.repeat(all.length) : masked
}

function cardBin(input: string, work: Work, separator: string): string {
  work.spend(input.length * 4)
  const number = separator === '' ? input : input.replaceAll(separator, '')
  return number.slice(0, binLength(number.length))
}

/** A card object's `expiration_month` and `expiration_year`, put in place of MM, YY and YYYY. */
function cardExpiry(input: Value, _work: Work, format: string): string {
  if (!isObject(input)) throw valueFault()
  const month = Number(textOf(own(input, 'expiration_month')))
  const year = Number(textOf(own(input, 'expiration_year')))
  if (!Number.isInteger(month) || month < 1 || month > 12) throw valueFault()
  if (!Number.isInteger(year) || year < 0 || year > 9999) throw valueFault()
  const full = String(year < 100 ? 2000 + year : year).padStart(4, '0')
  return format.replace(/YYYY|YY|MM/g, (part) =>
    part === 'MM' ? String(month).padStart(2, '0') : part === 'YY' ? full.slice(2) : full
  )
}

/** Text → number without losing a digit; numbers stay as they are. */
function toNumber(input: Value): Value {
  if (typeof input === 'number' || input instanceof LosslessNumber) return input
  if (typeof input !== 'string') throw valueFault()
  const digits = /^\s*([+-]?)0*(\d+(?:\.\d+)?|\.\d+)([eE][+-]?\d+)?\s*$/.exec(input)
  if (digits === null || input.length > NUMBER_CHARACTERS) throw valueFault()
  const [, sign, body = '', exponent = ''] = digits
  const written = `${sign === '-' ? '-' : ''}${body.startsWith('.') ? '0' : ''}${body}${exponent}`
  const value = Number(written)
  if (!Number.isFinite(value)) throw valueFault()
  return String(value) === written ? value : new LosslessNumber(written)
}

function toBoolean(input: Value): Value {
  if (typeof input === 'boolean') return input
  const word = typeof input === 'string' ? input.trim().toLowerCase() : ''
  if (word !== 'true' && word !== 'false') throw valueFault()
  return word === 'true'
}

function encoded(input: Uint8Array, work: Work, encoding: 'hex' | 'base64'): string {
  work.write(input.length * 2)
  return Buffer.from(input.buffer, input.byteOffset, input.length).toString(encoding)
}

/** Each character apart, for those filters that decide on each. */
function characters(input: string, work: Work): string[] {
  work.spend(input.length * CHARACTER_UNITS)
  return Array.from(input)
}

function own(value: { [key: string]: Value }, key: string): Value {
  return Object.hasOwn(value, key) ? (value[key] as Value) : null
}

/** How many ASCII digits there are. */
function count(input: string): number {
  let digits = 0
  for (let at = 0; at < input.length; at++) {
    const code = input.charCodeAt(at)
    if (code >= 0x30 && code <= 0x39) digits++
  }
  return digits
}

function binLength(digits: number): number {
  return digits < 16 ? 6 : 8
}

function pick(alphabet: string): string {
  return alphabet[randomBelow(alphabet.length)] as string
}

function asJson(value: Value) {
  if (value instanceof Uint8Array) throw valueFault()
  return value
}

function length(name: string, missing?: number): Parameter<number> {
  return missing === undefined ? integer(name, 0, OUTPUT_CHARACTERS) : integer(name, 0, OUTPUT_CHARACTERS, missing)
}

/** A JSONPath, compiled. Throws ERR_EXPR_PATH itself. */
function path(name: string): Parameter<Path> {
  return {
    name,
    optional: false,
    read: (given) => (typeof given === 'string' ? compilePath(given, 'json') : new Refusal('must be a path'))
  }
}

function algorithm(name: string): Parameter<'sha1' | 'sha256' | 'sha512'> {
  return {
    name,
    optional: false,
    read: (given) =>
      (typeof given === 'string' ? HASHES.get(given) : undefined) ??
      new Refusal("must be 'sha-1', 'sha-256' or 'sha-512'")
  }
}

function expiryFormat(name: string): Parameter<string> {
  return {
    name,
    optional: false,
    read: (given) =>
      typeof given === 'string' && given.length <= 32 && /^(?:YYYY|YY|MM|[-/_. ])+$/.test(given)
        ? given
        : new Refusal('must be made of MM, YY, YYYY and separators')
  }
}

const HASHES: ReadonlyMap<string, 'sha1' | 'sha256' | 'sha512'> = new Map([
  ['sha-1', 'sha1'],
  ['sha-256', 'sha256'],
  ['sha-512', 'sha512']
])
const DIGITS = '0123456789'
const LETTERS = 'abcdefghijklmnopqrstuvwxyz'
const LETTERS_AND_DIGITS = LETTERS + DIGITS
const DIGIT = /^[0-9]$/
const LETTER = /^\p{L}$/u
/** What a character counts as where each is looked at apart. */
const CHARACTER_UNITS = 12
/** The longest text that to_number reads. */
const NUMBER_CHARACTERS = 1000
/** What is no character by itself, or stays. */
const APART = /[-\ud800-\udfff]/
