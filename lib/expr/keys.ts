import { type Json, LosslessNumber } from '../json.ts'

/** A path of own properties (text) and list items (number; negative counts from the end). */
export type Keys = readonly (string | number)[]

/** What a list or text answers to a name that is not a property: how many, first, last. */
export type Virtual = (value: Json, key: string) => Json | undefined

/**
 * Walks from a value to one place in it. Own properties of objects and items of lists alone: `constructor`, `length`
 * and the like of JavaScript are not there. What is missing is null.
 */
export function walk(value: Json, keys: Keys, virtual: Virtual = liquidVirtual): Json {
  let at: Json | undefined = value
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string | number
    if (typeof at !== 'object' || at === null) {
      at = typeof at === 'string' && typeof key === 'string' ? virtual(at, key) : undefined
    } else if (Array.isArray(at)) {
      at = typeof key === 'number' ? at[key < 0 ? at.length + key : key] : item(at, key, virtual)
    } else if (typeof key === 'string' && Object.hasOwn(at, key) && !(at instanceof LosslessNumber)) {
      at = at[key]
    } else {
      return null
    }
    if (at === undefined) return null
  }
  return at
}

/** Liquid's `size`, `first` and `last`. */
function liquidVirtual(value: Json, key: string): Json | undefined {
  if (key === 'size') return typeof value === 'string' || Array.isArray(value) ? value.length : undefined
  if (!Array.isArray(value)) return undefined
  if (key === 'first') return value[0]
  return key === 'last' ? value.at(-1) : undefined
}

/** `length` of a list, which the older JSONPath engines answer. */
export function jsonPathVirtual(value: Json, key: string): Json | undefined {
  return key === 'length' && Array.isArray(value) ? value.length : undefined
}

function item(list: Json[], key: string, virtual: Virtual): Json | undefined {
  return /^\d{1,9}$/.test(key) ? list[Number(key)] : virtual(list, key)
}

/**
 * Reads `.name`, `['name']`, `["name"]` and `[0]` from `start` to the end of the text. Names may hold letters, digits,
 * `_`, `-` and anything beyond ASCII. Returns the keys, or the position (negated, less one) of the first character
 * that does not fit.
 *
 * @param starts Takes where each key begins.
 */
export function readKeys(text: string, start: number, starts?: number[]): (string | number)[] | number {
  const keys: (string | number)[] = []
  let at = start
  while (at < text.length) {
    starts?.push(at)
    if (text.charCodeAt(at) === DOT) {
      const end = nameEnd(text, at + 1)
      if (end === at + 1) return ~end
      keys.push(text.slice(at + 1, end))
      at = end
    } else if (text.charCodeAt(at) === OPEN) {
      BRACKET.lastIndex = at
      const match = BRACKET.exec(text)
      if (match === null) return ~at
      if (match[1] !== undefined) keys.push(Number(match[1]))
      else {
        const name = unquote(match[2] ?? '')
        if (name === null) return ~at
        keys.push(name)
      }
      at = BRACKET.lastIndex
    } else return ~at
  }
  return keys
}

function nameEnd(text: string, start: number): number {
  let at = start
  while (at < text.length) {
    const code = text.charCodeAt(at)
    const fits =
      (code >= LOWER_A && code <= LOWER_Z) ||
      (code >= UPPER_A && code <= UPPER_Z) ||
      (code >= ZERO && code <= NINE) ||
      code === UNDERSCORE ||
      code === MINUS ||
      code > 0x7f
    if (!fits) break
    at++
  }
  return at
}

/** A quoted name without its quotes; escapes as in JSON, and `\'`. null when an escape is wrong. */
function unquote(quoted: string): string | null {
  const inner = quoted.slice(1, -1)
  if (!inner.includes('\\')) return inner
  try {
    const json = inner.replace(/\\(.)|"/gsu, (all, next) => (next === "'" ? "'" : all === '"' ? '\\"' : all))
    return JSON.parse(`"${json}"`) as string
  } catch {
    return null
  }
}

/** An index without leading zeros, or a quoted name. Linear: each alternative begins with another character. */
const BRACKET = /\[\s*(?:(0|-?[1-9]\d{0,14})|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'))\s*\]/suy

const DOT = 0x2e
const MINUS = 0x2d
const ZERO = 0x30
const NINE = 0x39
const UPPER_A = 0x41
const UPPER_Z = 0x5a
const OPEN = 0x5b
const UNDERSCORE = 0x5f
const LOWER_A = 0x61
const LOWER_Z = 0x7a
