/** The envelopes of the Basis Theory dialect: errors of the API and of the proxy. */
import { ERRORS, type Forwarded, type SluiceError } from '../../errors.ts'

/** The JSON text of an API error: problem details (RFC 7807) with `errors` per field. */
export function apiErrorBody(error: SluiceError): string {
  const { status } = error
  const invalid = error.fields !== undefined && status === 400
  return JSON.stringify({
    errors: error.fields ?? {},
    title: invalid ? 'One or more validation errors occurred.' : ERRORS[error.code].title,
    status,
    detail: invalid ? 'The inputs supplied to the API are invalid' : error.message,
    code: error.code
  })
}

/**
 * The JSON text of a proxy error. A missing and a wrong key give the same text, as the vendor's proxy does.
 *
 * @param status What is answered: another one than the code's own once bytes have left
 */
export function proxyErrorBody(error: SluiceError, status = error.status): string {
  const { code, offset } = error
  return JSON.stringify({
    proxy_error: {
      errors: error.fields ?? {},
      title: status < 500 ? 'Invalid proxy request' : ERRORS[code].title,
      status,
      detail: status === 401 ? 'The BT-API-KEY header is required' : error.message,
      code,
      ...(offset === undefined ? {} : { offset }),
      forwarded: forwardedOf(error)
    }
  })
}

/** What no exchange has marked has not left, unless the fault is our own. */
function forwardedOf(error: SluiceError): Forwarded {
  if (error.forwarded !== undefined) return error.forwarded
  return error.code === 'ERR_INTERNAL' ? 'unknown' : 'no'
}
