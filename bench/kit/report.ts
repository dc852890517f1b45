import { appendFileSync } from 'node:fs'

/** One measured thing: what a benchmark prints and hands to the run that started it. */
export interface Row {
  /** The benchmark: its path below `bench/` without the extension. */
  readonly bench: string
  /** What was done. */
  readonly case: string
  /** Who did it. */
  readonly subject: string
  /** Name (with its unit) → number. */
  readonly figures: Readonly<Record<string, number>>
  readonly ratios?: readonly Ratio[]
  /** Figure → the most that DESIGN allows of it. */
  readonly budgets?: Readonly<Record<string, number>>
  /** Where it stands in a graph: bytes, tokens, connections … */
  readonly x?: number
}

/** A figure against another subject's in the same run; smaller is better. */
export interface Ratio {
  readonly figure: string
  readonly against: string
  readonly value: number
  /** What DESIGN asks for; missed budgets are shown, they do not fail a run. */
  readonly budget?: number
}

/** Prints the rows as a table, and appends them to the file that `bench/run.ts` names in the environment. */
export function report(rows: readonly Row[]): void {
  const first = rows[0]
  if (first === undefined) return
  const figures = [...new Set(rows.flatMap((row) => Object.keys(row.figures)))]
  const lines = rows.map((row) => [
    row.case,
    row.subject,
    ...figures.map((figure) => number(row.figures[figure])),
    [...(row.ratios ?? []).map(ratioText), ...budgetTexts(row)].join('  ')
  ])
  process.stdout.write(`\n${first.bench}\n${table([['case', 'subject', ...figures, ''], ...lines], 2)}\n`)
  const file = process.env['SLUICE_BENCH_ROWS']
  if (file !== undefined) appendFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
}

/** Rows out of JSON lines. */
export function parseRows(text: string): Row[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as Row)
}

/** Lines of cells as aligned text; the first `left` columns stand left, the others right. */
export function table(lines: readonly (readonly string[])[], left: number): string {
  const widths: number[] = []
  for (const line of lines) {
    for (const [at, cell] of line.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length)
  }
  const pad = (cell: string, at: number) => (at < left ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))
  return lines.map((line) => `  ${line.map(pad).join('  ')}`.trimEnd()).join('\n')
}

/** `0.53 × http-proxy (CPU µs)`, with the budget when there is one. */
export function ratioText(ratio: Ratio): string {
  const budget = ratio.budget === undefined ? '' : `, ${verdict(ratio.value, ratio.budget)}`
  return `${ratio.value.toFixed(2)} × ${ratio.against} (${ratio.figure}${budget})`
}

/** `241.0 ms (budget 300)` for every figure that has a budget of its own. */
export function budgetTexts(row: Row): string[] {
  return Object.entries(row.budgets ?? {}).map(([figure, budget]) => {
    const value = row.figures[figure] ?? Number.NaN
    return `${number(value)} ${figure} (${verdict(value, budget)})`
  })
}

function verdict(value: number, budget: number): string {
  return `budget ${budget}${value <= budget ? '' : ' MISSED'}`
}

/** Four significant digits, no exponent. */
export function number(value: number | undefined): string {
  if (value === undefined) return ''
  if (!Number.isFinite(value)) return '?'
  const size = Math.abs(value)
  return value.toFixed(size >= 1000 || Number.isInteger(value) ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4)
}

/** The middle value (the mean of the two middle ones). */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}
