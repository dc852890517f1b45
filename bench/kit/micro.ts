import { quick } from './options.ts'
import { median, type Row, report } from './report.ts'

/** One timed case of a micro benchmark. */
export interface MicroCase {
  readonly name: string
  /** Does the work once and returns something that depends on it, so that the work cannot be optimized away. */
  readonly run: () => unknown
  /** Bytes that one run works on: shown as MiB/s beside the time. */
  readonly bytes?: number
  /** Operations that one run does, when one is too short to time by itself; default 1. */
  readonly operations?: number
  /** Called once before anything is timed; throws when the output is wrong. */
  readonly check?: () => void
  /** Name of another case in the same list: the ratio of times is shown. */
  readonly against?: string
  /** The budget for that ratio. */
  readonly budget?: number
}

/**
 * Checks every case, then times them in turns (ABAB, so that noise hits all alike) and reports the median time of one
 * operation. `bench` is the file's path below `bench/`: `micro/scan/scanner`.
 */
export function micro(bench: string, cases: readonly MicroCase[]): void {
  if (kept !== null) {
    for (const each of cases) kept.set(`${bench}: ${each.name}`, each)
    return
  }
  for (const each of cases) each.check?.()
  const batchNs = quick ? 2e6 : 40e6
  const rounds = quick ? 3 : 11
  const sizes = cases.map((each) => calibrate(each.run, batchNs))
  const times: number[][] = cases.map(() => [])
  for (let round = 0; round < rounds; round++) {
    for (const [at, each] of cases.entries()) {
      const size = sizes[at] as number
      times[at]?.push(time(each.run, size) / (size * (each.operations ?? 1)))
    }
  }
  const ns = new Map(cases.map((each, at) => [each.name, median(times[at] as number[])]))
  report(
    cases.map((each): Row => {
      const own = ns.get(each.name) as number
      const perSecond =
        each.bytes === undefined ? {} : { 'MiB/s': (each.bytes / (each.operations ?? 1) / own) * (1e9 / 2 ** 20) }
      const other = each.against === undefined ? undefined : ns.get(each.against)
      const row = { bench, case: each.name, subject: 'sluice', figures: { ns: own, ...perSecond } }
      if (each.against === undefined || other === undefined) return row
      const budget = each.budget === undefined ? {} : { budget: each.budget }
      return { ...row, ratios: [{ figure: 'ns', against: each.against, value: own / other, ...budget }] }
    })
  )
}

/** From now on `micro` runs nothing: its cases come into this map, by program and name. */
export function keepCases(): ReadonlyMap<string, MicroCase> {
  kept ??= new Map()
  return kept
}

let kept: Map<string, MicroCase> | null = null

/** How many runs take about `batchNs`; warms the code up on the way. */
function calibrate(run: () => unknown, batchNs: number): number {
  let size = 1
  for (;;) {
    const took = time(run, size)
    if (took >= batchNs / 2) return Math.max(1, Math.round((size * batchNs) / took))
    size = took < batchNs / 20 ? size * 10 : size * 2
  }
}

/** Nanoseconds for `size` runs. */
function time(run: () => unknown, size: number): number {
  const start = process.hrtime.bigint()
  for (let at = 0; at < size; at++) sink.result = run()
  return Number(process.hrtime.bigint() - start)
}

/** Holds the last result, so that computing it is never dead code. */
const sink: { result: unknown } = { result: null }
