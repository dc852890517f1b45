import type { Row } from './report.ts'
import type { Axis, Graph } from './svg.ts'

/** A graph and the file that it goes to. */
export interface Drawn {
  readonly file: string
  readonly graph: Graph
}

/** The graphs that can be drawn of these rows: of each benchmark in the list that has points. */
export function graphs(rows: readonly Row[]): Drawn[] {
  return PLANS.flatMap((plan) => {
    const own = rows.filter((row) => row.bench === plan.bench && row.x !== undefined)
    if (own.length === 0) return []
    const figure = own.every((row) => row.figures[INSTRUCTIONS] !== undefined) ? INSTRUCTIONS : CPU
    const lines = [...new Set(own.map((row) => row.subject))].map((name) => ({
      name,
      isOurs: name.startsWith('Sluice'),
      points: own
        .filter((row) => row.subject === name)
        .map((row) => [row.x ?? 0, row.figures[figure] ?? 0] as const)
        .sort(([a], [b]) => a - b)
    }))
    const y: Axis =
      figure === CPU
        ? { label: 'CPU time per request', scale: plan.y, unit: 'µs' }
        : { label: 'user instructions per request', scale: plan.y, unit: 'count' }
    return [{ file: `${plan.bench.replace(/.*\//, '')}.svg`, graph: { ...plan, y, lines } }]
  })
}

const INSTRUCTIONS = 'user instructions'
const CPU = 'CPU µs'
const OF = 'Cost of a request in the proxy process alone, TLS on both sides.'
const PLANS = [
  {
    bench: 'e2e/by-body-size',
    title: 'Cost by body size',
    note: OF,
    x: { label: 'body', scale: 'log', unit: 'bytes' },
    places: [
      { x: 16_384, why: 'one TLS record: 16 KiB' },
      { x: 1_048_576, why: 'read whole: 1 MiB' }
    ],
    y: 'log'
  },
  {
    bench: 'e2e/by-tokens',
    title: 'Cost by tokens in a request',
    note: `${OF} 8 KiB of JSON.`,
    x: { label: 'tokens in the request', scale: 'linear', unit: 'count' },
    y: 'linear'
  },
  {
    bench: 'e2e/by-connections',
    title: 'Cost by open connections',
    note: `${OF} 1 KiB of JSON, on all connections in turn, 32 at once.`,
    x: { label: 'open client connections', scale: 'log', unit: 'count' },
    y: 'linear'
  },
  {
    bench: 'e2e/by-vault-size',
    title: 'Cost by size of the vault',
    note: `${OF} 1 KiB of JSON, four tokens spread over all of the vault.`,
    x: { label: 'tokens in the vault', scale: 'log', unit: 'count' },
    y: 'linear'
  }
] as const
