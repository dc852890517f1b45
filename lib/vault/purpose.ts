/** What is to be revealed, and why. */
import type { DestinationName } from './destinations.ts'

/** Why a token is revealed. `proxy` and `reactor` send it to a destination, the others show it to the caller. */
export type Door = 'proxy' | 'reactor' | 'reflect' | 'detokenize' | 'decrypt' | 'read'

export interface Purpose {
  readonly door: Door
  /** null: it goes to no destination. */
  readonly destination: DestinationName | null
  /** Letters, digits, `.`, `_` and `-`: it stands in JSON as it is. */
  readonly traceId: string
  /** What the caller gives as its reason; written to the audit log without long numbers. */
  readonly reason: string | null
  /** 0, until `reveal` writes the number of the audit intent here. */
  intent: number
}

/** What a request names: an id, or an id and a path behind it. */
export interface RevealSubject {
  readonly text: string
  readonly form: 'data' | 'token'
  /** Ids to try, best first. */
  readonly candidates: readonly string[]
}
