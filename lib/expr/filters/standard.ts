import { Context, Liquid, filters as liquidFilters, toValueSync } from 'liquidjs'
import { type Json, LosslessNumber } from '../../json.ts'
import { valueFault } from '../faults.ts'
import { ANY, type Constant, type Filter, filter, LIST, NUMBER, type Parameter, Refusal, TEXT } from '../filter.ts'
import { any, integer, number, text } from '../parameters.ts'
import { finiteNumber, isObject, jsonOf, listOf, printOf, textOf, type Value } from '../value.ts'
import { OUTPUT_CHARACTERS, type Work } from '../work.ts'

/**
 * Liquid's standard filters, Shopify's list: each a thin counting wrapper around liquidjs' own handler, which sees
 * converted input alone. Where a handler would do what cannot be counted beforehand (it makes a list before it is
 * measured, or runs a regular expression that is not linear), the wrapper does the work itself.
 *
 * Text filters take numbers as the text that they had in the JSON; lists and objects have no text. Arithmetic takes
 * numbers, and text that is one, and refuses a number that a double would change.
 */
export const STANDARD: readonly Filter[] = [
  // Text to text of about the same length.
  ...(['downcase', 'upcase', 'capitalize', 'lstrip', 'rstrip', 'strip', 'strip_newlines', 'squish'] as const).map(
    (name) => filter(name, TEXT, [], (input, work) => written(work, input.length, call(work, name, input)))
  ),
  ...(['escape', 'escape_once', 'newline_to_br', 'url_encode', 'base64_encode'] as const).map((name) =>
    filter(name, TEXT, [], (input, work) => {
      work.write(input.length * 3)
      return written(work, 0, call(work, name, input))
    })
  ),
  filter('url_decode', TEXT, [], (input, work) => written(work, input.length, call(work, 'url_decode', input))),
  filter('base64_decode', TEXT, [], (input, work) => written(work, input.length, call(work, 'base64_decode', input))),
  filter('base64_url_safe_encode', TEXT, [], (input, work) => {
    work.write(input.length * 3)
    return Buffer.from(input).toString('base64').replace(/\+/g, '-').replace(/\//g, '_')
  }),
  filter('base64_url_safe_decode', TEXT, [], (input, work) => {
    work.write(input.length)
    if (!/^[A-Za-z0-9_-]*={0,2}$/.test(input)) throw valueFault()
    return Buffer.from(input, 'base64url').toString()
  }),
  filter('strip_html', TEXT, [], (input, work) => written(work, input.length * 2, call(work, 'strip_html', input))),
  filter('append', TEXT, [text('text')], (input, work, tail) => {
    work.write(input.length + tail.length)
    return input + tail
  }),
  filter('prepend', TEXT, [text('text')], (input, work, head) => {
    work.write(input.length + head.length)
    return head + input
  }),
  filter('remove', TEXT, [text('text')], (input, work, part) => replaced(input, work, part, '')),
  filter('replace', TEXT, [text('from'), text('to', '')], replacedIn),
  ...(['remove_first', 'remove_last'] as const).map((name) =>
    filter(name, TEXT, [text('text')], (input, work, part) =>
      written(work, input.length, call(work, name, input, part))
    )
  ),
  ...(['replace_first', 'replace_last'] as const).map((name) =>
    filter(name, TEXT, [text('from'), text('to', '')], (input, work, from, to) => {
      work.write(input.length + to.length)
      return written(work, 0, call(work, name, input, from, to))
    })
  ),
  filter(
    'truncate',
    TEXT,
    [integer('length', 0, OUTPUT_CHARACTERS, 50), text('ellipsis', '...')],
    (input, work, length, tail) => {
      work.write(input.length + tail.length)
      return written(work, 0, call(work, 'truncate', input, length, tail))
    }
  ),
  filter('truncatewords', TEXT, [integer('words', 0, OUTPUT_CHARACTERS, 15), text('ellipsis', '...')], truncateWords),
  filter('split', TEXT, [text('separator')], split),
  filter('date', ANY, [dateFormat('format'), any('zone', null)], date),

  // Arithmetic.
  ...(['abs', 'ceil', 'floor'] as const).map((name) =>
    filter(name, NUMBER, [], (input, work) => finiteNumber(call(work, name, input) as number))
  ),
  ...(['at_least', 'at_most', 'plus', 'minus', 'times'] as const).map((name) =>
    filter(name, NUMBER, [number('number')], (input, work, other) =>
      finiteNumber(call(work, name, input, other) as number)
    )
  ),
  filter('divided_by', NUMBER, [divisor('divisor')], (input, work, { value, whole }) =>
    finiteNumber(call(work, 'divided_by', input, value, whole && Number.isInteger(input)) as number)
  ),
  filter('modulo', NUMBER, [number('divisor')], (input, work, divisor) =>
    finiteNumber(call(work, 'modulo', input, divisor) as number)
  ),
  filter('round', NUMBER, [integer('digits', -15, 15, 0)], (input, work, digits) =>
    finiteNumber(call(work, 'round', input, digits) as number)
  ),

  // Lists.
  filter('size', ANY, [], size),
  filter('first', ANY, [], (input, work) => firstOrLast(input, work, 'first')),
  filter('last', ANY, [], (input, work) => firstOrLast(input, work, 'last')),
  filter('join', LIST, [text('separator', ' ')], join),
  filter(
    'slice',
    ANY,
    [integer('start', -OUTPUT_CHARACTERS, OUTPUT_CHARACTERS), integer('length', 0, Number.MAX_SAFE_INTEGER, 1)],
    slice
  ),
  filter('reverse', LIST, [], (input, work) => list(work, input.length, call(work, 'reverse', input))),
  filter('compact', LIST, [], (input, work) => list(work, input.length, call(work, 'compact', input))),
  filter('uniq', LIST, [], uniq),
  filter('concat', LIST, [listParameter('list')], (input, work, other) =>
    list(work, input.length + other.length, call(work, 'concat', input, other))
  ),
  ...(['sort', 'sort_natural'] as const).map((name) =>
    filter(name, LIST, [text('property', null)], (input, work, property) => {
      const keys = property === null ? input : (call(work, 'map', input, property) as Json[])
      let units = input.length
      for (const key of keys) if (typeof key === 'string') units += key.length
      work.spend(units * Math.ceil(Math.log2(input.length + 2)))
      return list(work, 0, call(work, name, input, ...given(property)))
    })
  ),
  filter('map', LIST, [text('property')], (input, work, property) =>
    list(
      work,
      input.length,
      (call(work, 'map', input, property) as (Json | undefined)[]).map((item) => item ?? null)
    )
  ),
  ...(['where', 'reject'] as const).map((name) =>
    filter(name, LIST, [text('property'), any('value', undefined)], (input, work, property, value) =>
      list(work, input.length * 2, call(work, name, input, property, ...given(value)))
    )
  ),
  ...(['find', 'find_index', 'has'] as const).map((name) =>
    filter(name, LIST, [text('property'), any('value', undefined)], (input, work, property, value) => {
      work.spend(input.length * 2)
      return call(work, name, input, property, ...given(value))
    })
  ),
  filter('sum', LIST, [text('property', null)], sum),
  filter('default', ANY, [any('value', ''), { ...any('allow_false', false), named: true }], orDefault)
]

/** What liquidjs' handlers see as `this`. One for all: evaluation never waits, and the limits are set before each call. */
const engine = new Liquid({ ownPropertyOnly: true, strictVariables: false, timezoneOffset: 0, locale: 'en-US' })
let current: Work | null = null
const memoryLimit = { use: (units: number) => current?.spend(units), check: () => {} }
const context = new Context(
  {},
  engine.options,
  { sync: true },
  {
    memoryLimit: memoryLimit as never,
    renderLimit: memoryLimit as never
  }
)
const self = { context, liquid: engine, token: undefined as never }

/** Calls liquidjs' handler; undefined becomes null. */
function call(work: Work, name: string, ...args: unknown[]): Json {
  const handler = HANDLERS.get(name) as (this: unknown, ...args: unknown[]) => unknown
  current = work
  try {
    const result = handler.apply(self, args)
    return ((typeof result === 'object' ? toValueSync(result as never) : result) ?? null) as Json
  } finally {
    current = null
  }
}

/** Spends for what was read, and checks and spends for what was made. */
function written(work: Work, read: number, made: Json): Json {
  work.spend(read)
  if (typeof made === 'string') work.write(made.length)
  return made
}

function list(work: Work, units: number, made: Json): Json {
  work.spend(units)
  if (Array.isArray(made)) work.list(made.length)
  return made
}

/** A missing optional argument is not passed at all: handlers look at how many there are. */
function given(value: Constant | undefined): Constant[] {
  return value === undefined || value === null ? [] : [value]
}

function replaced(input: string, work: Work, from: string, to: string): string {
  work.spend(input.length)
  const times = count(input, from)
  work.write(input.length + times * (to.length - from.length))
  return call(work, 'replace', input, from, to) as string
}

function replacedIn(input: string, work: Work, from: string, to: string): string {
  return replaced(input, work, from, to)
}

/** How many parts `split` cuts off: occurrences that do not overlap; between all characters when there is nothing to find. */
function count(input: string, part: string): number {
  if (part === '') return Math.max(0, input.length - 1)
  let times = 0
  for (let at = input.indexOf(part); at >= 0; at = input.indexOf(part, at + part.length)) times++
  return times
}

function split(input: string, work: Work, separator: string): Json {
  work.spend(input.length)
  work.list(count(input, separator) + 1)
  return call(work, 'split', input, separator)
}

/** liquidjs splits on a pattern that is linear, but makes every word first. */
function truncateWords(input: string, work: Work, words: number, tail: string): string {
  work.write(input.length + tail.length)
  const wanted = Math.max(1, words)
  const word = /\S+/g
  let out = ''
  for (let at = 0; at < wanted; at++) {
    const match = word.exec(input)
    if (match === null) return out
    out += at === 0 ? match[0] : ` ${match[0]}`
  }
  return word.exec(input) === null ? out : out + tail
}

function date(input: Value, work: Work, format: string, zone: Constant): Json {
  if (input === null) return null
  const value = typeof input === 'number' ? input : inUtc(textOf(input))
  work.spend(format.length * 64)
  const made = call(work, 'date', value, format, ...given(zone))
  return written(work, 0, typeof made === 'string' ? made : textOf(made))
}

/** Text that names no zone is UTC, whatever the zone of the process. */
function inUtc(value: string): string | number {
  if (ZONE.test(value) || /^\s*\d*\s*$/.test(value) || value.length > 100) return value
  const time = Date.parse(`${value} UTC`)
  return Number.isNaN(time) ? value : time / 1000
}

/** Bounded, since the width of a conversion is written out. */
function dateFormat(name: string): Parameter<string> {
  return {
    name,
    optional: false,
    read: (given) =>
      typeof given === 'string' && given.length <= DATE_FORMAT_CHARACTERS && !/%[^a-zA-Z%]*\d{3}/.test(given)
        ? given
        : new Refusal(`must be a strftime format of at most ${DATE_FORMAT_CHARACTERS} characters with widths below 100`)
  }
}

/** There are no literals for lists: only templates, which have variables, can name one. */
function listParameter(name: string): Parameter<Json[]> {
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

function firstOrLast(input: Value, work: Work, which: 'first' | 'last'): Json {
  if (Array.isArray(input)) return input.at(which === 'first' ? 0 : -1) ?? null
  if (typeof input === 'string') return call(work, which, input)
  return null
}

/** Items are printed as text first, for their length to be counted. */
function join(input: Json[], work: Work, separator: string): Json {
  work.spend(input.length)
  const items = input.map((item) => printOf(item, work))
  let length = separator.length * Math.max(0, items.length - 1)
  for (const item of items) length += item.length
  work.write(length)
  return call(work, 'join', items, separator)
}

function slice(input: Value, work: Work, start: number, length: number): Json {
  if (input === null) return ''
  if (Array.isArray(input))
    return list(work, input.length, call(work, 'slice', input, start, Math.min(length, input.length)))
  const value = textOf(input)
  work.write(value.length)
  return call(work, 'slice', value, start, Math.min(length, value.length))
}

/** Equal numbers and texts are one; lists and objects are compared as JSON. */
function uniq(input: Json[], work: Work): Json {
  work.list(input.length)
  const seen = new Set<string>()
  return input.filter((item) => {
    const key = `${typeof item}${typeof item === 'object' ? jsonOf(item, work) : item}`
    return seen.has(key) ? false : seen.add(key)
  })
}

function sum(input: Json[], work: Work, property: string | null): Json {
  work.spend(input.length * 2)
  const items = property === null ? input : listOf(call(work, 'map', input, property))
  let total = 0
  for (const item of items) {
    if (item instanceof LosslessNumber) throw valueFault()
    const value = typeof item === 'string' || typeof item === 'number' ? Number(item) : 0
    total += Number.isNaN(value) ? 0 : value
  }
  return finiteNumber(total)
}

function codePoints(text: string): number {
  let length = 0
  for (let at = 0; at < text.length; at++) {
    if ((text.charCodeAt(at) & 0xfc00) === 0xd800 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00) at++
    length++
  }
  return length
}

function orDefault(input: Value, _work: Work, value: Constant, allowFalse: Constant): Value {
  if (input === false) return allowFalse === true ? false : value
  const empty = input === null || ((typeof input === 'string' || Array.isArray(input)) && input.length === 0)
  return empty ? value : input
}

/** Functions alone, by own name: a handler is never looked up along a prototype. */
const HANDLERS: ReadonlyMap<string, unknown> = new Map(Object.entries(liquidFilters))
const DATE_FORMAT_CHARACTERS = 200
const ZONE = /(?:Z|GMT|UTC|[+-]\d{2}:?\d{2}|\b[ECMP][SD]T)\s*$|^\s*(?:now|today)\s*$/i
