import { formatJson, type Json, LosslessNumber, numberText } from '../json.ts'
import { valueFault } from './faults.ts'
import { LIST_ITEMS, OUTPUT_CHARACTERS, type Work } from './work.ts'

/** What runs through a chain of filters. Bytes occur only between `hmac` and the filter that encodes them. */
export type Value = Json | Uint8Array

/**
 * The text that a string filter sees: numbers as they stood in the JSON, booleans as words, null as nothing. Lists,
 * objects and bytes have no text: ERR_EXPR_VALUE.
 */
export function textOf(value: Value): string {
  if (typeof value === 'string') return value
  if (value === null) return ''
  if (typeof value === 'number') return finite(value)
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (value instanceof LosslessNumber) return value.value
  throw valueFault()
}

/** The text that is printed among other text: as `textOf`, and lists and objects as compact JSON. */
export function printOf(value: Value, work: Work): string {
  return typeof value === 'object' && value !== null && !(value instanceof LosslessNumber)
    ? jsonOf(value, work)
    : textOf(value)
}

/** Compact JSON text, counted before it is made. Throws ERR_EXPR_VALUE. */
export function jsonOf(value: Value, work: Work): string {
  if (value instanceof Uint8Array) throw valueFault()
  work.spend(JSON_UNITS)
  measure(value, work)
  return formatJson(value)
}

/**
 * The number that arithmetic sees: numbers, and text that is a decimal number. A number that a double would change is
 * ERR_EXPR_VALUE, and so is anything else; null is 0, as in Liquid.
 */
export function numberOf(value: Value): number {
  if (typeof value === 'number') return value
  if (value === null) return 0
  if (typeof value === 'string' && DECIMAL.test(value.trim())) return exact(value.trim())
  throw valueFault()
}

/** What a text filter takes: text of at most OUTPUT_CHARACTERS. */
export function shortTextOf(value: Value): string {
  const text = textOf(value)
  if (text.length > OUTPUT_CHARACTERS) throw valueFault()
  return text
}

/** A list, one item, or nothing: lists of at most LIST_ITEMS as they are, null as the empty list, anything else as a list of itself. */
export function listOf(value: Value): Json[] {
  if (Array.isArray(value)) {
    if (value.length > LIST_ITEMS) throw valueFault()
    return value
  }
  if (value === null) return []
  if (value instanceof Uint8Array) throw valueFault()
  return [value]
}

/** A result of arithmetic: infinite and NaN are ERR_EXPR_VALUE, as JSON has neither. */
export function finiteNumber(value: Json): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw valueFault()
  return value === 0 ? 0 : value
}

export function isObject(value: Value | undefined): value is { [key: string]: Json } {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof LosslessNumber) &&
    !(value instanceof Uint8Array)
  )
}

function finite(value: number): string {
  if (!Number.isFinite(value)) throw valueFault()
  return numberText(value)
}

/** Text → number, when the double stands for the same integer or fraction that was written. */
function exact(text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value)) throw valueFault()
  const digits = text
    .replace(/[eE].*$/, '')
    .replace(/[^0-9]/g, '')
    .replace(/^0+/, '')
  if (digits.length > 15 && String(value) !== text.replace(/^\+/, '')) throw valueFault()
  return value
}

/** Spends about the length of the JSON text, without making it: a list may hold the same long text many times. */
function measure(value: Json, work: Work): void {
  if (typeof value === 'string') work.write(value.length + 2)
  else if (Array.isArray(value)) {
    work.spend(value.length + 2)
    for (const item of value) measure(item, work)
  } else if (isObject(value)) {
    for (const key in value) {
      work.spend(key.length + 4)
      measure(value[key] as Json, work)
    }
  } else work.spend(8)
}

/** What making JSON text counts as, beside its length. */
const JSON_UNITS = 20
const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/
