import { asSluiceError, SluiceError } from '../errors.ts'
import { codingsOf } from '../plan/body-mode.ts'
import { fieldValue } from '../plan/headers.ts'
import type { Limits } from '../plan/plan.ts'
import type { BufferBudget } from './buffer-budget.ts'
import { Decoder, type DecodeSink } from './decode.ts'
import type { MaybePromise } from './ports.ts'

/** A response that is in whole. */
export interface HeldMessage {
  readonly status: number
  readonly reason: string
  /** The destination's end-to-end fields, all of them. */
  readonly fields: readonly string[]
  /** Decoded. */
  readonly body: Buffer
}

/** A response that may go to the client. */
export interface ReadyResponse {
  readonly status: number
  readonly reason: string
  readonly fields: string[]
  readonly body: Buffer
  /** Values that were vaulted, and places that were blanked. */
  readonly captured: number
  readonly scrubbed: number
}

/** What is done with a response that is in whole. Throws or rejects when it may not go on. */
export type Work = (held: HeldMessage) => MaybePromise<ReadyResponse>

export interface HeldResponseOptions {
  readonly status: number
  readonly reason: string
  /** The destination's end-to-end fields. */
  readonly fields: readonly string[]
  readonly limits: Limits
  readonly buffers: BufferBudget
  readonly work: Work
  /** More of the body may come. */
  readonly resume: () => void
  readonly ready: (response: ReadyResponse) => void
  readonly failed: (error: SluiceError) => void
}

/**
 * Holds a response until what is to be done with it is done: decode, within bounds, hand it over whole, and only then let
 * go. A failure anywhere lets nothing go.
 */
export class HeldResponse implements DecodeSink {
  readonly #options: HeldResponseOptions
  readonly #chunks: Buffer[] = []
  #decoder: Decoder | null = null
  #bytes = 0
  #isEmpty = true
  /** It has a coding that cannot be undone. */
  #unreadable = false
  #isOver = false

  constructor(options: HeldResponseOptions) {
    this.#options = options
    try {
      const [coding] = codingsOf(fieldValue(options.fields, 'content-encoding'))
      if (coding !== undefined) this.#decoder = new Decoder(coding, options.limits.decodedBytes, this)
    } catch {
      // Told with the first byte: a response without a body needs no decoding.
      this.#unreadable = true
    }
  }

  /** False: wait for `resume`. */
  write(chunk: Buffer): boolean {
    if (this.#isOver) return true
    this.#isEmpty = false
    if (this.#unreadable) this.#fail('is encoded as neither gzip, deflate nor br')
    else if (this.#decoder !== null) return this.#decoder.write(chunk)
    else this.decodedChunk(chunk)
    return true
  }

  end(): void {
    if (this.#isOver) return
    if (this.#decoder !== null && !this.#isEmpty) this.#decoder.end()
    else this.decodedEnd()
  }

  decodedChunk(chunk: Buffer): void {
    if (this.#isOver) return
    try {
      this.#options.buffers.take(chunk.length)
      this.#bytes += chunk.length
      this.#chunks.push(chunk)
    } catch (error) {
      this.#over(asSluiceError(error))
      return
    }
    if (this.#bytes > this.#options.limits.wholeBodyBytes) this.#fail('is over limits.wholeBodyBytes')
  }

  decodedEnd(): void {
    if (this.#isOver) return
    const { status, reason, fields, work } = this.#options
    try {
      const ready = work({ status, reason, fields, body: Buffer.concat(this.#chunks, this.#bytes) })
      if (ready instanceof Promise) {
        ready.then(
          (response) => this.#go(response),
          (error: unknown) => this.#over(asSluiceError(error))
        )
      } else this.#go(ready)
    } catch (error) {
      this.#over(asSluiceError(error))
    }
  }

  decodeFailed(error: SluiceError): void {
    this.#over(new SluiceError('ERR_DESTINATION_RESPONSE', error.message, { cause: error }))
  }

  decoderDrained(): void {
    this.#options.resume()
  }

  /** Gives back what is held. */
  destroy(): void {
    this.#isOver = true
    this.#decoder?.destroy()
    this.#options.buffers.give(this.#bytes)
    this.#bytes = 0
    this.#chunks.length = 0
  }

  #go(response: ReadyResponse): void {
    if (this.#isOver) return
    this.destroy()
    this.#options.ready(response)
  }

  #fail(why: string): void {
    this.#over(new SluiceError('ERR_DESTINATION_RESPONSE', `The response cannot be read whole: it ${why}`))
  }

  #over(error: SluiceError): void {
    if (this.#isOver) return
    this.destroy()
    this.#options.failed(error)
  }
}
