import type { Json } from '../json.ts'
import type { Variables } from './filter.ts'
import type { Keys } from './keys.ts'
import { parseNodes } from './nodes.ts'
import { cut } from './pieces.ts'
import { bindTemplate } from './template.ts'
import { isObject } from './value.ts'
import { limitFault, syntaxFault } from './faults.ts'
import { Work } from './work.ts'

/**
 * What a stored proxy makes of a message: as a `Template`, or a JSON structure in which every string is one (keys are
 * not), with the keywords `config: key`, `transform_identifier: 'name'` and `tokenize_transform: 'name'`, which stand for
 * what the variables of those names hold under a name.
 */
export interface MessageTemplate {
  /** Paths of the variables that it draws upon. A keyword is the first of two keys. */
  readonly references: readonly Keys[]
  /** Throws ERR_EXPR_VALUE. */
  render(variables: Variables, work?: Work): Json
}

/**
 * Compiles a structure.
 *
 * @throws ERR_EXPR_SYNTAX, ERR_EXPR_FILTER, ERR_EXPR_ARGUMENT, ERR_EXPR_PATH, ERR_EXPR_LIMIT
 */
export function compileMessage(structure: Json): MessageTemplate {
  const references: Keys[] = []
  const render = compiled(structure, references, 0)
  return { references, render: (variables, work = new Work()) => render(variables, work) }
}

/**
 * The same of a header's value, in which tags are text; null when no expression of it begins with one of `subjects`.
 * Such expressions do not stand beside others.
 */
export function compileHeader(value: string, subjects: ReadonlySet<string>): MessageTemplate | null {
  if (!value.includes('{{')) return null
  const pieces = cut(value, false)
  const outputs = pieces.filter(({ kind }) => kind === 'output')
  const ours = outputs.filter(({ text }) => subjects.has(SUBJECT.exec(text)?.[1] ?? ''))
  if (ours.length === 0) return null
  if (ours.length < outputs.length) throw syntaxFault(`${[...subjects].join(' and ')} stand in a header without tokens`)
  const { nodes, references } = parseNodes(pieces, KEYWORDS)
  const template = bindTemplate(nodes, pieces.length)
  return { references, render: (variables, work) => template.render(variables, work) }
}

type Render = (variables: Variables, work: Work) => Json

function compiled(structure: Json, references: Keys[], depth: number): Render {
  if (depth > DEPTH) throw limitFault(`a structure of templates deeper than ${DEPTH}`)
  if (typeof structure === 'string') {
    const pieces = cut(structure, true)
    const parsed = parseNodes(pieces, KEYWORDS)
    references.push(...parsed.references)
    const template = bindTemplate(parsed.nodes, pieces.length)
    return (variables, work) => template.render(variables, work)
  }
  if (Array.isArray(structure)) {
    const items = structure.map((item) => compiled(item, references, depth + 1))
    return (variables, work) => items.map((render) => render(variables, work))
  }
  if (!isObject(structure)) return () => structure
  const members = Object.keys(structure).map(
    (name) => [name, compiled(structure[name] ?? null, references, depth + 1)] as const
  )
  return (variables, work) => Object.fromEntries(members.map(([name, render]) => [name, render(variables, work)]))
}

const KEYWORDS: ReadonlySet<string> = new Set(['config', 'transform_identifier', 'tokenize_transform'])
const SUBJECT = /^\s*([a-z_]+)\s*(?:[:.[|]|$)/
const DEPTH = 100
