import t from 'tap'
import type { SluiceError } from '../../../lib/errors.ts'
import { tokenRoutes } from '../../../lib/dialects/basis-theory/tokens.ts'
import { parseTime } from '../../../lib/dialects/basis-theory/token-input.ts'
import { apiErrorBody, proxyErrorBody } from '../../../lib/dialects/basis-theory/wire.ts'
import { SluiceError as Fault } from '../../../lib/errors.ts'
import type { ApiAnswer } from '../../../lib/listen/api.ts'
import type { Caller } from '../../../lib/vault/access.ts'
import { apiCall, newVault } from '../../kit/vault.ts'

const { vault, caller: newCaller, close } = await newVault()
t.teardown(close)
const routes = tokenRoutes(vault)

async function ask(
  caller: Caller,
  method: string,
  path: string,
  given: Parameters<typeof apiCall>[1] = {}
): Promise<ApiAnswer> {
  const route = routes.find((one) => one.method === method && one.path === path)
  if (route === undefined) throw new Error(`no route ${method} ${path}`)
  return route.handler(apiCall(caller, given))
}

async function fault(asked: Promise<ApiAnswer>): Promise<SluiceError> {
  return asked.then(
    () => {
      throw new Error('not refused')
    },
    (error: unknown) => error as SluiceError
  )
}

interface Body {
  readonly id: string
  readonly container: string
  readonly containers: string[]
}
const body = (answer: ApiAnswer) => JSON.parse(answer.body ?? 'null') as Body
const proxyError = (error: Fault) =>
  (JSON.parse(proxyErrorBody(error)) as { proxy_error: { detail: string; forwarded: string } }).proxy_error
const all = await newCaller()

t.test('a token is created, read and deleted', async (t) => {
  const json = {
    type: 'card',
    data: { number: '4242424242424242', expiration_month: 12, expiration_year: 2030 },
    metadata: { user: '7' },
    expires_at: '8/26/2090 7:23:57 PM -07:00'
  }
  const created = await ask(all, 'POST', '/tokens', { json })
  t.equal(created.status, 201)
  const token = body(created)
  t.match(token, { ...json, tenant_id: 'acme', containers: ['/pci/high/'], expires_at: '2090-08-27T02:23:57Z' })
  t.match(token.id, /^[0-9a-f-]{36}$/)
  t.same(body(await ask(all, 'GET', '/tokens/{id}', { params: { id: token.id } })), token)
  t.same(await ask(all, 'DELETE', '/tokens/{id}', { params: { id: token.id } }), { status: 204, body: null })
  t.equal((await fault(ask(all, 'GET', '/tokens/{id}', { params: { id: token.id } }))).status, 404)
})

t.test('digits are kept as they were written', async (t) => {
  const created = await ask(all, 'POST', '/tokens', { body: '{"data":{"n":12345678901234567890, "m": 1.50}}' })
  t.match(created.body, '"data":{"n":12345678901234567890,"m":1.50}')
})

t.test('a key that may only create never sees plaintext', async (t) => {
  const creator = await newCaller({ permissions: ['token:create'] })
  const created = await ask(creator, 'POST', '/tokens', { json: { data: 'marked-secret' } })
  t.notMatch(created.body, 'marked-secret')
  t.equal((await fault(ask(creator, 'GET', '/tokens/{id}', { params: { id: body(created).id } }))).status, 403)
  t.equal((await fault(ask(creator, 'DELETE', '/tokens/{id}', { params: { id: body(created).id } }))).status, 403)
})

t.test('ids', async (t) => {
  for (const id of [
    'ab',
    'a'.repeat(401),
    'a#b',
    'a/b',
    'a\\b',
    'a+b',
    'a?b',
    'a[b',
    'a|b',
    'a&b',
    'a=b',
    'a%b',
    'a<b',
    'a{b',
    'a^b',
    'a\nb',
    'fp_id_x.id.ssn9'
  ]) {
    t.ok(
      (await fault(ask(all, 'POST', '/tokens', { json: { id, data: 1 } }))).fields?.id,
      JSON.stringify(id.slice(0, 20))
    )
  }
  t.ok(
    (await fault(ask(all, 'POST', '/tokens', { body: '{"id":"a\\ud800b","data":1}' }))).fields?.id,
    'half a surrogate pair'
  )
  for (const id of ['abc', "o'neil @ x.com:1_2-3", 'é€😀', '4242424242424242', 'true']) {
    t.equal(body(await ask(all, 'POST', '/tokens', { json: { id, data: 1 } })).id, id)
  }
  t.equal((await fault(ask(all, 'POST', '/tokens', { json: { id: 'abc', data: 1 } }))).status, 409)
})

t.test('faults are named by field', async (t) => {
  const faults = async (json: unknown) => Object.keys((await fault(ask(all, 'POST', '/tokens', { json }))).fields ?? {})
  t.same(await faults({}), ['data'])
  t.same(await faults({ type: 'no spaces', data: 1 }), ['type'])
  t.same(await faults({ type: 'card', data: { number: '4242424242424241', cvc: '12345', expiration_month: 13 } }), [
    'data.number',
    'data.expiration_month',
    'data.cvc'
  ])
  t.same(await faults({ type: 'bank', data: { routing_number: '021000022', account_number: '1' } }), [
    'data.routing_number'
  ])
  t.same(await faults({ data: 1, metadata: { a: 1 } }), ['metadata.a'])
  t.same(await faults({ data: 1, containers: ['/a/', '/b/'] }), ['containers'])
  t.same(await faults({ data: 1, containers: ['a'] }), ['containers'])
  t.same(await faults({ data: 1, expires_at: 'soon' }), ['expires_at'])
  t.same(await faults({ data: 1, expires_at: '2001-01-01' }), ['expires_at'])
  t.same(await faults({ data: 1, privacy: { impact_level: 'huge' } }), ['privacy.impact_level'])
  t.same(await faults({ type: 'card', data: { number: '4242424242424242' }, privacy: { impact_level: 'low' } }), [
    'privacy.impact_level'
  ])
  t.same(await faults({ data: 1, destinations: ['not a host'] }), ['destinations[0]'])
  for (const text of [null, '', '{', '[]', '"x"'])
    t.equal((await fault(ask(all, 'POST', '/tokens', { body: text }))).status, 400)
})

t.test('privacy becomes a container', async (t) => {
  const made = async (json: object) => body(await ask(all, 'POST', '/tokens', { json }))
  t.match(await made({ data: 'x', privacy: { classification: 'pii', impact_level: 'moderate' } }), {
    container: '/pii/moderate/'
  })
  t.match(await made({ data: 'x', containers: ['/My/Place/'] }), { containers: ['/my/place/'] })
})

t.test('times', (t) => {
  const iso = (text: string) => new Date(parseTime(text)).toISOString()
  t.equal(iso('2030-08-26T19:23:57-07:00'), '2030-08-27T02:23:57.000Z')
  t.equal(iso('2030-08-26T19:23:57.5'), '2030-08-26T19:23:57.500Z')
  t.equal(iso('2030-08-26'), '2030-08-26T00:00:00.000Z')
  t.equal(iso('9/27/2030'), '2030-09-27T00:00:00.000Z')
  t.equal(iso('8/26/2030 12:05 AM'), '2030-08-26T00:05:00.000Z')
  for (const text of ['', 'x', '13/45/2030', '2030-02-30T99:00:00Z', '8/26/2030 13:00 PM'])
    t.ok(Number.isNaN(parseTime(text)), text)
  t.end()
})

t.test('error envelopes', (t) => {
  t.match(JSON.parse(apiErrorBody(new Fault('ERR_INPUT', 'x', { fields: { id: ['bad'] } }))), {
    errors: { id: ['bad'] },
    title: 'One or more validation errors occurred.',
    status: 400,
    detail: 'The inputs supplied to the API are invalid'
  })
  const unknown = new Fault('ERR_TOKEN_UNKNOWN', 'Failed to detokenize some tokens: a. Tokens were not found.', {
    offset: 12
  })
  t.same(JSON.parse(proxyErrorBody(unknown)), {
    proxy_error: {
      errors: {},
      title: 'Invalid proxy request',
      status: 400,
      detail: 'Failed to detokenize some tokens: a. Tokens were not found.',
      code: 'ERR_TOKEN_UNKNOWN',
      offset: 12,
      forwarded: 'no'
    }
  })
  for (const code of ['ERR_AUTH_MISSING', 'ERR_AUTH_INVALID'] as const) {
    t.equal(proxyError(new Fault(code, 'x')).detail, 'The BT-API-KEY header is required')
  }
  t.equal(proxyError(new Fault('ERR_DESTINATION_TIMEOUT', 'x', { forwarded: 'unknown' })).forwarded, 'unknown')
  t.end()
})
