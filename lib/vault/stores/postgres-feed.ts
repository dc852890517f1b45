/**
 * The generation, as a process hears it: every raise is told by NOTIFY, and four times a second the feed asks for it, on
 * the same connection. An answer is a lease: it holds for LEASE_MS from when it was asked for. So a feed that is lost, or
 * looks alive on a network that is not, is trusted for less than a second; then each caller asks the database.
 */
import { SluiceError } from '../../errors.ts'
import type { MaybePromise } from '../store.ts'
import { Link, type Statement } from './postgres-link.ts'

export interface FeedOptions {
  readonly url: string
  /** The statement that reads the generation. */
  readonly statement: Statement
  /** Reads it elsewhere while the feed is lost. */
  readonly ask: () => Promise<number>
}

export class Feed {
  readonly #options: FeedOptions
  readonly #link: Link
  #generation = -1
  #leaseUntil = 0
  #asking: Promise<number> | null = null
  #beating = false
  #timer: NodeJS.Timeout | null = null

  constructor(options: FeedOptions) {
    this.#options = options
    this.#link = new Link({
      url: options.url,
      timeoutMs: BEAT_TIMEOUT_MS,
      onLost: () => {
        this.#generation = -1
        this.#leaseUntil = 0
      },
      onNotice: (payload) => this.raised(Number(payload))
    })
  }

  async open(): Promise<void> {
    await this.#link.open()
    await this.#beat()
    this.#timer = setInterval(() => void this.#beat(), BEAT_MS)
    this.#timer.unref()
  }

  /** As `Store.generation`. */
  generation(): MaybePromise<number> {
    if (performance.now() < this.#leaseUntil) return this.#generation
    this.#asking ??= this.#ask()
    return this.#asking
  }

  /** An answer that was long on its way is no better than none. */
  async #ask(): Promise<number> {
    const asked = performance.now()
    try {
      const generation = await this.#options.ask()
      if (performance.now() < asked + LEASE_MS) return generation
    } finally {
      this.#asking = null
    }
    throw new SluiceError('ERR_STORE_UNAVAILABLE', 'The store of the vault is too slow')
  }

  /** Takes a generation that this process has heard of. */
  raised(generation: number): void {
    // NOTE: an answer can be overtaken by the news of a later raise.
    if (generation > this.#generation) this.#generation = generation
  }

  async #beat(): Promise<void> {
    if (this.#beating) return
    this.#beating = true
    const asked = performance.now()
    try {
      const [[value] = []] = await this.#link.query(this.#options.statement)
      this.raised(Number(value))
      this.#leaseUntil = asked + LEASE_MS
    } catch {
      this.#leaseUntil = 0
    } finally {
      this.#beating = false
    }
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#leaseUntil = 0
    await this.#link.close()
  }
}

const BEAT_MS = 250
const BEAT_TIMEOUT_MS = 1500
const LEASE_MS = 800
