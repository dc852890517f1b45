import { LosslessNumber } from '../json.ts'
import { type Constant, type Parameter, Refusal } from './filter.ts'

/** Text; a number or boolean is its text, nil is nothing. */
export function text(name: string): Parameter<string>
export function text<D extends string | null>(name: string, missing: D): Parameter<string | D>
export function text(name: string, missing?: string | null): Parameter<string | null> {
  return parameter(name, missing, (given) => {
    if (typeof given === 'string') return given
    if (given === null) return ''
    if (typeof given === 'number' || typeof given === 'boolean') return String(given)
    if (given instanceof LosslessNumber) return given.value
    return new Refusal('must be text')
  })
}

/** Exactly one character (code point). */
export function character(name: string, missing?: string): Parameter<string> {
  return parameter(name, missing, (given) => {
    const value = typeof given === 'number' ? String(given) : given
    return typeof value === 'string' && Array.from(value).length === 1 ? value : new Refusal('must be one character')
  })
}

/** A whole number from `least` to `most`; text that is one counts. */
export function integer(name: string, least: number, most: number): Parameter<number>
export function integer<D extends number | null>(
  name: string,
  least: number,
  most: number,
  missing: D
): Parameter<number | D>
export function integer(name: string, least: number, most: number, missing?: number | null): Parameter<number | null> {
  return parameter(name, missing, (given) => {
    const value = numeric(given)
    return value !== null && Number.isInteger(value) && value >= least && value <= most
      ? value
      : new Refusal(`must be a whole number from ${least} to ${most}`)
  })
}

/** A number; text that is one counts. */
export function number(name: string): Parameter<number>
export function number(name: string, missing: number): Parameter<number>
export function number(name: string, missing?: number): Parameter<number> {
  return parameter(name, missing, (given) => numeric(given) ?? new Refusal('must be a number'))
}

/** true or false, also as the texts 'true' and 'false'. */
export function flag(name: string, missing: boolean): Parameter<boolean> {
  return parameter(name, missing, (given) => {
    if (given === true || given === 'true') return true
    if (given === false || given === 'false') return false
    return new Refusal("must be 'true' or 'false'")
  })
}

/** Any literal. */
export function any(name: string): Parameter<Constant>
export function any<D>(name: string, missing: D): Parameter<Constant | D>
export function any(name: string, ...missing: unknown[]): Parameter<unknown> {
  return { name, optional: missing.length > 0, read: (given) => (given === undefined ? missing[0] : given) }
}

function parameter<T>(name: string, missing: T | undefined, read: (given: Constant) => T | Refusal): Parameter<T> {
  return {
    name,
    optional: missing !== undefined,
    read(given) {
      if (given !== undefined) return read(given)
      return missing === undefined ? new Refusal('is missing') : missing
    }
  }
}

function numeric(given: Constant): number | null {
  if (given instanceof LosslessNumber) return Number(given.value)
  if (typeof given === 'number') return Number.isFinite(given) ? given : null
  if (typeof given === 'string' && /^[+-]?\d{1,15}(?:\.\d{1,15})?$/.test(given.trim())) return Number(given)
  return null
}
