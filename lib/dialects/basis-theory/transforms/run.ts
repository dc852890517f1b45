import type { Json } from '../../../json.ts'
import type { Revealed } from '../../../plan/transforms.ts'
import type { Caller } from '../../../vault/access.ts'
import type { RevealSubject } from '../../../vault/purpose.ts'
import { Scrubber } from '../scrubber.ts'
import type { CodeRun } from './code.ts'

/** One call of a stored proxy: the same for all its steps. */
export interface TransformCall {
  /** Without an API key the attached application. */
  readonly caller: Caller
  /** The application that the proxy is attached to; null = none. */
  readonly attached: Caller | null
  /** The proxy's, in plain. */
  readonly configuration: Readonly<Record<string, string>>
  readonly traceId: string
  readonly method: string
  /** What stands behind /proxy, without the query. */
  readonly path: string
  /** As it came, with its question mark; '' = none. */
  readonly query: string
}

/** What the steps of one call share. */
export class TransformRun implements CodeRun {
  readonly call: TransformCall
  readonly scrubber = new Scrubber([])
  // :: identifier of a step → what it made
  readonly results = new Map<string, Json>()
  // :: token id → it was revealed
  readonly #tokens = new Set<string>()
  /** The request as it left, for expressions of the response's side that draw upon it. */
  request: { readonly fields: readonly string[]; readonly body: Buffer } | null = null

  constructor(call: TransformCall) {
    this.call = call
    this.scrubber.add(Object.values(call.configuration))
  }

  get caller(): Caller {
    return this.call.caller
  }

  get attached(): Caller | null {
    return this.call.attached
  }

  get configuration(): Readonly<Record<string, string>> {
    return this.call.configuration
  }

  get traceId(): string {
    return this.call.traceId
  }

  get subjects(): RevealSubject[] {
    return [...this.#tokens].map((id) => ({ text: id, form: 'data', candidates: [id] }))
  }

  /** Takes in what the proxy revealed. */
  learn(revealed: readonly Revealed[]): void {
    for (const { id, data } of revealed) {
      if (this.#tokens.has(id)) continue
      this.#tokens.add(id)
      this.scrubber.addSecret(data)
    }
  }
}
