import { performance } from 'node:perf_hooks'
import type { ResponseHandler } from '../egress/exchange.ts'
import type { Peer } from '../egress/peer.ts'
import { asSluiceError, type Forwarded, SluiceError } from '../errors.ts'
import type { Client, ClientSink } from '../listen/client.ts'
import { bodyTooLarge } from '../plan/body-mode.ts'
import { endToEndFields } from '../plan/headers.ts'
import type { Plan } from '../plan/plan.ts'
import type { Scanner } from '../scan/scanner.ts'
import type { Caller } from '../vault/access.ts'
import type { Release } from '../vault/audit.ts'
import type { BufferBudget } from './buffer-budget.ts'
import { ConfiguredVault } from './configured.ts'
import { Decoder, type DecodeSink } from './decode.ts'
import { HeldBody } from './held-body.ts'
import { HeldResponse, type ReadyResponse } from './held-response.ts'
import { type Outcome, outcomeOf, type RequestRecord, recordOf, Times } from './phases.ts'
import { Pieces, scannerFor } from './pieces.ts'
import type { DialectVoice, ProxyEgress, ProxyExchange, ProxyVault } from './ports.ts'
import type { ResponseRules } from './response-rules.ts'
import { workFor } from './response-work.ts'
import { filledHead, Substitution, type SubstitutionOwner, spotsOf } from './substitution.ts'
import { headForWholeResponse, transformRequest } from './transformed.ts'
import { wentThrough } from './young-garbage.ts'

export interface ExecutionParts {
  readonly vault: ProxyVault
  readonly egress: ProxyEgress
  readonly buffers: BufferBudget
  readonly voice: DialectVoice
  /** Called once, when the request is over. */
  readonly done: (record: RequestRecord) => void
  /** Called with what was thrown that is no error of ours. */
  readonly bug: (thrown: unknown, traceId: string) => void
}

/**
 * Carries out one plan: the only place of a proxied request that waits. It is one object with five faces — the
 * client's sink, the decoder's sink, the substitution's owner, the vault's release and the destination's response
 * handler — so that a request costs no closure. Hot: per request and chunk.
 *
 * The invariants, each kept in one method:
 * - nothing leaves before the vault has released it (`released`): what was revealed, and any call of a stored proxy;
 * - in `whole` mode the exchange begins when every value is there (`#sendWhole`);
 * - after byte one has left, a failure cuts the destination's message and answers 502, or cuts the client (`#fail`).
 */
export class Execution implements ClientSink, DecodeSink, SubstitutionOwner, Release, ResponseHandler {
  readonly #client: Client
  readonly #plan: Plan<Peer, ResponseRules>
  readonly #caller: Caller
  readonly #parts: ExecutionParts

  #state = REACHING
  #mode: number
  /** The body so far, in `whole` mode and for small bodies that pass. */
  readonly #held: HeldBody
  readonly #substitution: Substitution
  #decoder: Decoder | null = null
  #scanner: Scanner | null = null
  readonly #pieces = new Pieces()
  /** Chunks that came while a window was with the vault. */
  #inbox: Buffer[] = []
  #bodyIsIn = false
  #exchange: ProxyExchange | null = null
  #requestSent = false
  #outgoing: Buffer | null = null
  /** A record of this request is not yet with the kernel, and it has nothing to reveal that would wait for that. */
  #isUnreleased = false
  /** The head with its values, when it is a template. */
  #head: string | null = null

  /** While the response is held for its rules. */
  #response: HeldResponse | null = null
  #captured = 0
  #scrubbed = 0
  #responseBegun = false
  #destinationStatus = 0
  #status = 0
  #code: string | null = null
  #outcome: Outcome = 'ok'
  #requestBytes = 0
  #responseBytes = 0
  readonly #times = new Times()

  constructor(client: Client, plan: Plan<Peer, ResponseRules>, caller: Caller, parts: ExecutionParts) {
    this.#client = client
    this.#plan = plan
    this.#caller = caller
    this.#parts = parts
    this.#held = new HeldBody(parts.buffers)
    const { configuration } = plan
    const reveals = configuration === null ? parts.vault : new ConfiguredVault(parts.vault, configuration)
    this.#substitution = new Substitution(plan, caller, parts.vault, reveals, this)
    this.#mode = plan.mode === 'pass' ? PASS : plan.mode === 'whole' ? WHOLE : STREAM
  }

  start(): void {
    this.#client.attend(this)
    try {
      const reached = this.#parts.egress.reach(this.#plan.peer)
      if (reached instanceof Promise) {
        reached.then(
          () => this.#admit(),
          (error: unknown) => this.#fail(error)
        )
      } else this.#admit()
    } catch (error) {
      this.#fail(error)
    }
  }

  /** The call of a stored proxy is written down first. In `whole` mode the body may come meanwhile. */
  #admit(): void {
    if (this.#state === DONE) return
    const { proxy, bodyBytes, decode } = this.#plan
    if (proxy !== null) {
      this.#substitution.invoke(proxy)
      if (this.#mode !== WHOLE || bodyBytes < 0 || decode.length > 0) {
        this.#state = RELEASING
        this.#parts.vault.release(this)
        return
      }
      this.#isUnreleased = true
    }
    this.#receive()
  }

  // The client's side.

  requestChunk(chunk: Buffer): void {
    if (this.#state === DONE) return
    this.#requestBytes += chunk.length
    wentThrough(chunk.length)
    try {
      if (this.#decoder === null) this.#take(chunk)
      else if (!this.#decoder.write(chunk)) this.#client.pause()
    } catch (error) {
      this.#fail(error)
    }
  }

  requestEnd(): void {
    if (this.#state === DONE) return
    this.#times.body = performance.now()
    if (this.#decoder === null) this.#takeEnd()
    else this.#decoder.end()
  }

  requestBroken(error: SluiceError): void {
    this.#fail(error)
  }

  clientDrained(): void {
    this.#exchange?.resume()
  }

  clientLeft(): void {
    if (this.#state === DONE) return
    this.#outcome = 'aborted'
    this.#code = 'ERR_CLIENT_GONE'
    this.#exchange?.cut()
    this.#finish()
  }

  // The decoder's side.

  decodedChunk(chunk: Buffer): void {
    if (this.#state === DONE) return
    try {
      this.#take(chunk)
    } catch (error) {
      this.#fail(error)
    }
  }

  decodedEnd(): void {
    if (this.#state !== DONE) this.#takeEnd()
  }

  decodeFailed(error: SluiceError): void {
    this.#fail(error)
  }

  decoderDrained(): void {
    this.#client.resume()
  }

  // What goes in the places of expressions.

  substituted(texts: readonly string[]): void {
    if (this.#state === DONE) return
    try {
      const template = this.#plan.headTemplate
      if (template !== null && this.#head === null) {
        this.#head = filledHead(this.#plan, template, texts)
      } else {
        this.#outgoing = this.#pieces.assemble(texts)
        this.#pieces.clear()
      }
      this.#parts.vault.release(this)
    } catch (error) {
      this.#fail(error)
    }
  }

  failed(thrown: unknown): void {
    this.#fail(thrown)
  }

  // The vault's side.

  /** The audit records of what was revealed are with the kernel: it may leave. */
  released(): void {
    if (this.#state === DONE) return
    try {
      if (this.#outgoing === null) {
        // It was the head: its body may come.
        this.#receive()
        return
      }
      const outgoing = this.#outgoing
      this.#outgoing = null
      this.#isUnreleased = false
      if (this.#mode === WHOLE) {
        this.#sendWhole(outgoing)
        return
      }
      this.#write(outgoing)
      this.#state = COLLECTING
      this.#nextWindow()
    } catch (error) {
      this.#fail(error)
    }
  }

  refused(error: SluiceError): void {
    this.#fail(error)
  }

  // The destination's side.

  connected(): void {
    this.#times.connected = performance.now()
  }

  sent(): void {
    this.#times.sent = performance.now()
  }

  informational(status: number, rawHeaders: readonly string[]): void {
    const { responseRules, transforms } = this.#plan
    // It would go around what is done with the response.
    if (this.#state === DONE || responseRules !== null || (transforms !== null && transforms.response !== null)) return
    this.#client.inform(status, endToEndFields(rawHeaders, false))
  }

  head(status: number, reason: string, rawHeaders: readonly string[], length: number): void {
    if (this.#state === DONE) return
    this.#times.firstByte = performance.now()
    this.#destinationStatus = status
    this.#status = status
    const keepLength = status === 304 || (this.#client.head.method === 'HEAD' && status !== 204)
    const fields = endToEndFields(rawHeaders, keepLength)
    const { responseRules, transforms } = this.#plan
    if ((responseRules !== null || transforms !== null) && this.#holdResponse(status, reason, fields)) return
    this.#responseBegun = true
    this.#parts.voice.decorate(fields, this.#plan.traceId, status, this.#literal())
    this.#client.begin(status, reason, fields, length)
  }

  body(chunk: Buffer): boolean {
    if (this.#state === DONE) return true
    if (this.#response !== null) return this.#response.write(chunk)
    this.#responseBytes += chunk.length
    wentThrough(chunk.length)
    return this.#client.send(chunk)
  }

  end(rawTrailers: readonly string[]): void {
    if (this.#state === DONE) return
    if (this.#response !== null) {
      this.#response.end()
      return
    }
    this.#client.finish(endToEndFields(rawTrailers, false))
    // An answer that came before the request was in: the rest of it has nowhere to go.
    if (!this.#requestSent) this.#exchange?.cut()
    this.#finish()
  }

  fail(error: SluiceError): void {
    this.#fail(error)
  }

  drained(): void {
    if (this.#state !== RELEASING) this.#resumeBody()
  }

  // The response, when there is something to be done with it.

  /** False when there is nothing for a response of this status. */
  #holdResponse(status: number, reason: string, fields: string[]): boolean {
    const { limits, traceId } = this.#plan
    const work = workFor(this.#plan, status, {
      plaintexts: () => this.#substitution.plaintexts,
      store: (users, writes) => this.#parts.vault.writeFields(this.#caller, users, writes, traceId)
    })
    if (work === null) return false
    this.#response = new HeldResponse({
      status,
      reason,
      fields,
      limits,
      buffers: this.#parts.buffers,
      work,
      resume: () => this.#exchange?.resume(),
      ready: (response) => this.#release(response),
      failed: (error) => this.#fail(error)
    })
    return true
  }

  /** Everything that was to be vaulted is on disk, or a transform has made it: it may go to the client. */
  #release({ status, reason, fields, body, captured, scrubbed }: ReadyResponse): void {
    if (this.#state === DONE) return
    this.#captured = captured
    this.#scrubbed = scrubbed
    this.#responseBegun = true
    this.#status = status
    this.#parts.voice.decorate(fields, this.#plan.traceId, this.#destinationStatus, this.#literal())
    this.#client.begin(status, reason, fields, body.length)
    if (body.length > 0) {
      this.#responseBytes += body.length
      this.#client.send(body)
    }
    this.#client.finish([])
    if (!this.#requestSent) this.#exchange?.cut()
    this.#finish()
  }

  // The body, forward.

  #receive(): void {
    if (this.#state === DONE) return
    this.#state = COLLECTING
    if (this.#plan.headTemplate !== null && this.#head === null) {
      this.#state = RELEASING
      this.#substitution.reveal(spotsOf(this.#plan.headTemplate), false)
      return
    }
    const coding = this.#plan.decode[0]
    if (coding !== undefined) this.#decoder = new Decoder(coding, this.#plan.limits.decodedBytes, this)
    this.#client.receive()
  }

  #take(chunk: Buffer): void {
    if (this.#mode === STREAM) {
      this.#window(chunk)
      return
    }
    const limit = this.#mode === PASS ? PASS_HOLD_BYTES : this.#plan.limits.wholeBodyBytes
    if (this.#mode === PASS && (this.#exchange !== null || this.#plan.bodyBytes < 0 || this.#plan.bodyBytes > limit)) {
      this.#write(chunk)
      return
    }
    this.#held.hold(chunk)
    if (this.#held.bytes <= limit) return
    if (this.#plan.bodyMode === 'whole') throw bodyTooLarge(limit)
    // The length was unknown and passes the limit: nothing has left yet, so the body may be streamed from here.
    this.#mode = STREAM
    const held = this.#held.whole()
    this.#held.release()
    this.#window(held)
  }

  #takeEnd(): void {
    this.#bodyIsIn = true
    try {
      if (this.#mode === WHOLE) this.#complete()
      else if (this.#mode === PASS) this.#endPass()
      else if (this.#state === COLLECTING) this.#endStream()
    } catch (error) {
      this.#fail(error)
    }
  }

  #endPass(): void {
    if (this.#exchange !== null) {
      this.#endExchange()
      return
    }
    const body = this.#plan.bodyBytes === 0 ? null : this.#held.whole()
    this.#begin(this.#passHead(), body, 'none')
    this.#requestSent = true
  }

  /** `whole`: scan, reveal in one batch, evaluate. Synchronous as far as the store is. */
  #complete(): void {
    const body = this.#held.whole()
    if (this.#plan.delimiters === 0 || !this.#openScanner(body)) {
      this.#sendReleased(body)
      return
    }
    ;(this.#scanner as Scanner).end(body)
    if (this.#pieces.spots.length === 0) this.#sendReleased(body)
    else this.#reveal()
  }

  /** `stream`: one window. */
  #window(chunk: Buffer): void {
    if (this.#state === RELEASING) {
      this.#inbox.push(chunk)
      return
    }
    if (this.#scanner === null) this.#openScanner(null)
    ;(this.#scanner as Scanner).write(chunk)
    this.#settleWindow()
  }

  #settleWindow(): void {
    if (this.#pieces.spots.length > 0) {
      this.#pauseBody()
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
    while (this.#inbox.length > 0 && this.#state === COLLECTING) this.#window(this.#inbox.shift() as Buffer)
    if (this.#state !== COLLECTING) return
    if (this.#bodyIsIn) this.#endStream()
    else this.#resumeBody()
  }

  #endStream(): void {
    if (this.#scanner !== null && !this.#scannerEnded) {
      this.#scannerEnded = true
      this.#scanner.end()
      this.#settleWindow()
      if (this.#state !== COLLECTING) return
    }
    if (this.#exchange === null) this.#begin(this.#outgoingHead(), EMPTY, 'none')
    else this.#endExchange()
    this.#requestSent = true
  }

  #scannerEnded = false

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
    this.#state = RELEASING
    this.#substitution.reveal(spots, true)
  }

  // The exchange.

  #sendReleased(body: Buffer): void {
    if (!this.#isUnreleased) {
      this.#sendWhole(body)
      return
    }
    this.#state = RELEASING
    this.#outgoing = body
    this.#parts.vault.release(this)
  }

  #sendWhole(body: Buffer): void {
    if (this.#plan.transforms !== null && this.#plan.transforms.request !== null) {
      this.#state = RELEASING
      this.#transform(body).catch((error: unknown) => this.#fail(error))
      return
    }
    this.#begin(this.#outgoingHead(), body, 'none')
    this.#requestSent = true
  }

  /** All values are in, and released: what the transforms make of the request is what leaves. */
  async #transform(body: Buffer): Promise<void> {
    const head = this.#head ?? this.#plan.head
    const made = await transformRequest(this.#plan, head, body, this.#substitution.plaintexts ?? [])
    if (this.#state === DONE) return
    this.#requestSent = true
    if ('answer' in made) {
      this.#release(made.answer)
      return
    }
    this.#head = made.head
    // What was made is held in the stead of what came, until the call is over.
    this.#held.release()
    if (made.body !== null) this.#held.hold(made.body)
    this.#begin(this.#outgoingHead(), made.body, 'none')
  }

  #begin(head: string, body: Buffer | null, streaming: 'none' | 'length' | 'chunked'): void {
    this.#state = COLLECTING
    this.#exchange = this.#parts.egress.send(
      this.#plan.peer,
      {
        method: this.#plan.method,
        head,
        body: body === null ? null : [body],
        streaming,
        length: this.#plan.bodyBytes,
        replayable: this.#plan.replayable && streaming === 'none',
        close: this.#plan.close,
        deadlines: this.#plan.deadlines
      },
      this
    )
  }

  /** Streams bytes to the destination; the first of them open the exchange. */
  #write(bytes: Buffer): void {
    if (this.#exchange === null) {
      const exact = this.#mode === PASS && this.#plan.bodyBytes > 0 && this.#scanner === null
      this.#begin(
        exact || this.#plan.mode === 'pass' ? this.#passHead() : this.#outgoingHead(),
        null,
        exact ? 'length' : 'chunked'
      )
    }
    if (!(this.#exchange as ProxyExchange).write(bytes)) this.#pauseBody()
  }

  #endExchange(): void {
    this.#requestSent = true
    this.#exchange?.end()
  }

  #outgoingHead(): string {
    const { transforms } = this.#plan
    const head = this.#head ?? this.#plan.head
    return transforms === null || transforms.response === null ? head : headForWholeResponse(head)
  }

  /** A body that passes untouched keeps its coding. */
  #passHead(): string {
    const { contentEncoding, decode } = this.#plan
    const head = this.#outgoingHead()
    return contentEncoding === undefined || decode.length > 0 ? head : `${head}Content-Encoding: ${contentEncoding}\r\n`
  }

  #pauseBody(): void {
    if (this.#decoder === null) this.#client.pause()
    else this.#decoder.pause()
  }

  #resumeBody(): void {
    if (this.#decoder === null) this.#client.resume()
    else this.#decoder.resume()
  }

  // The end.

  /** The one place that decides what a failure means: an answer while that is honest, a cut when it is not. */
  #fail(thrown: unknown): void {
    if (this.#state === DONE) return
    const error = asSluiceError(thrown)
    if (error.code === 'ERR_INTERNAL') this.#parts.bug(thrown, this.#plan.traceId)
    const exchange = this.#exchange
    const forwarded: Forwarded = this.#destinationStatus > 0 ? 'yes' : (error.forwarded ?? exchange?.forwarded ?? 'no')
    exchange?.cut()
    this.#code = error.code
    this.#outcome = outcomeOf(error)
    if (this.#responseBegun) {
      this.#client.cut()
    } else if (error.code === 'ERR_CLIENT_GONE') {
      this.#outcome = 'aborted'
      this.#client.cut()
    } else {
      error.forwarded = forwarded
      // A status of the 4xx family says "not forwarded": once bytes have left, only the time-out keeps its own.
      const status =
        forwarded === 'no' || error.status >= 500 || error.code === 'ERR_DESTINATION_TIMEOUT' ? error.status : 502
      this.#status = status
      const answer = this.#parts.voice.failure(error, status, this.#plan.traceId, this.#destinationStatus)
      this.#client.answer(status, answer.fields, answer.body)
    }
    this.#finish()
  }

  #finish(): void {
    this.#state = DONE
    this.#decoder?.destroy()
    this.#response?.destroy()
    this.#held.release()
    if (this.#inbox.length > 0) this.#inbox = []
    this.#outgoing = null
    this.#substitution.end(this.#code ?? (this.#destinationStatus > 0 ? String(this.#destinationStatus) : 'answered'))
    const isRefused = this.#code === null && this.#status >= 400
    this.#parts.done(
      recordOf(this.#plan, this.#caller, this.#client.acceptedAt, this.#times, {
        status: this.#status,
        outcome: isRefused && this.#destinationStatus > 0 ? 'destination_error' : this.#outcome,
        code: this.#code,
        destinationStatus: this.#destinationStatus,
        mode: this.#mode === PASS ? 'pass' : this.#mode === WHOLE ? 'whole' : 'stream',
        tokens: this.#substitution.tokens,
        replaced: this.#substitution.replaced,
        literal: this.#literal(),
        captured: this.#captured,
        scrubbed: this.#scrubbed,
        requestBytes: this.#requestBytes,
        responseBytes: this.#responseBytes
      })
    )
  }

  #literal(): number {
    return this.#scanner === null ? 0 : this.#scanner.literalOpeners
  }
}

const REACHING = 0
const COLLECTING = 1
/** A window is with the vault. */
const RELEASING = 2
const DONE = 3

const PASS = 0
const WHOLE = 1
const STREAM = 2

/** A body of known length up to this that passes untouched goes out in one write with its head. */
const PASS_HOLD_BYTES = 65_536
const EMPTY = Buffer.alloc(0)
const NO_TEXTS: readonly string[] = []
