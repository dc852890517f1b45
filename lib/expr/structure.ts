import type { Json } from '../json.ts'
import { evaluate, type Found } from './evaluate.ts'
import { type Expression, type Grammar, type ParseOptions, parseExpression } from './expression.ts'
import { asValueFault, limitFault, valueFault } from './faults.ts'
import { cut } from './pieces.ts'
import { isObject, printOf } from './value.ts'
import { OUTPUT_CHARACTERS, Work } from './work.ts'

/** A JSON structure whose strings may hold expressions on tokens: the arguments of a reactor. Keys hold none. */
export interface Structure {
  /** In the order in which `fill` wants what they stand for. */
  readonly expressions: readonly Expression[]
  /**
   * The structure with its expressions evaluated: a string that is one expression becomes its value, with its type; any
   * other stays text. Throws ERR_EXPR_VALUE.
   */
  fill(found: readonly Found[], work?: Work): Json
}

/** Finds and parses the expressions of a structure. Throws as `parseExpression`. */
export function readStructure(structure: Json, grammar: Grammar, options: ParseOptions = {}): Structure {
  const expressions: Expression[] = []
  const parse = (source: string): Slot => {
    expressions.push(parseExpression(source, grammar, options))
    return { at: expressions.length - 1 }
  }
  const shape = read(structure, parse, 0)
  return {
    expressions,
    fill(found, work = new Work()) {
      const value = ({ at }: Slot): Json => evaluate(expressions[at] as Expression, found[at] as Found, work)
      try {
        return fill(shape, value, work)
      } catch (thrown) {
        throw asValueFault(thrown)
      }
    }
  }
}

/** The place of an expression among `expressions`. */
interface Slot {
  readonly at: number
}

type Shape =
  | { readonly kind: 'value'; readonly value: Json }
  | { readonly kind: 'whole'; readonly slot: Slot }
  | { readonly kind: 'text'; readonly parts: readonly (string | Slot)[] }
  | { readonly kind: 'list'; readonly items: readonly Shape[] }
  | { readonly kind: 'object'; readonly entries: readonly (readonly [string, Shape])[] }

function read(structure: Json, parse: (source: string) => Slot, depth: number): Shape {
  if (depth > DEPTH) throw limitFault(`expressions nested deeper than ${DEPTH}`)
  if (typeof structure === 'string') return readText(structure, parse)
  if (Array.isArray(structure)) return { kind: 'list', items: structure.map((item) => read(item, parse, depth + 1)) }
  if (!isObject(structure)) return { kind: 'value', value: structure }
  const entries = Object.keys(structure).map((key) => [key, read(structure[key] ?? null, parse, depth + 1)] as const)
  return { kind: 'object', entries }
}

function readText(text: string, parse: (source: string) => Slot): Shape {
  if (!text.includes('{{')) return { kind: 'value', value: text }
  const parts = cut(text, false).map((piece) => (piece.kind === 'output' ? parse(piece.text) : piece.text))
  const only = parts.length === 1 ? parts[0] : undefined
  return typeof only === 'object' ? { kind: 'whole', slot: only } : { kind: 'text', parts }
}

function fill(shape: Shape, value: (slot: Slot) => Json, work: Work): Json {
  switch (shape.kind) {
    case 'value':
      return shape.value
    case 'whole':
      return value(shape.slot)
    case 'text': {
      let out = ''
      for (const part of shape.parts) {
        out += typeof part === 'string' ? part : printOf(value(part), work)
        if (out.length > OUTPUT_CHARACTERS) throw valueFault()
      }
      return out
    }
    case 'list':
      return shape.items.map((item) => fill(item, value, work))
    case 'object':
      return Object.fromEntries(shape.entries.map(([key, entry]) => [key, fill(entry, value, work)]))
  }
}

const DEPTH = 100
