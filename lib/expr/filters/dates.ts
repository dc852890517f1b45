/**
 * strftime and strptime: English names, UTC, the proleptic Gregorian calendar, years 0 to 9999. The conversions are
 * those of strftime.org (C and Python) and the common shorthands; `-`, `_` and `0` after the `%` choose the padding.
 */

/** A moment as its parts. */
export interface Moment {
  year: number
  /** 1 to 12. */
  month: number
  day: number
  hour: number
  minute: number
  second: number
  microsecond: number
  /** Minutes east of UTC that the text named; 0 when it named none. */
  offset: number
}

/** A format, split into literal text and conversions. */
export type DateFormat = readonly (string | Conversion)[]

interface Conversion {
  readonly letter: string
  /** `-` none, `_` spaces, `0` zeros, empty: as the conversion has it. */
  readonly pad: string
}

/** Splits a format; null when it holds a conversion that there is not. */
export function readDateFormat(format: string): DateFormat | null {
  const parts: (string | Conversion)[] = []
  let from = 0
  for (let at = format.indexOf('%'); at >= 0; at = format.indexOf('%', from)) {
    if (at > from) parts.push(format.slice(from, at))
    const pad = '-_0'.includes(format[at + 1] ?? ' ') ? (format[at + 1] as string) : ''
    const letter = format[at + 1 + pad.length] ?? ''
    const shorthand = SHORTHANDS.get(letter)
    if (letter === '%') parts.push('%')
    else if (shorthand !== undefined) parts.push(...(readDateFormat(shorthand) ?? []))
    else if (PRINTED.has(letter)) parts.push({ letter, pad })
    else return null
    from = at + 2 + pad.length
  }
  if (from < format.length) parts.push(format.slice(from))
  return parts
}

/** Can text be read by this format: does it name a whole date, and only conversions that can be read? */
export function readsDate(format: DateFormat): boolean {
  const letters = new Set(format.map((part) => (typeof part === 'string' ? '' : part.letter)))
  const readable = format.every((part) => typeof part === 'string' || READERS.has(part.letter))
  const hasDay =
    letters.has('j') || ((letters.has('d') || letters.has('e')) && ['m', 'B', 'b'].some((l) => letters.has(l)))
  return readable && (letters.has('s') || ((letters.has('Y') || letters.has('y')) && hasDay))
}

/** Reads the whole of a text; null when it does not fit, or is no date of the calendar, or its parts disagree. */
export function parseDate(text: string, format: DateFormat): Moment | null {
  const found: Found = { at: 0 }
  for (const part of format) {
    if (typeof part === 'string') {
      if (!text.startsWith(part, found.at)) return null
      found.at += part.length
    } else if (READERS.get(part.letter)?.(text, found) !== true) return null
  }
  return found.at === text.length ? settle(found) : null
}

/** The text of a moment. */
export function printDate(moment: Moment, format: DateFormat): string {
  let out = ''
  for (const part of format) out += typeof part === 'string' ? part : printed(moment, part)
  return out
}

/** What has been read so far. */
interface Found {
  at: number
  year?: number
  month?: number
  day?: number
  dayOfYear?: number
  weekday?: number
  hour?: number
  half?: 'am' | 'pm'
  minute?: number
  second?: number
  microsecond?: number
  offset?: number
  epoch?: number
}

function settle(found: Found): Moment | null {
  if (found.epoch !== undefined) return fromEpoch(found.epoch)
  const year = found.year ?? 0
  let { month = 0, day = 0 } = found
  if (found.dayOfYear !== undefined) {
    const date = new Date(Date.UTC(2000, 0, 1))
    date.setUTCFullYear(year, 0, found.dayOfYear)
    if (date.getUTCFullYear() !== year) return null
    if (found.month !== undefined && found.month !== date.getUTCMonth() + 1) return null
    if (found.day !== undefined && found.day !== date.getUTCDate()) return null
    month = date.getUTCMonth() + 1
    day = date.getUTCDate()
  }
  if (month < 1 || day < 1 || day > daysIn(year, month)) return null
  let hour = found.hour ?? 0
  if (found.half !== undefined) {
    if (hour < 1 || hour > 12) return null
    hour = (hour % 12) + (found.half === 'pm' ? 12 : 0)
  }
  const { minute = 0, second = 0, microsecond = 0, offset = 0 } = found
  const moment = { year, month, day, hour, minute, second, microsecond, offset }
  return found.weekday === undefined || found.weekday === weekdayOf(moment) ? moment : null
}

function fromEpoch(seconds: number): Moment | null {
  const date = new Date(seconds * 1000)
  const year = date.getUTCFullYear()
  if (!(year >= 0 && year <= 9999)) return null
  return {
    year,
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
    second: date.getUTCSeconds(),
    microsecond: 0,
    offset: 0
  }
}

function printed(moment: Moment, { letter, pad }: Conversion): string {
  const row = PRINTED.get(letter)
  if (row === undefined) return ''
  const text = row.print(moment)
  if (row.width === 0 || pad === '-') return text
  return text.padStart(row.width, pad === '_' ? ' ' : pad === '0' ? '0' : row.fill)
}

interface Printed {
  /** 0: never padded. */
  readonly width: number
  readonly fill: string
  print(moment: Moment): string
}

function row(width: number, print: (moment: Moment) => number | string, fill = '0'): Printed {
  return { width, fill, print: (moment) => String(print(moment)) }
}

function utc({ year, month, day, hour, minute, second }: Moment): number {
  const date = new Date(Date.UTC(2000, month - 1, day, hour, minute, second))
  return date.setUTCFullYear(year, month - 1, day)
}

function weekdayOf(moment: Moment): number {
  return new Date(utc(moment)).getUTCDay()
}

function dayOfYear({ year, month, day }: Moment): number {
  let days = day
  for (let at = 1; at < month; at++) days += daysIn(year, at)
  return days
}

/** The week of the year whose weeks begin on `first` (0 Sunday, 1 Monday); days before the first are week 0. */
function week(moment: Moment, first: number): number {
  return Math.floor((dayOfYear(moment) + 6 - ((weekdayOf(moment) - first + 7) % 7)) / 7)
}

/** ISO 8601: the week with the year's first Thursday is week 1. */
function isoWeek(moment: Moment): { year: number; week: number } {
  const thursday = new Date(utc({ ...moment, hour: 0, minute: 0, second: 0 }))
  thursday.setUTCDate(thursday.getUTCDate() + 4 - (thursday.getUTCDay() || 7))
  const start = new Date(thursday)
  start.setUTCMonth(0, 1)
  return { year: thursday.getUTCFullYear(), week: Math.floor((thursday.getTime() - start.getTime()) / DAY_MS / 7) + 1 }
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function zone(offset: number): string {
  const minutes = Math.abs(offset)
  const two = (value: number): string => String(value).padStart(2, '0')
  return `${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}${two(minutes % 60)}`
}

type Reader = (text: string, found: Found) => boolean

/** 1 to `most` digits that make a number from `low` to `high`. */
function digits(most: number, low: number, high: number, set: (found: Found, value: number) => void): Reader {
  return (text, found) => {
    let end = found.at
    while (end - found.at < most && /^\d$/.test(text[end] ?? '')) end++
    const value = Number(text.slice(found.at, end))
    if (end === found.at || value < low || value > high) return false
    found.at = end
    set(found, value)
    return true
  }
}

/** One of some names, in full or its first three letters, in any case. */
function names(all: readonly string[], set: (found: Found, at: number) => void): Reader {
  return (text, found) => {
    const rest = text.slice(found.at, found.at + 12).toLowerCase()
    for (const [at, name] of all.entries()) {
      const lower = name.toLowerCase()
      const length = rest.startsWith(lower) ? lower.length : rest.startsWith(lower.slice(0, 3)) ? 3 : 0
      if (length > 0) {
        found.at += length
        set(found, at)
        return true
      }
    }
    return false
  }
}

function half(text: string, found: Found): boolean {
  const word = text.slice(found.at, found.at + 2).toLowerCase()
  if (word !== 'am' && word !== 'pm') return false
  found.half = word
  found.at += 2
  return true
}

function offsetReader(text: string, found: Found): boolean {
  const match = /^(?:Z|UTC|GMT|([+-])(\d\d):?(\d\d))/i.exec(text.slice(found.at, found.at + 6))
  if (match === null || Number(match[3] ?? 0) > 59 || Number(match[2] ?? 0) > 23) return false
  found.offset = (match[1] === '-' ? -1 : 1) * (Number(match[2] ?? 0) * 60 + Number(match[3] ?? 0))
  found.at += match[0].length
  return true
}

function fraction(text: string, found: Found): boolean {
  const match = /^\d{1,6}/.exec(text.slice(found.at, found.at + 6))
  if (match === null) return false
  found.microsecond = Number(match[0].padEnd(6, '0'))
  found.at += match[0].length
  return true
}

function space(text: string, found: Found): boolean {
  while (text[found.at] === ' ') found.at++
  return true
}

/** Space before the number, as `%e`, `%k` and `%l` print it. */
function spaced(reader: Reader): Reader {
  return (text, found) => space(text, found) && reader(text, found)
}

const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December'
] as const
const WEEKDAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'] as const
const DAY_MS = 86_400_000

const SHORTHANDS: ReadonlyMap<string, string> = new Map([
  ['F', '%Y-%m-%d'],
  ['T', '%H:%M:%S'],
  ['X', '%H:%M:%S'],
  ['R', '%H:%M'],
  ['D', '%m/%d/%y'],
  ['x', '%m/%d/%y'],
  ['c', '%a %b %e %H:%M:%S %Y'],
  ['r', '%I:%M:%S %p'],
  ['h', '%b'],
  ['v', '%e-%b-%Y'],
  ['n', '\n'],
  ['t', '\t']
])

const twelve = ({ hour }: Moment): number => ((hour + 11) % 12) + 1

const PRINTED: ReadonlyMap<string, Printed> = new Map([
  ['Y', row(4, ({ year }) => year)],
  ['C', row(2, ({ year }) => Math.floor(year / 100))],
  ['y', row(2, ({ year }) => year % 100)],
  ['G', row(4, (moment) => isoWeek(moment).year)],
  ['g', row(2, (moment) => isoWeek(moment).year % 100)],
  ['V', row(2, (moment) => isoWeek(moment).week)],
  ['m', row(2, ({ month }) => month)],
  ['B', row(0, ({ month }) => MONTHS[month - 1] ?? '')],
  ['b', row(0, ({ month }) => (MONTHS[month - 1] ?? '').slice(0, 3))],
  ['d', row(2, ({ day }) => day)],
  ['e', row(2, ({ day }) => day, ' ')],
  ['j', row(3, dayOfYear)],
  ['U', row(2, (moment) => week(moment, 0))],
  ['W', row(2, (moment) => week(moment, 1))],
  ['A', row(0, (moment) => WEEKDAYS[weekdayOf(moment)] ?? '')],
  ['a', row(0, (moment) => (WEEKDAYS[weekdayOf(moment)] ?? '').slice(0, 3))],
  ['w', row(0, weekdayOf)],
  ['u', row(0, (moment) => weekdayOf(moment) || 7)],
  ['H', row(2, ({ hour }) => hour)],
  ['k', row(2, ({ hour }) => hour, ' ')],
  ['I', row(2, twelve)],
  ['l', row(2, twelve, ' ')],
  ['p', row(0, ({ hour }) => (hour < 12 ? 'AM' : 'PM'))],
  ['P', row(0, ({ hour }) => (hour < 12 ? 'am' : 'pm'))],
  ['M', row(2, ({ minute }) => minute)],
  ['S', row(2, ({ second }) => second)],
  ['f', row(6, ({ microsecond }) => microsecond)],
  ['z', row(0, ({ offset }) => zone(offset))],
  ['Z', row(0, ({ offset }) => (offset === 0 ? 'UTC' : zone(offset)))],
  ['s', row(0, (moment) => utc(moment) / 1000 - moment.offset * 60)]
])

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['Y', digits(4, 0, 9999, (found, value) => void (found.year = value))],
  ['y', digits(2, 0, 99, (found, value) => void (found.year = value + (value < 69 ? 2000 : 1900)))],
  ['m', digits(2, 1, 12, (found, value) => void (found.month = value))],
  ['B', names(MONTHS, (found, at) => void (found.month = at + 1))],
  ['b', names(MONTHS, (found, at) => void (found.month = at + 1))],
  ['d', digits(2, 1, 31, (found, value) => void (found.day = value))],
  ['e', spaced(digits(2, 1, 31, (found, value) => void (found.day = value)))],
  ['j', digits(3, 1, 366, (found, value) => void (found.dayOfYear = value))],
  ['A', names(WEEKDAYS, (found, at) => void (found.weekday = at))],
  ['a', names(WEEKDAYS, (found, at) => void (found.weekday = at))],
  ['w', digits(1, 0, 6, (found, value) => void (found.weekday = value))],
  ['u', digits(1, 1, 7, (found, value) => void (found.weekday = value % 7))],
  ['H', digits(2, 0, 23, (found, value) => void (found.hour = value))],
  ['k', spaced(digits(2, 0, 23, (found, value) => void (found.hour = value)))],
  ['I', digits(2, 1, 12, (found, value) => void (found.hour = value))],
  ['l', spaced(digits(2, 1, 12, (found, value) => void (found.hour = value)))],
  ['p', half],
  ['P', half],
  ['M', digits(2, 0, 59, (found, value) => void (found.minute = value))],
  ['S', digits(2, 0, 59, (found, value) => void (found.second = value))],
  ['f', fraction],
  ['z', offsetReader],
  ['Z', offsetReader],
  ['s', digits(12, 0, 253_402_300_799, (found, value) => void (found.epoch = value))]
])
