/**
 * May a request be sent again when a reused connection closed before any byte of a response? Only methods that are
 * idempotent by definition (RFC 9110, 9.2.2); a payment is never repeated on a guess. `Intent.isIdempotent` says it of others.
 */
export function isReplayable(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'PUT' || method === 'DELETE'
}
