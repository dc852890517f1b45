import { type Json, LosslessNumber } from '../../json.ts'
import { codePoints } from '../characters.ts'
import { valueFault } from '../faults.ts'
import { ANY, type Constant, type Filter, filter, LIST, NUMBER, type Parameter, Refusal, TEXT } from '../filter.ts'
import { any, integer, number, text } from '../parameters.ts'
import { finiteNumber, isObject, jsonOf, printOf, textOf, type Value } from '../value.ts'
import { OUTPUT_CHARACTERS, type Work } from '../work.ts'
import { handle } from './handlers.ts'

/**
 * Liquid's standard filters, Shopify's list: each a thin counting wrapper around liquidjs' own handler, which sees
 * converted input alone. Where a handler would make much before it is measured, the wrapper bounds it first, or does
 * the work itself.
 *
 * Text filters take numbers as the text that they had in the JSON; lists and objects have no text. Arithmetic takes
 * numbers, and text that is one, and refuses a number that a double would change.
 */
export const STANDARD: readonly Filter[] = [
  // Text to text: what a character counts as is measured.
  ...(['downcase', 'upcase', 'capitalize', 'lstrip', 'rstrip', 'strip', 'strip_newlines', 'squish'] as const).map(
    (name) => filter(name, TEXT, [], (input, work) => handle(work, input.length, name, input))
  ),
  ...(['strip_html', 'newline_to_br', 'escape', 'escape_once', 'base64_encode', 'base64_decode'] as const).map((name) =>
    filter(name, TEXT, [], (input, work) => handle(work, input.length * 3, name, input))
  ),
  ...(['url_encode', 'url_decode'] as const).map((name) =>
    filter(name, TEXT, [], (input, work) => handle(work, input.length * 12, name, input))
  ),
  filter('base64_url_safe_encode', TEXT, [], (input, work) => {
    work.write(input.length * 2)
    return Buffer.from(input).toString('base64').replace(/\+/g, '-').replace(/\//g, '_')
  }),
  filter('base64_url_safe_decode', TEXT, [], (input, work) => {
    work.write(input.length)
    if (!/^[A-Za-z0-9_-]*={0,2}$/.test(input)) throw valueFault()
    return Buffer.from(input, 'base64url').toString()
  }),
  filter('append', TEXT, [text('text')], (input, work, tail) => {
    work.write(input.length + tail.length)
    return input + tail
  }),
  filter('prepend', TEXT, [text('text')], (input, work, head) => {
    work.write(input.length + head.length)
    return head + input
  }),
  filter('remove', TEXT, [text('text')], (input, work, part) => replace(input, work, part, '')),
  filter('replace', TEXT, [text('from'), text('to', '')], replace),
  ...(['remove_first', 'remove_last'] as const).map((name) =>
    filter(name, TEXT, [text('text')], (input, work, part) => handle(work, input.length, name, input, part))
  ),
  ...(['replace_first', 'replace_last'] as const).map((name) =>
    filter(name, TEXT, [text('from'), text('to', '')], (input, work, from, to) =>
      handle(work, input.length + to.length, name, input, from, to)
    )
  ),
  filter(
    'truncate',
    TEXT,
    [integer('length', 0, OUTPUT_CHARACTERS, 50), text('ellipsis', '...')],
    (input, work, length, tail) => handle(work, input.length + tail.length, 'truncate', input, length, tail)
  ),
  filter('truncatewords', TEXT, [integer('words', 0, OUTPUT_CHARACTERS, 15), text('ellipsis', '...')], truncateWords),
  filter('split', TEXT, [text('separator')], split),
  filter('date', ANY, [dateFormat('format'), any('zone', null)], date),

  // Arithmetic.
  ...(['abs', 'ceil', 'floor'] as const).map((name) =>
    filter(name, NUMBER, [], (input, work) => finiteNumber(handle(work, 1, name, input)))
  ),
  ...(['at_least', 'at_most', 'plus', 'minus', 'times', 'modulo'] as const).map((name) =>
    filter(name, NUMBER, [number('number')], (input, work, other) => finiteNumber(handle(work, 1, name, input, other)))
  ),
  filter('divided_by', NUMBER, [divisor('divisor')], (input, work, { value, whole }) =>
    finiteNumber(handle(work, 1, 'divided_by', input, value, whole && Number.isInteger(input)))
  ),
  filter('round', NUMBER, [integer('digits', -15, 15, 0)], (input, work, digits) =>
    finiteNumber(handle(work, 1, 'round', input, digits))
  ),

  // Lists.
  filter('size', ANY, [], size),
  filter('first', ANY, [], (input, work) => end(input, work, 'first')),
  filter('last', ANY, [], (input, work) => end(input, work, 'last')),
  filter('join', LIST, [text('separator', ' ')], join),
  filter(
    'slice',
    ANY,
    [integer('start', -OUTPUT_CHARACTERS, OUTPUT_CHARACTERS), integer('length', 0, Number.MAX_SAFE_INTEGER, 1)],
    slice
  ),
  ...(['reverse', 'compact'] as const).map((name) =>
    filter(name, LIST, [], (input, work) => handle(work, input.length * 4, name, input))
  ),
  filter('uniq', LIST, [], uniq),
  filter('concat', LIST, [list('list')], (input, work, other) => {
    work.list(input.length + other.length)
    return handle(work, 0, 'concat', input, other)
  }),
  ...(['sort', 'sort_natural'] as const).map((name) =>
    filter(name, LIST, [text('property', null)], (input, work, property) => {
      const keys = property === null ? input : properties(input, work, property)
      let units = input.length * COMPARE_UNITS
      for (const key of keys) if (typeof key === 'string') units += key.length
      return handle(work, units * Math.ceil(Math.log2(input.length + 2)), name, input, ...given(property))
    })
  ),
  filter('map', LIST, [text('property')], properties),
  ...(['where', 'reject', 'find', 'find_index', 'has'] as const).map((name) =>
    filter(name, LIST, [text('property'), any('value', undefined)], (input, work, property, value) =>
      handle(work, input.length * PROPERTY_UNITS, name, input, property, ...given(value))
    )
  ),
  filter('sum', LIST, [text('property', null)], sum),
  filter('default', ANY, [any('value', ''), { ...any('allow_false', false), named: true }], orDefault)
]

/** A missing optional argument is not passed at all: handlers look at how many there are. */
function given(value: Constant | undefined): Constant[] {
  return value === undefined || value === null ? [] : [value]
}

function properties(input: Json[], work: Work, property: string): Json[] {
  const found = handle(work, input.length * PROPERTY_UNITS, 'map', input, property) as (Json | undefined)[]
  return found.map((item) => item ?? null)
}

function replace(input: string, work: Work, from: string, to: string): Json {
  work.spend(input.length)
  const times = occurrences(input, from)
  work.write(input.length + times * (to.length - from.length))
  return handle(work, times * PIECE_UNITS, 'replace', input, from, to)
}

/** That do not overlap; of the empty text: between all characters. */
function occurrences(input: string, part: string): number {
  if (part === '') return Math.max(0, input.length - 1)
  let times = 0
  for (let at = input.indexOf(part); at >= 0; at = input.indexOf(part, at + part.length)) times++
  return times
}

function split(input: string, work: Work, separator: string): Json {
  work.spend(input.length)
  const pieces = occurrences(input, separator) + 1
  work.list(pieces)
  return handle(work, pieces * PIECE_UNITS, 'split', input, separator)
}

/** Shopify's rule: a text of no more words stays as it is. liquidjs puts an ellipsis behind exactly so many. */
function truncateWords(input: string, work: Work, words: number, tail: string): string {
  work.write(input.length + tail.length)
  const word = /\S+/g
  let out = ''
  for (let at = 0; at < Math.max(1, words); at++) {
    const match = word.exec(input)
    if (match === null) return input
    out += at === 0 ? match[0] : ` ${match[0]}`
  }
  return word.lastIndex === input.length ? input : out + tail
}

function date(input: Value, work: Work, format: string, zone: Constant): Json {
  const value = typeof input === 'number' ? input : inUtc(textOf(input))
  if (typeof value === 'string' && (value === '' || value.length > DATE_CHARACTERS)) return input as Json
  const made = handle(work, format.length * 64, 'date', value, format, ...given(zone))
  return typeof made === 'string' ? made : textOf(made)
}

/** Text that names no zone is UTC, whatever the zone of the process. */
function inUtc(value: string): string | number {
  if (ZONE.test(value) || /^\s*\d*\s*$/.test(value) || value.length > DATE_CHARACTERS) return value
  const time = Date.parse(`${value} UTC`)
  return Number.isNaN(time) ? value : time / 1000
}

/** Bounded, since the width of a conversion is written out. Shorthands that liquidjs lacks are spelled out. */
function dateFormat(name: string): Parameter<string> {
  return {
    name,
    optional: false,
    read: (given) =>
      typeof given === 'string' && given.length <= DATE_FORMAT_CHARACTERS && !/%[^a-zA-Z%]*\d{3}/.test(given)
        ? given.replace(/%(.)/g, (all, letter: string) => SHORTHANDS.get(letter) ?? all)
        : new Refusal(`must be a strftime format of at most ${DATE_FORMAT_CHARACTERS} characters with widths below 100`)
  }
}

/** There are no literals for lists: only templates, which have variables, can name one. */
function list(name: string): Parameter<Json[]> {
  return { name, optional: false, read: (given) => (Array.isArray(given) ? given : new Refusal('must be a list')) }
}

/** Dividing whole numbers gives a whole number, as Liquid has it; `2.0` is not whole. */
function divisor(name: string): Parameter<{ value: number; whole: boolean }> {
  return {
    name,
    optional: false,
    read(given) {
      const value = number(name).read(given, [])
      if (value instanceof Refusal) return value
      return { value, whole: Number.isInteger(value) && !(given instanceof LosslessNumber) }
    }
  }
}

function size(input: Value, work: Work): Json {
  if (typeof input === 'string') {
    work.spend(input.length)
    return codePoints(input)
  }
  if (Array.isArray(input)) return input.length
  if (isObject(input)) return Object.keys(input).length
  return 0
}

function end(input: Value, work: Work, which: 'first' | 'last'): Json {
  if (Array.isArray(input)) return input.at(which === 'first' ? 0 : -1) ?? null
  if (typeof input === 'string') return handle(work, 1, which, input)
  return null
}

/** Items are printed as text first, for their length to be counted. */
function join(input: Json[], work: Work, separator: string): Json {
  work.spend(input.length)
  const items = input.map((item) => printOf(item, work))
  let length = separator.length * Math.max(0, items.length - 1)
  for (const item of items) length += item.length
  work.write(length)
  return handle(work, length, 'join', items, separator)
}

function slice(input: Value, work: Work, start: number, length: number): Json {
  if (input === null) return ''
  const value = Array.isArray(input) ? input : textOf(input)
  const wanted = Math.min(length, value.length)
  return handle(work, value.length + wanted, 'slice', value, start, wanted)
}

/** Equal numbers and texts are one; lists and objects are compared as JSON. */
function uniq(input: Json[], work: Work): Json {
  work.spend(input.length * PIECE_UNITS * 2)
  const seen = new Set<string>()
  return input.filter((item) => {
    if (typeof item === 'string') work.spend(item.length)
    const key = `${typeof item}${typeof item === 'object' ? jsonOf(item, work) : item}`
    return seen.has(key) ? false : seen.add(key)
  })
}

function sum(input: Json[], work: Work, property: string | null): Json {
  work.spend(input.length * 2)
  let total = 0
  for (const item of property === null ? input : properties(input, work, property)) {
    if (item instanceof LosslessNumber) throw valueFault()
    const value = typeof item === 'string' || typeof item === 'number' ? Number(item) : 0
    total += Number.isNaN(value) ? 0 : value
  }
  return finiteNumber(total)
}

function orDefault(input: Value, _work: Work, value: Constant, allowFalse: Constant): Value {
  if (input === false) return allowFalse === true ? false : value
  const empty = input === null || ((typeof input === 'string' || Array.isArray(input)) && input.length === 0)
  return empty ? value : input
}

/** What it costs to find a property of an item, to compare two items, to make a piece of text. */
const PROPERTY_UNITS = 100
const COMPARE_UNITS = 5
const PIECE_UNITS = 4
const SHORTHANDS: ReadonlyMap<string, string> = new Map([
  ['F', '%Y-%m-%d'],
  ['T', '%H:%M:%S'],
  ['R', '%H:%M'],
  ['D', '%m/%d/%y'],
  ['h', '%b'],
  ['r', '%I:%M:%S %p']
])
/** The longest text that can be a date. */
const DATE_CHARACTERS = 100
const DATE_FORMAT_CHARACTERS = 200
const ZONE = /(?:Z|GMT|UTC|[+-]\d{2}:?\d{2}|\b[ECMP][SD]T)\s*$|^\s*(?:now|today)\s*$/i
