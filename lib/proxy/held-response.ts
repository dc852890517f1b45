import { asSluiceError, SluiceError } from '../errors.ts'
import { codingsOf } from '../plan/body-mode.ts'
import type { Limits } from '../plan/plan.ts'
import { Secret } from '../secret.ts'
import type { FieldWrite } from '../vault/fields.ts'
import type { BufferBudget } from './buffer-budget.ts'
import type { Capture } from './capture.ts'
import { Decoder, type DecodeSink } from './decode.ts'
import { type Plaintexts, Scrubber } from './scrub.ts'

/** What of a response is vaulted. */
export interface ResponseRules {
  readonly capture: Capture
  /** Whose fields the targets are. */
  readonly users: readonly string[]
  /** The writes for captured values. Throws ERR_INPUT for a value that its field cannot hold. */
  readonly writesFor: (values: ReadonlyMap<string, string>) => readonly FieldWrite[]
}

export interface HeldResponseOptions {
  readonly rules: ResponseRules
  readonly status: number
  readonly reason: string
  /** The destination's end-to-end fields. */
  readonly fields: readonly string[]
  /** What was revealed so far: a streamed request goes on while its answer comes. */
  readonly plaintexts: () => Plaintexts | null
  readonly limits: Limits
  readonly buffers: BufferBudget
  readonly store: (users: readonly string[], writes: readonly FieldWrite[]) => Promise<void>
  /** More of the body may come. */
  readonly resume: () => void
  readonly ready: (response: ReadyResponse) => void
  readonly failed: (error: SluiceError) => void
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

/**
 * Holds a response until its rules are done: decode, find, write all values in one write, put their tokens in their
 * stead, and only then let go. A failure anywhere lets nothing go. A response that is no success is not vaulted, but
 * blanked of what this call revealed.
 */
export class HeldResponse implements DecodeSink {
  readonly #options: HeldResponseOptions
  readonly #isSuccess: boolean
  readonly #chunks: Buffer[] = []
  #decoder: Decoder | null = null
  #bytes = 0
  #isEmpty = true
  /** It has a coding that cannot be undone. */
  #unreadable = false
  #isOver = false

  constructor(options: HeldResponseOptions) {
    this.#options = options
    this.#isSuccess = options.status >= 200 && options.status < 300
    try {
      const [coding] = codingsOf(valueOf(options.fields, 'content-encoding'))
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
    const body = Buffer.concat(this.#chunks, this.#bytes)
    try {
      if (this.#isSuccess) this.#capture(body)
      else this.#scrub(body)
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

  #capture(body: Buffer): void {
    const { rules, store } = this.#options
    const { values, unmatched, text } = rules.capture.apply(body, valueOf(this.#options.fields, 'content-type'))
    if (values.size === 0) {
      this.#go(body, 0, 0, unmatched, null)
      return
    }
    const writes = this.#writesFor(values)
    store(rules.users, writes).then(
      () => {
        if (this.#isOver) return
        const plaintexts = [...values].map(([id, value]) => ({ id, data: new Secret(JSON.stringify(value)), text: '' }))
        this.#go(Buffer.from(text), values.size, 0, unmatched, new Scrubber(plaintexts))
      },
      (error: unknown) => this.#over(asSluiceError(error))
    )
  }

  #writesFor(values: ReadonlyMap<string, string>): readonly FieldWrite[] {
    try {
      return this.#options.rules.writesFor(values)
    } catch (error) {
      if (!(error instanceof SluiceError) || error.fields === undefined) throw error
      throw new SluiceError('ERR_DESTINATION_RESPONSE', 'The response holds a value that its field cannot hold', {
        fields: error.fields
      })
    }
  }

  #scrub(body: Buffer): void {
    const scrubber = new Scrubber(this.#options.plaintexts() ?? [])
    const clean = scrubber.body(body)
    this.#go(clean, 0, scrubber.count, 0, scrubber)
  }

  #go(body: Buffer, captured: number, blanked: number, unmatched: number, inFields: Scrubber | null): void {
    const { status, reason } = this.#options
    const fields = remainingFields(this.#options.fields, inFields)
    if (captured > 0) fields.push('Sluice-Captured', String(captured))
    if (unmatched > 0) fields.push('Sluice-Rules-Unmatched', String(unmatched))
    const scrubbed = inFields === null ? blanked : inFields.count
    this.destroy()
    this.#options.ready({ status, reason, fields, body, captured, scrubbed })
  }

  #fail(why: string): void {
    this.#over(new SluiceError('ERR_DESTINATION_RESPONSE', `The response cannot be searched: it ${why}`))
  }

  #over(error: SluiceError): void {
    if (this.#isOver) return
    this.destroy()
    this.#options.failed(error)
  }
}

/** The fields without those that speak of the bytes as the destination sent them. */
function remainingFields(fields: readonly string[], scrubber: Scrubber | null): string[] {
  const kept: string[] = []
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    const value = fields[at + 1] as string
    if (!OF_THE_BYTES.has(name.toLowerCase())) kept.push(name, scrubber === null ? value : scrubber.text(value))
  }
  return kept
}

/** All values of a field, joined; undefined when there is none. */
function valueOf(fields: readonly string[], lower: string): string | undefined {
  let joined: string | undefined
  for (let at = 0; at < fields.length; at += 2) {
    if ((fields[at] as string).toLowerCase() !== lower) continue
    joined = joined === undefined ? fields[at + 1] : `${joined}, ${fields[at + 1]}`
  }
  return joined
}

const OF_THE_BYTES: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-md5',
  'digest',
  'content-digest',
  'repr-digest',
  'content-range',
  'accept-ranges',
  'etag',
  'trailer'
])
