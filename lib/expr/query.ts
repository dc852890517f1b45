import { type Json, LosslessNumber, numberText } from '../json.ts'
import { valueFault } from './faults.ts'
import { jsonPathVirtual } from './keys.ts'
import { jsonpath } from 'json-p3'
import { isObject } from './value.ts'
import type { Work } from './work.ts'

/**
 * A compiled query: calls `found` for each node, depth first, until it answers true (enough). Returns whether it was
 * stopped. Every node looked at counts as work. `holder` and `key` say where the value stands; the root in nothing.
 */
export type Query = (value: Json, root: Json, work: Work, found: Found, holder?: Json, key?: Key) => boolean

export type Found = (node: Json, holder?: Json, key?: Key) => boolean

type Key = string | number

/** Tests one candidate of a filter selector. */
type Test = (value: Json, root: Json, work: Work) => boolean
/** A comparable of a filter: undefined is RFC 9535's Nothing. */
type Comparable = (value: Json, root: Json, work: Work) => Json | undefined

type Selector = (value: Json, root: Json, work: Work, found: Found) => boolean

type Parsed = InstanceType<typeof jsonpath.JSONPathQuery>
type Segment = Parsed['segments'][number]
type ParsedSelector = Segment['selectors'][number]
type Expression = InstanceType<typeof jsonpath.expressions.FilterExpression>

/**
 * Turns json-p3's syntax tree into visits. Throws TypeError for what RFC 9535 does not have.
 *
 * @param lengths Does `.length` at the end of the query answer for a list, as in older engines?
 */
export function compileQuery(parsed: Parsed, lengths = false): Query {
  let next: Query = (value, _root, _work, found, holder, key) => found(value, holder, key)
  for (let at = parsed.segments.length - 1; at >= 0; at--) {
    next = segment(parsed.segments[at] as Segment, lengths && at === parsed.segments.length - 1, next)
  }
  return next
}

function segment(parsed: Segment, lengths: boolean, next: Query): Query {
  const selectors = parsed.selectors.map((selector) =>
    compileSelector(selector, lengths && parsed.selectors.length === 1 && !isDescendant(parsed))
  )
  if (isDescendant(parsed)) {
    return (value, root, work, found) =>
      descend(value, work, 0, (node) => step(selectors, node, root, work, next, found))
  }
  return (value, root, work, found) => step(selectors, value, root, work, next, found)
}

function step(selectors: readonly Selector[], value: Json, root: Json, work: Work, next: Query, found: Found): boolean {
  for (const selector of selectors) {
    if (selector(value, root, work, (node, holder, key) => next(node, root, work, found, holder, key))) return true
  }
  return false
}

/** The node itself and everything below it. */
function descend(value: Json, work: Work, depth: number, visit: Found): boolean {
  if (depth > DEPTH) throw valueFault()
  work.spend(1)
  if (visit(value)) return true
  if (Array.isArray(value)) {
    for (const item of value) if (descend(item, work, depth + 1, visit)) return true
  } else if (isObject(value)) {
    for (const key of Object.keys(value)) {
      if (descend(value[key] as Json, work, depth + 1, visit)) return true
    }
  }
  return false
}

function compileSelector(parsed: ParsedSelector, lengths: boolean): Selector {
  if (parsed instanceof selectors.NameSelector) return byName(parsed.name, lengths)
  if (parsed instanceof selectors.IndexSelector) return byIndex(parsed.index)
  if (parsed instanceof selectors.WildcardSelector) return everything(() => true)
  if (parsed instanceof selectors.SliceSelector) return slice(parsed.start, parsed.stop, parsed.step ?? 1)
  if (parsed instanceof selectors.FilterSelector) return everything(compileTest(parsed.expression))
  throw new TypeError('not a selector of RFC 9535')
}

function byName(name: string, lengths: boolean): Selector {
  return (value, _root, work, found) => {
    work.spend(1)
    if (isObject(value)) return Object.hasOwn(value, name) && found(value[name] as Json, value, name)
    const virtual = lengths ? jsonPathVirtual(value, name) : undefined
    return virtual !== undefined && found(virtual)
  }
}

function byIndex(index: number): Selector {
  return (value, _root, work, found) => {
    work.spend(1)
    if (!Array.isArray(value)) return false
    const at = index < 0 ? value.length + index : index
    const item = value[at]
    return item !== undefined && found(item, value, at)
  }
}

/** RFC 9535 2.3.4.2.2. */
function slice(start: number | undefined, stop: number | undefined, step: number): Selector {
  return (value, _root, work, found) => {
    work.spend(1)
    if (!Array.isArray(value) || step === 0) return false
    const length = value.length
    const normal = (index: number) => (index >= 0 ? index : length + index)
    const clamp = (index: number, low: number, high: number) => Math.min(Math.max(normal(index), low), high)
    if (step > 0) {
      const lower = clamp(start ?? 0, 0, length)
      const upper = clamp(stop ?? length, 0, length)
      for (let at = lower; at < upper; at += step) if (visit(value, at, work, found)) return true
    } else {
      const upper = clamp(start ?? length - 1, -1, length - 1)
      const lower = stop === undefined ? -1 : clamp(stop, -1, length - 1)
      for (let at = upper; at > lower; at += step) if (visit(value, at, work, found)) return true
    }
    return false
  }
}

function everything(test: Test): Selector {
  return (value, root, work, found) => {
    work.spend(1)
    if (Array.isArray(value)) {
      for (let at = 0; at < value.length; at++) {
        if (test(value[at] as Json, root, work) && visit(value, at, work, found)) return true
      }
    } else if (isObject(value)) {
      for (const key of Object.keys(value)) {
        work.spend(1)
        const item = value[key] as Json
        if (test(item, root, work) && found(item, value, key)) return true
      }
    }
    return false
  }
}

function visit(list: readonly Json[], at: number, work: Work, found: Found): boolean {
  work.spend(1)
  const item = list[at]
  return item !== undefined && found(item, list as Json[], at)
}

function compileTest(parsed: Expression): Test {
  if (parsed instanceof expressions.FilterQuery) return existence(parsed)
  if (parsed instanceof expressions.PrefixExpression) {
    const right = compileTest(parsed.right)
    return (value, root, work) => !right(value, root, work)
  }
  if (parsed instanceof expressions.InfixExpression) return infix(parsed)
  if (isLogical(parsed)) return compileTest(parsed.expression)
  throw new TypeError('not a test of RFC 9535')
}

function existence(parsed: InstanceType<typeof jsonpath.expressions.FilterQuery>): Test {
  const query = compileQuery(parsed.path)
  const relative = parsed instanceof expressions.RelativeQuery
  return (value, root, work) => query(relative ? value : root, root, spent(work), () => true)
}

function infix(parsed: InstanceType<typeof jsonpath.expressions.InfixExpression>): Test {
  if (parsed.operator === '&&' || parsed.operator === '||') {
    const left = compileTest(parsed.left)
    const right = compileTest(parsed.right)
    return parsed.operator === '&&'
      ? (value, root, work) => left(value, root, work) && right(value, root, work)
      : (value, root, work) => left(value, root, work) || right(value, root, work)
  }
  const left = compileComparable(parsed.left)
  const right = compileComparable(parsed.right)
  const compare = COMPARISONS[parsed.operator]
  if (compare === undefined) throw new TypeError('not an operator of RFC 9535')
  return (value, root, work) => compare(left(value, root, work), right(value, root, spent(work)), work)
}

function compileComparable(parsed: Expression): Comparable {
  if (parsed instanceof expressions.NumberLiteral) {
    const number = parsed.value
    return () => number
  }
  if (parsed instanceof expressions.StringLiteral || parsed instanceof expressions.BooleanLiteral) {
    const literal = parsed.value
    return () => literal
  }
  if (parsed instanceof expressions.NullLiteral) return () => null
  if (parsed instanceof expressions.FilterQuery) return single(parsed)
  if (parsed instanceof expressions.FunctionExtension) return call(parsed.name, parsed.args[0] as Expression)
  throw new TypeError('not a comparable of RFC 9535')
}

/** The value of a query that finds one node; Nothing otherwise. */
function single(parsed: InstanceType<typeof jsonpath.expressions.FilterQuery>): Comparable {
  const query = compileQuery(parsed.path, true)
  const relative = parsed instanceof expressions.RelativeQuery
  return (value, root, work) => {
    let result: Json | undefined
    let count = 0
    query(relative ? value : root, root, work, (node) => {
      result = node
      return ++count > 1
    })
    return count === 1 ? result : undefined
  }
}

/** RFC 9535 2.4: `length`, `count` and `value`. */
function call(name: string, argument: Expression): Comparable {
  if (name === 'count' && argument instanceof expressions.FilterQuery) {
    const query = compileQuery(argument.path)
    const relative = argument instanceof expressions.RelativeQuery
    return (value, root, work) => {
      let count = 0
      query(relative ? value : root, root, work, () => {
        count++
        return false
      })
      return count
    }
  }
  if (name === 'value' && argument instanceof expressions.FilterQuery) return single(argument)
  if (name !== 'length') throw new TypeError('not a function of RFC 9535')
  const read = compileComparable(argument)
  return (value, root, work) => {
    const measured = read(value, root, work)
    if (typeof measured === 'string') {
      work.spend(measured.length)
      return Array.from(measured).length
    }
    if (Array.isArray(measured)) return measured.length
    return isObject(measured) ? Object.keys(measured).length : undefined
  }
}

type Compare = (left: Json | undefined, right: Json | undefined, work: Work) => boolean

const COMPARISONS: Readonly<Record<string, Compare>> = {
  '==': equal,
  '!=': (left, right, work) => !equal(left, right, work),
  '<': less,
  '>': (left, right) => less(right, left),
  '<=': (left, right, work) => less(left, right) || equal(left, right, work),
  '>=': (left, right, work) => less(right, left) || equal(left, right, work)
}

function less(left: Json | undefined, right: Json | undefined): boolean {
  if (typeof left === 'string' && typeof right === 'string') return byCodePoint(left, right) < 0
  return isNumber(left) && isNumber(right) && Number(numberText(left)) < Number(numberText(right))
}

function equal(left: Json | undefined, right: Json | undefined, work: Work): boolean {
  work.spend(1)
  if (left === right) return true
  if (isNumber(left) && isNumber(right)) {
    return left instanceof LosslessNumber || right instanceof LosslessNumber
      ? decimal(numberText(left)) === decimal(numberText(right))
      : false
  }
  if (Array.isArray(left)) {
    return (
      Array.isArray(right) && left.length === right.length && left.every((item, at) => equal(item, right[at], work))
    )
  }
  if (!isObject(left) || !isObject(right)) return false
  const keys = Object.keys(left)
  return (
    keys.length === Object.keys(right).length &&
    keys.every((key) => Object.hasOwn(right, key) && equal(left[key], right[key], work))
  )
}

function isNumber(value: Json | undefined): value is number | LosslessNumber {
  return typeof value === 'number' || value instanceof LosslessNumber
}

/** One spelling for all texts of the same decimal number: `1.10e1` and `11` are both `11e0`. */
function decimal(text: string): string {
  const match = /^(-?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(text)
  if (match === null) return text
  const [, sign, whole, fraction = '', exponent = '0'] = match
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  if (significant === '') return '0'
  return `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`
}

/** Order by Unicode code point, as RFC 9535 wants; UTF-16 units order surrogates below U+E000. */
function byCodePoint(left: string, right: string): number {
  const length = Math.min(left.length, right.length)
  for (let at = 0; at < length; at++) {
    const a = left.charCodeAt(at)
    const b = right.charCodeAt(at)
    if (a !== b) return rank(a) - rank(b)
  }
  return left.length - right.length
}

function rank(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit
}

function spent(work: Work): Work {
  work.spend(1)
  return work
}

/** json-p3 does not export the class of `..` segments. */
function isDescendant(parsed: Segment): boolean {
  return parsed instanceof Descendant
}

/** Nor the class that wraps a whole filter expression. */
function isLogical(parsed: Expression): parsed is Expression & { readonly expression: Expression } {
  return 'expression' in parsed
}

const { selectors, expressions } = jsonpath
const Descendant = (new jsonpath.JSONPathEnvironment().compile('$..*').segments[0] as Segment).constructor as new (
  ...args: never[]
) => Segment
/** How deep a value may nest under `..`. */
const DEPTH = 1000
