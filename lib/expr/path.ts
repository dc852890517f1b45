import type { Json } from '../json.ts'
import { pathFault, valueFault } from './faults.ts'
import { jsonPathVirtual, type Keys, readKeys, walk } from './keys.ts'
import { jsonpath } from 'json-p3'
import { compileQuery, type Query } from './query.ts'
import type { Work } from './work.ts'

/**
 * A compiled JSONPath (RFC 9535): one value in, one value out. A plain path gives null where nothing is; a path that
 * could yield several (`..`, `*`, slice, union, filter) must yield exactly one, else ERR_EXPR_VALUE.
 */
export type Path = (value: Json, work: Work) => Json

/**
 * Compiles a path. Plain paths become walks over own properties; the rest is parsed by json-p3 and compiled to
 * counted visits (`query.ts`), so a path runs no code, no regular expression (`match` and `search` are not there) and
 * cannot work without bound.
 *
 * Beside RFC 9535 these older spellings work: a path without its `$`, names that begin with a digit or hold `-`
 * (`$.line-items.3ds`), an item as a name (`$.items.0`), `[(@.length-1)]` for `[-1]`, and `.length` of a list at the
 * end, also of what a filter compares.
 *
 * @throws ERR_EXPR_PATH with the position of the fault
 */
export function compilePath(text: string, filter: string): Path {
  const path = text.trim()
  const rooted = path.startsWith('$') ? path : rootless(path, filter)
  const keys = readKeys(rooted, 1)
  if (typeof keys !== 'number') return plain(keys)
  return exactlyOne(indefinite(rooted, filter, rooted.length - path.length))
}

/**
 * Compiles a path to a query that tells each value it finds and where that stands, in the spellings of `compilePath` but
 * `.length`, which stands nowhere.
 *
 * @throws ERR_EXPR_PATH with the position of the fault
 */
export function compileLocator(text: string, filter: string): Query {
  const path = text.trim()
  const rooted = path.startsWith('$') ? path : rootless(path, filter)
  return indefinite(rooted, filter, rooted.length - path.length, false)
}

function plain(keys: Keys): Path {
  if (keys.length === 1 && typeof keys[0] === 'string') {
    const key = keys[0]
    return (value) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, key) && value.constructor === Object
        ? ((value as { [key: string]: Json })[key] as Json)
        : walk(value, keys, jsonPathVirtual)
  }
  return (value) => walk(value, keys, jsonPathVirtual)
}

function exactlyOne(query: Query): Path {
  return (value, work) => {
    let found: Json | undefined
    query(value, value, work, (node) => {
      if (found !== undefined) throw valueFault()
      found = node
      return false
    })
    if (found === undefined) throw valueFault()
    return found
  }
}

/** `name…` and `[…` gain their root; anything else is no path. */
function rootless(path: string, filter: string): string {
  if (/^[A-Za-z0-9_\u0080-\uffff]/.test(path)) return `$.${path}`
  if (/^[.[]/.test(path)) return `$${path}`
  throw pathFault(filter, 0)
}

function indefinite(path: string, filter: string, added: number, lengths = true): Query {
  const modern = modernize(path)
  try {
    return compileQuery(environment.compile(modern), lengths)
  } catch (thrown) {
    const index = (thrown as { token?: { index?: number } }).token?.index
    throw pathFault(filter, index === undefined || modern !== path ? null : Math.max(0, index - added))
  }
}

/** Puts names that RFC 9535 wants quoted into brackets, and rewrites `[(@.length-1)]`. Outside brackets only. */
function modernize(path: string): string {
  let out = ''
  let at = 0
  while (at < path.length) {
    const character = path[at] as string
    if (character === '[') {
      const end = bracketEnd(path, at)
      const inside = path.slice(at, end)
      const last = FROM_END.exec(inside)
      out += last === null ? inside : `[-${last[1]}]`
      at = end
    } else if (character === '.') {
      LOOSE_NAME.lastIndex = at
      const match = LOOSE_NAME.exec(path)
      const name = match?.[2] ?? ''
      if (match !== null && /^\d|-/.test(name)) out += `${match[1] === '..' ? '..' : ''}['${name}']`
      else out += match?.[0] ?? '.'
      at += match?.[0].length ?? 1
    } else {
      out += character
      at++
    }
  }
  return out
}

/** The position after the bracket that closes the one at `open`; the end of the text when there is none. */
function bracketEnd(path: string, open: number): number {
  let depth = 0
  let quote = ''
  for (let at = open; at < path.length; at++) {
    const character = path[at] as string
    if (quote !== '') {
      if (character === '\\') at++
      else if (character === quote) quote = ''
    } else if (character === '"' || character === "'") quote = character
    else if (character === '[') depth++
    else if (character === ']' && --depth === 0) return at + 1
  }
  return path.length
}

/** json-p3 without the two functions that run a regular expression. */
const environment = new jsonpath.JSONPathEnvironment()
environment.functionRegister.delete('match')
environment.functionRegister.delete('search')

const LOOSE_NAME = /(\.\.?)([A-Za-z0-9_\u0080-\uffff-]+)/uy
const FROM_END = /^\[\s*\(\s*@\.length\s*-\s*([1-9]\d{0,8})\s*\)\s*\]$/
