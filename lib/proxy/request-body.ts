import { performance } from 'node:perf_hooks'
import { SluiceError } from '../errors.ts'
import type { Client, ClientSink } from '../listen/client.ts'
import { bodyTooLarge } from '../plan/body-mode.ts'
import type { Plan } from '../plan/plan.ts'
import type { Scanner } from '../scan/scanner.ts'
import type { BufferBudget } from './buffer-budget.ts'
import { Decoder, type DecodeSink } from './decode.ts'
import { HeldBody } from './held-body.ts'
import type { RequestProgress } from './phases.ts'
import { Pieces, scannerFor } from './pieces.ts'
import type { Substitution } from './substitution.ts'
import { wentThrough } from './young-garbage.ts'

/** Hears what of a body may leave, and when the client has something else to say. */
export interface BodyOwner {
  /** All of a body that is held in whole; no value is missing. */
  whole(body: Buffer): void
  /** The next bytes of one that streams. False: wait for `RequestBody.drained`. */
  write(bytes: Buffer): boolean
  /** The body is over. @param body all of it when nothing was written yet; null: the request has none */
  end(body: Buffer | null): void
  clientDrained(): void
  clientLeft(): void
  failed(thrown: unknown): void
}

/**
 * The body of one request, from the client to what may leave, by its mode: held or piped as it is, held and looked
 * through in whole, or window by window. It hands the spots of a window to the substitution, and waits until
 * `proceed`. Hot: per chunk.
 */
export class RequestBody implements ClientSink, DecodeSink, RequestProgress {
  readonly #client: Client
  readonly #plan: Plan
  readonly #substitution: Substitution
  readonly #owner: BodyOwner
  #mode: number
  /** The body so far, in `whole` mode and for small bodies that pass. */
  readonly #held: HeldBody
  readonly #pieces = new Pieces()
  #scanner: Scanner | null = null
  #scannerEnded = false
  #decoder: Decoder | null = null
  /** A window is with the vault. */
  #isWaiting = false
  /** The destination takes no more for now. */
  #isBlocked = false
  /** Chunks that came meanwhile. */
  #inbox: Buffer[] = []
  #isIn = false
  #isOver = false
  requestBytes = 0
  bodyAt = Number.NaN

  constructor(client: Client, plan: Plan, buffers: BufferBudget, substitution: Substitution, owner: BodyOwner) {
    this.#client = client
    this.#plan = plan
    this.#substitution = substitution
    this.#owner = owner
    this.#held = new HeldBody(buffers)
    this.#mode = plan.mode === 'pass' ? PASS : plan.mode === 'whole' ? WHOLE : STREAM
  }

  get mode(): string {
    return this.#mode === PASS ? 'pass' : this.#mode === WHOLE ? 'whole' : 'stream'
  }

  /** Openers that were left as literal text. */
  get literal(): number {
    return this.#scanner === null ? 0 : this.#scanner.literalOpeners
  }

  /** It may come. */
  receive(): void {
    const coding = this.#plan.decode[0]
    if (coding !== undefined) this.#decoder = new Decoder(coding, this.#plan.limits.decodedBytes, this)
    this.#client.receive()
  }

  /** What leaves when `texts[i]` is in the place of the i-th spot of the window. Throws ERR_EXPR_VALUE. */
  assemble(texts: readonly string[]): Buffer {
    const bytes = this.#pieces.assemble(texts)
    this.#pieces.clear()
    return bytes
  }

  /** What was assembled is released. */
  proceed(bytes: Buffer): void {
    if (this.#mode === WHOLE) {
      this.#owner.whole(bytes)
      return
    }
    this.#write(bytes)
    this.#isWaiting = false
    this.#nextWindow()
  }

  /** More may be written. */
  drained(): void {
    this.#isBlocked = false
    if (!this.#isWaiting) this.#resume()
  }

  /** Holds what was made of the body in the stead of what came, until the call is over. Throws ERR_OVERLOAD. */
  replace(body: Buffer | null): void {
    this.#held.release()
    if (body !== null) this.#held.hold(body)
  }

  /** Gives back what is held; from here on nothing is heard. */
  destroy(): void {
    this.#isOver = true
    this.#decoder?.destroy()
    this.#held.release()
    if (this.#inbox.length > 0) this.#inbox = []
  }

  // The client's side.

  requestChunk(chunk: Buffer): void {
    if (this.#isOver) return
    this.requestBytes += chunk.length
    wentThrough(chunk.length)
    try {
      if (this.#decoder === null) this.#take(chunk)
      else if (!this.#decoder.write(chunk)) this.#client.pause()
    } catch (error) {
      this.#owner.failed(error)
    }
  }

  requestEnd(): void {
    if (this.#isOver) return
    this.bodyAt = performance.now()
    if (this.#decoder === null) this.#takeEnd()
    else this.#decoder.end()
  }

  requestBroken(error: SluiceError): void {
    this.#owner.failed(error)
  }

  clientDrained(): void {
    this.#owner.clientDrained()
  }

  clientLeft(): void {
    this.#owner.clientLeft()
  }

  // The decoder's side.

  decodedChunk(chunk: Buffer): void {
    if (this.#isOver) return
    try {
      this.#take(chunk)
    } catch (error) {
      this.#owner.failed(error)
    }
  }

  decodedEnd(): void {
    if (!this.#isOver) this.#takeEnd()
  }

  decodeFailed(error: SluiceError): void {
    this.#owner.failed(error)
  }

  decoderDrained(): void {
    this.#client.resume()
  }

  // By mode.

  #take(chunk: Buffer): void {
    if (this.#mode === STREAM) {
      this.#window(chunk)
      return
    }
    const { bodyBytes, bodyMode, limits } = this.#plan
    const limit = this.#mode === PASS ? PASS_HOLD_BYTES : limits.wholeBodyBytes
    if (this.#mode === PASS && (bodyBytes < 0 || bodyBytes > limit)) {
      this.#write(chunk)
      return
    }
    this.#held.hold(chunk)
    if (this.#held.bytes <= limit) return
    if (bodyMode === 'whole') throw bodyTooLarge(limit)
    // The length was unknown and passes the limit: nothing has left yet, so the body may be streamed from here.
    this.#mode = STREAM
    const held = this.#held.whole()
    this.#held.release()
    this.#window(held)
  }

  #takeEnd(): void {
    this.#isIn = true
    try {
      if (this.#mode === WHOLE) this.#complete()
      else if (this.#mode === PASS) this.#owner.end(this.#plan.bodyBytes === 0 ? null : this.#held.whole())
      else if (!this.#isWaiting) this.#endStream()
    } catch (error) {
      this.#owner.failed(error)
    }
  }

  /** `whole`: scan, reveal in one batch, evaluate. Synchronous as far as the store is. */
  #complete(): void {
    const body = this.#held.whole()
    if (this.#plan.delimiters === 0 || !this.#openScanner(body)) {
      this.#owner.whole(body)
      return
    }
    ;(this.#scanner as Scanner).end(body)
    if (this.#pieces.spots.length === 0) this.#owner.whole(body)
    else this.#reveal()
  }

  /** `stream`: one window. */
  #window(chunk: Buffer): void {
    if (this.#isWaiting) {
      this.#inbox.push(chunk)
      return
    }
    if (this.#scanner === null) this.#openScanner(null)
    ;(this.#scanner as Scanner).write(chunk)
    this.#settleWindow()
  }

  #settleWindow(): void {
    if (this.#pieces.spots.length > 0) {
      this.#pause()
      this.#reveal()
      return
    }
    if (this.#pieces.isEmpty) return
    const out = this.#pieces.soleRun() ?? this.#pieces.assemble(NO_TEXTS)
    this.#pieces.clear()
    this.#write(out)
  }

  /** What piled up while a window was with the vault. */
  #nextWindow(): void {
    while (this.#inbox.length > 0 && !this.#isWaiting) this.#window(this.#inbox.shift() as Buffer)
    if (this.#isWaiting || this.#isOver) return
    if (this.#isIn) this.#endStream()
    else if (!this.#isBlocked) this.#resume()
  }

  #endStream(): void {
    if (this.#scanner !== null && !this.#scannerEnded) {
      this.#scannerEnded = true
      this.#scanner.end()
      this.#settleWindow()
      if (this.#isWaiting || this.#isOver) return
    }
    this.#owner.end(EMPTY)
  }

  /**
   * False when the body is of a kind that holds no expressions.
   *
   * @param whole All of the body; null when it streams.
   */
  #openScanner(whole: Buffer | null): boolean {
    this.#scanner = scannerFor(this.#plan, whole, this.#pieces)
    return this.#scanner !== null
  }

  /** Asks the vault for all tokens of the window at once. */
  #reveal(): void {
    const { spots } = this.#pieces
    if (this.#plan.contentTypes.length > 1) {
      throw new SluiceError('ERR_CONTENT_TYPE', 'A body with expressions needs exactly one Content-Type', {
        offset: spots[0]?.offset ?? 0
      })
    }
    this.#isWaiting = true
    this.#substitution.reveal(spots, true)
  }

  #write(bytes: Buffer): void {
    if (this.#owner.write(bytes)) return
    this.#isBlocked = true
    this.#pause()
  }

  #pause(): void {
    if (this.#decoder === null) this.#client.pause()
    else this.#decoder.pause()
  }

  #resume(): void {
    if (this.#decoder === null) this.#client.resume()
    else this.#decoder.resume()
  }
}

const PASS = 0
const WHOLE = 1
const STREAM = 2

/** A body of known length up to this that passes untouched goes out in one write with its head. */
const PASS_HOLD_BYTES = 65_536
const EMPTY = Buffer.alloc(0)
const NO_TEXTS: readonly string[] = []
