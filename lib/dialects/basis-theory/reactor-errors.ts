/** What becomes of an error that code throws: the vendor's classes, their statuses and words. */
import { SluiceError } from '../../errors.ts'
import { formatJson, type Json, LosslessNumber } from '../../json.ts'
import type { ApiAnswer } from '../../listen/api.ts'
import { runtimeError, type Said } from './run-result.ts'
import type { Scrubber } from './scrubber.ts'
import { asObject } from './token-input.ts'

/** An answer that code makes up by itself. */
export interface OwnAnswer {
  /** 200 to 599. */
  readonly status: number
  /** Flat: name, value. Neither framing nor a header of Sluice's. */
  readonly fields: readonly string[]
  readonly body: Json | undefined
}

/** ERR_CODE_ERROR: an error of one of the vendor's classes, with the status and the words of its class. */
export class CodeError extends SluiceError {
  readonly #status: number

  constructor(status: number, detail: string, fields: Readonly<Record<string, readonly string[]>>) {
    super('ERR_CODE_ERROR', detail, { fields })
    this.#status = status
  }

  override get status(): number {
    return this.#status
  }
}

/**
 * What code that did not return ended with: `CustomHttpResponseError` is an answer. Throws all that is none: ERR_CODE_ERROR,
 * and ERR_CODE_RUNTIME for what is no class of the vendor's.
 */
export function endingOf(said: Said, scrubber: Scrubber): OwnAnswer {
  if (said.kind === 'response') {
    const { fields, ...answer } = ownAnswer(said.status, said.headers, said.body)
    const { body } = answer
    return {
      ...answer,
      fields: fields.map((text) => scrubber.scrub(text)),
      body: body === undefined ? undefined : scrubber.scrubAll(body)
    }
  }
  if (said.kind === 'no-function') throw runtimeError('The code must give module.exports a function')
  const errors = errorsOf(said.errors, scrubber)
  const known = typeof said.name === 'string' && Object.hasOwn(CLASSES, said.name) ? CLASSES[said.name] : undefined
  if (known === undefined) throw new SluiceError('ERR_CODE_RUNTIME', 'Reactor Runtime Error', { fields: errors })
  throw new CodeError(...known, errors)
}

/** The same as an answer of the API. Throws ERR_CODE_RUNTIME. */
export function errorAnswer(said: Said, scrubber: Scrubber): ApiAnswer {
  try {
    const { status, fields, body } = endingOf(said, scrubber)
    if (status === 204 || status === 304 || body === undefined || body === null) {
      return { status, body: null, headers: fields }
    }
    return { status, body: typeof body === 'string' ? body : formatJson(body), headers: fields }
  } catch (thrown) {
    if (!(thrown instanceof CodeError)) throw thrown
    const { status, fields, message } = thrown
    return { status, body: JSON.stringify({ errors: fields, title: message, status, detail: message }) }
  }
}

function errorsOf(value: Json | undefined, scrubber: Scrubber): Record<string, string[]> {
  const errors: [string, string[]][] = []
  for (const [name, whys] of Object.entries(asObject(value) ?? {}).slice(0, ERRORS_SHOWN)) {
    const list = Array.isArray(whys) ? whys.slice(0, ERRORS_SHOWN) : [whys ?? null]
    const texts = list.map((why) =>
      scrubber.scrub(typeof why === 'string' ? why : formatJson(why)).slice(0, ERROR_LENGTH)
    )
    errors.push([scrubber.scrub(name).slice(0, 200), texts])
  }
  return Object.fromEntries(errors)
}

/** Throws ERR_CODE_RUNTIME. */
export function ownAnswer(status: Json | undefined, headers: Json | undefined, body: Json | undefined): OwnAnswer {
  return { status: readStatus(status), fields: readFields(headers, 'answer'), body }
}

/** Throws ERR_CODE_RUNTIME. */
export function readStatus(status: Json | undefined): number {
  if (typeof status === 'number' && Number.isInteger(status) && status >= 200 && status <= 599) return status
  throw runtimeError('The status of a response must be a whole number from 200 to 599')
}

/**
 * Headers that code gives: an object of texts and numbers, or of lists of them. What frames a message, belongs to the
 * connection or is Sluice's to say is left out, and of an answer of the code's own also `Date` and `Cache-Control`.
 * Throws ERR_CODE_RUNTIME.
 */
export function readFields(headers: Json | undefined, of: 'message' | 'answer'): string[] {
  const fields: string[] = []
  for (const [name, given] of Object.entries(asObject(headers) ?? {})) {
    for (const value of Array.isArray(given) ? given : [given]) {
      const isText = typeof value === 'string' || typeof value === 'number' || value instanceof LosslessNumber
      const text = isText ? String(value) : ''
      if (!isText || !NAME.test(name) || !VALUE.test(text)) throw runtimeError('A header of the code is malformed')
      if (!OURS.test(name) && (of === 'message' || !ANSWERS.test(name))) fields.push(name, text)
    }
  }
  return fields
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
const VALUE = /^[\t\x20-\x7e\x80-\xff]{0,8192}$/
const OURS =
  /^(?:host|connection|content-length|content-encoding|transfer-encoding|keep-alive|trailer|upgrade|te|expect|via|(?:bt|sluice|proxy)-.*)$/i
const ANSWERS = /^(?:date|cache-control)$/i
