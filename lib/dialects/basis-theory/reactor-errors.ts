/** What becomes of an error that code throws: the vendor's classes, their statuses and words. */
import { SluiceError } from '../../errors.ts'
import { formatJson, type Json, LosslessNumber } from '../../json.ts'
import type { ApiAnswer } from '../../listen/api.ts'
import type { Scrubber } from './scrubber.ts'
import { asObject } from './token-input.ts'

/** An answer for an error that the code ended with. Throws ERR_CODE_RUNTIME for all that is no class of the vendor's. */
export function errorAnswer(said: Readonly<Record<string, Json | undefined>>, scrubber: Scrubber): ApiAnswer {
  if (said.kind === 'response') return responseAnswer(said, scrubber)
  const errors = errorsOf(said.errors, scrubber)
  const known = typeof said.name === 'string' && Object.hasOwn(CLASSES, said.name) ? CLASSES[said.name] : undefined
  if (said.kind === 'no-function') throw runtimeError('The code must give module.exports a function')
  if (known === undefined) throw new SluiceError('ERR_CODE_RUNTIME', 'Reactor Runtime Error', { fields: errors })
  const [status, detail] = known
  return { status, body: JSON.stringify({ errors, title: detail, status, detail }) }
}

/** ERR_CODE_RUNTIME with one reason. */
export function runtimeError(why: string): SluiceError {
  return new SluiceError('ERR_CODE_RUNTIME', 'Reactor Runtime Error', { fields: { error: [why] } })
}

function errorsOf(value: Json | undefined, scrubber: Scrubber): Record<string, string[]> {
  const errors: Record<string, string[]> = {}
  for (const [name, whys] of Object.entries(asObject(value) ?? {}).slice(0, ERRORS_SHOWN)) {
    const list = Array.isArray(whys) ? whys.slice(0, ERRORS_SHOWN) : [whys ?? null]
    errors[scrubber.scrub(name).slice(0, 200)] = list.map((why) =>
      scrubber.scrub(typeof why === 'string' ? why : formatJson(why)).slice(0, ERROR_LENGTH)
    )
  }
  return errors
}

/** `CustomHttpResponseError`: an answer of the code's own, without an envelope. */
function responseAnswer(said: Readonly<Record<string, Json | undefined>>, scrubber: Scrubber): ApiAnswer {
  const { status, headers, body } = said
  if (typeof status !== 'number' || !Number.isInteger(status) || status < 200 || status > 599) {
    throw runtimeError('The status of a custom response must be a whole number from 200 to 599')
  }
  const fields: string[] = []
  for (const [name, value] of Object.entries(asObject(headers) ?? {})) {
    const isText = typeof value === 'string' || typeof value === 'number' || value instanceof LosslessNumber
    const text = isText ? scrubber.scrub(String(value)) : ''
    if (!isText || !NAME.test(name) || !VALUE.test(text)) throw runtimeError('A header of the response is malformed')
    if (!OURS.test(name)) fields.push(name, text)
  }
  if (status === 204 || status === 304 || body === undefined || body === null) {
    return { status, body: null, headers: fields }
  }
  const text = typeof body === 'string' ? scrubber.scrub(body) : formatJson(scrubber.scrubAll(body))
  return { status, body: text, headers: fields }
}

const CLASSES: Readonly<Record<string, readonly [status: number, detail: string]>> = {
  BadRequestError: [400, 'Bad Request'],
  InvalidReactorConfigurationError: [400, 'Invalid Reactor Configuration'],
  AuthenticationError: [401, 'Authentication Failed'],
  InvalidPaymentMethodError: [402, 'Invalid Payment Method'],
  AuthorizationError: [403, 'Forbidden'],
  InvalidReactorFormulaError: [422, 'Invalid Reactor Formula'],
  RateLimitError: [429, 'Rate Limit Exceeded'],
  ServiceUnavailableError: [503, 'Service Unavailable Error']
}
const ERRORS_SHOWN = 100
const ERROR_LENGTH = 2000
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/
const VALUE = /^[\t\x20-\x7e]{0,8192}$/
/** Framing, the connection and what Sluice itself says are no code's to set. */
const OURS =
  /^(?:connection|content-length|content-encoding|transfer-encoding|keep-alive|trailer|upgrade|te|date|cache-control|(?:bt|sluice|proxy)-.*)$/i
