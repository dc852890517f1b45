import { performance } from 'node:perf_hooks'
import type { ResponseHandler } from '../egress/exchange.ts'
import type { Peer } from '../egress/peer.ts'
import type { Forwarded, SluiceError } from '../errors.ts'
import type { Client } from '../listen/client.ts'
import { endToEndFields } from '../plan/headers.ts'
import type { Plan } from '../plan/plan.ts'
import type { Caller } from '../vault/access.ts'
import { HeldResponse, type ReadyResponse } from './held-response.ts'
import { type Outcome, outcomeOf, type ResponseProgress } from './phases.ts'
import type { ExecutionParts } from './ports.ts'
import type { ResponseRules } from './response-rules.ts'
import { workFor } from './response-work.ts'
import type { Plaintexts } from './scrub.ts'
import { wentThrough } from './young-garbage.ts'

/** Hears how far the response is, and knows of the request what the response needs. */
export interface ResponseOwner {
  /** Openers of the request that were left as literal text. */
  readonly literal: number
  /** What was revealed so far. */
  readonly plaintexts: Plaintexts | null
  /** The destination may send on. */
  resume(): void
  /** It takes more of the request. */
  drained(): void
  /** The client has all of the answer. */
  answered(): void
  failed(thrown: unknown): void
}

/**
 * What the client of one request gets: the destination's response as it comes, or held until something is done with it, or
 * the word of a failure. Nothing that waits stands between a chunk and the client. Hot: per request and chunk.
 */
export class RelayedResponse implements ResponseHandler, ResponseProgress {
  readonly #client: Client
  readonly #plan: Plan<Peer, ResponseRules>
  readonly #caller: Caller
  readonly #parts: ExecutionParts
  readonly #owner: ResponseOwner
  #held: HeldResponse | null = null
  #hasBegun = false
  #isOver = false
  status = 0
  destinationStatus = 0
  code: string | null = null
  outcome: Outcome = 'ok'
  captured = 0
  scrubbed = 0
  responseBytes = 0
  readonly plannedAt = performance.now()
  connectedAt = Number.NaN
  sentAt = Number.NaN
  firstByteAt = Number.NaN

  constructor(
    client: Client,
    plan: Plan<Peer, ResponseRules>,
    caller: Caller,
    parts: ExecutionParts,
    owner: ResponseOwner
  ) {
    this.#client = client
    this.#plan = plan
    this.#caller = caller
    this.#parts = parts
    this.#owner = owner
  }

  /** A whole answer: everything that was to be vaulted is on disk, or a transform has made it. */
  answer({ status, reason, fields, body, captured, scrubbed }: ReadyResponse): void {
    if (this.#isOver) return
    this.captured = captured
    this.scrubbed = scrubbed
    this.#hasBegun = true
    this.status = status
    this.#parts.voice.decorate(fields, this.#plan.traceId, this.destinationStatus, this.#owner.literal)
    this.#client.begin(status, reason, fields, body.length)
    if (body.length > 0) {
      this.responseBytes += body.length
      this.#client.send(body)
    }
    this.#client.finish([])
    this.#owner.answered()
  }

  /** The one place that decides what a failure means: an answer while that is honest, a cut when it is not. */
  refuse(error: SluiceError, forwarded: Forwarded): void {
    this.code = error.code
    this.outcome = outcomeOf(error)
    if (this.#hasBegun) {
      this.#client.cut()
      return
    }
    if (error.code === 'ERR_CLIENT_GONE') {
      this.outcome = 'aborted'
      this.#client.cut()
      return
    }
    error.forwarded = forwarded
    // A status of the 4xx family says "not forwarded": once bytes have left, only the time-out keeps its own.
    const status =
      forwarded === 'no' || error.status >= 500 || error.code === 'ERR_DESTINATION_TIMEOUT' ? error.status : 502
    this.status = status
    const answer = this.#parts.voice.failure(error, status, this.#plan.traceId, this.destinationStatus)
    this.#client.answer(status, answer.fields, answer.body)
  }

  /** Nobody is there to be answered. */
  abort(): void {
    this.outcome = 'aborted'
    this.code = 'ERR_CLIENT_GONE'
  }

  /** Gives back what is held; from here on nothing is heard. */
  destroy(): void {
    this.#isOver = true
    this.#held?.destroy()
    if (this.code === null && this.status >= 400 && this.destinationStatus > 0) this.outcome = 'destination_error'
  }

  // The destination's side.

  connected(): void {
    this.connectedAt = performance.now()
  }

  sent(): void {
    this.sentAt = performance.now()
  }

  informational(status: number, rawHeaders: readonly string[]): void {
    const { responseRules, transforms } = this.#plan
    // It would go around what is done with the response.
    if (this.#isOver || responseRules !== null || (transforms !== null && transforms.response !== null)) return
    this.#client.inform(status, endToEndFields(rawHeaders, false))
  }

  head(status: number, reason: string, rawHeaders: readonly string[], length: number): void {
    if (this.#isOver) return
    this.firstByteAt = performance.now()
    this.destinationStatus = status
    this.status = status
    const keepLength = status === 304 || (this.#client.head.method === 'HEAD' && status !== 204)
    const fields = endToEndFields(rawHeaders, keepLength)
    const { responseRules, transforms } = this.#plan
    if ((responseRules !== null || transforms !== null) && this.#hold(status, reason, fields)) return
    this.#hasBegun = true
    this.#parts.voice.decorate(fields, this.#plan.traceId, status, this.#owner.literal)
    this.#client.begin(status, reason, fields, length)
  }

  body(chunk: Buffer): boolean {
    if (this.#isOver) return true
    if (this.#held !== null) return this.#held.write(chunk)
    this.responseBytes += chunk.length
    wentThrough(chunk.length)
    return this.#client.send(chunk)
  }

  end(rawTrailers: readonly string[]): void {
    if (this.#isOver) return
    if (this.#held !== null) {
      this.#held.end()
      return
    }
    this.#client.finish(endToEndFields(rawTrailers, false))
    this.#owner.answered()
  }

  fail(error: SluiceError): void {
    this.#owner.failed(error)
  }

  drained(): void {
    this.#owner.drained()
  }

  /** False when there is nothing to be done with a response of this status. */
  #hold(status: number, reason: string, fields: string[]): boolean {
    const { limits, traceId } = this.#plan
    const { vault, buffers } = this.#parts
    const work = workFor(this.#plan, status, {
      plaintexts: () => this.#owner.plaintexts,
      store: (users, writes) => vault.writeFields(this.#caller, users, writes, traceId)
    })
    if (work === null) return false
    this.#held = new HeldResponse({
      status,
      reason,
      fields,
      limits,
      buffers,
      work,
      resume: () => this.#owner.resume(),
      ready: (response) => this.answer(response),
      failed: (error) => this.#owner.failed(error)
    })
    return true
  }
}
