/**
 * Hot: per request. Durations sorted into buckets, in a typed array: some 10 ns an observation. One histogram holds
 * several series of the same buckets.
 *
 *     counts: | series 0: bucket 0 … bucket n-1, beyond | series 1: … |
 */
export class Histogram {
  readonly #counts: Float64Array
  readonly #sums: Float64Array
  readonly #width = BOUNDS_SECONDS.length + 1

  constructor(series: number) {
    this.#counts = new Float64Array(series * this.#width)
    this.#sums = new Float64Array(series)
  }

  /** Adds one duration; NaN (not reached) adds nothing. */
  observe(series: number, ms: number): void {
    const seconds = ms / 1000
    if (!(seconds >= 0)) return
    let low = 0
    let high = BOUNDS_SECONDS.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (seconds <= (BOUNDS_SECONDS[middle] as number)) high = middle
      else low = middle + 1
    }
    const at = series * this.#width + low
    this.#counts[at] = (this.#counts[at] as number) + 1
    this.#sums[series] = (this.#sums[series] as number) + seconds
  }

  /** What Prometheus wants of a series: counts up to and including each bound, the last one `+Inf`. */
  read(series: number): {
    readonly buckets: ReadonlyMap<string, number>
    readonly sum: number
    readonly count: number
  } {
    const buckets = new Map<string, number>()
    let count = 0
    for (let bucket = 0; bucket < this.#width; bucket++) {
      count += this.#counts[series * this.#width + bucket] as number
      buckets.set(String(BOUNDS_SECONDS[bucket] ?? '+Inf'), count)
    }
    return { buckets, sum: this.#sums[series] as number, count }
  }
}

const BOUNDS_SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60
]
