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

/** What a request counts on its way in. Moments are in `performance.now()` milliseconds; NaN: not yet. */
export interface RequestProgress {
  /** `pass`, `whole` or `stream`. */
  readonly mode: string
  readonly literal: number
  readonly requestBytes: number
  /** The body was in. */
  readonly bodyAt: number
}

/** What it counts on its way back. */
export interface ResponseProgress {
  readonly status: number
  readonly destinationStatus: number
  readonly outcome: Outcome
  readonly code: string | null
  readonly captured: number
  readonly scrubbed: number
  readonly responseBytes: number
  readonly plannedAt: number
  readonly connectedAt: number
  /** The last byte of the request was handed to the socket. */
  readonly sentAt: number
  readonly firstByteAt: number
}

/**
 * Hot: per request.
 *
 * @param start when the request was accepted
 */
export function recordOf(
  plan: Plan,
  caller: Caller,
  start: number,
  request: RequestProgress,
  values: { readonly tokens: number; readonly replaced: number },
  response: ResponseProgress
): RequestRecord {
  // NOTE: field by field, as in `planRequest`.
  return {
    dialect: plan.dialect,
    route: plan.route,
    proxy: plan.proxy,
    method: plan.method,
    status: response.status,
    outcome: response.outcome,
    code: response.code,
    traceId: plan.traceId,
    tenant: caller.tenant,
    application: caller.application,
    destination: plan.door === 'proxy' ? plan.destination.host : null,
    destinationStatus: response.destinationStatus,
    mode: request.mode,
    tokens: values.tokens,
    replaced: values.replaced,
    literal: request.literal,
    captured: response.captured,
    scrubbed: response.scrubbed,
    requestBytes: request.requestBytes,
    responseBytes: response.responseBytes,
    plannedMs: response.plannedAt - start,
    bodyMs: request.bodyAt - start,
    connectedMs: response.connectedAt - start,
    firstByteMs: response.firstByteAt - start,
    doneMs: performance.now() - start,
    waitedMs: response.firstByteAt - response.sentAt
  }
}
