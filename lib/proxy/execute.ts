import type { Peer } from '../egress/peer.ts'
import { asSluiceError, type SluiceError } from '../errors.ts'
import type { Client } from '../listen/client.ts'
import type { Plan } from '../plan/plan.ts'
import type { Caller } from '../vault/access.ts'
import type { Release } from '../vault/audit.ts'
import { ConfiguredVault } from './configured.ts'
import { recordOf } from './phases.ts'
import type { ExecutionParts, ProxyExchange } from './ports.ts'
import { type ResponseOwner, RelayedResponse } from './relayed-response.ts'
import { type BodyOwner, RequestBody } from './request-body.ts'
import type { ResponseRules } from './response-rules.ts'
import type { Plaintexts } from './scrub.ts'
import { filledHead, Substitution, type SubstitutionOwner, spotsOf } from './substitution.ts'
import { headForWholeResponse, transformRequest } from './transformed.ts'

/**
 * Carries out one plan: the only place of a proxied request that waits. The body comes by `RequestBody`, the answer goes
 * by `RelayedResponse`; this object hears both, the substitution and the vault, so that a request costs no closure. Hot:
 * per request and chunk.
 *
 * The invariants, each kept in one method:
 * - nothing leaves before the vault has released it (`released`): what was revealed, and any call of a stored proxy;
 * - in `whole` mode the exchange begins when every value is there (`#sendWhole`);
 * - after byte one has left, a failure cuts the destination's message (`failed`) and answers 502, or cuts the client
 *   (`RelayedResponse.refuse`).
 */
export class Execution implements BodyOwner, ResponseOwner, SubstitutionOwner, Release {
  readonly #client: Client
  readonly #plan: Plan<Peer, ResponseRules>
  readonly #caller: Caller
  readonly #parts: ExecutionParts
  readonly #substitution: Substitution
  readonly #body: RequestBody
  readonly #response: RelayedResponse
  #exchange: ProxyExchange | null = null
  #requestSent = false
  /** What waits for the vault's release; null: the head, or the call as such. */
  #outgoing: Buffer | null = null
  /** A record of this request is not yet with the kernel, and it has nothing to reveal that would wait for that. */
  #isUnreleased = false
  /** The head with its values, when it is a template. */
  #head: string | null = null
  #isOver = false

  constructor(client: Client, plan: Plan<Peer, ResponseRules>, caller: Caller, parts: ExecutionParts) {
    this.#client = client
    this.#plan = plan
    this.#caller = caller
    this.#parts = parts
    const { configuration } = plan
    const reveals = configuration === null ? parts.vault : new ConfiguredVault(parts.vault, configuration)
    this.#substitution = new Substitution(plan, caller, parts.vault, reveals, this)
    this.#body = new RequestBody(client, plan, parts.buffers, this.#substitution, this)
    this.#response = new RelayedResponse(client, plan, caller, parts, this)
  }

  start(): void {
    this.#client.attend(this.#body)
    try {
      const reached = this.#parts.egress.reach(this.#plan.peer)
      if (reached instanceof Promise) {
        reached.then(
          () => this.#admit(),
          (error: unknown) => this.failed(error)
        )
      } else this.#admit()
    } catch (error) {
      this.failed(error)
    }
  }

  /** The call of a stored proxy is written down first. In `whole` mode the body may come meanwhile. */
  #admit(): void {
    if (this.#isOver) return
    const { proxy, mode, bodyBytes, decode } = this.#plan
    if (proxy !== null) {
      this.#substitution.invoke(proxy)
      if (mode !== 'whole' || bodyBytes < 0 || decode.length > 0) {
        this.#parts.vault.release(this)
        return
      }
      this.#isUnreleased = true
    }
    this.#receive()
  }

  #receive(): void {
    if (this.#isOver) return
    const { headTemplate } = this.#plan
    if (headTemplate !== null && this.#head === null) this.#substitution.reveal(spotsOf(headTemplate), false)
    else this.#body.receive()
  }

  // What goes in the places of expressions, and when it may leave.

  substituted(texts: readonly string[]): void {
    if (this.#isOver) return
    try {
      const template = this.#plan.headTemplate
      if (template !== null && this.#head === null) {
        this.#head = filledHead(this.#plan, template, texts)
      } else {
        this.#outgoing = this.#body.assemble(texts)
      }
      this.#parts.vault.release(this)
    } catch (error) {
      this.failed(error)
    }
  }

  /** The audit records of what was revealed are with the kernel: it may leave. */
  released(): void {
    if (this.#isOver) return
    try {
      if (this.#outgoing === null) {
        // It was the head: its body may come.
        this.#receive()
        return
      }
      const outgoing = this.#outgoing
      this.#outgoing = null
      this.#isUnreleased = false
      this.#body.proceed(outgoing)
    } catch (error) {
      this.failed(error)
    }
  }

  refused(error: SluiceError): void {
    this.failed(error)
  }

  // The body, forward.

  whole(body: Buffer): void {
    if (!this.#isUnreleased) {
      this.#sendWhole(body)
      return
    }
    this.#outgoing = body
    this.#parts.vault.release(this)
  }

  write(bytes: Buffer): boolean {
    if (this.#exchange === null) {
      const { mode, bodyBytes } = this.#plan
      this.#begin(null, mode === 'pass' && bodyBytes > 0 ? 'length' : 'chunked')
    }
    return (this.#exchange as ProxyExchange).write(bytes)
  }

  end(body: Buffer | null): void {
    if (this.#exchange === null) {
      this.#begin(body, 'none')
      this.#requestSent = true
      return
    }
    this.#requestSent = true
    this.#exchange.end()
  }

  clientDrained(): void {
    this.#exchange?.resume()
  }

  clientLeft(): void {
    if (this.#isOver) return
    this.#response.abort()
    this.#exchange?.cut()
    this.#finish()
  }

  #sendWhole(body: Buffer): void {
    const { transforms } = this.#plan
    if (transforms !== null && transforms.request !== null) {
      this.#transform(body).catch((error: unknown) => this.failed(error))
      return
    }
    this.#begin(body, 'none')
    this.#requestSent = true
  }

  /** All values are in, and released: what the transforms make of the request is what leaves. */
  async #transform(body: Buffer): Promise<void> {
    const head = this.#head ?? this.#plan.head
    const made = await transformRequest(this.#plan, head, body, this.#substitution.plaintexts ?? [])
    if (this.#isOver) return
    this.#requestSent = true
    if ('answer' in made) {
      this.#response.answer(made.answer)
      return
    }
    this.#head = made.head
    this.#body.replace(made.body)
    this.#begin(made.body, 'none')
  }

  #begin(body: Buffer | null, streaming: 'none' | 'length' | 'chunked'): void {
    const plan = this.#plan
    this.#exchange = this.#parts.egress.send(
      plan.peer,
      {
        method: plan.method,
        head: this.#outgoingHead(),
        body: body === null ? null : [body],
        streaming,
        length: plan.bodyBytes,
        replayable: plan.replayable && streaming === 'none',
        close: plan.close,
        deadlines: plan.deadlines
      },
      this.#response
    )
  }

  #outgoingHead(): string {
    const { transforms, mode, contentEncoding } = this.#plan
    const filled = this.#head ?? this.#plan.head
    const head = transforms === null || transforms.response === null ? filled : headForWholeResponse(filled)
    // A body that passes untouched keeps its coding.
    return mode !== 'pass' || contentEncoding === undefined ? head : `${head}Content-Encoding: ${contentEncoding}\r\n`
  }

  // The answer, back.

  get literal(): number {
    return this.#body.literal
  }

  get plaintexts(): Plaintexts | null {
    return this.#substitution.plaintexts
  }

  resume(): void {
    this.#exchange?.resume()
  }

  drained(): void {
    this.#body.drained()
  }

  answered(): void {
    // An answer that came before the request was in: the rest of it has nowhere to go.
    if (!this.#requestSent) this.#exchange?.cut()
    this.#finish()
  }

  // The end.

  failed(thrown: unknown): void {
    if (this.#isOver) return
    const error = asSluiceError(thrown)
    if (error.code === 'ERR_INTERNAL') this.#parts.bug(thrown, this.#plan.traceId)
    const exchange = this.#exchange
    const hasAnswered = this.#response.destinationStatus > 0
    const forwarded = hasAnswered ? 'yes' : (error.forwarded ?? exchange?.forwarded ?? 'no')
    exchange?.cut()
    this.#response.refuse(error, forwarded)
    this.#finish()
  }

  #finish(): void {
    this.#isOver = true
    this.#outgoing = null
    const request = this.#body
    const response = this.#response
    request.destroy()
    response.destroy()
    const { code, destinationStatus } = response
    this.#substitution.end(code ?? (destinationStatus > 0 ? String(destinationStatus) : 'answered'))
    const { acceptedAt } = this.#client
    this.#parts.done(recordOf(this.#plan, this.#caller, acceptedAt, request, this.#substitution, response))
  }
}
