import { LRUCache } from 'lru-cache'
import type { Json } from '../json.ts'
import { asValueFault, limitFault, valueFault } from './faults.ts'
import type { Variables } from './filter.ts'
import { type Node, parseNodes, runNodes, type Scope } from './nodes.ts'
import { cut } from './pieces.ts'
import { isObject } from './value.ts'
import { OUTPUT_CHARACTERS, Work } from './work.ts'

/**
 * A compiled template: what the vault stores as a mask, an alias, a fingerprint expression or a search index. Text,
 * expressions over variables, and the tags `assign`, `if`, `unless`, `case` and `for`.
 */
export interface Template {
  /**
   * A template that is one expression gives its value, with its type; any other gives text, in which lists and objects
   * are compact JSON and null is nothing.
   *
   * @param variables Own properties alone are seen; a missing one is null.
   * @param work Counted work, shared by the renders that it is to bound together.
   * @throws ERR_EXPR_VALUE
   */
  render(variables: Variables, work?: Work): Json
  /** How many expressions it holds, in tags too: 0 says that it is plain text. */
  readonly expressions: number
}

/**
 * Compiles a template; the same text is compiled once and kept, unless it is long or holds a key.
 *
 * @throws ERR_EXPR_SYNTAX, ERR_EXPR_FILTER, ERR_EXPR_ARGUMENT, ERR_EXPR_PATH, ERR_EXPR_LIMIT
 */
export function compileTemplate(source: string): Template {
  const kept = templates.get(source)
  if (kept !== undefined) return kept
  const pieces = cut(source, true)
  const { nodes, keyed } = parseNodes(pieces)
  const template = bindTemplate(nodes, pieces.filter((piece) => piece.kind !== 'text').length)
  if (source.length <= KEPT_CHARACTERS && !keyed) templates.set(Buffer.from(source).toString(), template)
  return template
}

/**
 * A JSON structure in which every string is a template (keys are not): a mask. Everything else stays as it is.
 *
 * @throws as `compileTemplate`, and ERR_EXPR_VALUE
 */
export function evaluateStructure(structure: Json, variables: Variables, work: Work = new Work()): Json {
  try {
    return filled(structure, variables, work, 0)
  } catch (thrown) {
    throw asValueFault(thrown)
  }
}

/** Compiles every string of a structure, to find its faults before there is a value. Throws as `compileTemplate`. */
export function checkStructure(structure: Json): void {
  visit(structure, 0)
}

/** The nodes of a template as one; `expressions`: how many of its pieces are no text. */
export function bindTemplate(nodes: readonly Node[], expressions: number): Template {
  const only = nodes.length === 1 ? nodes[0] : undefined
  return {
    expressions,
    render(variables, work = new Work()) {
      try {
        // No tag, so nothing adds to the variables.
        if (only?.value !== undefined) return only.value(variables, work)
        const scope: Scope = Object.assign(Object.create(null) as Scope, variables)
        const out: string[] = []
        let length = 0
        runNodes(nodes, scope, work, (text) => {
          length += text.length
          work.spend(text.length)
          if (length > OUTPUT_CHARACTERS) throw valueFault()
          out.push(text)
        })
        return out.join('')
      } catch (thrown) {
        throw asValueFault(thrown)
      }
    }
  }
}

function filled(structure: Json, variables: Variables, work: Work, depth: number): Json {
  work.spend(1)
  if (depth > DEPTH) throw valueFault()
  if (typeof structure === 'string') return compileTemplate(structure).render(variables, work)
  if (Array.isArray(structure)) return structure.map((item) => filled(item, variables, work, depth + 1))
  if (!isObject(structure)) return structure
  const out: [string, Json][] = []
  for (const key of Object.keys(structure)) out.push([key, filled(structure[key] ?? null, variables, work, depth + 1)])
  return Object.fromEntries(out)
}

function visit(structure: Json, depth: number): void {
  if (depth > DEPTH) throw limitFault(`a structure of templates deeper than ${DEPTH}`)
  if (typeof structure === 'string') compileTemplate(structure)
  else if (Array.isArray(structure)) for (const item of structure) visit(item, depth + 1)
  else if (isObject(structure)) for (const key of Object.keys(structure)) visit(structure[key] ?? null, depth + 1)
}

const templates = new LRUCache<string, Template>({
  maxSize: 4 * 1024 * 1024,
  sizeCalculation: (template, source) => 512 + 1024 * template.expressions + 4 * source.length
})

/** Longer templates are compiled each time. */
const KEPT_CHARACTERS = 2048
const DEPTH = 100
