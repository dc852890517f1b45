import { compileLocator } from '../expr/path.ts'
import type { Query } from '../expr/query.ts'
import type { Work } from '../expr/work.ts'
import { ofRule, type Reader, type Reading, unfit } from './capture-reading.ts'
import { replaceStretches, type Stretch } from './edits.ts'
import { readPlacedJson } from './placed-json.ts'

/** JSON: what no rule names keeps its bytes. */
export function jsonReader(paths: readonly string[]): Reader {
  const queries = compile(paths)
  return (body, work) => {
    const start = body.charCodeAt(0) === BYTE_ORDER_MARK ? 1 : 0
    const found = paths.map((): string[] => [])
    const stretches: Stretch[] = []
    search(body, start, body.length, queries, work, found, stretches)
    return reading(body, found, stretches)
  }
}

/** JSON on each line that is not blank. */
export function linesReader(paths: readonly string[]): Reader {
  const queries = compile(paths)
  return (body, work) => {
    const found = paths.map((): string[] => [])
    const stretches: Stretch[] = []
    for (let at = 0; at < body.length; ) {
      const feed = body.indexOf('\n', at)
      const end = feed < 0 ? body.length : feed
      if (body.slice(at, end).trim() !== '') search(body, at, end, queries, work, found, stretches)
      at = end + 1
    }
    return reading(body, found, stretches)
  }
}

function compile(paths: readonly string[]): Query[] {
  return paths.map((path, at) => ofRule(at, () => compileLocator(path, 'path')))
}

function search(
  body: string,
  start: number,
  end: number,
  queries: readonly Query[],
  work: Work,
  found: readonly string[][],
  stretches: Stretch[]
): void {
  const placed = readPlacedJson(body, start, end)
  for (const [rule, query] of queries.entries()) {
    query(placed.value, placed.value, work, (node, holder, key) => {
      for (const span of placed.spansOf(node, holder, key)) {
        found[rule]?.push(textOf(body.slice(span.start, span.end)))
        stretches.push({ ...span, rule })
      }
      return false
    })
  }
}

/** The text that a string or a number is kept as: a number's own digits. */
function textOf(json: string): string {
  if (json.startsWith('"')) return JSON.parse(json) as string
  if (/^[-\d]/.test(json)) return json
  throw unfit('a rule names what is neither text nor a number')
}

function reading(body: string, found: readonly (readonly string[])[], stretches: readonly Stretch[]): Reading {
  return {
    found,
    write: (tokens) => replaceStretches(body, stretches, (rule) => JSON.stringify(tokens[rule]))
  }
}

const BYTE_ORDER_MARK = 0xfeff
