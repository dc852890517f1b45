/**
 * Every error that Sluice answers with. The table below is the documentation, the HTTP status and the wire mapping of
 * both dialects; `test/errors.test.ts` walks it.
 */

/** Whose fault it is: the caller's message, the destination, the vault and its store, or Sluice itself. */
export type ErrorSource = 'client' | 'destination' | 'vault' | 'internal'

/**
 * May the same request be tried again by Sluice?
 * - `never`: no
 * - `if-unsent`: only when not one byte of it left
 * - `if-reused`: only when it went out on a reused connection that closed before any byte of a response
 */
export type Retry = 'never' | 'if-unsent' | 'if-reused'

/** Did the destination receive the request? `unknown`: some of it left, and no response came. */
export type Forwarded = 'no' | 'yes' | 'unknown'

interface Row {
  readonly status: number
  readonly source: ErrorSource
  readonly retry: Retry
  /** What the code means, in words for the caller. */
  readonly title: string
}

const client = (status: number, title: string): Row => ({ status, source: 'client', retry: 'never', title })
const destination = (status: number, retry: Retry, title: string): Row => ({
  status,
  source: 'destination',
  retry,
  title
})
const vault = (status: number, title: string): Row => ({ status, source: 'vault', retry: 'if-unsent', title })
const internal = (status: number, title: string): Row => ({ status, source: 'internal', retry: 'never', title })

export const ERRORS = {
  ERR_AUTH_MISSING: client(401, 'No API key was sent'),
  ERR_AUTH_INVALID: client(401, 'The API key is not valid'),
  ERR_PERMISSION: client(403, 'The API key lacks a permission'),
  ERR_DESTINATION_FORBIDDEN: client(403, 'The destination is not allowed'),
  ERR_DESTINATION_URL: client(400, 'The destination URL is not acceptable'),
  ERR_EXPR_SYNTAX: client(400, 'An expression does not parse'),
  ERR_EXPR_FILTER: client(400, 'An expression names an unknown filter'),
  ERR_EXPR_ARGUMENT: client(400, 'A filter has wrong arguments'),
  ERR_EXPR_PATH: client(400, 'A path in an expression does not parse'),
  ERR_EXPR_LIMIT: client(400, 'An expression is over a limit'),
  ERR_EXPR_VALUE: client(400, 'An expression cannot be evaluated for this value'),
  ERR_TOKEN_UNKNOWN: client(400, 'Some tokens were not found'),
  ERR_TOKEN_LIMIT: client(400, 'The request names too many tokens'),
  ERR_SUBJECT_NOT_ALLOWED: client(400, 'The request names a token outside Sluice-Subjects'),
  ERR_TOKEN_FORBIDDEN: client(403, 'The API key may not use a token'),
  ERR_INPUT: client(400, 'The request is not valid'),
  ERR_CONFLICT: client(409, 'The resource exists already'),
  ERR_NOT_FOUND: client(404, 'Not found'),
  ERR_MEDIA_TYPE: client(415, 'The content type is not supported here'),
  ERR_METHOD: client(405, 'The method is not allowed here'),
  ERR_CONTENT_TYPE: client(400, 'A body with expressions needs exactly one Content-Type'),
  ERR_CHARSET: client(415, 'The character encoding is not supported'),
  ERR_ENCODING: client(415, 'The content encoding is not supported'),
  ERR_BODY_SIZE: client(413, 'The body is too large'),
  ERR_DECODED_SIZE: client(413, 'The decoded body is too large'),
  ERR_EXPECTATION: client(417, 'The request expects something other than 100-continue'),
  ERR_HEAD_SIZE: client(431, 'The header section is too large'),
  ERR_HTTP_SYNTAX: client(400, 'The HTTP message is malformed or ambiguous'),
  ERR_CLIENT_TIMEOUT: client(408, 'The request did not arrive in time'),
  ERR_CLIENT_GONE: client(499, 'The client closed its connection'),
  ERR_DESTINATION_TIMEOUT: destination(408, 'never', 'The destination did not answer in time'),
  ERR_DESTINATION_UNREACHABLE: destination(502, 'if-reused', 'The destination cannot be reached'),
  ERR_DESTINATION_TLS: destination(502, 'if-unsent', 'The TLS connection to the destination failed'),
  ERR_DESTINATION_RESPONSE: destination(502, 'never', 'The response of the destination is malformed'),
  ERR_DESTINATION_DNS: destination(502, 'if-unsent', 'The name of the destination does not resolve'),
  ERR_UPGRADE: destination(502, 'never', 'The destination switched protocols'),
  ERR_OVERLOAD: internal(503, 'Sluice is at its limit'),
  ERR_STORE_UNAVAILABLE: vault(503, 'The store of the vault is not available'),
  ERR_AUDIT_UNAVAILABLE: vault(503, 'The audit log cannot be written'),
  ERR_CODE: client(422, 'The code does not parse or is no function'),
  ERR_CODE_TIMEOUT: client(408, 'The code ran for too long'),
  ERR_CODE_ERROR: client(400, 'The code ended with an error of its own'),
  ERR_CODE_RUNTIME: client(500, 'Reactor Runtime Error'),
  ERR_TRANSFORM: client(400, 'A transform of the proxy cannot be applied to this message'),
  ERR_LOOP: client(508, 'The request came back to Sluice'),
  ERR_CONFIG: client(500, 'The configuration has faults'),
  ERR_INTERNAL: internal(500, 'Internal error')
} as const satisfies Record<string, Row>

export type ErrorCode = keyof typeof ERRORS

export interface ErrorDetails {
  /** Byte offset of the opener in the decoded body. */
  readonly offset?: number
  /** Ids, setting paths or filter names that the message is about. Never values. */
  readonly names?: readonly string[]
  /** For ERR_INPUT: the faults of each field. */
  readonly fields?: Readonly<Record<string, readonly string[]>>
  readonly retry?: Retry
  readonly forwarded?: Forwarded
  readonly cause?: unknown
}

/** The one error class. `message` holds codes, ids, offsets and lengths; never a body byte, header value or secret. */
export class SluiceError extends Error {
  readonly code: ErrorCode
  readonly source: ErrorSource
  readonly retry: Retry
  readonly names: readonly string[] | undefined
  readonly fields: Readonly<Record<string, readonly string[]>> | undefined
  /** Set late by the place that knows it: expressions are compiled without knowing where they stand. */
  offset: number | undefined
  /** Set late by the exchange, which alone knows what has left. */
  forwarded: Forwarded | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'SluiceError'
    this.code = code
    const row = ERRORS[code]
    this.source = row.source
    this.retry = details.retry ?? row.retry
    this.names = details.names
    this.fields = details.fields
    this.offset = details.offset
    this.forwarded = details.forwarded
  }

  get status(): number {
    return ERRORS[this.code].status
  }
}

/** Any thrown thing as a SluiceError; what is not one already becomes ERR_INTERNAL with a text that says nothing. */
export function asSluiceError(thrown: unknown): SluiceError {
  if (thrown instanceof SluiceError) return thrown
  return new SluiceError('ERR_INTERNAL', 'An internal error occurred', { cause: thrown })
}

/** For what cannot happen; seeing one is a bug in Sluice. */
export function unreachable(why: string): never {
  throw new SluiceError('ERR_INTERNAL', `Unreachable: ${why}`)
}
