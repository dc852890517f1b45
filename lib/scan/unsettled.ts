import { type Context, SETTLE_BYTES, settleContext } from './context.ts'
import { Hold } from './hold.ts'
import type { ScanSink } from './spot.ts'

/** What reads a body or a part. */
export interface Reader {
  write(chunk: Buffer): void
  end(last?: Buffer): void
  readonly literalOpeners: number
  readonly heldBytes: number
}

/** Makes the reader for bytes that begin at `base`; a null context holds no expressions. */
export type MakeReader = (context: Context | null, base: number) => Reader

/** Waits for the first bytes, which may be as few as the peer likes to send, and then settles how to read them all. */
export class Unsettled extends Hold implements Reader {
  readonly #contentType: string | undefined
  readonly #make: MakeReader
  #reader: Reader | null = null
  #at = 0

  constructor(contentType: string | undefined, base: number, make: MakeReader) {
    super(base, SETTLE_BYTES)
    this.#contentType = contentType
    this.#make = make
  }

  get literalOpeners(): number {
    return this.#reader === null ? 0 : this.#reader.literalOpeners
  }

  override get heldBytes(): number {
    return super.heldBytes + (this.#reader === null ? 0 : this.#reader.heldBytes)
  }

  /** @throws what `settleContext` throws, once there are enough bytes */
  override write(chunk: Buffer): void {
    if (this.#reader === null) super.write(chunk)
    else this.#reader.write(chunk)
  }

  override end(last?: Buffer): void {
    if (this.#reader === null) {
      super.end(last)
      // NOTE: set by `run`, if there was a byte at all.
      ;(this.#reader as Reader | null)?.end()
    } else {
      this.#reader.end(last)
    }
  }

  protected override rebase(delta: number): void {
    this.#at -= delta
  }

  protected override run(buffer: Buffer, end: number, final: boolean): number {
    if (this.#reader === null) {
      if (end < SETTLE_BYTES && !final) return 0
      if (end === 0) return 0
      const first = buffer.subarray(0, Math.min(end, SETTLE_BYTES))
      this.#reader = this.#make(settleContext(this.#contentType, first, end < SETTLE_BYTES ? first : null), this.base)
    }
    if (end > this.#at) this.#reader.write(buffer.subarray(this.#at, end))
    this.#at = end
    return end
  }
}

/** Reads nothing: every byte goes on. */
export class Pass implements Reader {
  readonly literalOpeners = 0
  readonly heldBytes = 0
  readonly #sink: ScanSink

  constructor(sink: ScanSink) {
    this.#sink = sink
  }

  write(chunk: Buffer): void {
    if (chunk.length > 0) this.#sink.bytes(chunk, 0, chunk.length)
  }

  end(last?: Buffer): void {
    if (last !== undefined) this.write(last)
  }
}
