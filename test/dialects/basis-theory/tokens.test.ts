import t from 'tap'
import type { SluiceError } from '../../../lib/errors.ts'
import { tokenizeRoutes } from '../../../lib/dialects/basis-theory/tokenize.ts'
import { tokenRoutes } from '../../../lib/dialects/basis-theory/tokens.ts'
import { parseTime } from '../../../lib/dialects/basis-theory/token-input.ts'
import { apiErrorBody, proxyErrorBody } from '../../../lib/dialects/basis-theory/wire.ts'
import { SluiceError as Fault } from '../../../lib/errors.ts'
import type { ApiAnswer } from '../../../lib/listen/api.ts'
import type { Caller } from '../../../lib/vault/access.ts'
import { apiCall, newVault } from '../../kit/vault.ts'

const { vault, caller: newCaller, close } = await newVault()
t.teardown(close)
const routes = [...tokenRoutes(vault), ...tokenizeRoutes(vault, 100)]

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
  readonly data: unknown
  readonly fingerprint: string
  readonly metadata: unknown
  readonly created_at: string
  readonly _extras: { deduplicated: boolean }
}

interface Page {
  readonly pagination: { total_items: number; total_pages: number; page_number: number; next: string | null }
  readonly data: Body[]
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
  const deep = (depth: number) => `{"data":${'['.repeat(depth)}"]]\\"]"${']'.repeat(depth)}}`
  t.equal((await ask(all, 'POST', '/tokens', { body: deep(400) })).status, 201)
  for (const depth of [501, 100_000])
    t.equal((await fault(ask(all, 'POST', '/tokens', { body: deep(depth) }))).status, 400)
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

const json = (caller: Caller, method: string, path: string, given: Parameters<typeof apiCall>[1] = {}) =>
  ask(caller, method, path, given).then(body)
const make = (given: object, caller = all) => json(caller, 'POST', '/tokens', { json: given })
const patch = (id: string, given: object, caller = all) =>
  ask(caller, 'PATCH', '/tokens/{id}', { params: { id }, json: given, contentType: 'application/merge-patch+json' })

t.test('masks', async (t) => {
  const masked = await newCaller({ permissions: ['token:create', 'token:read'] })
  const card = { number: '4242424242424242', expiration_month: 12, expiration_year: 2030, cvc: '123' }
  t.same((await make({ type: 'card', data: card }, masked)).data, {
    number: 'XXXXXXXXXXXX4242',
    expiration_month: 12,
    expiration_year: 2030
  })
  t.equal((await make({ type: 'social_security_number', data: '123-45-6789' }, masked)).data, 'XXX-XX-6789')
  t.equal(
    (await make({ data: 'Sensitive Value', mask: '{{ data | reveal_last: 4 }}' }, masked)).data,
    'XXXXXXXXXXXalue'
  )
  t.equal((await make({ data: 'Sensitive Value' }, masked)).data, null, 'no mask shows nothing')
  t.same((await make({ data: { a: { b: 1 }, c: 'x' }, mask: { only: ['{{ data.a.b }}'], fixed: 7 } }, masked)).data, {
    only: [1],
    fixed: 7
  })
  t.ok((await fault(ask(all, 'POST', '/tokens', { json: { data: 1, mask: '{{ data | nosuch }}' } }))).fields?.mask)
  const redacted = await make({ data: 'abc', privacy: { restriction_policy: 'redact' } }, masked)
  t.equal(redacted.data, null)
})

t.test('aliases', async (t) => {
  const made = await make({ id: '{{ data | alias_preserve_format: 0, 4 }}', data: '111-22-3333' })
  t.match(made.id, /^\d{3}-\d{2}-3333$/)
  const email = await make({
    id: "{{ data.email | split: '@' | first | alias_preserve_length }}@{{ data.email | split: '@' | last }}",
    data: { email: 'john.doe@x.com' }
  })
  t.match(email.id, /^[a-z0-9]{8}@x\.com$/)
  for (const id of ['{{ data }}', '{{ data | slice: 0, 2 }}', '{{ data | nosuch }}', '{{']) {
    t.ok((await fault(ask(all, 'POST', '/tokens', { json: { id, data: 'some secret' } }))).fields?.id, id)
  }
  const last = { id: 'card-{{ data | last4 }}', data: '9999999999998888' }
  t.equal((await make(last)).id, 'card-8888')
  t.equal((await fault(ask(all, 'POST', '/tokens', { json: last }))).status, 409)
})

t.test('fingerprints: per type, per tenant, keyed, and not of the cvc', async (t) => {
  const card = (cvc: string) => ({ type: 'card', data: { number: '5555555555554444', cvc } })
  const one = await make(card('111'))
  t.match(one.fingerprint, /^[1-9A-HJ-NP-Za-km-z]{44}$/)
  t.equal((await make(card('222'))).fingerprint, one.fingerprint)
  t.not((await make({ type: 'card_number', data: '5555555555554444' })).fingerprint, one.fingerprint)
  const other = await newCaller({ tenant: 'other' })
  t.not((await make(card('111'), other)).fingerprint, one.fingerprint)
  const given = await make({
    data: 'x',
    metadata: { customer: '7' },
    fingerprint_expression: '{{ metadata.customer }}-{{ data }}'
  })
  t.equal((await make({ data: '7-x', fingerprint_expression: '{{ data }}' })).fingerprint, given.fingerprint)
})

t.test('deduplication', async (t) => {
  const given = { data: 'once and only', deduplicate_token: true }
  const first = await make(given)
  t.equal(first._extras.deduplicated, false)
  const again = await make(given)
  t.match(again, { id: first.id, _extras: { deduplicated: true } })
  await Promise.all(Array.from({ length: 8 }, () => make({ data: 'rivals', deduplicate_token: true })))
  const rivals = await make({ data: 'rivals', deduplicate_token: true })
  const same = (await ask(all, 'GET', '/tokens', { query: new URLSearchParams({ fingerprint: rivals.fingerprint }) }))
    .body
  t.equal((JSON.parse(same ?? '') as Page).pagination.total_items, 1, 'eight at once make one')
})

t.test('update is a merge patch', async (t) => {
  const card = await make({
    type: 'card',
    data: { number: '4242424242424242', expiration_month: 1, expiration_year: 2031, cvc: '123' },
    metadata: { a: '1', b: '2' }
  })
  const changed = body(
    await patch(card.id, { data: { expiration_month: 2 }, metadata: { a: null, c: '3' }, containers: ['/pci/mine/'] })
  )
  t.same(changed.data, { number: '4242424242424242', expiration_month: 2, expiration_year: 2031, cvc: '123' })
  t.same(changed.metadata, { b: '2', c: '3' })
  t.match(changed, { id: card.id, containers: ['/pci/mine/'], created_at: card.created_at })
  t.same(await json(all, 'GET', '/tokens/{id}', { params: { id: card.id } }), changed)
  t.equal((await fault(patch(card.id, { data: { number: '1' } }))).status, 400)
  t.equal((await fault(patch('no-such-token', {}))).status, 404)
  t.equal((await fault(ask(all, 'PATCH', '/tokens/{id}', { params: { id: card.id }, json: {} }))).status, 415)
  const creator = await newCaller({ permissions: ['token:create'] })
  t.equal((await fault(patch(card.id, {}, creator))).status, 403)
})

t.test('tokenize and detokenize', async (t) => {
  const given = {
    first_name: 'John',
    primary_card: { type: 'card', data: { number: '4242424242424242', cvc: '123' } },
    tags: ['preferred', { type: 'token', data: 'vip' }, null, 5, true]
  }
  const made = (await json(all, 'POST', '/tokenize', { json: given })) as unknown as {
    first_name: string
    primary_card: Body
    tags: [string, Body, null, string, string]
  }
  t.match(made, {
    first_name: /^[0-9a-f-]{36}$/,
    primary_card: { type: 'card', data: { number: '4242424242424242', cvc: '123' } }
  })
  t.equal(made.tags[2], null)
  const back = await json(all, 'POST', '/detokenize', {
    json: {
      name: `Mr {{ ${made.first_name} }}`,
      n: `{{ ${made.primary_card.id} | json: '$.number' }}`,
      five: `{{ ${made.tags[3]} }}`,
      whole: `{{ token: ${made.tags[1].id} }}`,
      plain: 1
    }
  })
  t.match(back, {
    name: 'Mr John',
    n: '4242424242424242',
    five: 5,
    whole: { id: made.tags[1].id, type: 'token', data: 'vip' },
    plain: 1
  })
  const before = await vault.page({ caller: all, condition: null, permission: 'token:read', isExact: false }, 1, 1, 'x')
  const error = await fault(
    ask(all, 'POST', '/tokenize', { json: { a: 'good', b: { type: 'card', data: { number: '1' } } } })
  )
  t.same(Object.keys(error.fields ?? {}), ['b.data.number'])
  t.equal(
    (await vault.page({ caller: all, condition: null, permission: 'token:read', isExact: false }, 1, 1, 'x')).total,
    before.total,
    'nothing was made'
  )
  t.match((await ask(all, 'POST', '/tokenize', { json: 'just text' })).body, /^"[0-9a-f-]{36}"$/)
  const user = await newCaller({ permissions: ['token:use', 'token:create'] })
  t.equal((await fault(ask(user, 'POST', '/detokenize', { json: { a: `{{ ${made.first_name} }}` } }))).status, 403)
  t.equal(
    (await fault(ask(all, 'POST', '/detokenize', { json: { a: '{{ no-such-token }}' } }))).code,
    'ERR_TOKEN_UNKNOWN'
  )
})

t.test('lists and searches', async (t) => {
  const lister = await newCaller({ tenant: 'lists' })
  const pages = async (path: string, query: Record<string, string>, caller = lister) =>
    JSON.parse((await ask(caller, 'GET', path, { query: new URLSearchParams(query) })).body ?? '') as Page
  const find = async (query: string, more: object = {}, caller = lister, path = '/tokens/search') =>
    JSON.parse((await ask(caller, 'POST', path, { json: { query, ...more } })).body ?? '') as Page
  const ids = (page: Page) => page.data.map(({ id }) => id).sort()
  for (let n = 0; n < 25; n++)
    await make(
      {
        id: `item-${n}`,
        data: `value ${n}`,
        metadata: { Half: n % 2 === 0 ? 'even' : 'odd' },
        search_indexes: ['{{ data }}']
      },
      lister
    )
  await make({ id: 'ssn', type: 'social_security_number', data: '123-45-6789', containers: ['/pii/high/'] }, lister)
  await make({ id: 'name', data: 'John Doe', search_indexes: ['{{ data }}'], containers: ['/pii/low/'] }, lister)

  t.test('by number', async (t) => {
    const first = await pages('/tokens', { size: '10' })
    t.same(first.pagination, { total_items: 27, page_number: 1, page_size: 10, total_pages: 3 })
    const seen = new Set<string>()
    for (let page = 1; page <= 3; page++)
      for (const id of ids(await pages('/tokens', { size: '10', page: String(page) }))) seen.add(id)
    t.equal(seen.size, 27)
    t.same((await pages('/tokens', { page: '4', size: '10' })).data, [], 'a page past the end is empty')
    t.same(ids(await pages('/tokens', { type: 'social_security_number' })), ['ssn'])
    t.equal((await pages('/tokens', { 'metadata.half': 'EVEN', size: '5' })).pagination.total_items, 13)
    const several = JSON.parse(
      (await ask(lister, 'GET', '/tokens', { query: new URLSearchParams('id=ssn&id=item-3&id=none') })).body ?? ''
    ) as Page
    t.same(ids(several), ['item-3', 'ssn'])
    for (const bad of [{ page: '0' }, { size: '101' }, { size: 'x' }])
      t.equal(
        (await fault(ask(lister, 'GET', '/tokens', { query: new URLSearchParams(bad as Record<string, string>) })))
          .status,
        400
      )
  })

  t.test('by cursor', async (t) => {
    const seen: string[] = []
    let start = ''
    for (let turn = 0; turn < 10; turn++) {
      const page = await pages('/v2/tokens', { size: '10', start })
      seen.push(...ids(page))
      if (page.pagination.next === null) break
      start = page.pagination.next
    }
    t.equal(seen.length, 27)
    t.equal(new Set(seen).size, 27)
    t.same(ids(await pages('/v2/tokens', { container: '/pii/' })), ['name', 'ssn'])
    t.equal((await pages('/v2/tokens', { metadata: '{"Half":"odd"}' })).data.length, 12)
    t.equal((await pages('/v2/tokens', { metadata: '{"Half":"ODD"}' })).data.length, 0, 'with regard to case')
    t.equal(
      (await fault(ask(lister, 'GET', '/v2/tokens', { query: new URLSearchParams({ start: '%%' }) }))).status,
      400
    )
  })

  t.test('the query language', async (t) => {
    t.same(ids(await find('data:6789')), ['ssn'])
    t.same(ids(await find('data:"john doe"')), ['name'])
    t.same(ids(await find('data:"value 7" OR data:123456789')), ['item-7', 'ssn'])
    t.same(ids(await find('(type:social_security_number AND !metadata.half:odd) OR data:"value 1"')), ['item-1', 'ssn'])
    t.same(ids(await find('container:"/pii/*" AND NOT type:token')), ['ssn'])
    t.same(ids(await find('container:"/pii/low/"')), ['name'])
    t.equal((await find('metadata.half:even', { size: 3 })).pagination.total_items, 13)
    t.equal((await find('created_at:[2020-01-01 TO *]')).pagination.total_items, 27)
    t.equal((await find('created_at:{* TO 2020-01-01}')).pagination.total_items, 0)
    t.same(ids(await find('data:"John Doe"', {}, lister, '/v2/tokens/search')), ['name'])
    t.same(ids(await find('data:"john doe"', {}, lister, '/v2/tokens/search')), [], 'v2 has regard to case')
    t.same(ids(await find('data:"value 3" AND container:/general/high/', {}, lister, '/v2/tokens/search')), ['item-3'])
    for (const query of [
      '',
      'x',
      'nosuch:1',
      'type:',
      'type:a type:b',
      '(type:a',
      'type:"a',
      'container:/a*b',
      'data:[a TO b]',
      'type:a AND',
      'created_at:[x TO y]'
    ]) {
      t.ok((await fault(ask(lister, 'POST', '/tokens/search', { json: { query } }))).fields?.query, query)
    }
    t.equal(
      (await fault(ask(lister, 'POST', '/v2/tokens/search', { json: { query: 'type:a OR type:b' } }))).status,
      400
    )
  })

  t.test('nobody sees more than their rules and tenant allow', async (t) => {
    const stranger = await newCaller({ tenant: 'stranger' })
    t.same((await pages('/tokens', {}, stranger)).data, [])
    t.same((await find('data:6789', {}, stranger)).data, [])
    const masked = await newCaller({ tenant: 'lists', permissions: ['token:read', 'token:search'] })
    t.same((await find('data:6789', {}, masked)).data, [], 'guessing data is reading it')
    t.match((await find('id:ssn', {}, masked)).data, [{ data: 'XXX-XX-6789' }])
    const pii = await newCaller({
      tenant: 'lists',
      rules: [
        {
          description: '',
          priority: 1,
          container: '/pii/',
          transform: 'reveal',
          permissions: ['token:read', 'token:search']
        }
      ]
    })
    t.same(ids(await pages('/tokens', {}, pii)), ['name', 'ssn'])
    t.equal((await pages('/v2/tokens', {}, pii)).data.length, 2)
    t.same(ids(await find('data:"value 3" OR data:6789', {}, pii)), ['ssn'])
  })
})
