import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { answering, echoing, newDestination } from '../../kit/destination.ts'
import { newProxy } from '../../kit/proxy.ts'
import { reactorCode } from '../../kit/reactor.ts'

const proxy = await newProxy()
const destination = await newDestination({ script: echoing })
t.teardown(async () => {
  await proxy.close()
  await destination.close()
})
const origin = `http://127.0.0.1:${proxy.port}`

interface Answer {
  readonly status: number
  readonly json: Record<string, unknown>
  readonly text: string
  readonly headers: Headers
}

async function ask(
  method: string,
  path: string,
  body?: unknown,
  key = proxy.key,
  type = 'application/json'
): Promise<Answer> {
  const response = await fetch(origin + path, {
    method,
    headers: { 'BT-API-KEY': key, ...(body === undefined ? {} : { 'Content-Type': type }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json') === true && text !== ''
  return { status: response.status, json: isJson ? JSON.parse(text) : {}, text, headers: response.headers }
}

async function newReactor(more: object): Promise<string> {
  const { status, json, text } = await ask('POST', '/reactors', { name: 'My Reactor', ...more })
  if (status !== 201) throw new Error(`${status} ${text}`)
  return json['id'] as string
}

async function newApplication(more: object): Promise<{ id: string; key: string }> {
  const made = await ask('POST', '/applications', { name: 'App', type: 'private', ...more })
  return made.json as unknown as { id: string; key: string }
}

const react = (id: string, args: unknown, key?: string) => ask('POST', `/reactors/${id}/react`, { args }, key)
const args = reactorCode('return { raw: req.args }')
const all = (transform: string, ...permissions: string[]) => [
  { description: '', priority: 1, container: '/', transform, permissions }
]

t.test('a formula, a reactor of it, and the end of both', async (t) => {
  const formula = {
    name: 'Spreedly - Card',
    description: 'd',
    type: 'private',
    code: args,
    configuration: [{ name: 'KEY', description: 'k', type: 'string' }],
    request_parameters: [{ name: 'card.number', description: 'n', type: 'string' }]
  }
  const made = await ask('POST', '/reactor-formulas/', formula)
  t.match(made, { status: 201, json: { ...formula, tenant_id: 'default', status: 'verified' } })
  t.strictSame((made.json['request_parameters'] as object[])[0], {
    name: 'card.number',
    description: 'n',
    type: 'string',
    optional: false
  })
  const formulaId = made.json['id'] as string
  const bare = { name: 'R', formula: { id: formulaId } }
  t.match(await ask('POST', '/reactors', bare), {
    status: 400,
    json: { errors: { 'configuration.KEY': [String] } }
  })
  const reactor = await ask('POST', '/reactors', { ...bare, configuration: { KEY: 'very-secret-value' } })
  t.match(reactor, { status: 201, json: { name: 'R', formula: { id: formulaId, code: args } } })
  t.strictSame(reactor.json['configuration'], { KEY: null }, 'values are written and never shown')
  const id = reactor.json['id'] as string
  t.match(await ask('GET', `/reactors/${id}`), { status: 200, json: { id, name: 'R' } })
  t.match(await ask('GET', '/reactors?name=r*'), {
    status: 200,
    json: { data: [{ id }], pagination: { total_items: 1 } }
  })
  t.match(await ask('GET', `/reactors?id=${formulaId}`), { json: { data: [] } }, 'a formula is no reactor')
  t.match(await ask('GET', `/reactors/${formulaId}`), { status: 404 })
  t.match(await ask('GET', '/reactor-formulas?name=*card'), { status: 200, json: { data: [{ id: formulaId }] } })
  t.match(await ask('DELETE', `/reactor-formulas/${formulaId}`), { status: 409 }, 'one that is in use stays')
  t.match(await ask('PUT', `/reactor-formulas/${formulaId}`, { ...formula, name: 'New' }), {
    status: 200,
    json: { name: 'New', modified_at: String }
  })
  t.match(await ask('DELETE', `/reactors/${id}`), { status: 204 })
  t.match(await ask('DELETE', `/reactor-formulas/${formulaId}`), { status: 204 })
  t.match(await ask('GET', `/reactors/${id}`), { status: 404 })
})

t.test('a reactor with code of its own is changed, and keeps what it hides', async (t) => {
  const code = reactorCode('return { raw: req.configuration }')
  const id = await newReactor({ code, configuration: { A: 'aaa', B: 'bbb' } })
  const shown = await ask('GET', `/reactors/${id}`)
  t.strictSame(shown.json['configuration'], { A: null, B: null })
  const changed = { ...shown.json, name: 'N', configuration: { A: null, C: 'ccc' } }
  t.match(await ask('PUT', `/reactors/${id}`, changed), { status: 200, json: { name: 'N' } })
  t.strictSame((await react(id, {})).json, { raw: { A: 'aaa', C: 'ccc' } })
  const merge = 'application/merge-patch+json'
  t.equal((await ask('PATCH', `/reactors/${id}`, { configuration: { A: null, D: 'd' } }, proxy.key, merge)).status, 204)
  t.strictSame((await react(id, {})).json, { raw: { C: 'ccc', D: 'd' } })
  t.equal((await ask('PATCH', `/reactors/${id}`, {})).status, 415)
  t.match(await ask('PUT', `/reactors/${id}`, { name: 'N', code, configuration: { Z: null } }), {
    status: 400,
    json: { errors: { 'configuration.Z': [String] } }
  })
})

t.test('code that is no function, or does not parse, is refused where it is written', async (t) => {
  const refused = async (code: unknown) => {
    const { status, json } = await ask('POST', '/reactors', { name: 'R', code })
    return [status, (json['errors'] as { code: string[] }).code[0]]
  }
  t.match(await refused('module.exports = (req) => {\n  return ((;\n}'), [422, /^Line 2, column 12: /])
  t.match(await refused('module.exports = 3'), [422, /function/])
  t.match(await refused('throw new Error("x")'), [422, /throws/])
  t.match(await refused(''), [400, /characters/])
  t.match(await refused(`//${'x'.repeat(50_000)}`), [400, /characters/])
})

t.test('permissions', async (t) => {
  const id = await newReactor({ code: args })
  const nobody = await proxy.newKey(['token:create'])
  for (const [method, path] of [
    ['POST', '/reactors'],
    ['GET', '/reactors'],
    ['GET', `/reactors/${id}`],
    ['PUT', `/reactors/${id}`],
    ['PATCH', `/reactors/${id}`],
    ['DELETE', `/reactors/${id}`],
    ['POST', `/reactors/${id}/react`],
    ['POST', '/reactor-formulas'],
    ['DELETE', `/reactor-formulas/${id}`]
  ] as const) {
    t.equal((await ask(method, path, method === 'GET' ? undefined : {}, nobody)).status, 403, `${method} ${path}`)
  }
  const other = await proxy.newKey(['*'], { tenant: 'other' })
  t.equal((await react(id, {}, other)).status, 404, 'of another tenant there is none')
  const application = await newApplication({ permissions: ['token:use'] })
  const maker = await proxy.newKey(['reactor:create'])
  t.equal(
    (await ask('POST', '/reactors', { name: 'R', code: args, application: { id: application.id } }, maker)).status,
    403,
    'attaching an application is acting for it'
  )
  t.match(await ask('POST', '/reactors', { name: 'R', code: args, application: { id: 'x' } }), {
    status: 400,
    json: { errors: { 'application.id': [String] } }
  })
})

t.test('arguments are detokenized as the document shows', async (t) => {
  const id = await newReactor({ code: args })
  const card = (n: string, month: number, year: number) => ({
    number: n,
    expiration_month: month,
    expiration_year: year,
    cvc: '123'
  })
  const one = await proxy.token(card('4242424242424242', 11, 2025), { type: 'card' })
  const number = await proxy.token('5555555555554444', { type: 'card_number' })
  const [jane, john, brown] = [await proxy.token('Jane Doe'), await proxy.token('John'), await proxy.token('Brown')]
  const own = await proxy.token({
    card: {
      card_number: '4000056655665556',
      exp_month: 4,
      exp_year: 2026,
      owner: { first_name: 'John', last_name: 'Smith' }
    }
  })
  const examples: [unknown, unknown][] = [
    [
      { card: `{{${one}}}`, card_owner_full_name: 'John Doe' },
      { card: card('4242424242424242', 11, 2025), card_owner_full_name: 'John Doe' }
    ],
    [
      {
        card: {
          number: `{{${one} | json: '$.number'}}`,
          expiration_month: `{{${one} | json: '$.expiration_month'}}`,
          expiration_year: `{{${one} | json: '$.expiration_year'}}`,
          cvc: '987'
        }
      },
      { card: { ...card('4242424242424242', 11, 2025), cvc: '987' } }
    ],
    [
      { card: { number: `{{${number}}}`, expiration_month: 10, cvc: '789' }, card_owner_full_name: `{{${jane}}}` },
      { card: { number: '5555555555554444', expiration_month: 10, cvc: '789' }, card_owner_full_name: 'Jane Doe' }
    ],
    [{ card_owner_full_name: `{{${john}}} {{${brown}}}` }, { card_owner_full_name: 'John Brown' }],
    [
      {
        card: {
          number: `{{${own} | json: '$.card.card_number'}}`,
          expiration_month: `{{${own} | json: '$.card.exp_month'}}`
        },
        name: `{{${own} | json: '$.card.owner.first_name'}} {{${own} | json: '$.card.owner.last_name'}}`
      },
      { card: { number: '4000056655665556', expiration_month: 4 }, name: 'John Smith' }
    ],
    [
      {
        expiration_month: `{{${own} | json: '$.card.exp_month' | pad_left: 2, '0'}}`,
        expiration_year: `{{${own} | json: '$.card.exp_year' | slice: -2, 2}}`
      },
      { expiration_month: '04', expiration_year: '26' }
    ]
  ]
  for (const [given, expected] of examples) {
    const { status, json } = await react(id, given)
    t.same([status, json], [200, { raw: expected }])
  }
  t.match(await react(id, { a: '{{ nosuch }}' }), { status: 400, json: { code: 'ERR_TOKEN_UNKNOWN' } })
  const seer = await proxy.newKey(['token:read', 'reactor:invoke'])
  t.match(await react(id, { a: `{{${jane}}}` }, seer), { status: 403, json: { code: 'ERR_TOKEN_FORBIDDEN' } })
})

t.test('declared arguments are cast, and every one that does not fit is named', async (t) => {
  const formula = await ask('POST', '/reactor-formulas', {
    name: 'F',
    code: args,
    configuration: [{ name: 'N', type: 'number' }],
    request_parameters: [
      { name: 'card.number', type: 'string' },
      { name: 'card.month', type: 'number' },
      { name: 'flag', type: 'boolean' },
      { name: 'card.cvc', type: 'string', optional: true }
    ]
  })
  const id = await newReactor({ formula: { id: formula.json['id'] }, configuration: { N: 7 } })
  const month = await proxy.token('03')
  t.strictSame((await react(id, { card: { number: 42, month: `{{${month}}}` }, flag: 'true', more: 1 })).json, {
    raw: { card: { number: '42', month: 3 }, flag: true, more: 1 }
  })
  const secret = await proxy.token('non-numeric-secret')
  const refused = await react(id, { card: { month: `{{${secret}}}` }, Flag: true })
  t.equal(refused.status, 400)
  t.strictSame(Object.keys(refused.json['errors'] as object), ['args.card.number', 'args.card.month', 'args.flag'])
  t.notMatch(refused.text, 'non-numeric-secret')
})

t.test('what is to be tokenized comes back as tokens', async (t) => {
  const id = await newReactor({
    code: reactorCode('return { raw: 1, tokenize: { a: req.args.a, t: { type: "token", data: 5 } } }')
  })
  const { json } = await react(id, { a: 'plain' })
  const tokens = json['tokens'] as { a: string; t: { id: string } }
  t.match(json, { raw: 1, tokens: { a: String, t: { id: String, type: 'token' } } })
  const back = await ask('GET', `/tokens/${tokens.a}`)
  t.equal(back.json['data'], 'plain')
})

t.test('errors are the vendor’s, and hold nothing that was revealed', async (t) => {
  const classes = `const errors = require('@basis-theory/basis-theory-reactor-formulas-sdk-js')\n`
  const id = await newReactor({
    code: `${classes}${reactorCode('throw new errors[req.args.name](req.args.with)')}`,
    configuration: { KEY: 'hidden-key-value' }
  })
  const secret = await proxy.token({ pan: '4242424242424242', nested: ['Jane "Q" Doe'] })
  const cases: [string, number, string][] = [
    ['BadRequestError', 400, 'Bad Request'],
    ['InvalidReactorConfigurationError', 400, 'Invalid Reactor Configuration'],
    ['AuthenticationError', 401, 'Authentication Failed'],
    ['InvalidPaymentMethodError', 402, 'Invalid Payment Method'],
    ['AuthorizationError', 403, 'Forbidden'],
    ['InvalidReactorFormulaError', 422, 'Invalid Reactor Formula'],
    ['RateLimitError', 429, 'Rate Limit Exceeded'],
    ['ReactorRuntimeError', 500, 'Reactor Runtime Error'],
    ['ServiceUnavailableError', 503, 'Service Unavailable Error']
  ]
  for (const [name, status, detail] of cases) {
    const answer = await react(id, { name, with: `it was {{${secret} | json: '$.pan'}}` })
    t.match(answer, { status, json: { detail, status, errors: { error: ['it was «redacted»'] } } }, name)
  }
  const whole = await newReactor({
    code: reactorCode(`throw new Error(JSON.stringify(req) + req.args.s.nested[0])`),
    configuration: { KEY: 'hidden-key-value' }
  })
  const answer = await react(whole, { s: `{{${secret}}}` })
  t.equal(answer.status, 500)
  for (const text of ['4242424242424242', 'Jane', 'hidden-key-value', 'reactor.js']) t.notMatch(answer.text, text)
  const custom = await newReactor({
    code: `${classes}${reactorCode(`throw new errors.CustomHttpResponseError({
      status: 418, headers: { 'X-A': 'b', 'Content-Type': 'text/plain', 'Content-Length': '1' }, body: 'short ' + req.args.s.pan })`)}`
  })
  const own = await react(custom, { s: `{{${secret}}}` })
  t.same([own.status, own.text, own.headers.get('x-a')], [418, 'short «redacted»', 'b'])
  t.equal(own.headers.get('content-type'), 'text/plain')
  const wrong = await newReactor({
    code: `${classes}${reactorCode('throw new errors.CustomHttpResponseError({ status: 101, headers: { "a\\r\\nb": "c" } })')}`
  })
  t.equal((await react(wrong, {})).status, 500)
  t.equal((await react(await newReactor({ code: reactorCode('return 7') }), {})).status, 500)
  t.equal((await react(id, { name: 'x'.repeat(1024 * 1024) })).status, 413)
  t.notMatch(proxy.logged(), '4242424242424242')
})

t.test('the Spreedly formula against the echo destination', async (t) => {
  const formula = await ask('POST', '/reactor-formulas', {
    name: 'Spreedly - Card',
    code: `
      const fetch = require('node-fetch')
      const { Buffer } = require('buffer')
      module.exports = async function (req) {
        const { card, card_owner_full_name } = req.args
        const credentials = Buffer.from(req.configuration.ENVIRONMENT_KEY + ':' + req.configuration.ACCESS_SECRET)
        const response = await fetch(req.configuration.URL + '/v1/payment_methods.json', {
          method: 'POST',
          headers: { 'Content-Type': 'application/json', Authorization: 'Basic ' + credentials.toString('base64') },
          body: JSON.stringify({
            payment_method: {
              credit_card: {
                number: card.number,
                month: String(card.expiration_month),
                year: String(card.expiration_year),
                verification_value: card.cvc,
                full_name: card_owner_full_name
              },
              retained: true
            }
          })
        })
        return { raw: { status: response.status, ok: response.ok } }
      }`,
    configuration: ['URL', 'ENVIRONMENT_KEY', 'ACCESS_SECRET'].map((name) => ({ name, type: 'string' })),
    request_parameters: [
      { name: 'card.number', type: 'string' },
      { name: 'card.expiration_month', type: 'number' },
      { name: 'card.expiration_year', type: 'number' },
      { name: 'card.cvc', type: 'string', optional: true },
      { name: 'card_owner_full_name', type: 'string' }
    ]
  })
  const id = await newReactor({
    formula: { id: formula.json['id'] },
    configuration: { URL: destination.url, ENVIRONMENT_KEY: 'Aladdin', ACCESS_SECRET: 'open sesame' }
  })
  const data = { number: '4242424242424242', expiration_month: 11, expiration_year: 2025, cvc: '123' }
  const card = await proxy.token(data, { type: 'card' })
  const before = destination.requests.length
  const answer = await react(id, { card: `{{${card}}}`, card_owner_full_name: 'John Doe' })
  t.same([answer.status, answer.json], [200, { raw: { status: 200, ok: true } }])
  const sent = await destination.request(before)
  t.same(JSON.parse(sent.body.toString()), {
    payment_method: {
      credit_card: {
        number: '4242424242424242',
        month: '11',
        year: '2025',
        verification_value: '123',
        full_name: 'John Doe'
      },
      retained: true
    }
  })
  t.equal(sent.startLine, 'POST /v1/payment_methods.json HTTP/1.1')
  t.equal(sent.header('authorization'), 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==')
})

t.test('req.bt acts as the attached application', async (t) => {
  const rules = all('reveal', 'token:create', 'token:read', 'token:update', 'token:delete', 'token:use')
  const { id: application } = await newApplication({ rules })
  const id = await newReactor({
    application: { id: application },
    code: reactorCode(`
      const made = await req.bt.tokens.create({ type: 'token', data: { a_b: 1 }, metadata: { m_n: 'x' } })
      const read = await req.bt.tokens.retrieve(made.id)
      const changed = await req.bt.tokens.update(made.id, { data: 'new' })
      const tokens = await req.bt.tokenize({ x: 'y' })
      await req.bt.tokens.delete(made.id)
      let gone
      try { await req.bt.tokens.retrieve(made.id) } catch (e) { gone = e.status }
      return { raw: { tenantId: made.tenantId, data: read.data, metadata: read.metadata, changed: changed.data, by: made.createdBy, tokens, gone } }`)
  })
  const { json, text } = await react(id, {})
  t.match(
    json,
    {
      raw: {
        tenantId: 'default',
        data: { a_b: 1 },
        metadata: { m_n: 'x' },
        by: application,
        tokens: { x: String },
        gone: 404
      }
    },
    text
  )
  const weak = await newApplication({ permissions: ['token:use'] })
  const poor = await newReactor({
    application: { id: weak.id },
    code: reactorCode('await req.bt.tokens.create({ type: "token", data: 1 })')
  })
  t.match(await react(poor, {}), { status: 500, json: { errors: { error: ['Missing permission: token:create'] } } })
  await ask('DELETE', `/applications/${weak.id}`)
  t.equal((await react(poor, {})).status, 409, 'an application that is gone')
})

t.test('fetch goes where caller, application and tokens may go, and nowhere else', async (t) => {
  const here = `localhost:${destination.port}`
  const code = reactorCode(`
    const seen = req.args.read === undefined ? null : await req.bt.tokens.retrieve(req.args.read)
    try { return { raw: (await fetch(req.args.url, { method: 'POST', body: String(req.args.value) })).status } }
    catch (e) { return { raw: e.code } }`)
  const rules = all('reveal', 'token:read', 'token:use')
  const open = await newApplication({ rules })
  const bound = await newApplication({ rules, destinations: ['elsewhere.example'] })
  const plain = await newReactor({ code, application: { id: open.id } })
  const narrow = await newReactor({ code, application: { id: bound.id } })
  const free = await proxy.token('free-value')
  const tied = await proxy.token('tied-value', { destinations: ['elsewhere.example'] })
  const container = await proxy.token('contained-value', { container: '/bound/' })
  await ask('PUT', `/containers/${encodeURIComponent('/bound/')}`, { destinations: ['elsewhere.example'] })
  const { url } = destination
  const raw = async (id: string, more: object, key?: string) => (await react(id, { url, ...more }, key)).json['raw']
  const before = destination.requests.length
  t.equal(await raw(plain, { value: `{{${free}}}` }), 200)
  t.equal(await raw(plain, { value: `{{${free}}}`, read: free }), 200)
  t.equal(destination.requests.length, before + 2)
  const forbidden = 'ERR_DESTINATION_FORBIDDEN'
  t.equal(await raw(plain, { value: `{{${tied}}}` }), forbidden, 'a token of the arguments')
  t.equal(await raw(plain, { value: `{{${container}}}` }), forbidden, 'a container')
  t.equal(await raw(plain, { value: 'x', read: tied }), forbidden, 'a token that the code has read')
  t.equal(await raw(narrow, { value: 'x' }), forbidden, 'the attached application')
  const key = await proxy.newKey(['*'], { destinations: ['elsewhere.example'] })
  t.equal(await raw(plain, { value: 'x' }, key), forbidden, 'the caller')
  t.equal(destination.requests.length, before + 2, 'the destination hears of none of them')
  for (const [bad, why] of [
    ['https://169.254.169.254/latest/meta-data/', 'ERR_DESTINATION_URL'],
    ['http://localhost/', 'ERR_DESTINATION_URL'],
    ['https://[::1]/', 'ERR_DESTINATION_URL'],
    ['https://localhost:22/', 'ERR_DESTINATION_URL'],
    ['file:///etc/passwd', 'ERR_DESTINATION_URL'],
    [`https://localhost:${proxy.httpsPort}/`, forbidden],
    [`https://user@${here}/`, 'ERR_DESTINATION_URL']
  ] as const) {
    t.equal(await raw(plain, { url: bad, value: 'x' }), why, bad)
  }
  const folder = join(proxy.folder, 'audit')
  const audit = readdirSync(folder)
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('')
  t.match(audit, `"door":"reactor"`)
  const intents = audit.split('\n').filter((line) => line.includes(`"reactor":"${plain}"`))
  const numbers = intents.map((line) => (JSON.parse(line) as { n: number }).n)
  t.ok(numbers.length > 5, 'every call of the reactor, with tokens or without')
  for (const n of numbers.slice(0, -1)) t.match(audit, `{"of":${n},`, 'and what became of it')
  t.match(audit, `"to":"${here}"`)
  t.notMatch(audit, 'free-value')
})

t.test(
  'what a create or an update shows of a token that was there is bound and written down as what was read is',
  async (t) => {
    const code = reactorCode(`
    const card = { type: 'card', data: { number: '4242424242424242' }, deduplicate_token: true }
    const seen = req.args.by === 'create' ? await req.bt.tokens.create({ ...card, deduplicateToken: true })
      : req.args.by === 'tokenize' ? await req.bt.tokenize(card)
      : await req.bt.tokens.update(req.args.id, { metadata: { a: 'b' } })
    try { return { raw: (await fetch(req.args.url, { method: 'POST', body: JSON.stringify(seen) })).status } }
    catch (e) { return { raw: e.code } }`)
    const rules = all('reveal', 'token:read', 'token:use', 'token:create', 'token:update')
    const application = await newApplication({ rules })
    const reactor = await newReactor({ code, application: { id: application.id } })
    const card = { number: '4242424242424242', expiration_month: 12, expiration_year: 2099 }
    const id = await proxy.token(card, { type: 'card', destinations: ['elsewhere.example'] })
    const before = destination.requests.length
    for (const by of ['create', 'tokenize', 'update']) {
      const answer = await react(reactor, { by, id, url: destination.url })
      t.equal(answer.json['raw'], 'ERR_DESTINATION_FORBIDDEN', by)
    }
    t.equal(destination.requests.length, before, 'the destination hears of none of them')
    const trace = 'read-by-create'
    const made = await fetch(`${origin}/tokens`, {
      method: 'POST',
      headers: { 'BT-API-KEY': proxy.key, 'BT-TRACE-ID': trace, 'Content-Type': 'application/json' },
      body: JSON.stringify({ type: 'card', data: { number: card.number }, deduplicate_token: true })
    })
    t.match(await made.json(), { id, data: { expiration_year: 2099 } })
    const folder = join(proxy.folder, 'audit')
    const lines = readdirSync(folder).flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    t.ok(
      lines.some((line) => line.includes('"door":"read"') && line.includes(id) && line.includes(trace)),
      'whoever is shown a token that was there has read it'
    )
  }
)

t.test('tokens that the code of a reactor makes are masked for whoever may not read them', async (t) => {
  const code = reactorCode('return { tokenize: { made: { type: "token", data: req.args.value } } }')
  const maker = await newApplication({ rules: all('reveal', 'token:read', 'token:create') })
  const value = await proxy.token('value-of-the-token')
  const user = await proxy.newKey(['token:use'])
  for (const more of [{}, { application: { id: maker.id } }]) {
    const reactor = await newReactor({ code, ...more })
    const key = 'application' in more ? user : await proxy.newKey(['token:use', 'token:create'])
    const answer = await react(reactor, { value: `{{${value}}}` }, key)
    t.equal(answer.status, 200, answer.text)
    t.notMatch(answer.text, 'value-of-the-token')
    const reader = await react(reactor, { value: `{{${value}}}` })
    t.match(reader.text, 'value-of-the-token')
  }
})

t.test('a response that is too long, and headers that would break the message', async (t) => {
  const body = 'x'.repeat(1024 * 1024 + 1)
  const large = await newDestination({
    script: answering(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  })
  t.teardown(() => large.close())
  const code = reactorCode('try { await fetch(req.args.url, req.args.more) } catch (e) { return { raw: e.code } }')
  const id = await newReactor({ code })
  t.equal((await react(id, { url: large.url })).json['raw'], 'ERR_BODY_SIZE')
  for (const headers of [{ 'a\r\nb': 'c' }, { a: 'b\r\nc: d' }, { a: 'Ł' }]) {
    t.equal((await react(id, { url: destination.url, more: { headers } })).json['raw'], 'ERR_INPUT')
  }
  t.equal((await react(id, { url: destination.url, more: { method: 'CONNECT' } })).json['raw'], 'ERR_INPUT')
})
