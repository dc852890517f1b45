import { asSluiceError, type Forwarded, SluiceError } from '../errors.ts'
import type { ResponseHandler } from '../egress/exchange.ts'
import type { Peer } from '../egress/peer.ts'
import { render } from '../expr/encode.ts'
import type { Found } from '../expr/evaluate.ts'
import { type Expression, narrow, type ParseOptions, parseExpression, type Subject } from '../expr/expression.ts'
import { TURN_UNITS, Work } from '../expr/work.ts'
import type { Client, ClientSink } from '../listen/client.ts'
import { bodyTooLarge } from '../plan/body-mode.ts'
import { responseFieldPasses } from '../plan/headers.ts'
import { joinTarget } from '../plan/destination.ts'
import type { HeadTemplate } from '../plan/head-template.ts'
import { outgoingHead, type Plan } from '../plan/plan.ts'
import type { HeadPiece } from '../scan/head.ts'
import { settleContext } from '../scan/context.ts'
import { Scanner, type Spot } from '../scan/scanner.ts'
import type { Caller } from '../vault/access.ts'
import type { Release } from '../vault/audit.ts'
import type { Purpose } from '../vault/reveal.ts'
import type { BufferBudget } from './buffer-budget.ts'
import { Decoder, type DecodeSink } from './decode.ts'
import { type Outcome, outcomeOf, type RequestRecord } from './phases.ts'
import { Pieces } from './pieces.ts'
import type { MaybePromise } from '../vault/store.ts'
import { HeldResponse, type ReadyResponse, type ResponseRules } from './held-response.ts'
import type { DialectVoice, ProxyEgress, ProxyExchange, ProxyVault } from './ports.ts'
import type { Plaintexts } from './scrub.ts'
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
 * Carries out one plan: the only place of a proxied request that waits. It is one object with four faces — the
 * client's sink, the decoder's sink, the vault's release and the destination's response handler — so that a request
 * costs no closure. Hot: per request and chunk.
 *
 * The invariants, each kept in one method:
 * - nothing leaves before the vault has released it (`released`);
 * - in `whole` mode the exchange begins when every value is there (`#sendWhole`);
 * - after byte one has left, a failure cuts the destination's message and answers 502, or cuts the client (`#fail`).
 */
export class Execution implements ClientSink, DecodeSink, Release, ResponseHandler {
  readonly #client: Client
  readonly #plan: Plan<Peer, ResponseRules>
  readonly #caller: Caller
  readonly #parts: ExecutionParts

  #state = REACHING
  #mode: number
  /** The body so far, in `whole` mode and for small bodies that pass. */
  #held: Buffer[] = []
  #heldBytes = 0
  /** What of `heldBytes` the budget has lent. */
  #lent = 0
  #decoder: Decoder | null = null
  #scanner: Scanner | null = null
  readonly #pieces = new Pieces()
  #expressions: Expression[] = []
  /** Chunks that came while a window was with the vault. */
  #inbox: Buffer[] = []
  #bodyIsIn = false
  #exchange: ProxyExchange | null = null
  #requestSent = false
  #outgoing: Buffer | null = null
  /** The head with its values, when it is a template. */
  #head: string | null = null
  /** One for each batch that was asked of the vault. */
  readonly #purposes: Purpose[] = []
  #tokens: Set<string> | null = null

  /** While the response is held for its rules. */
  #response: HeldResponse | null = null
  /** What was revealed, when the response may have to be cleared of it. */
  #plaintexts: Plaintexts | null = null
  #captured = 0
  #scrubbed = 0
  #responseBegun = false
  #destinationStatus = 0
  #status = 0
  #code: string | null = null
  #outcome: Outcome = 'ok'
  #requestBytes = 0
  #responseBytes = 0
  #replaced = 0
  readonly #planned = performance.now()
  #body = Number.NaN
  #connected = Number.NaN
  #sent = Number.NaN
  #firstByte = Number.NaN

  constructor(client: Client, plan: Plan<Peer, ResponseRules>, caller: Caller, parts: ExecutionParts) {
    this.#client = client
    this.#plan = plan
    this.#caller = caller
    this.#parts = parts
    this.#mode = plan.mode === 'pass' ? PASS : plan.mode === 'whole' ? WHOLE : STREAM
  }

  start(): void {
    this.#client.attend(this)
    try {
      const reached = this.#parts.egress.reach(this.#plan.peer)
      if (reached instanceof Promise) {
        reached.then(
          () => this.#receive(),
          (error: unknown) => this.#fail(error)
        )
      } else this.#receive()
    } catch (error) {
      this.#fail(error)
    }
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
    this.#body = performance.now()
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
    this.#connected = performance.now()
  }

  sent(): void {
    this.#sent = performance.now()
  }

  informational(status: number, rawHeaders: readonly string[]): void {
    if (this.#state !== DONE) this.#client.inform(status, this.#responseFields(rawHeaders, false))
  }

  head(status: number, reason: string, rawHeaders: readonly string[], length: number): void {
    if (this.#state === DONE) return
    this.#firstByte = performance.now()
    this.#destinationStatus = status
    this.#status = status
    const fields = this.#responseFields(rawHeaders, this.#client.head.method === 'HEAD' || status === 304)
    if (this.#plan.responseRules !== null) {
      this.#holdResponse(this.#plan.responseRules, status, reason, fields)
      return
    }
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
    this.#client.finish(rawTrailers)
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

  // The response, when there are rules for it.

  #holdResponse(rules: ResponseRules, status: number, reason: string, fields: string[]): void {
    this.#response = new HeldResponse({
      rules,
      status,
      reason,
      fields,
      plaintexts: this.#plaintexts,
      limits: this.#plan.limits,
      buffers: this.#parts.buffers,
      store: (users, writes) => this.#parts.vault.writeFields(this.#caller, users, writes, this.#plan.traceId),
      resume: () => this.#exchange?.resume(),
      ready: (response) => this.#release(response),
      failed: (error) => this.#fail(error)
    })
  }

  /** Everything that was to be vaulted is on disk: the body may go to the client. */
  #release({ status, reason, fields, body, captured, scrubbed }: ReadyResponse): void {
    if (this.#state === DONE) return
    this.#captured = captured
    this.#scrubbed = scrubbed
    this.#responseBegun = true
    this.#parts.voice.decorate(fields, this.#plan.traceId, status, this.#literal())
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
      this.#revealHead(this.#plan.headTemplate)
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
    this.#hold(chunk)
    if (this.#heldBytes <= limit) return
    if (this.#plan.bodyMode === 'whole') throw bodyTooLarge(limit)
    // The length was unknown and passes the limit: nothing has left yet, so the body may be streamed from here.
    this.#mode = STREAM
    const held = this.#heldBody()
    this.#giveBack()
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
    const body = this.#plan.bodyBytes === 0 ? null : this.#heldBody()
    this.#begin(this.#passHead(), body, 'none')
    this.#requestSent = true
  }

  /** `whole`: scan, reveal in one batch, evaluate. Synchronous as far as the store is. */
  #complete(): void {
    const body = this.#heldBody()
    if (!this.#openScanner(body)) {
      this.#sendWhole(body)
      return
    }
    ;(this.#scanner as Scanner).end(body)
    if (this.#pieces.spots.length === 0) this.#sendWhole(body)
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
   * @param whole All of the body; null when it streams: then its first bytes settle how it is read.
   */
  #openScanner(whole: Buffer | null): boolean {
    const contentType = this.#plan.contentTypes[0]
    const scanBinary = this.#plan.delimitersNamed
    const context =
      whole === null ? ({ kind: 'by-type', contentType } as const) : settleContext(contentType, whole, whole)
    if (context === null && !scanBinary) return false
    this.#scanner = new Scanner({
      context: context ?? { kind: 'text' },
      delimiters: this.#plan.delimiters,
      expressionBytes: this.#plan.limits.expressionBytes,
      sink: this.#pieces,
      scanBinary
    })
    return true
  }

  /** Parses the window's expressions and asks the vault for all of their tokens at once. */
  #reveal(): void {
    const spots = this.#pieces.spots
    const plan = this.#plan
    if (plan.contentTypes.length > 1) {
      throw new SluiceError('ERR_CONTENT_TYPE', 'A body with expressions needs exactly one Content-Type', {
        offset: spots[0]?.offset ?? 0
      })
    }
    const subjects: Subject[] = []
    this.#expressions.length = 0
    const parsing = this.#parsing()
    for (const spot of spots) {
      try {
        const expression = this.#parse(spot.source, parsing)
        this.#expressions.push(expression)
        subjects.push(expression.subject)
      } catch (error) {
        throw located(error, spot.offset)
      }
    }
    const found = this.#ask(subjects)
    if (found instanceof Promise) {
      found.then(
        (all) => this.#revealed(all),
        (error: unknown) => this.#fail(error)
      )
    } else this.#revealed(found)
  }

  #parse(source: string, options: ParseOptions): Expression {
    const { grammar, subjects } = this.#plan
    const parsed = parseExpression(source, grammar, options)
    const expression = subjects === null ? parsed : narrow(parsed, subjects)
    if (expression === null) {
      throw new SluiceError('ERR_SUBJECT_NOT_ALLOWED', 'The request names a subject that Sluice-Subjects does not')
    }
    return expression
  }

  #parsing(): ParseOptions {
    const { user } = this.#plan
    return user === null ? { work: new Work() } : { work: new Work(), user }
  }

  #ask(subjects: readonly Subject[]): MaybePromise<readonly Found[]> {
    this.#state = RELEASING
    return this.#parts.vault.reveal(this.#caller, subjects, this.#purpose(), this.#plan.limits.tokensPerRequest)
  }

  /** Expressions in the head are settled before the body is asked for. */
  #revealHead(template: HeadTemplate): void {
    const expressions = new Map<Spot, Expression>()
    const parsing = this.#parsing()
    for (const piece of [...template.target, ...template.lines]) {
      if (typeof piece !== 'string') expressions.set(piece, this.#parse(piece.source, parsing))
    }
    const found = this.#ask([...expressions.values()].map((expression) => expression.subject))
    if (found instanceof Promise) {
      found.then(
        (all) => this.#headRevealed(template, expressions, all),
        (error: unknown) => this.#fail(error)
      )
    } else this.#headRevealed(template, expressions, found)
  }

  #headRevealed(template: HeadTemplate, expressions: ReadonlyMap<Spot, Expression>, found: readonly Found[]): void {
    if (this.#state === DONE) return
    try {
      this.#countTokens(found)
      // :: spot → its text
      const texts = new Map<Spot, string>()
      const work = new Work(TURN_UNITS)
      let at = 0
      for (const [spot, expression] of expressions) {
        texts.set(spot, render(expression, found[at] as Found, spot, work))
        at++
      }
      const fill = (pieces: readonly HeadPiece[]): string =>
        pieces.map((piece) => (typeof piece === 'string' ? piece : texts.get(piece))).join('')
      // A value can make a dot segment: the target is checked once more.
      const target = joinTarget(NO_BASE, fill(template.target)).text
      this.#head = outgoingHead(this.#plan, target, fill(template.lines))
      this.#remember(found, [...texts.values()])
      this.#replaced += texts.size
      this.#parts.vault.release(this)
    } catch (error) {
      this.#fail(error)
    }
  }

  #revealed(found: readonly Found[]): void {
    if (this.#state === DONE) return
    try {
      this.#countTokens(found)
      const spots = this.#pieces.spots
      const texts: string[] = []
      const work = new Work(TURN_UNITS)
      for (let at = 0; at < spots.length; at++) {
        const spot = spots[at] as (typeof spots)[number]
        try {
          texts.push(render(this.#expressions[at] as Expression, found[at] as Found, spot, work))
        } catch (error) {
          throw located(error, spot.offset)
        }
      }
      this.#remember(found, texts)
      this.#replaced += texts.length
      this.#outgoing = this.#pieces.assemble(texts)
      this.#pieces.clear()
      this.#parts.vault.release(this)
    } catch (error) {
      this.#fail(error)
    }
  }

  /** `texts[i]` was made of `found[i]`. Kept only when the response may have to be cleared of them. */
  #remember(found: readonly Found[], texts: readonly string[]): void {
    if (this.#plan.responseRules === null) return
    this.#plaintexts ??= []
    for (const [at, { id, data }] of found.entries()) this.#plaintexts.push({ id, data, text: texts[at] ?? '' })
  }

  /** The cap is on the request: windows before this one count. */
  #countTokens(found: readonly Found[]): void {
    this.#tokens ??= new Set()
    for (const each of found) this.#tokens.add(each.id)
    const limit = this.#plan.limits.tokensPerRequest
    if (this.#tokens.size > limit) {
      throw new SluiceError('ERR_TOKEN_LIMIT', `The request names more than ${limit} tokens (limits.tokensPerRequest)`)
    }
  }

  // The exchange.

  #sendWhole(body: Buffer): void {
    this.#begin(this.#outgoingHead(), body, 'none')
    this.#requestSent = true
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
    return this.#head ?? this.#plan.head
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

  // What is held.

  #hold(chunk: Buffer): void {
    this.#parts.buffers.take(chunk.length)
    this.#lent += chunk.length
    this.#held.push(chunk)
    this.#heldBytes += chunk.length
  }

  #heldBody(): Buffer {
    if (this.#held.length === 1) return this.#held[0] as Buffer
    const body = this.#held.length === 0 ? EMPTY : Buffer.concat(this.#held, this.#heldBytes)
    this.#held = [body]
    return body
  }

  #giveBack(): void {
    this.#parts.buffers.give(this.#lent)
    this.#lent = 0
    this.#held = []
    this.#heldBytes = 0
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
    this.#plaintexts = null
    this.#giveBack()
    this.#inbox.length = 0
    this.#outgoing = null
    const plan = this.#plan
    for (const { intent } of this.#purposes) {
      if (intent !== 0) this.#parts.vault.outcome(intent, this.#code ?? String(this.#destinationStatus))
    }
    const start = this.#client.acceptedAt
    this.#parts.done({
      dialect: plan.dialect,
      route: plan.route,
      method: plan.method,
      status: this.#status,
      outcome: this.#code === null && this.#status >= 400 ? 'destination_error' : this.#outcome,
      code: this.#code,
      traceId: plan.traceId,
      tenant: this.#caller.tenant,
      application: this.#caller.application,
      destination: plan.door === 'proxy' ? plan.destination.host : null,
      destinationStatus: this.#destinationStatus,
      mode: this.#mode === PASS ? 'pass' : this.#mode === WHOLE ? 'whole' : 'stream',
      tokens: this.#tokens?.size ?? 0,
      replaced: this.#replaced,
      literal: this.#literal(),
      captured: this.#captured,
      scrubbed: this.#scrubbed,
      requestBytes: this.#requestBytes,
      responseBytes: this.#responseBytes,
      plannedMs: this.#planned - start,
      bodyMs: this.#body - start,
      connectedMs: this.#connected - start,
      firstByteMs: this.#firstByte - start,
      doneMs: performance.now() - start,
      waitedMs: this.#firstByte - this.#sent
    })
  }

  #literal(): number {
    return this.#scanner === null ? 0 : this.#scanner.literalOpeners
  }

  /** The destination's end-to-end fields. `keepLength`: its Content-Length describes a body that is not sent. */
  #responseFields(rawHeaders: readonly string[], keepLength: boolean): string[] {
    const fields: string[] = []
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = rawHeaders[at] as string
      const lower = name.toLowerCase()
      if (responseFieldPasses(lower) || (keepLength && lower === 'content-length')) {
        fields.push(name, rawHeaders[at + 1] as string)
      }
    }
    return fields
  }

  #purpose(): Purpose {
    const { door, destination, traceId, reason } = this.#plan
    const purpose: Purpose = {
      door,
      destination: door === 'proxy' ? destination : null,
      traceId,
      reason,
      intent: 0
    }
    this.#purposes.push(purpose)
    return purpose
  }
}

function located(thrown: unknown, offset: number): SluiceError {
  const error = asSluiceError(thrown)
  error.offset ??= offset
  return error
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
const NO_BASE = { path: '', query: '' }
const EMPTY = Buffer.alloc(0)
const NO_TEXTS: readonly string[] = []
