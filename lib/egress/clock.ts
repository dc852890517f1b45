/** Where time comes from; tests bring their own. */
export interface TimeSource {
  /** Milliseconds, monotonic. */
  now(): number
  /** Calls `tick` every `ms` until the returned function is called. Keeps no process alive. */
  every(ms: number, tick: () => void): () => void
}

/** The process's own time. */
export const systemTime: TimeSource = {
  now: () => performance.now(),
  every(ms, tick) {
    const timer = setInterval(tick, ms)
    timer.unref()
    return () => clearInterval(timer)
  }
}

/**
 * Coarse time for deadlines: one interval for all connections, so that setting a deadline is an addition. It does not
 * count time in which this process was stopped or stuck: a destination is not late because we were.
 */
export class CoarseClock {
  /** Coarse milliseconds; starts at 0. */
  now = 0
  readonly #source: TimeSource
  readonly #sweep: (now: number) => void
  #last = 0
  #stop: (() => void) | null = null

  /** @param sweep Called after each tick: fire what is due. */
  constructor(source: TimeSource, sweep: (now: number) => void) {
    this.#source = source
    this.#sweep = sweep
  }

  /** The moment that is due not before `ms` from now, and at most two ticks after. */
  after(ms: number): number {
    return this.now + ms + TICK_MS
  }

  start(): void {
    if (this.#stop !== null) return
    this.#last = this.#source.now()
    this.#stop = this.#source.every(TICK_MS, () => {
      const now = this.#source.now()
      this.now += Math.min(now - this.#last, MAX_STEP_MS)
      this.#last = now
      this.#sweep(this.now)
    })
  }

  stop(): void {
    this.#stop?.()
    this.#stop = null
  }
}

/** No deadline. */
export const NEVER = Number.MAX_SAFE_INTEGER

const TICK_MS = 50
const MAX_STEP_MS = 250
