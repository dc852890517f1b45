import { SluiceError } from '../errors.ts'

/** Bytes of bodies held in memory, over all requests: `limits.bufferedBytes`. */
export class BufferBudget {
  readonly #limit: number
  #held = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get heldBytes(): number {
    return this.#held
  }

  /** Throws ERR_OVERLOAD when the bytes would pass the limit. */
  take(bytes: number): void {
    if (this.#held + bytes > this.#limit) {
      throw new SluiceError('ERR_OVERLOAD', 'The bodies held at this moment are at limits.bufferedBytes')
    }
    this.#held += bytes
  }

  give(bytes: number): void {
    this.#held -= bytes
  }
}
