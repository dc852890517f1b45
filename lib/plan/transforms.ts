import type { Secret } from '../secret.ts'

/*
 * What of a request or a response is made anew before it goes on, by whoever knows the rules: `proxy/` holds a message
 * until it is whole, hands it over, and frames what comes back.
 */

/** A request with all its values in it. Method and target are the plan's and cannot change. */
export interface WholeRequest {
  /** Names and values end to end, without Host, framing, Content-Encoding, and what Sluice sets itself. */
  readonly fields: readonly string[]
  /** Decoded; empty when there is none. */
  readonly body: Buffer
}

/** A response of the destination, decoded; or an answer in its stead. */
export interface WholeResponse {
  readonly status: number
  readonly reason: string
  /** End-to-end fields, names and values end to end; those that tell of the bytes as they came are not among them. */
  readonly fields: readonly string[]
  readonly body: Buffer
  /** By its method or status it has no body, whatever is made of it. */
  readonly isBodiless: boolean
}

/** What this call revealed. */
export interface Revealed {
  readonly id: string
  readonly data: Secret
}

/**
 * Both are called once at most, in this order. What they throw is answered as the error it is: `forwarded: no` for a
 * request, and for a response `yes`, with the destination's status told.
 */
export interface Transforms {
  /** Called when the vault has released what was revealed; what it gives leaves. An answer ends the call. */
  readonly request:
    | ((request: WholeRequest, revealed: readonly Revealed[]) => Promise<WholeRequest | WholeResponse>)
    | null
  /** For statuses of 200 to 299 alone. */
  readonly response: ((response: WholeResponse, revealed: readonly Revealed[]) => Promise<WholeResponse>) | null
}
