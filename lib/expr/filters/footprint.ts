import { head, tail } from '../characters.ts'
import { valueFault } from '../faults.ts'
import { ANY, type Constant, type Filter, filter, type Parameter, Refusal, TEXT } from '../filter.ts'
import { integer, text } from '../parameters.ts'
import { OUTPUT_CHARACTERS, type Work } from '../work.ts'
import { toAscii } from './ascii.ts'
import { type Encryption, encrypt, hmac, type KeyObject, publicKey } from './crypto.ts'
import { type DateFormat, parseDate, printDate, readDateFormat, readsDate } from './dates.ts'

/**
 * The filter functions of the Footprint dialect. Characters are code points; cases are Unicode's, of no locale. Null
 * stays null; a value that a filter cannot take is ERR_EXPR_VALUE.
 */
const ROWS: readonly Filter[] = [
  filter('to_lowercase', TEXT, [], (input, work) => made(work, input, input.toLowerCase()), { nulls: 'null' }),
  filter('to_uppercase', TEXT, [], (input, work) => made(work, input, input.toUpperCase()), { nulls: 'null' }),
  filter('to_ascii', TEXT, [], (input, work) => made(work, input, toAscii(input, work)), { nulls: 'null' }),
  filter('prefix', TEXT, [characters('n')], (input, work, n) => made(work, input, head(input, n)), { nulls: 'null' }),
  filter('suffix', TEXT, [characters('n')], (input, work, n) => made(work, input, tail(input, n)), { nulls: 'null' }),
  filter('replace', TEXT, [something('from'), text('to')], replace, { nulls: 'null' }),
  filter('date_format', TEXT, [readFormat('from'), printFormat('to')], dateFormat, { nulls: 'null' }),
  filter(
    'hmac_sha256',
    TEXT,
    [hex('key')],
    (input, work, key) => {
      work.write(input.length)
      return Buffer.from(hmac('sha256', key, input)).toString('hex')
    },
    { nulls: 'null', keyed: true }
  ),
  filter('encrypt', TEXT, [encryption('algorithm'), key('public_key')], sealed, { nulls: 'null', keyed: true }),
  // The chain takes it off; its row is here for its name and that it has no arguments.
  filter('raw', ANY, [], (input) => input)
]

/** Every filter of the Footprint grammar by name. */
export const FOOTPRINT_FILTERS: ReadonlyMap<string, Filter> = new Map(ROWS.map((row) => [row.name, row]))

function made(work: Work, input: string, output: string): string {
  work.spend(input.length)
  work.write(output.length)
  return output
}

/** Every occurrence, from the left, without overlap. */
function replace(input: string, work: Work, from: string, to: string): string {
  work.spend(input.length * 2)
  let length = input.length
  for (let at = input.indexOf(from); at >= 0; at = input.indexOf(from, at + from.length))
    length += to.length - from.length
  work.write(length)
  return input.replaceAll(from, () => to)
}

function dateFormat(input: string, work: Work, from: DateFormat, to: DateFormat): string {
  work.spend(input.length + 64 * (from.length + to.length))
  const moment = parseDate(input, from)
  if (moment === null) throw valueFault()
  return made(work, '', printDate(moment, to))
}

function sealed(input: string, work: Work, algorithm: Encryption, recipient: KeyObject): string {
  work.write(input.length * 2)
  work.spend(ASYMMETRIC_UNITS)
  return Buffer.from(encrypt(algorithm, recipient, input)).toString('hex')
}

function characters(name: string): Parameter<number> {
  return integer(name, 1, OUTPUT_CHARACTERS)
}

/** Text that is not empty. */
function something(name: string): Parameter<string> {
  return parameter(name, (given) =>
    typeof given === 'string' && given !== '' ? given : new Refusal('must not be empty')
  )
}

function hex(name: string): Parameter<Uint8Array> {
  return parameter(name, (given) => bytes(given) ?? new Refusal('must be hexadecimal'))
}

function bytes(given: Constant | undefined): Uint8Array | null {
  return typeof given === 'string' && /^(?:[0-9A-Fa-f]{2})+$/.test(given) ? Buffer.from(given, 'hex') : null
}

function encryption(name: string): Parameter<Encryption> {
  return parameter(name, (given) =>
    given === 'rsa_pkcs1v15' || given === 'ecies_p256_x963_sha256_aes_gcm'
      ? given
      : new Refusal("must be 'rsa_pkcs1v15' or 'ecies_p256_x963_sha256_aes_gcm'")
  )
}

/** A key for the encryption that the argument before it names. */
function key(name: string): Parameter<KeyObject> {
  return parameter(name, (given, earlier) => {
    const der = bytes(given)
    const imported = der === null ? null : publicKey(earlier[0] as Encryption, der)
    return imported ?? new Refusal('must be a public key for the algorithm, as hexadecimal DER')
  })
}

function readFormat(name: string): Parameter<DateFormat> {
  return parameter(name, (given) => {
    const format = typeof given === 'string' && given.length <= FORMAT_CHARACTERS ? readDateFormat(given) : null
    return format !== null && readsDate(format)
      ? format
      : new Refusal('must be a strftime format that names a whole date')
  })
}

function printFormat(name: string): Parameter<DateFormat> {
  return parameter(name, (given) => {
    const format = typeof given === 'string' && given.length <= FORMAT_CHARACTERS ? readDateFormat(given) : null
    return format ?? new Refusal('must be a strftime format')
  })
}

function parameter<T>(
  name: string,
  read: (given: Constant | undefined, earlier: readonly unknown[]) => T | Refusal
): Parameter<T> {
  return { name, optional: false, read }
}

const FORMAT_CHARACTERS = 200
/** What one public-key operation counts as. */
const ASYMMETRIC_UNITS = 50_000
