/**
 * Hot: per chunk. Bench: bench/micro/scan/scanner.ts.
 *
 * Lets a machine that wants contiguous bytes run over chunks. The machine says which bytes it cannot let go of yet;
 * only those are copied, and only when a chunk ends.
 *
 *   chunk n               chunk n+1
 *   ┌──────────┬───┐      ┌──┬──────────────┐
 *   │ let go   │ a │      │ b│ run in place │
 *   └──────────┴───┘      └──┴──────────────┘
 *              └─ held: a ── b ┘               b: a block of the next chunk, doubled until the machine has passed a
 */
export abstract class Hold {
  /** Offset in the body of index 0 of the buffer that is run. */
  protected base: number
  #held: Buffer = NOTHING
  #from = 0
  #to = 0
  /** No buffer of ours is made longer than this, as long as the machine keeps to its word. */
  readonly #capacity: number

  /** @param keepBytes The most bytes that the machine ever holds. */
  constructor(base: number, keepBytes: number) {
    this.base = base
    this.#capacity = keepBytes + 2 * MAX_BLOCK
  }

  /**
   * Goes over `buffer` from where it left off to `end`. Returns the first index that must be seen again: `end`, or less
   * when something unfinished begins there; with `final`, always `end`. Whatever lies before is done with.
   */
  protected abstract run(buffer: Buffer, end: number, final: boolean): number

  /** Moves every remembered index down by `delta`: index `delta` of the old buffer is index 0 of the next. */
  protected abstract rebase(delta: number): void

  /** Bytes that wait for what follows. */
  get heldBytes(): number {
    return this.#to - this.#from
  }

  write(chunk: Buffer): void {
    const length = chunk.length
    if (length === 0) return
    if (this.#to === this.#from) {
      this.#direct(chunk)
      return
    }
    let taken = 0
    let block = FIRST_BLOCK
    for (;;) {
      const size = block < length - taken ? block : length - taken
      this.#append(chunk, taken, taken + size)
      taken += size
      const keep = this.run(this.#held, this.#to, false)
      const chunkAt = this.#to - taken
      if (taken < length && keep >= chunkAt) {
        this.#leave(chunkAt)
        this.#direct(chunk)
        return
      }
      if (keep === this.#to) {
        this.#leave(keep)
        return
      }
      this.#from = keep
      if (taken === length) return
      if (block < MAX_BLOCK) block *= 2
    }
  }

  /** @param last The last chunk, if there is one more. */
  end(last?: Buffer): void {
    if (last !== undefined && last.length > 0) {
      if (this.#to === this.#from) {
        this.run(last, last.length, true)
        this.#leave(last.length)
        return
      }
      this.write(last)
    }
    this.run(this.#held, this.#to, true)
    this.#leave(this.#to)
  }

  #direct(chunk: Buffer): void {
    const length = chunk.length
    const keep = this.run(chunk, length, false)
    if (keep < length) {
      const size = length - keep
      this.#held = Buffer.allocUnsafe(size + FIRST_BLOCK)
      chunk.copy(this.#held, 0, keep, length)
      this.#to = size
    }
    this.rebase(keep)
    this.base += keep
  }

  /** The next index to be run is index 0 of another buffer. */
  #leave(delta: number): void {
    this.#held = NOTHING
    this.#from = 0
    this.#to = 0
    this.rebase(delta)
    this.base += delta
  }

  #append(chunk: Buffer, start: number, end: number): void {
    const needed = this.#to - this.#from + end - start
    if (this.#to + end - start > this.#held.length) {
      // NOTE: never moved within the old buffer: the sink may still hold slices of it.
      const room = Math.max(needed, Math.min(2 * needed, this.#capacity))
      const grown = Buffer.allocUnsafe(room)
      this.#held.copy(grown, 0, this.#from, this.#to)
      this.#held = grown
      const delta = this.#from
      this.#from = 0
      this.#to -= delta
      this.rebase(delta)
      this.base += delta
    }
    chunk.copy(this.#held, this.#to, start, end)
    this.#to += end - start
  }
}

const NOTHING = Buffer.alloc(0)
const FIRST_BLOCK = 128
const MAX_BLOCK = 1024
