import { type Json, LosslessNumber, numberText } from '../json.ts'
import { type Argument, Reference } from './chain.ts'
import { syntaxFault } from './faults.ts'
import type { Variables } from './filter.ts'
import { BLANK, EMPTY, Operator, readLiquidCondition } from './liquid.ts'
import { isObject, jsonOf, printOf } from './value.ts'
import type { Work } from './work.ts'

/** A compiled condition of a template. */
export type Condition = (variables: Variables, work: Work) => boolean

/**
 * Compiles `a`, `a == b`, `a contains b` and their like, joined by `and` and `or`, which are read from the right without
 * precedence, as Liquid does. Only null and false are false. `note` hears of each operand. Throws ERR_EXPR_SYNTAX.
 */
export function compileCondition(text: string, note: (operand: Argument) => void): Condition {
  const parts = readLiquidCondition(text)
  for (const part of parts) if (!(part instanceof Operator)) note(part)
  let end = parts.length
  let rest: { join: string; condition: Condition } | null = null
  for (;;) {
    let start = end
    while (start > 0 && !isJoin(parts[start - 1])) start--
    const left = compare(parts.slice(start, end))
    const right: { join: string; condition: Condition } | null = rest
    const condition: Condition = right === null ? left : joined(left, right.join, right.condition)
    const join = parts[start - 1]
    if (!(join instanceof Operator)) return condition
    rest = { join: join.name, condition }
    end = start - 1
  }
}

/** Equality of Liquid: numbers by value, lists and objects by content. */
export function liquidEqual(left: Json, right: Json, work: Work): boolean {
  if (right === EMPTY || right === BLANK) return isEmpty(left) || (right === BLANK && isBlank(left))
  if (left === EMPTY || left === BLANK) return liquidEqual(right, left, work)
  if (isNumber(left) && isNumber(right)) return Number(numberText(left)) === Number(numberText(right))
  if (typeof left === 'object' && typeof right === 'object' && left !== null && right !== null) {
    return jsonOf(left, work) === jsonOf(right, work)
  }
  return left === right
}

/** The value of a literal or variable. */
export function resolve(argument: Argument, variables: Variables): Json {
  return argument instanceof Reference ? argument.resolve(variables) : argument
}

function compare(parts: readonly (Argument | Operator)[]): Condition {
  const [left, operator, right] = parts
  if (left === undefined || left instanceof Operator) throw syntaxFault('a condition is malformed')
  if (operator === undefined) return (variables) => isTrue(resolve(left, variables))
  const test = operator instanceof Operator ? TESTS[operator.name] : undefined
  if (test === undefined || right === undefined || right instanceof Operator || parts.length > 3) {
    throw syntaxFault('a condition is malformed')
  }
  return (variables, work) => test(resolve(left, variables), resolve(right, variables), work)
}

function joined(left: Condition, join: string, right: Condition): Condition {
  return join === 'and'
    ? (variables, work) => left(variables, work) && right(variables, work)
    : (variables, work) => left(variables, work) || right(variables, work)
}

function isJoin(part: Argument | Operator | undefined): boolean {
  return part instanceof Operator && (part.name === 'and' || part.name === 'or')
}

function isEmpty(value: Json): boolean {
  if (typeof value === 'string' || Array.isArray(value)) return value.length === 0
  return isObject(value) && Object.keys(value).length === 0
}

function isBlank(value: Json): boolean {
  return value === null || value === false || (typeof value === 'string' && value.trim() === '')
}

function isTrue(value: Json): boolean {
  return value !== null && value !== false
}

function order(left: Json, right: Json): number {
  if (isNumber(left) && isNumber(right)) return Number(numberText(left)) - Number(numberText(right))
  if (typeof left === 'string' && typeof right === 'string') return left < right ? -1 : left > right ? 1 : 0
  return Number.NaN
}

function contains(left: Json, right: Json, work: Work): boolean {
  if (typeof left === 'string') {
    work.spend(left.length)
    return left.includes(printOf(right, work))
  }
  if (Array.isArray(left)) return left.some((item) => liquidEqual(item, right, work))
  return isObject(left) && typeof right === 'string' && Object.hasOwn(left, right)
}

function isNumber(value: Json): value is number | LosslessNumber {
  return typeof value === 'number' || value instanceof LosslessNumber
}

type Test = (left: Json, right: Json, work: Work) => boolean

const TESTS: Readonly<Record<string, Test>> = {
  '==': liquidEqual,
  '!=': (left, right, work) => !liquidEqual(left, right, work),
  '<': (left, right) => order(left, right) < 0,
  '>': (left, right) => order(left, right) > 0,
  '<=': (left, right) => order(left, right) <= 0,
  '>=': (left, right) => order(left, right) >= 0,
  contains
}
