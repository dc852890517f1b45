import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { SluiceError } from '../../lib/errors.ts'
import { answering, type Destination, newDestination } from '../kit/destination.ts'
import { footprint, footprintJson, footprintRequest, newUser } from '../kit/footprint.ts'
import type { RawRequest } from '../kit/message.ts'
import { newProxy, proxyRequest } from '../kit/proxy.ts'

/*
 * Values of responses go into the vault before one byte of the response goes to the caller, and their tokens stand in
 * their stead.
 */

type Headers = [string, string][]

/** An answer of the destination with exact framing. */
function reply(body: string | Buffer, headers: readonly string[] = [], status = '200 OK'): Buffer {
  const bytes = Buffer.from(body)
  const head = [`HTTP/1.1 ${status}`, ...headers, `Content-Length: ${bytes.length}`].join('\r\n')
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), bytes])
}

t.test('ingress', async (t) => {
  const proxy = await newProxy()
  let answer: Buffer | ((request: RawRequest) => Buffer) = reply('{}')
  const destination: Destination = await newDestination({
    script: answering((request) => (typeof answer === 'function' ? answer(request) : answer))
  })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const jane = await newUser(proxy, { 'id.ssn9': '078051120', 'custom.secret': 'très "secret"' })
  const jit = (headers: Headers, body = 'ping', more: object = {}) =>
    footprint(proxy, '/vault_proxy/jit', {
      body,
      headers: [['x-fp-proxy-target-url', destination.url], ...headers],
      ...more
    })
  const withRules = (rules: readonly string[], type = 'json', more: Headers = []): Headers => [
    ['x-fp-proxy-ingress-content-type', type],
    ...rules.map((rule): [string, string] => ['x-fp-proxy-ingress-rule', rule]),
    ...more
  ]
  const stored = async (...fields: string[]) =>
    (await footprintJson(proxy, `/users/${jane}/vault/decrypt`, { body: { fields } })).body
  const has = async (field: string) =>
    (await footprintJson(proxy, `/users/${jane}/vault?fields=${field}`, { method: 'GET' })).body[field]
  const failed = (response: { body: Buffer }) =>
    JSON.parse(response.body.toString()) as { message: string; code: string; context: Record<string, unknown> }

  t.test("the document's example, and what no rule names keeps its bytes", async (t) => {
    const body = `{
  "data": {
    "card": {
      "number": "4242424242424",
      "expiration": { "month": "04", "year": "25" }
    },
    "processor": "amex", "amount": 1.10, "big": 9007199254740993
  }
}`
    answer = reply(body, ['Content-Type: application/json', 'ETag: "x"', 'X-Request: 1'])
    const response = await jit(withRules([`${jane}.custom.credit_card_number=$.data.card.number`]))
    t.equal(response.status, 200)
    t.equal(response.body.toString(), body.replace('4242424242424', `${jane}.custom.credit_card_number`))
    t.equal(response.header('content-length'), String(response.body.length))
    t.equal(response.header('sluice-captured'), '1')
    t.equal(response.header('sluice-rules-unmatched'), undefined)
    t.equal(response.header('x-request'), '1')
    t.equal(response.header('etag'), undefined, 'it was of other bytes')
    t.strictSame(await stored('custom.credit_card_number'), { 'custom.credit_card_number': '4242424242424' })
  })

  t.test('a card is taken apart, filtered, and used by the other dialect in the next request', async (t) => {
    answer = reply(
      '{"data":{"card":{"number":"4242-4242-4242-4242","expiration_month":"04","expiration_year":"25","security_code":123}}}'
    )
    const rules = [
      `${jane}.card.primary.number = $.data.card.number | replace("-", "")`,
      `${jane}.card.primary.exp_month=$.data.card.expiration_month`,
      `${jane}.card.primary.exp_year=$.data.card.expiration_year`,
      `${jane}.card.primary.cvc=$.data.card.security_code`
    ]
    // Once as four headers, once as intermediaries join them; the first rule holds a comma of its own.
    for (const headers of [withRules(rules), withRules([rules.join(', ')])]) {
      const response = await jit(headers)
      t.equal(response.header('sluice-captured'), '4')
      t.equal(
        response.body.toString(),
        `{"data":{"card":{"number":"${jane}.card.primary.number","expiration_month":"${jane}.card.primary.exp_month","expiration_year":"${jane}.card.primary.exp_year","security_code":"${jane}.card.primary.cvc"}}}`
      )
    }
    const fields = ['number', 'expiration', 'cvc', 'issuer'].map((name) => `card.primary.${name}`)
    t.strictSame(Object.values(await stored(...fields)), ['4242424242424242', '04/2025', '123', 'visa'])

    answer = (request) => reply(request.body)
    const used = await proxy.request(
      proxyRequest(proxy.key, destination.url, `{"n":"{{ ${jane}.card.primary.number | slice: 0, 6 }}"}`)
    )
    t.equal(used.body.toString(), '{"n":"424242"}')
  })

  t.test('numbers keep their text', async (t) => {
    answer = reply('{"a":9007199254740993,"b":1.10,"c":-0}')
    const response = await jit(withRules([`custom.a=$.a`, `custom.b=$.b`, 'custom.c=$.c'], 'json', [['x-fp-id', jane]]))
    t.equal(response.body.toString(), `{"a":"${jane}.custom.a","b":"${jane}.custom.b","c":"${jane}.custom.c"}`)
    t.strictSame(await stored('custom.a', 'custom.b', 'custom.c'), {
      'custom.a': '9007199254740993',
      'custom.b': '1.10',
      'custom.c': '-0'
    })
  })

  t.test('each content coding, and each framing', async (t) => {
    const body = '{"pan":"4111111111111111"}'
    const codings: [string, Buffer][] = [
      ['gzip', gzipSync(body)],
      ['deflate', deflateSync(body)],
      ['br', brotliCompressSync(body)],
      ['identity', Buffer.from(body)]
    ]
    for (const [coding, bytes] of codings) {
      answer = reply(bytes, [`Content-Encoding: ${coding}`, 'Content-Type: application/json'])
      const response = await jit(
        withRules([`${jane}.card.other.number=$.pan`], 'json', [
          ['x-fp-proxy-fwd-accept-encoding', 'zstd, gzip;q=0.8, br']
        ])
      )
      t.equal(response.body.toString(), `{"pan":"${jane}.card.other.number"}`, coding)
      t.equal(response.header('content-encoding'), undefined)
      t.match(
        destination.requests.at(-1)?.header('accept-encoding'),
        /^gzip;q=0\.8, ?br$/,
        'narrowed to what can be undone'
      )
    }
    answer = Buffer.from(
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{"pan"\r\n14\r\n:"4111111111111111"}\r\n0\r\n\r\n`.replace(
        '14\r\n',
        '14\r\n'
      )
    )
    const chunked = await jit(withRules([`${jane}.card.other.number=$.pan`]))
    t.equal(chunked.body.toString(), `{"pan":"${jane}.card.other.number"}`)
    answer = reply('{"pan":"4111111111111111"}', ['Content-Encoding: zstd'])
    const unknown = await jit(withRules([`${jane}.card.other.number=$.pan`]))
    t.equal(unknown.status, 502)
    t.match(failed(unknown), { code: 'ERR_DESTINATION_RESPONSE', context: { forwarded: 'yes', upstream_called: true } })
  })

  t.test('xml, regex, form and newline-delimited JSON', async (t) => {
    const cases: [string, string[], string, string, Record<string, string>][] = [
      [
        'xml',
        [`${jane}.custom.pan=/r/card/number`, `${jane}.custom.id=//@id | to_uppercase`],
        '<?xml version="1.0"?><r><card id="a&amp;b"><number>4242</number><x>&#233;</x></card></r>',
        `<?xml version="1.0"?><r><card id="${jane}.custom.id"><number>${jane}.custom.pan</number><x>é</x></card></r>`,
        { 'custom.pan': '4242', 'custom.id': 'A&B' }
      ],
      [
        'regex',
        [`${jane}.custom.pan=pan[=:](\\d{4}|\\d{8}) | suffix(2)`, `${jane}.custom.w=\\bw,\\w+`],
        'pan=4243; w,one pan:4243.',
        `pan=${jane}.custom.pan; ${jane}.custom.w pan:${jane}.custom.pan.`,
        { 'custom.pan': '43', 'custom.w': 'w,one' }
      ],
      [
        'form',
        [`${jane}.custom.pan=card[number]`],
        'a=1&card%5Bnumber%5D=42%2044&b=+',
        `a=1&card%5Bnumber%5D=${jane}.custom.pan&b=+`,
        { 'custom.pan': '42 44' }
      ],
      [
        'ndjson',
        [`${jane}.custom.pan=$.pan`],
        '{"pan":"45"}\n\n{"no":1}\n',
        `{"pan":"${jane}.custom.pan"}\n\n{"no":1}\n`,
        { 'custom.pan': '45' }
      ],
      [
        'json',
        [`${jane}.custom.pan=$..pan | last`],
        '{"a":{"pan":"46"},"b":[{"pan":"47"}]}',
        `{"a":{"pan":"${jane}.custom.pan"},"b":[{"pan":"${jane}.custom.pan"}]}`,
        { 'custom.pan': '47' }
      ]
    ]
    for (const [type, rules, body, expected, values] of cases) {
      answer = reply(body)
      const response = await jit(withRules(rules, type))
      t.equal(response.body.toString(), expected, type)
      t.strictSame(await stored(...Object.keys(values)), values, type)
    }
    answer = reply('{"pan":"1"}\n{"pan":"1"}', ['Content-Type: application/x-ndjson'])
    const told = await jit(withRules([`${jane}.custom.pan=$.pan`]))
    t.equal(told.body.toString(), `{"pan":"${jane}.custom.pan"}\n{"pan":"${jane}.custom.pan"}`, 'as the response says')
  })

  t.test('a rule that matches nothing is counted and told', async (t) => {
    answer = reply('{"a":"1"}')
    const response = await jit(
      withRules([`${jane}.custom.a=$.a`, `${jane}.custom.nothing=$.b`, `${jane}.custom.none=$.c`])
    )
    t.equal(response.header('sluice-captured'), '1')
    t.equal(response.header('sluice-rules-unmatched'), '2')
    t.equal(await has('custom.nothing'), false)
    answer = Buffer.from('HTTP/1.1 204 No Content\r\n\r\n')
    const empty = await jit(withRules([`${jane}.custom.a=$.a`]))
    t.equal(empty.status, 204)
    t.equal(empty.header('sluice-rules-unmatched'), '1')
  })

  t.test('what cannot be vaulted does not pass, and says that the destination was called', async (t) => {
    const rule = [`${jane}.card.bad.number=$.pan`]
    const cases: [string, string][] = [
      ['{"pan":"4242424242424241"}', 'no card number'],
      ['{"pan":null}', 'null'],
      ['{"pan":true}', 'a boolean'],
      ['{"pan":{"a":"4242424242424242"}}', 'an object'],
      ['{"pan":["4242424242424242"]}', 'a list'],
      ['{"pan":"4242424242424242","pan":"4111111111111111"}', 'twice, and different'],
      ['{"card":{"pan":"4242424242424242"},"card":{}}', 'a hidden twin'],
      ['{"pan":"4242424242424242"', 'cut off'],
      ['pan=4242424242424242', 'no JSON'],
      ['{"pan":"4242424242424242\xff"}', 'no UTF-8']
    ]
    for (const [body, why] of cases) {
      answer = reply(Buffer.from(body, 'latin1'), ['X-Echo: 4242424242424242'])
      const response = await jit(withRules(rule))
      t.equal(response.status, 502, why)
      t.match(failed(response), {
        code: 'ERR_DESTINATION_RESPONSE',
        context: { forwarded: 'yes', upstream_called: true }
      })
      t.equal(response.header('x-footprint-proxy-upstream-status-code'), '200')
      t.notMatch(response.raw.toString('latin1'), /42424242|41111111/, why)
    }
    t.equal(await has('card.bad.number'), false)
    answer = reply(`{"pan":"4242424242424242","x":"${'x'.repeat(1_100_000)}"}`)
    t.equal((await jit(withRules(rule))).status, 502, 'over the limit')
    answer = reply(gzipSync(`{"pan":"4242424242424242","x":"${'x'.repeat(50_000_000)}"}`), ['Content-Encoding: gzip'])
    t.equal((await jit(withRules(rule))).status, 502, 'a bomb')
  })

  t.test('all values are stored, or none', async (t) => {
    answer = reply('{"good":"kept?","pan":"4242424242424241"}')
    const response = await jit(withRules([`${jane}.custom.together=$.good`, `${jane}.card.together.number=$.pan`]))
    t.equal(response.status, 502)
    t.match(failed(response).context['card.together.number'], /card number/)
    t.equal(await has('custom.together'), false)
  })

  t.test('a response that is no success is not vaulted, but blanked of what this call revealed', async (t) => {
    answer = (request) =>
      reply(
        JSON.stringify({
          error: `bad ssn 078051120 in ${request.body.toString()}`,
          url: 'tr%C3%A8s%20%22secret%22',
          pan: '1'
        }),
        ['Content-Type: application/json', 'X-Echo: 078051120'],
        '422 No 078051120'
      )
    const response = await jit(
      withRules([`${jane}.custom.never=$.pan`], 'json', [
        ['x-fp-id', jane],
        ['x-fp-proxy-fwd-content-type', 'application/json']
      ]),
      '{"ssn":"{{ id.ssn9 }}","s":"{{ custom.secret }}"}'
    )
    t.equal(response.status, 422)
    t.equal(
      response.body.toString(),
      JSON.stringify({
        error: `bad ssn ${jane}.id.ssn9 in {"ssn":"${jane}.id.ssn9","s":"${jane}.custom.secret"}`,
        url: `${jane}.custom.secret`,
        pan: '1'
      })
    )
    t.equal(response.header('x-echo'), `${jane}.id.ssn9`)
    t.notMatch(response.raw.toString('latin1'), '078051120', 'nor in the words behind the status')
    t.equal(response.header('content-length'), String(response.body.length))
    t.equal(await has('custom.never'), false)
  })

  t.test('rules that do not parse, or may not be written, are refused before the destination is called', async (t) => {
    const before = destination.requests.length
    const cases: [string[], string | null, number, string, RegExp][] = [
      [['nonsense'], 'json', 400, 'ERR_INPUT', /Ingress rule 1, position 0/],
      [[`${jane}.custom.a=$.a`, `${jane}.custom.b=`], 'json', 400, 'ERR_INPUT', /Ingress rule 2, position \d\d/],
      [[`${jane}.nosuch.b=$.a`], 'json', 400, 'ERR_INPUT', /identifier/],
      [[`${jane}.card.a.issuer=$.a`], 'json', 400, 'ERR_INPUT', /derived/],
      [[`${jane}.business.name=$.a`], 'json', 400, 'ERR_INPUT', /user/],
      [['custom.a=$.a'], 'json', 400, 'ERR_INPUT', /names no user/],
      [[`${jane}.custom.a=$.a[`], 'json', 400, 'ERR_EXPR_PATH', /Rule 1 .* character 4/],
      [[`${jane}.custom.a=$.a | nosuch`], 'json', 400, 'ERR_EXPR_FILTER', /nosuch/],
      [[`${jane}.custom.a=$.a | prefix(`], 'json', 400, 'ERR_EXPR_SYNTAX', /Rule 1/],
      [[`${jane}.custom.a=(`], 'regex', 400, 'ERR_EXPR_PATH', /regular expression/],
      [[`${jane}.custom.a=/a[`], 'xml', 400, 'ERR_EXPR_PATH', /XPath/],
      [[`${jane}.custom.a=//a//b`], 'xml', 400, 'ERR_EXPR_LIMIT', /any depth/],
      [[`${jane}.custom.a=$.a`], 'yaml', 400, 'ERR_INPUT', /json, ndjson, xml, regex or form/],
      [[`${jane}.custom.a=$.a`], null, 400, 'ERR_INPUT', /x-fp-proxy-ingress-content-type/],
      [['fp_id_nobody.custom.a=$.a'], 'json', 404, 'ERR_NOT_FOUND', /fp_id_nobody/]
    ]
    for (const [rules, type, status, code, message] of cases) {
      const headers = withRules(rules, type ?? '').slice(type === null ? 1 : 0)
      const response = await jit(headers)
      t.equal(response.status, status, rules.join())
      t.match(failed(response), { code, message, context: { forwarded: 'no' } })
    }
    const rule = (container: string, ...permissions: string[]) => ({
      description: '',
      priority: 1,
      container,
      transform: 'mask',
      permissions
    })
    const key = await proxy.newKey([], {
      rules: [rule('/general/', 'token:create'), { ...rule('/', 'token:use'), transform: 'reveal' }]
    })
    const refuse = async (target: string) => {
      const response = await jit(withRules([`${jane}.${target}=$.a`]), 'x', { key })
      t.equal(response.status, 403, target)
      t.match(failed(response), { code: 'ERR_PERMISSION', context: { forwarded: 'no' } })
    }
    await refuse('card.x.number')
    await footprintJson(proxy, `/users/${jane}/vault`, { method: 'PATCH', body: { 'custom.there': 'x' } })
    await refuse('custom.there')
    t.equal(destination.requests.length, before, 'the destination was not called')
    answer = reply('{"a":"1"}')
    t.equal((await jit(withRules([`${jane}.custom.fresh=$.a`]), 'x', { key })).status, 200)
  })

  t.test('not a byte is released before the values are on disk, and none when they cannot be stored', async (t) => {
    const { users } = proxy.vault
    const write = users.write.bind(users)
    t.teardown(() => {
      users.write = write
    })
    answer = reply('{"a":"leak-me-not"}')
    const client = await proxy.client()
    t.teardown(() => client.destroy())
    const bytes = footprintRequest(proxy.key, '/vault_proxy/jit', {
      body: 'x',
      headers: [['x-fp-proxy-target-url', destination.url], ...withRules([`${jane}.custom.lost=$.a`])]
    })
    let receivedBefore = -1
    users.write = async (...given) => {
      await write(...given)
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
      receivedBefore = client.received.length
      t.strictSame(await stored('custom.lost'), { 'custom.lost': 'leak-me-not' })
    }
    t.equal((await client.request(bytes)).body.toString(), `{"a":"${jane}.custom.lost"}`)
    t.equal(receivedBefore, 0)

    for (const [thrown, status, code] of [
      [new SluiceError('ERR_STORE_UNAVAILABLE', 'The store is gone'), 503, 'ERR_STORE_UNAVAILABLE'],
      [new Error('the disk is full'), 500, 'ERR_INTERNAL']
    ] as const) {
      users.write = () => Promise.reject(thrown)
      const response = await client.request(bytes)
      t.equal(response.status, status)
      t.match(failed(response), { code, context: { forwarded: 'yes', upstream_called: true } })
      t.notMatch(response.raw.toString(), /leak-me-not|disk/)
    }
    t.notMatch(proxy.logged(), 'leak-me-not')
  })

  t.test('metrics count what was vaulted and blanked', async (t) => {
    const text = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text()
    t.match(text, /^sluice_tokens_captured_total [1-9]/m)
    t.match(text, /^sluice_scrubbed_total [1-9]/m)
    t.match(text, /sluice_requests_total\{dialect="footprint",route="\/vault_proxy\/jit",outcome="ok"\} [1-9]/)
  })
})
