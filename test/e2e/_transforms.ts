import { createHmac } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { BasisTheory as Js } from '@basis-theory/basis-theory-js'
import { BasisTheoryClient } from '@basis-theory/node-sdk'
import t from 'tap'
import type { RawRequest } from '../kit/message.ts'
import { answering, echoing, newDestination, type Script } from '../kit/destination.ts'
import { newProxy } from '../kit/proxy.ts'
import { call, invoke, newApplication, newStoredProxy, proxyError } from '../kit/stored-proxy.ts'

/*
 * Transforms of stored proxies: written by the API, or by the vendor's SDKs, and run on real sockets between a client, Sluice
 * and a destination over TLS.
 */

const NUMBER = '4242424242424242'
const CARD = { number: NUMBER, expiration_month: 11, expiration_year: 2030, cvc: '123' }

/** A destination that answers every request with this. */
const saying = (body: string | Buffer, head = '', status = '200 OK'): Script => {
  const bytes = Buffer.from(body)
  const start = `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\n${head}Content-Length: ${bytes.length}\r\n\r\n`
  return answering(Buffer.concat([Buffer.from(start), bytes]))
}

t.test('a request that is signed without code', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const card = await proxy.token(CARD)
  const { key } = await newStoredProxy(proxy, `${destination.url}/v1`, {
    configuration: { secret_key: 'topsecretsigningkey', api_key: 'pk_live' }
  })
  const body = `{"pan":"{{ ${card} | json: '$.number' }}"}`
  const signed =
    "{{ proxy | json: '$.request.headers.X-User-Id' | append: proxy.request.headers.X-Date | append: proxy.request.body | hmac: 'sha-256', proxy.config.secret_key | to_base16 }}"
  const headers = {
    'x-user-id': 'u1',
    'X-Date': '2030-01-01',
    Authorization: `HMAC ${signed}`,
    'X-Api-Key': '{{ config: api_key }}',
    'X-Literal': `{{ ${card} }}`
  }
  const response = await invoke(proxy, key, { path: '/proxy/charges?a=b', body, headers })
  t.equal(response.status, 200)
  const sent = destination.requests.at(-1)
  const plain = `{"pan":"${NUMBER}"}`
  t.equal(sent?.body.toString(), plain)
  const digest = createHmac('sha256', 'topsecretsigningkey').update(`u12030-01-01${plain}`).digest('hex').toUpperCase()
  t.equal(sent?.header('authorization'), `HMAC ${digest}`)
  t.equal(sent?.header('x-api-key'), 'pk_live')
  t.equal(sent?.header('x-literal'), `{{ ${card} }}`, 'tokens in headers need a permission of their own')
  t.equal(sent?.startLine, 'POST /v1/charges?a=b HTTP/1.1')

  t.test('a body may draw upon the configuration too', async (t) => {
    const mixed = `{"key":"{{ config: api_key }}","up":"{{ config: 'api_key' | upcase }}","pan":"{{ ${card}.number }}"}`
    await invoke(proxy, key, { body: mixed })
    const both = `{"key":"pk_live","up":"PK_LIVE","pan":"${NUMBER}"}`
    t.equal(destination.requests.at(-1)?.body.toString(), both)
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
    await invoke(proxy, key, { body: 'a={{ config: api_key }}&b=1', headers: form })
    t.equal(destination.requests.at(-1)?.body.toString(), 'a=pk_live&b=1')
    const filler = ' '.repeat(1_100_000)
    await invoke(proxy, key, { body: `${mixed}${filler}` })
    t.ok(destination.requests.at(-1)?.body.equals(Buffer.from(`${both}${filler}`)), 'streamed')
    const invoker = await proxy.newKey(['proxy:invoke'])
    const weak = await invoke(proxy, key, { apiKey: invoker, body: '"{{ config: api_key }}"' })
    t.equal(weak.body.toString(), '"pk_live"', 'it is no token')
    const missing = await invoke(proxy, key, { body: `{"a":"{{ config: nobody }}","b":"{{ ${card} }}"}` })
    t.match(proxyError(missing), { status: 400, code: 'ERR_TRANSFORM', forwarded: 'no' })
    const named = { 'Sluice-Subjects': card }
    const other = await invoke(proxy, key, { body: '"{{ config: api_key }}"', headers: named })
    t.match(proxyError(other), { status: 400, code: 'ERR_SUBJECT_NOT_ALLOWED' })
    const ephemeral = await invoke(proxy, null, {
      headers: { 'BT-PROXY-URL': destination.url },
      body: '"{{ config: api_key }}"'
    })
    t.match(proxyError(ephemeral), { status: 400, code: 'ERR_TOKEN_UNKNOWN' })
  })

  t.test('with tokens in headers for a key that may', async (t) => {
    const apiKey = await proxy.newKey(['token:use', 'token:use:head'])
    await invoke(proxy, key, { apiKey, body, headers: { ...headers, 'X-Literal': `{{ ${card} | json: '$.number' }}` } })
    t.equal(destination.requests.at(-1)?.header('x-literal'), NUMBER)
    t.equal(destination.requests.at(-1)?.header('x-api-key'), 'pk_live')
    const planted = await proxy.token('{{ config: api_key }}')
    await invoke(proxy, key, { apiKey, headers: { 'X-A': `{{ ${planted} }}` } })
    t.equal(destination.requests.at(-1)?.header('x-a'), '{{ config: api_key }}', 'a value is not looked through')
    const mixed = await invoke(proxy, key, { apiKey, headers: { 'X-A': `{{ config: api_key }} {{ ${card} }}` } })
    t.match(proxyError(mixed), { status: 400, code: 'ERR_EXPR_SYNTAX', forwarded: 'no' })
  })

  t.test('a large upload with a key of the configuration alone still streams', async (t) => {
    const large = `"${'x'.repeat(3 * 1024 * 1024)}"`
    const { status } = await invoke(proxy, key, { body: large, headers: { 'X-Api-Key': '{{ config: api_key }}' } })
    t.equal(status, 200)
    t.equal(destination.requests.at(-1)?.header('x-api-key'), 'pk_live')
    const held = await invoke(proxy, key, { body: large, headers: { 'X-A': '{{ proxy.request.body }}' } })
    t.match(proxyError(held), { status: 413, code: 'ERR_BODY_SIZE', forwarded: 'no' })
    const wish = { 'X-A': '{{ proxy.request.body }}', 'Sluice-Body-Mode': 'stream' }
    t.equal((await invoke(proxy, key, { headers: wish })).status, 400)
  })

  t.test('what cannot be is refused before anything leaves', async (t) => {
    const before = destination.requests.length
    const bad: [string, string][] = [
      ['{{ config: nobody }}', 'ERR_TRANSFORM'],
      ['{{ proxy.config.nobody }}', 'ERR_TRANSFORM'],
      ['{{ proxy | nosuch }}', 'ERR_EXPR_FILTER'],
      ["{{ proxy | hmac: 'md5', 'k' | to_base16 }}", 'ERR_EXPR_ARGUMENT'],
      ['{{ config: }}', 'ERR_EXPR_SYNTAX'],
      ["{{ proxy | json: '$.config' | append: 'x' }}", 'ERR_EXPR_VALUE']
    ]
    for (const [value, code] of bad) {
      const refused = await invoke(proxy, key, { headers: { 'X-A': value } })
      t.match(proxyError(refused), { code, forwarded: 'no' }, value)
      t.notMatch(refused.body.toString(), /topsecret|pk_live/)
    }
    const { key: injected } = await newStoredProxy(proxy, destination.url, { configuration: { a: 'x\r\nX-Evil: 1' } })
    const injecting = await invoke(proxy, injected, { headers: { 'X-A': '{{ config: a }}' } })
    t.match(proxyError(injecting), { code: 'ERR_EXPR_VALUE', forwarded: 'no' })
    t.equal(destination.requests.length, before)
  })

  t.test('they are text where nothing is looked for, and for callers without a key', async (t) => {
    const off = { 'X-A': '{{ config: api_key }}', 'Sluice-Delimiters': 'none' }
    await invoke(proxy, key, { headers: off })
    t.equal(destination.requests.at(-1)?.header('x-a'), '{{ config: api_key }}')
    const application = await newApplication(proxy, { destinations: ['localhost'] })
    const open = await newStoredProxy(proxy, destination.url, {
      configuration: { api_key: 'pk_live' },
      application: { id: application },
      require_auth: false
    })
    const answer = await invoke(proxy, open.key, { apiKey: null, headers: { 'X-A': '{{ config: api_key }}' } })
    t.equal(answer.status, 200)
    t.equal(destination.requests.at(-1)?.header('x-a'), '{{ config: api_key }}')
    const stranger = await invoke(proxy, open.key, { apiKey: null, body: '"{{ config: api_key }}"' })
    t.match(proxyError(stranger), { status: 400, code: 'ERR_TOKEN_UNKNOWN' })
    const ephemeral = { 'BT-PROXY-URL': destination.url, 'X-A': '{{ config: api_key }}' }
    await invoke(proxy, null, { headers: ephemeral })
    t.equal(destination.requests.at(-1)?.header('x-a'), '{{ config: api_key }}')
  })
})

t.test('what a destination answers is tokenized, masked and told of', async (t) => {
  const proxy = await newProxy()
  const answer = { id: 7, card: { pan: NUMBER, month: 11, year: 2030 }, note: `again ${NUMBER}` }
  const script = answering((request: RawRequest) => {
    const body = gzipSync(JSON.stringify(answer))
    const head = `HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nETag: "x"\r\nX-Method: ${request.method}\r\nContent-Length: ${body.length}\r\n\r\n`
    return request.method === 'HEAD' ? head : Buffer.concat([Buffer.from(head), body])
  })
  const destination = await newDestination({ script })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const application = await newApplication(proxy, { permissions: ['token:create'] })
  const response_transforms = [
    {
      type: 'tokenize',
      options: {
        identifier: 'card',
        token: {
          type: 'card',
          data: {
            number: '{{ res.card.pan }}',
            expiration_month: '{{ res.card.month }}',
            expiration_year: '{{ res.card.year }}'
          },
          metadata: { source: 'answer {{ res.id }}' }
        }
      }
    },
    { type: 'mask', matcher: 'regex', expression: `(${NUMBER.slice(0, 6)}\\d{6})\\d{4}`, replacement: '*' },
    {
      type: 'append_json',
      options: { value: "{{ transform_identifier: 'card' | json: '$.id' }}", location: '$.card.id' }
    },
    {
      type: 'append_header',
      options: { value: "{{ transform_identifier: 'card' | json: '$.id' }}", location: 'X-Card' }
    }
  ]
  const { key } = await newStoredProxy(proxy, destination.url, {
    application: { id: application },
    response_transforms
  })
  const response = await invoke(proxy, key, { headers: { 'Accept-Encoding': 'gzip, zstd' } })
  t.equal(response.status, 201)
  const id = response.header('x-card') ?? ''
  t.match(id, /^[0-9a-f-]{36}$/)
  const pan = '************4242'
  t.strictSame(JSON.parse(response.body.toString()), {
    ...answer,
    card: { ...answer.card, pan, id },
    note: `again ${pan}`
  })
  t.equal(response.header('content-length'), String(response.body.length))
  t.equal(response.header('content-encoding'), undefined)
  t.equal(response.header('etag'), undefined)
  t.equal(response.header('x-method'), 'POST')
  t.equal(response.header('bt-proxy-destination-status'), '201')
  t.equal(destination.requests.at(-1)?.header('accept-encoding'), 'gzip')
  const token = (await call(proxy, 'GET', `/tokens/${id}`)).body
  t.match(token, { type: 'card', data: { number: NUMBER, expiration_month: 11 }, metadata: { source: 'answer 7' } })
  t.equal(token['created_by'], application, 'the attached application made it')

  t.test('HEAD has no body and no length of one', async (t) => {
    const head = await invoke(proxy, key, { method: 'HEAD', body: null })
    t.strictSame([head.status, head.body.length, head.header('x-card')], [201, 0, undefined])
    t.equal(head.header('content-length'), undefined)
    t.equal(head.header('x-method'), 'HEAD')
  })

  t.test('an application that may not make tokens lets nothing go', async (t) => {
    const weak = await newApplication(proxy, { permissions: ['token:use'] })
    const other = await newStoredProxy(proxy, destination.url, { application: { id: weak }, response_transforms })
    const failed = await invoke(proxy, other.key)
    t.match(proxyError(failed), { status: 502, code: 'ERR_PERMISSION', forwarded: 'yes' })
    t.equal(failed.header('bt-proxy-destination-status'), '201')
    t.notMatch(failed.raw.toString('latin1'), NUMBER)
  })
})

t.test('a request is tokenized before it leaves', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const tokenize = {
    type: 'tokenize',
    options: { identifier: 'in', token: { type: 'token', data: "{{ req | json: '$.ssn' }}" } }
  }
  const request_transforms = [
    tokenize,
    { type: 'append_json', options: { value: "{{ tokenize_transform: 'in' | json: '$.id' }}", location: '$.ssn' } },
    { type: 'append_header', options: { value: '{{ req.ssn }}', location: 'X-Ssn' } }
  ]
  const response_transforms = [
    { type: 'append_json', options: { value: "{{ tokenize_transform: 'in' | json: '$.id' }}", location: '$.told' } }
  ]
  const { key } = await newStoredProxy(proxy, destination.url, { request_transforms, response_transforms })
  const response = await invoke(proxy, key, { body: '{ "ssn": "111-22-3333", "n": 1.10 }' })
  const { ssn } = JSON.parse(response.body.toString()) as { ssn: string }
  t.equal(response.body.toString(), `{ "ssn": "${ssn}", "n": 1.10,"told":"${ssn}" }`)
  t.equal(destination.requests[0]?.header('x-ssn'), ssn)
  t.equal(destination.requests[0]?.body.toString(), `{ "ssn": "${ssn}", "n": 1.10 }`)
  t.match((await call(proxy, 'GET', `/tokens/${ssn}`)).body, { data: '111-22-3333' })
  const apiKey = await proxy.newKey(['token:use'])
  const refused = await invoke(proxy, key, { apiKey, body: '{"ssn":"1"}' })
  t.match(proxyError(refused), { status: 403, code: 'ERR_PERMISSION', forwarded: 'no' })
  const malformed = await invoke(proxy, key, { body: 'no json' })
  t.match(proxyError(malformed), { status: 400, code: 'ERR_INPUT', forwarded: 'no' })
  t.equal(destination.requests.length, 1)
})

t.test('code as a step, among declared ones', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const card = await proxy.token(CARD)
  const code = (body: string) => ({ code: `module.exports = async function (req) { ${body} }` })
  const signing = await newStoredProxy(proxy, destination.url, {
    configuration: { PREFIX: 'p' },
    request_transform: code(
      'const { args, configuration } = req; return { headers: { ...args.headers, "X-Seen": configuration.PREFIX + args.body.pan.slice(-4) }, body: { ...args.body, made: args.path + args.query } }'
    ),
    response_transform: code(
      'return { headers: { ...req.args.headers, "x-done": "1" }, body: { got: req.args.body.pan.length } }'
    )
  })
  const response = await invoke(proxy, signing.key, {
    path: '/proxy/a?b=c',
    body: `{"pan":"{{ ${card}.number }}"}`,
    headers: { 'X-Sign': "{{ proxy.request.body | hmac: 'sha-256', proxy.config.PREFIX | to_base16 }}" }
  })
  t.strictSame(JSON.parse(response.body.toString()), { got: 16 })
  t.equal(response.header('x-done'), '1')
  const sent = destination.requests[0]
  t.equal(sent?.header('x-seen'), 'p4242')
  const made = `{"pan":"${NUMBER}","made":"/a?b=c"}`
  t.equal(sent?.body.toString(), made)
  t.equal(
    sent?.header('x-sign'),
    createHmac('sha256', 'p').update(made).digest('hex').toUpperCase(),
    'over what the code made'
  )

  const refusing = await newStoredProxy(proxy, destination.url, {
    request_transform: code('return { res: { statusCode: 409, headers: { "x-own": "1" }, body: { no: "way" } } }')
  })
  const answer = await invoke(proxy, refusing.key)
  t.strictSame([answer.status, answer.header('x-own'), answer.body.toString()], [409, '1', '{"no":"way"}'])
  t.equal(answer.header('bt-proxy-destination-status'), undefined)
  t.equal(destination.requests.length, 1, 'the destination never hears of it')

  for (const [side, forwarded, status] of [
    ['request', 'no', 500],
    ['response', 'yes', 500]
  ] as const) {
    const throwing = await newStoredProxy(proxy, destination.url, {
      configuration: { SECRET: 'hushhush' },
      [`${side}_transform`]: code(
        'throw new Error("about " + JSON.stringify(req.args.body) + req.configuration.SECRET)'
      )
    })
    const failed = await invoke(proxy, throwing.key, { body: `{"pan":"{{ ${card}.number }}"}` })
    t.match(proxyError(failed), { status, code: 'ERR_CODE_RUNTIME', forwarded }, side)
    t.notMatch(failed.body.toString(), /4242424242424242|hushhush/, side)
    t.equal(failed.header('bt-proxy-destination-status'), side === 'response' ? '200' : undefined, side)
  }
})

t.test('only a success is transformed', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({
    script: answering((request) => {
      const status = request.target.slice(1)
      return status === '204' || status === '304'
        ? `HTTP/1.1 ${status} X\r\n\r\n`
        : `HTTP/1.1 ${status} X\r\nContent-Length: 6\r\n\r\nsecret`
    })
  })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const { key } = await newStoredProxy(proxy, destination.url, {
    response_transforms: [
      { type: 'mask', matcher: 'regex', expression: '(secret)', replacement: '*' },
      { type: 'append_header', options: { value: 'yes', location: 'X-Made' } }
    ]
  })
  const expected: Record<string, [body: string, made: string | undefined]> = {
    200: ['******', 'yes'],
    299: ['******', 'yes'],
    204: ['', 'yes'],
    304: ['', undefined],
    300: ['secret', undefined],
    404: ['secret', undefined],
    500: ['secret', undefined]
  }
  for (const [status, [body, made]] of Object.entries(expected)) {
    const response = await invoke(proxy, key, { path: `/proxy/${status}` })
    t.strictSame([response.status, response.body.toString(), response.header('x-made')], [Number(status), body, made])
    t.equal(response.header('bt-proxy-destination-status'), status)
  }
})

t.test('a text body, in a fixed-width format', async (t) => {
  const proxy = await newProxy()
  const record = `T74V${'order-1'.padEnd(22)}100300101tst123AVM${'4112344112344113'.padEnd(19)}1230VI`
  const destination = await newDestination({ script: saying(`${record}\r\n${NUMBER}`) })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const { key } = await newStoredProxy(proxy, destination.url, {
    response_transforms: [
      { type: 'mask', matcher: 'chase_stratus_pan', replacement: 'x' },
      { type: 'append_text', options: { value: '\r\nend' } }
    ]
  })
  const response = await invoke(proxy, key)
  t.equal(response.body.toString(), `${record.replace('4112344112344113', 'x'.repeat(16))}\r\n${'x'.repeat(16)}\r\nend`)
})

t.test('a large body is masked in a thread, and does not hold others up', async (t) => {
  const proxy = await newProxy()
  const body = JSON.stringify(Array.from({ length: 10_000 }, (_, at) => ({ accountNumber: `5683${at}`, name: 'Ada' })))
  const destination = await newDestination({ script: saying(body) })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const { key } = await newStoredProxy(proxy, destination.url, {
    response_transforms: [
      { type: 'mask', matcher: 'regex', expression: '"accountNumber":\\s*"(.*?)"', replacement: '*' }
    ]
  })
  const response = await invoke(proxy, key)
  const masked = body.replace(/5683\d+/g, (digits) => '*'.repeat(digits.length))
  t.ok(response.body.equals(Buffer.from(masked)))
})

t.test('the vendor’s SDKs write every kind of transform and read it back', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: saying('{"number":"4242424242424242","cvc":"123"}') })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const url = `http://localhost:${proxy.port}`
  const node = new BasisTheoryClient({ apiKey: proxy.key, environment: url, maxRetries: 0 })
  const requestTransforms = [
    { type: 'code', code: 'module.exports = async (req) => ({ headers: req.args.headers, body: req.args.body })' },
    {
      type: 'tokenize',
      options: {
        identifier: 'requestToken',
        token: { type: 'token', data: "{{ req | json: '$.data' }}", metadata: { source: 'proxy-request' } }
      }
    },
    {
      type: 'append_header',
      options: { value: "{{ tokenize_transform: 'requestToken' | json: '$.id' }}", location: 'X-Token' }
    }
  ]
  const responseTransforms = [
    {
      type: 'tokenize',
      options: {
        identifier: 'responseToken',
        token: { type: 'token', data: '{{ res.number }}', metadata: { source: 'proxy-response' } }
      }
    },
    { type: 'mask', matcher: 'regex', expression: '"number":\\s*"(.*?)"', replacement: '*' },
    { type: 'mask', matcher: 'chase_stratus_pan', replacement: '*' },
    {
      type: 'append_json',
      options: { value: "{{ transform_identifier: 'responseToken' | json: '$.id' }}", location: '$.token_id' }
    },
    {
      type: 'append_header',
      options: { value: "{{ transform_identifier: 'responseToken' | json: '$.id' }}", location: 'X-Token-ID' }
    },
    { type: 'append_text', options: { value: '\n' } }
  ]
  const made = await node.proxies.create({
    name: 'all',
    destinationUrl: destination.url,
    requestTransforms,
    responseTransforms
  })
  const read = await node.proxies.get(made.id ?? '')
  t.strictSame(JSON.parse(JSON.stringify(read.requestTransforms)), requestTransforms)
  t.strictSame(JSON.parse(JSON.stringify(read.responseTransforms)), responseTransforms)
  const { name = '', destinationUrl = '' } = read
  const again = await node.proxies.update(made.id ?? '', { ...read, name, destinationUrl })
  t.strictSame(again.responseTransforms, read.responseTransforms, 'what was read can be written')

  const js = await new Js().init(proxy.key, { apiBaseUrl: url, disableTelemetry: true })
  const answer = (await js.proxy.post({
    headers: { 'BT-PROXY-KEY': made.key ?? '' },
    body: { data: 'in' },
    includeResponseHeaders: true
  })) as { data: { number: string; token_id: string }; headers: Record<string, string> }
  t.equal(answer.data.number, '*'.repeat(16))
  t.equal(answer.headers['x-token-id'], answer.data.token_id)
  t.match(await node.tokens.get(answer.data.token_id), { data: NUMBER, metadata: { source: 'proxy-response' } })
  const sent = destination.requests[0]?.header('x-token') ?? ''
  t.match(await node.tokens.get(sent), { data: 'in', metadata: { source: 'proxy-request' } })

  const single = await js.proxies.create({
    name: 'js',
    destinationUrl: destination.url,
    requestTransform: { code: 'module.exports = async (req) => ({ headers: req.args.headers, body: req.args.body })' },
    responseTransform: { code: 'module.exports = async (req) => ({ headers: req.args.headers, body: { only: 1 } })' }
  })
  t.match(await js.proxies.retrieve(single.id), {
    requestTransform: { code: String },
    responseTransform: { code: String }
  })
  t.strictSame(await js.proxy.post({ headers: { 'BT-PROXY-KEY': single.key }, body: {} }), { only: 1 })
})
