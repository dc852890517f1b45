import t from 'tap'
import { errorBody } from '../lib/dialects/footprint/wire.ts'
import { apiErrorBody, proxyErrorBody } from '../lib/dialects/basis-theory/wire.ts'
import { asSluiceError, ERRORS, type ErrorCode, SluiceError, unreachable } from '../lib/errors.ts'
import { errorFields } from '../lib/plan/answer.ts'
import { readReadme, UNSEEN } from './kit/readme.ts'

/*
 * The table of codes is the documentation and the wire: each code, in every form that it can take.
 */

const CODES = Object.keys(ERRORS) as ErrorCode[]

/** What callers rely on; a code that moves breaks them. */
const STATUSES: Readonly<Record<number, readonly string[]>> = {
  400: [
    'ERR_DESTINATION_URL',
    'ERR_EXPR_SYNTAX',
    'ERR_EXPR_FILTER',
    'ERR_EXPR_ARGUMENT',
    'ERR_EXPR_PATH',
    'ERR_EXPR_LIMIT',
    'ERR_EXPR_VALUE',
    'ERR_TOKEN_UNKNOWN',
    'ERR_TOKEN_LIMIT',
    'ERR_SUBJECT_NOT_ALLOWED',
    'ERR_INPUT',
    'ERR_CONTENT_TYPE',
    'ERR_HTTP_SYNTAX',
    'ERR_CODE_ERROR',
    'ERR_TRANSFORM'
  ],
  401: ['ERR_AUTH_MISSING', 'ERR_AUTH_INVALID'],
  403: ['ERR_PERMISSION', 'ERR_DESTINATION_FORBIDDEN', 'ERR_TOKEN_FORBIDDEN'],
  404: ['ERR_NOT_FOUND'],
  405: ['ERR_METHOD'],
  408: ['ERR_CLIENT_TIMEOUT', 'ERR_DESTINATION_TIMEOUT', 'ERR_CODE_TIMEOUT'],
  409: ['ERR_CONFLICT'],
  413: ['ERR_BODY_SIZE', 'ERR_DECODED_SIZE'],
  415: ['ERR_MEDIA_TYPE', 'ERR_CHARSET', 'ERR_ENCODING'],
  417: ['ERR_EXPECTATION'],
  431: ['ERR_HEAD_SIZE'],
  422: ['ERR_CODE'],
  500: ['ERR_CODE_RUNTIME', 'ERR_INTERNAL'],
  502: [
    'ERR_DESTINATION_UNREACHABLE',
    'ERR_DESTINATION_TLS',
    'ERR_DESTINATION_RESPONSE',
    'ERR_DESTINATION_DNS',
    'ERR_UPGRADE'
  ],
  503: ['ERR_OVERLOAD', 'ERR_STORE_UNAVAILABLE', 'ERR_AUDIT_UNAVAILABLE'],
  508: ['ERR_LOOP']
}

t.test('each code has its status', async (t) => {
  const actual: Record<number, string[]> = {}
  for (const code of CODES) if (!UNSEEN.has(code)) (actual[ERRORS[code].status] ??= []).push(code)
  t.same(actual, STATUSES)
})

for (const code of CODES) {
  t.test(code, async (t) => {
    const { status, source, retry, title } = ERRORS[code]
    const cause = new Error('the cause')
    const error = new SluiceError(code, 'what happened', { offset: 7, cause })
    t.match(error, { code, status, source, retry, message: 'what happened', cause })

    const proxied = JSON.parse(proxyErrorBody(error)) as Record<string, Record<string, unknown>>
    t.strictSame(Object.keys(proxied), ['proxy_error'])
    t.strictSame(proxied['proxy_error'], {
      errors: {},
      title: status < 500 ? 'Invalid proxy request' : title,
      status,
      detail: status === 401 ? 'The BT-API-KEY header is required' : 'what happened',
      code,
      offset: 7,
      forwarded: code === 'ERR_INTERNAL' ? 'unknown' : 'no'
    })
    error.forwarded = 'yes'
    t.match(JSON.parse(proxyErrorBody(error, 502)), { proxy_error: { status: 502, code, forwarded: 'yes' } })
    t.strictSame(JSON.parse(apiErrorBody(error)), { errors: {}, title, status, detail: 'what happened', code })
    t.strictSame(JSON.parse(errorBody(error, 'yes')), {
      message: 'what happened',
      code,
      context: { offset: 7, forwarded: 'yes', upstream_called: true }
    })
    for (const body of [proxyErrorBody(error), apiErrorBody(error), errorBody(error)]) {
      t.notMatch(body, /the cause|errors\.test|stack/)
    }
    t.equal(errorFields(error, 'trace').includes('Retry-After'), status === 503)
    if (!UNSEEN.has(code))
      t.ok(readReadme().text.includes(`| ${status} | \`${code}\` | ${title} |`), 'is in the README')
  })
}

t.test('what is not ours says nothing of itself', async (t) => {
  const error = asSluiceError(new TypeError('4242424242424242 is not a function'))
  t.match(error, { code: 'ERR_INTERNAL', status: 500, message: 'An internal error occurred' })
  t.notMatch(proxyErrorBody(error), /4242/)
  t.throws(() => unreachable('a state'), { code: 'ERR_INTERNAL' })
  t.equal(asSluiceError(error), error)
})
