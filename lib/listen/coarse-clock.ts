/**
 * Coarse time for deadlines: one interval for all connections, so that setting a deadline is an addition. Time in which
 * this process was stopped or stuck does not count: a client is not late because we were.
 */
export class CoarseClock {
  /** Coarse milliseconds; starts at 0. */
  now = 0
  readonly #tickMs: number
  readonly #sweep: (now: number) => void
  #last = 0
  #timer: NodeJS.Timeout | null = null

  /** @param sweep called after each tick: fire what is due */
  constructor(tickMs: number, sweep: (now: number) => void) {
    this.#tickMs = tickMs
    this.#sweep = sweep
  }

  /** The moment that is due not before `ms` from now, and at most two ticks after; NEVER for 0. */
  after(ms: number): number {
    return ms === 0 ? NEVER : this.now + ms + this.#tickMs
  }

  /** Keeps no process alive. */
  start(): void {
    if (this.#timer !== null) return
    this.#last = performance.now()
    this.#timer = setInterval(() => this.#tick(), this.#tickMs)
    this.#timer.unref()
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  #tick(): void {
    const now = performance.now()
    this.now += Math.min(now - this.#last, this.#tickMs * 5)
    this.#last = now
    this.#sweep(this.now)
  }
}

/** No deadline. */
export const NEVER = Number.MAX_SAFE_INTEGER
