import type { Drawn } from './graphs.ts'
import type { KeptRow } from './machine.ts'
import { number, type Row } from './report.ts'

/** The results as Markdown: machine, budgets, tables of the end-to-end benchmarks, graphs. */
export function resultTables(rows: readonly KeptRow[], drawn: readonly Drawn[]): string {
  const parts = [machine(rows), budgets(rows)]
  for (const { bench, title, figures } of SECTIONS) {
    const own = rows.filter((row) => row.bench === bench)
    if (own.length > 0) parts.push(`### ${title}\n\n\`${bench}\`\n\n${section(own, figures)}`)
  }
  if (drawn.length > 0) parts.push(`### Graphs\n\n${drawn.map(picture).join('\n\n')}`)
  return `${parts.join('\n\n')}\n`
}

/** Each machine, date and revision that rows come from; one line when all are of one run. */
function machine(rows: readonly KeptRow[]): string {
  const lines = rows.map(({ where }) => {
    const counted = where.instructions
      ? 'instructions counted'
      : 'instructions not counted: budgets are held against CPU time'
    const peers = Object.entries(where.peers).map(([name, version]) => `${name} ${version ?? 'not found'}`)
    return `${where.cpu}, ${where.cores} cores, ${where.memoryGiB} GiB, Linux ${where.kernel}, Node ${where.node}, OpenSSL ${where.openssl}; ${peers.join(', ')}; ${counted}; ${where.date}, revision ${where.revision}.`
  })
  return [...new Set(lines)].join('\n\n')
}

/** Everything that DESIGN gives a bound. */
function budgets(rows: readonly Row[]): string {
  const lines = rows.flatMap((row) => {
    const what = `${row.case}: ${row.subject}`
    const ratios = (row.ratios ?? []).flatMap(({ figure, against, value, budget }) =>
      budget === undefined
        ? []
        : [[what, `× ${against}, ${figure}`, value.toFixed(2), String(budget), met(value, budget)]]
    )
    const own = Object.entries(row.budgets ?? {}).map(([figure, budget]) => {
      const value = row.figures[figure] ?? Number.NaN
      return [what, figure, number(value), String(budget), met(value, budget)]
    })
    return [...ratios, ...own]
  })
  return `### Budgets\n\n${grid([['', 'figure', 'measured', 'budget', ''], ...lines], 2)}`
}

function met(value: number, budget: number): string {
  return value <= budget ? 'reached' : `missed by ${((value / budget - 1) * 100).toFixed(0)} %`
}

/** One row a line; ratios of the first figure that each was taken of, by whom it is against. */
function section(rows: readonly Row[], wanted: readonly string[] | null): string {
  const all = [...new Set(rows.flatMap((row) => Object.keys(row.figures)))]
  const figures = wanted === null ? all : all.filter((figure) => wanted.includes(figure))
  const bases = [...new Set(rows.flatMap((row) => (row.ratios ?? []).map((ratio) => ratio.against)))]
  const lines = rows.map((row) => [
    row.case,
    row.subject,
    ...figures.map((figure) => number(row.figures[figure])),
    ...bases.map((base) => row.ratios?.find((ratio) => ratio.against === base)?.value.toFixed(2) ?? '')
  ])
  return grid([['', '', ...figures, ...bases.map((base) => `× ${base}`)], ...lines], 2)
}

function grid(lines: readonly (readonly string[])[], left: number): string {
  const [head = [], ...rest] = lines.map((line) => `| ${line.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
  const rule = `|${(lines[0] ?? []).map((_, at) => (at < left ? '---' : '---:')).join('|')}|`
  return [head, rule, ...rest].join('\n')
}

function picture({ file, graph }: Drawn): string {
  return `![${graph.title}](results/${file})`
}

const PROXIES = ['user instructions', 'CPU µs', 'req/s', 'at req/s', 'p50 µs', 'p99 µs', 'p99.9 µs', 'peak RSS MiB']
const SECTIONS = [
  { bench: 'compare/forward', title: '1 KiB of JSON, nothing changed on the way', figures: PROXIES },
  { bench: 'compare/substitute', title: '1 KiB of JSON with four tokens', figures: PROXIES },
  { bench: 'e2e/large-upload', title: 'Large uploads with three tokens', figures: null },
  { bench: 'e2e/large-download', title: 'Large downloads', figures: null },
  { bench: 'e2e/ingress', title: 'The ingress by itself', figures: null },
  { bench: 'e2e/workers', title: 'One worker and two', figures: null },
  { bench: 'e2e/resumption', title: 'TLS sessions resumed', figures: null },
  { bench: 'e2e/idle-connections', title: 'Idle connections', figures: null },
  { bench: 'e2e/cold-start', title: 'From nothing to the first answer', figures: null }
]
