import type { SluiceError } from '../errors.ts'

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
