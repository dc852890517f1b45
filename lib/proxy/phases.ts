import type { SluiceError } from '../errors.ts'
import type { Plan } from '../plan/plan.ts'
import type { Caller } from '../vault/access.ts'

/*
 * The named moments of a request, in order: accepted, planned, body, connected, first byte, done. They are an
 * observer's: nothing is decided from them. Every request, failed or not, reaches `done`.
 */

export type Outcome = 'ok' | 'client_error' | 'destination_error' | 'sluice_error' | 'aborted'

/** What is known of a request when it is over: the input of metrics and log. Holds no header value, body or secret. */
export interface RequestRecord {
  readonly dialect: 'basis_theory' | 'footprint' | 'admin'
  /** The router's template. */
  readonly route: string
  /** Id of the stored proxy that was called. */
  readonly proxy: string | null
  readonly method: string
  /** The status that the client got; 0 when it got none. */
  readonly status: number
  readonly outcome: Outcome
  readonly code: string | null
  readonly traceId: string
  readonly tenant: string | null
  readonly application: string | null
  readonly destination: string | null
  readonly destinationStatus: number
  readonly mode: string | null
  readonly tokens: number
  readonly replaced: number
  readonly literal: number
  /** Values of the response that were vaulted, and places where it was blanked. */
  readonly captured: number
  readonly scrubbed: number
  readonly requestBytes: number
  readonly responseBytes: number
  /** Milliseconds from `accepted` to each phase; NaN for one that was not reached. */
  readonly plannedMs: number
  readonly bodyMs: number
  readonly connectedMs: number
  readonly firstByteMs: number
  readonly doneMs: number
  /** Milliseconds between the last request byte sent and the first response byte: the destination's own time. */
  readonly waitedMs: number
}

/** How a request that failed counts. */
export function outcomeOf(error: SluiceError): Outcome {
  if (error.code === 'ERR_CLIENT_GONE') return 'aborted'
  if (error.source === 'client') return 'client_error'
  return error.source === 'destination' ? 'destination_error' : 'sluice_error'
}

/** When each phase was reached, in `performance.now()` milliseconds; NaN: not yet. Hot: per request. */
export class Times {
  readonly planned = performance.now()
  body = Number.NaN
  connected = Number.NaN
  sent = Number.NaN
  firstByte = Number.NaN
}

/** What an execution has counted. */
type Counted = Pick<
  RequestRecord,
  | 'status'
  | 'outcome'
  | 'code'
  | 'destinationStatus'
  | 'mode'
  | 'tokens'
  | 'replaced'
  | 'literal'
  | 'captured'
  | 'scrubbed'
  | 'requestBytes'
  | 'responseBytes'
>

/** @param start when the request was accepted */
export function recordOf(plan: Plan, caller: Caller, start: number, times: Times, counted: Counted): RequestRecord {
  // NOTE: field by field, as in `planRequest`.
  return {
    dialect: plan.dialect,
    route: plan.route,
    proxy: plan.proxy,
    method: plan.method,
    status: counted.status,
    outcome: counted.outcome,
    code: counted.code,
    traceId: plan.traceId,
    tenant: caller.tenant,
    application: caller.application,
    destination: plan.door === 'proxy' ? plan.destination.host : null,
    destinationStatus: counted.destinationStatus,
    mode: counted.mode,
    tokens: counted.tokens,
    replaced: counted.replaced,
    literal: counted.literal,
    captured: counted.captured,
    scrubbed: counted.scrubbed,
    requestBytes: counted.requestBytes,
    responseBytes: counted.responseBytes,
    plannedMs: times.planned - start,
    bodyMs: times.body - start,
    connectedMs: times.connected - start,
    firstByteMs: times.firstByte - start,
    doneMs: performance.now() - start,
    waitedMs: times.firstByte - times.sent
  }
}
