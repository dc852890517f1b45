import type { Exchange, OutgoingMessage, ResponseHandler } from '../egress/exchange.ts'
import type { Peer } from '../egress/peer.ts'
import type { SluiceError } from '../errors.ts'
import type { Found } from '../expr/evaluate.ts'
import type { Subject } from '../expr/expression.ts'
import type { Caller } from '../vault/access.ts'
import type { Release } from '../vault/audit.ts'
import type { FieldWrite } from '../vault/fields.ts'
import type { Purpose } from '../vault/purpose.ts'
import type { BufferBudget } from './buffer-budget.ts'
import type { RequestRecord } from './phases.ts'

/*
 * What the proxy needs of the rooms around it. `app.ts` hands in the real ones; `vault` and `egress` never see each
 * other, nor a dialect.
 */

/** All that an execution works with; one for many requests. */
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

export type MaybePromise<T> = T | Promise<T>

/** `vault/vault.ts`. */
export interface ProxyVault {
  reveal(caller: Caller, subjects: readonly Subject[], purpose: Purpose, limit: number): MaybePromise<readonly Found[]>
  /** Appends the audit intent of a call of a stored proxy. */
  invoke(caller: Caller, purpose: Purpose, proxy: string): void
  release(release: Release): void
  outcome(intent: number, outcome: string): void
  /** Stores fields of users in one write, all or none. */
  writeFields(caller: Caller, users: readonly string[], fields: readonly FieldWrite[], traceId: string): Promise<void>
}

/** `egress/egress.ts`. */
export interface ProxyEgress {
  reach(peer: Peer): MaybePromise<void>
  send(peer: Peer, message: OutgoingMessage, handler: ResponseHandler): ProxyExchange
}

/** What of an exchange the proxy uses. */
export type ProxyExchange = Pick<Exchange, 'write' | 'end' | 'resume' | 'cut' | 'forwarded'>

/** How a dialect words what the proxy has to say. */
export interface DialectVoice {
  failure(
    error: SluiceError,
    status: number,
    traceId: string,
    destinationStatus: number
  ): { readonly fields: readonly string[]; readonly body: string }
  /** Adds the dialect's own fields to a destination's response. */
  decorate(fields: string[], traceId: string, destinationStatus: number, literalOpeners: number): void
}
