import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Circumstances } from './machine.ts'
import { number, parseRows, type Row } from './report.ts'

/** What a comparison with the baseline found. */
export interface Comparison {
  /** Figures that have one. */
  readonly counted: number
  /** A line for each that has grown by more than 15 %. */
  readonly grown: readonly string[]
}

/** Holds counted instructions against the committed ones of the same counter. Times are never compared. */
export function comparedWithBaseline(rows: readonly Row[], baseline: readonly Row[] = kept()): Comparison {
  const before = new Map(baseline.flatMap(figuresOf))
  const both = rows.flatMap(figuresOf).flatMap(([name, now]) => {
    const was = before.get(name)
    return was === undefined ? [] : [{ name, was, now }]
  })
  const grown = both.filter(({ was, now }) => now / was > MOST)
  return {
    counted: both.length,
    grown: grown.map(({ name, was, now }) => `${name}: ${number(was)} → ${number(now)}, over +15 %`)
  }
}

/** Replaces the baseline's rows by these of ours that were counted. */
export function keepBaseline(rows: readonly Row[], where: Circumstances): void {
  const fresh = rows.filter((row) => figuresOf(row).length > 0)
  const names = new Set(fresh.flatMap(figuresOf).map(([name]) => name))
  const old = kept().filter((row) => !figuresOf(row).some(([name]) => names.has(name)))
  const lines = [...old, ...fresh.map((row) => ({ ...row, where }))].map((row) => `${JSON.stringify(row)}\n`)
  mkdirSync(dirname(FILE), { recursive: true })
  writeFileSync(FILE, lines.join(''))
}

/** [bench, case, subject and figure, instructions], of Sluice alone. */
function figuresOf({ bench, case: name, subject, figures }: Row): [string, number][] {
  if (!GATED.has(bench) || !subject.startsWith('sluice')) return []
  const counted = Object.entries(figures).filter(([figure]) => figure.startsWith('user instructions'))
  return counted.map(([figure, value]) => [`${bench}, ${name}: ${subject}, ${figure}`, value])
}

function kept(): Row[] {
  return existsSync(FILE) ? parseRows(readFileSync(FILE, 'utf8')) : []
}

const FILE = fileURLToPath(new URL('../../../bench/results/baseline.jsonl', import.meta.url))
/** A whole proxy is counted by perf alone: in valgrind what V8 compiles when differs from run to run. */
const GATED = new Set(['compare/instructions', 'micro/instructions'])
const MOST = 1.15
