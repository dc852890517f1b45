import { Buffer } from 'node:buffer'
import type { BufferBudget } from './buffer-budget.ts'

/** The body of one request while it is held, counted on the budget of all. Hot: per chunk. */
export class HeldBody {
  readonly #budget: BufferBudget
  #chunks: Buffer[] = []
  /** What the budget has lent. */
  #lent = 0

  constructor(budget: BufferBudget) {
    this.#budget = budget
  }

  get bytes(): number {
    return this.#lent
  }

  /** Throws ERR_OVERLOAD. */
  hold(chunk: Buffer): void {
    this.#budget.take(chunk.length)
    this.#lent += chunk.length
    this.#chunks.push(chunk)
  }

  /** All of it in one buffer. */
  whole(): Buffer {
    if (this.#chunks.length === 1) return this.#chunks[0] as Buffer
    const body = this.#chunks.length === 0 ? EMPTY : Buffer.concat(this.#chunks, this.#lent)
    this.#chunks = [body]
    return body
  }

  release(): void {
    this.#budget.give(this.#lent)
    this.#lent = 0
    this.#chunks = []
  }
}

const EMPTY = Buffer.alloc(0)
