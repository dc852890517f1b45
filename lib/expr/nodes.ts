import type { Json } from '../json.ts'
import { type Argument, type Chain, compileChain, Reference } from './chain.ts'
import { type Condition, compileCondition, liquidEqual, resolve } from './condition.ts'
import { runChain } from './evaluate.ts'
import { limitFault, syntaxFault, valueFault } from './faults.ts'
import type { Variables } from './filter.ts'
import type { Keys } from './keys.ts'
import { FILTERS } from './filters/basis-theory.ts'
import { type LiquidLoop, readLiquidList, readLiquidLoop, readLiquidValue } from './liquid.ts'
import type { Piece } from './pieces.ts'
import { finiteNumber, isObject, listOf, numberOf, printOf } from './value.ts'
import type { Work } from './work.ts'

/** The variables of a render: a null-prototype copy, which tags may add to. */
export type Scope = Record<string, Json>

/** One step of a template. */
export interface Node {
  run(scope: Scope, work: Work, emit: (text: string) => void): void
  /** Of an expression: its value with its type. */
  readonly value?: (variables: Variables, work: Work) => Json
}

/** A compiled template, and what it draws upon. */
export interface Parsed {
  readonly nodes: readonly Node[]
  /** Some filter takes a key. */
  readonly keyed: boolean
  /** Paths of its variables, each beginning with the variable's name, but for those that its own tags make. */
  readonly references: readonly Keys[]
}

/**
 * Compiles the pieces of a template.
 *
 * @param keywords as of `readLiquidValue`
 * @throws ERR_EXPR_SYNTAX, ERR_EXPR_FILTER, ERR_EXPR_ARGUMENT, ERR_EXPR_PATH, ERR_EXPR_LIMIT
 */
export function parseNodes(pieces: readonly Piece[], keywords?: ReadonlySet<string>): Parsed {
  const reader: Reader = { pieces, keywords, at: 0, depth: 0, keyed: false, references: [], made: new Set() }
  const { nodes, stop } = block(reader, [])
  if (stop !== null) throw syntaxFault(`there is nothing that ${stop.name} ends`)
  const references = reader.references.filter(([name = '']) => !reader.made.has(name))
  return { nodes, keyed: reader.keyed, references }
}

/** Runs nodes in order. */
export function runNodes(nodes: readonly Node[], scope: Scope, work: Work, emit: (text: string) => void): void {
  for (const node of nodes) {
    work.spend(NODE_UNITS)
    node.run(scope, work, emit)
  }
}

interface Reader {
  readonly pieces: readonly Piece[]
  readonly keywords: ReadonlySet<string> | undefined
  at: number
  depth: number
  keyed: boolean
  readonly references: Keys[]
  /** Variables that tags make. */
  readonly made: Set<string | number>
}

interface Tag {
  readonly name: string
  readonly rest: string
}

/** Reads nodes up to one of some tags, or the end. */
function block(reader: Reader, ends: readonly string[]): { nodes: Node[]; stop: Tag | null } {
  const nodes: Node[] = []
  while (reader.at < reader.pieces.length) {
    const piece = reader.pieces[reader.at++] as Piece
    if (piece.kind === 'text') nodes.push(literal(piece.text))
    else if (piece.kind === 'output') nodes.push(output(reader, piece.text))
    else {
      const tag = readTag(piece.text)
      if (ends.includes(tag.name)) return { nodes, stop: tag }
      const compile = TAGS.get(tag.name)
      if (compile === undefined) throw syntaxFault('a tag is unknown, or stands where it cannot')
      if (++reader.depth > DEPTH) throw limitFault(`tags nested deeper than ${DEPTH}`)
      nodes.push(compile(reader, tag.rest))
      reader.depth--
    }
  }
  if (ends.length > 0) throw syntaxFault('a tag is not closed')
  return { nodes, stop: null }
}

function readTag(text: string): Tag {
  const match = /^\s*([a-z]+)(?:\s+|$)/.exec(text)
  if (match === null) throw syntaxFault('a tag is malformed')
  return { name: match[1] ?? '', rest: text.slice(match[0].length).trim() }
}

function literal(text: string): Node {
  return { run: (_scope, _work, emit) => emit(text) }
}

function output(reader: Reader, text: string): Node {
  const value = compileValue(reader, text)
  return { value, run: (scope, work, emit) => emit(printOf(value(scope, work), work)) }
}

function compileValue(reader: Reader, text: string): (variables: Variables, work: Work) => Json {
  const { operand, calls } = readLiquidValue(text, reader.keywords)
  const chain: Chain = compileChain(calls, FILTERS)
  reader.keyed ||= chain.keyed
  note(reader, operand)
  for (const { args, named } of calls) for (const argument of [...args, ...named.values()]) note(reader, argument)
  return (variables, work) => runChain(chain, resolve(operand, variables), work, variables)
}

function note(reader: Reader, argument: Argument): void {
  if (argument instanceof Reference) reader.references.push(argument.keys)
}

function assign(reader: Reader, rest: string): Node {
  const match = /^([A-Za-z_][\w-]*)\s*=/.exec(rest)
  if (match === null) throw syntaxFault('assign is malformed')
  const name = match[1] ?? ''
  reader.made.add(name)
  const value = compileValue(reader, rest.slice(match[0].length))
  return {
    run(scope, work) {
      scope[name] = value(scope, work)
    }
  }
}

/** `if` and `unless`, with `elsif` and `else`. */
function branches(reader: Reader, rest: string, end: string, negated: boolean): Node {
  const arms: { test: Condition; nodes: Node[] }[] = []
  const compile = (text: string): Condition => compileCondition(text, (operand) => note(reader, operand))
  const first = compile(rest)
  let test: Condition = negated ? (scope, work) => !first(scope, work) : first
  for (;;) {
    const { nodes, stop } = block(reader, test === otherwise ? [end] : ['elsif', 'else', end])
    arms.push({ test, nodes })
    if (stop?.name === end) break
    test = stop?.name === 'elsif' ? compile(stop.rest) : otherwise
  }
  return {
    run(scope, work, emit) {
      const arm = arms.find((candidate) => candidate.test(scope, work))
      if (arm !== undefined) runNodes(arm.nodes, scope, work, emit)
    }
  }
}

function choice(reader: Reader, rest: string): Node {
  const subject = readOne(rest)
  note(reader, subject)
  const before = block(reader, ['when', 'else', 'endcase'])
  const arms: { values: Argument[] | null; nodes: Node[] }[] = []
  let stop = before.stop
  while (stop !== null && stop.name !== 'endcase') {
    const values = stop.name === 'when' ? readLiquidList(stop.rest) : null
    for (const value of values ?? []) note(reader, value)
    const { nodes, stop: next } = block(reader, values === null ? ['endcase'] : ['when', 'else', 'endcase'])
    arms.push({ values, nodes })
    stop = next
  }
  return {
    run(scope, work, emit) {
      const value = resolve(subject, scope)
      const arm = arms.find(
        ({ values }) => values === null || values.some((option) => liquidEqual(value, resolve(option, scope), work))
      )
      if (arm !== undefined) runNodes(arm.nodes, scope, work, emit)
    }
  }
}

function loop(reader: Reader, rest: string): Node {
  const head = readLiquidLoop(rest)
  reader.made.add(head.name).add('forloop')
  for (const argument of [head.list, head.from, head.to, head.limit, head.offset]) note(reader, argument)
  const { nodes, stop } = block(reader, ['else', 'endfor'])
  const empty = stop?.name === 'else' ? block(reader, ['endfor']).nodes : []
  return {
    run(scope, work, emit) {
      const items = itemsOf(head, scope, work)
      if (items.length === 0) return runNodes(empty, scope, work, emit)
      const outer = { item: scope[head.name], forloop: scope.forloop }
      for (const [index, item] of items.entries()) {
        work.spend(NODE_UNITS)
        scope[head.name] = item
        scope.forloop = {
          index: index + 1,
          index0: index,
          rindex: items.length - index,
          rindex0: items.length - index - 1,
          first: index === 0,
          last: index === items.length - 1,
          length: items.length
        }
        runNodes(nodes, scope, work, emit)
      }
      restore(scope, head.name, outer.item)
      restore(scope, 'forloop', outer.forloop)
    }
  }
}

function itemsOf(head: LiquidLoop, scope: Scope, work: Work): Json[] {
  const items = head.from === null ? elements(resolve(head.list, scope)) : range(head, scope, work)
  work.list(items.length)
  const offset = head.offset === null ? 0 : count(head.offset, scope)
  const limit = head.limit === null ? items.length : count(head.limit, scope)
  const slice = items.slice(offset, offset + limit)
  return head.reversed ? slice.reverse() : slice
}

/** What a loop goes over: items; of an object its `[key, value]` pairs; text as one item. */
function elements(value: Json): Json[] {
  if (isObject(value)) return Object.keys(value).map((key) => [key, value[key] ?? null])
  return value === '' ? [] : listOf(value)
}

function range(head: LiquidLoop, scope: Scope, work: Work): Json[] {
  const from = Math.trunc(finiteNumber(numberOf(resolve(head.from, scope))))
  const to = Math.trunc(finiteNumber(numberOf(resolve(head.to, scope))))
  const length = Math.max(0, to - from + 1)
  work.list(length)
  return Array.from({ length }, (_, at) => from + at)
}

function count(argument: Argument, scope: Scope): number {
  const value = numberOf(resolve(argument, scope))
  if (!(value >= 0)) throw valueFault()
  return Math.trunc(value)
}

function restore(scope: Scope, name: string, value: Json | undefined): void {
  if (value === undefined) delete scope[name]
  else scope[name] = value
}

function readOne(text: string): Argument {
  const { operand, calls } = readLiquidValue(text)
  if (calls.length > 0) throw syntaxFault('a tag takes no filters here')
  return operand
}

const otherwise: Condition = () => true

const TAGS: ReadonlyMap<string, (reader: Reader, rest: string) => Node> = new Map([
  ['assign', assign],
  ['if', (reader: Reader, rest: string) => branches(reader, rest, 'endif', false)],
  ['unless', (reader: Reader, rest: string) => branches(reader, rest, 'endunless', true)],
  ['case', choice],
  ['for', loop]
])

/** How deep tags may nest. */
const DEPTH = 16
/** What a step counts as. */
const NODE_UNITS = 8
