import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { resultTables } from './markdown.ts'
import { graphs } from './graphs.ts'
import type { Circumstances, KeptRow } from './machine.ts'
import { parseRows, type Row } from './report.ts'
import { svg } from './svg.ts'

/**
 * Replaces the kept rows of the benchmarks that ran; the others stay, and so do points of a graph beyond the last that this
 * run went to, when they were measured on such a machine.
 */
export function keep(rows: readonly Row[], where: Circumstances): void {
  const kept = keptRows().filter((row) => {
    const fresh = rows.filter(({ bench }) => bench === row.bench)
    if (fresh.length === 0) return true
    return row.x !== undefined && row.where.cpu === where.cpu && fresh.every(({ x = 0 }) => x < (row.x ?? 0))
  })
  mkdirSync(RESULTS, { recursive: true })
  const all = [...kept, ...rows.map((row) => ({ ...row, where }))]
  const lines = all.sort((a, b) => (a.bench < b.bench ? -1 : a.bench > b.bench ? 1 : 0))
  writeFileSync(ROWS, lines.map((row) => `${JSON.stringify(row)}\n`).join(''))
}

/** Draws the graphs of all kept rows and writes their tables into bench/README.md, between its two marks. */
export function publish(): void {
  const rows = keptRows()
  const drawn = graphs(rows)
  for (const { file, graph } of drawn) writeFileSync(RESULTS + file, svg(graph))
  const text = readFileSync(README, 'utf8')
  const [begin, end] = [text.indexOf(BEGIN) + BEGIN.length, text.indexOf(END)]
  if (begin < BEGIN.length || end < begin) throw new Error('bench/README.md has lost the marks of its results')
  writeFileSync(README, `${text.slice(0, begin)}\n\n${resultTables(rows, drawn)}\n${text.slice(end)}`)
}

function keptRows(): KeptRow[] {
  return existsSync(ROWS) ? (parseRows(readFileSync(ROWS, 'utf8')) as KeptRow[]) : []
}

const RESULTS = fileURLToPath(new URL('../../../bench/results/', import.meta.url))
const ROWS = `${RESULTS}last.jsonl`
const README = fileURLToPath(new URL('../../../bench/README.md', import.meta.url))
const BEGIN = '<!-- results: written by npm run bench -->'
const END = '<!-- end of results -->'
