import { type DestinationStream, destination } from 'pino'

/*
 * Hot: per line. Lines gather to one write, which a busy process needs: a write a line costs a fifth of a small request.
 * NOTE: they gather as bytes. Gathered as text they are joined, measured and encoded again when they leave, which costs
 * more than making them.
 */

/** Standard output, to which lines go in blocks, at the latest after `FLUSH_MS`. */
export class GatheredLines implements DestinationStream {
  readonly #sink = standardOutput()
  #block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  #used = 0
  #timer: NodeJS.Timeout | null = null

  constructor() {
    // Before the sink's own listeners, which write out what it has and end it.
    process.prependListener('beforeExit', () => this.#handOn())
    process.prependListener('exit', () => this.#handOn())
  }

  write(line: string): void {
    // Three bytes are the most that a code unit of a string takes.
    if (line.length * 3 > BLOCK_BYTES - this.#used) {
      this.#handOn()
      if (line.length * 3 > BLOCK_BYTES) {
        this.#sink.write(Buffer.from(line))
        return
      }
    }
    this.#used += this.#block.write(line, this.#used)
    if (this.#used >= FULL_BYTES) this.#handOn()
    else this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS).unref()
  }

  /** Writes out everything before it returns. */
  flushSync(): void {
    this.#handOn()
    this.#sink.flushSync()
  }

  #flush(): void {
    this.#handOn()
    this.#sink.flush()
  }

  /** A full block is written at once, a smaller one when the sink is flushed. */
  #handOn(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#used === 0) return
    const full = this.#block.subarray(0, this.#used)
    this.#used = 0
    if (full.length < FULL_BYTES / 4) {
      this.#sink.write(Buffer.from(full))
    } else {
      this.#sink.write(full)
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
    }
  }
}

/** NOTE: pino's types know no blocks of bytes, though this mode is made for them. */
interface BlockSink {
  write(block: Uint8Array): unknown
  flush(): void
  flushSync(): void
}

function standardOutput(): BlockSink {
  const options = {
    dest: 1,
    sync: false,
    minLength: FULL_BYTES,
    maxWrite: 2 * FULL_BYTES,
    contentMode: 'buffer'
  } as const
  return destination(options) as unknown as BlockSink
}

const BLOCK_BYTES = 49_152
const FULL_BYTES = 32_768
const FLUSH_MS = 200
