/** What an API endpoint is, apart from HTTP: a plain function from a call to an answer. */
import type { Caller } from '../vault/access.ts'
import type { MaybePromise } from '../vault/store.ts'

export interface ApiCall {
  readonly caller: Caller
  /** From the path, percent-decoded. */
  readonly params: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  /** UTF-8 text of the body; null when there is none. */
  readonly body: string | null
  readonly contentType: string | undefined
  readonly traceId: string
  /** A request header by its lower-case name. */
  header(name: string): string | undefined
}

export interface ApiAnswer {
  readonly status: number
  /** JSON text; null: no body. May hold plaintext that the caller may see. */
  readonly body: string | null
  /** Flat: name, value, name, value. */
  readonly headers?: readonly string[]
}

export interface ApiRoute {
  readonly method: string
  /** `/tokens/{id}`; the same with a trailing slash is the same route. */
  readonly path: string
  /** Throws or rejects with SluiceError. */
  readonly handler: (call: ApiCall) => MaybePromise<ApiAnswer>
}
