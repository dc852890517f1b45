import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { answering, echoing, newDestination } from '../kit/destination.ts'
import { footprint, type FootprintCall, footprintJson, footprintRequest, newUser } from '../kit/footprint.ts'
import { newProxy } from '../kit/proxy.ts'

/*
 * /vault_proxy/jit and /vault_proxy/reflect on real sockets: what leaves, down to the byte, and what is refused.
 */

const JANE = {
  'id.first_name': 'Jane',
  'id.last_name': 'Doè',
  'id.dob': '1988-12-30',
  'id.ssn9': '078-05-1120',
  'card.primary.number': '4242424242424242',
  'custom.ach_account': '12-1212-1212',
  'custom.quoted': 'say "hi" & <bye>'
}

t.test('vault proxy', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const jane = await newUser(proxy, JANE)
  const john = await newUser(proxy, { 'id.first_name': 'John' })
  type Headers = [string, string][]
  const jit = (body: string | Buffer | null, headers: Headers = [], more: FootprintCall = {}) =>
    footprint(proxy, '/vault_proxy/jit', {
      body,
      headers: [['x-fp-proxy-target-url', `${destination.url}/base/`], ...headers],
      ...more
    })
  const reflect = (body: string, headers: Headers = [], more: FootprintCall = {}) =>
    footprint(proxy, '/vault_proxy/reflect', { body, headers, ...more })
  const failed = (response: { body: Buffer }) =>
    JSON.parse(response.body.toString()) as { message: string; code: string; context: Record<string, unknown> }

  t.test('qualified and inferred references, and only what is to be forwarded goes out', async (t) => {
    const response = await jit(
      `{"a":"{{ ${jane}.id.first_name }} {{${jane}.id.last_name | to_ascii | to_uppercase}}","b":"{{ ${john}.id.first_name }}"}`,
      [
        ['x-fp-proxy-fwd-content-type', 'application/json'],
        ['x-fp-proxy-fwd-Custom-Header', 'custom value'],
        ['x-fp-proxy-fwd-custom-header', 'once more'],
        ['X-Secret-Of-The-Client', 'stays'],
        ['Cookie', 'stays=1'],
        ['User-Agent', 'stays/1']
      ]
    )
    t.equal(response.status, 200)
    t.equal(response.body.toString(), '{"a":"Jane DOE","b":"John"}')
    t.equal(response.header('x-footprint-proxy-upstream-status-code'), '200')
    const request = destination.requests.at(-1)
    t.equal(request?.startLine, 'POST /base HTTP/1.1')
    const names = [...(request?.raw.toString('latin1').split('\r\n\r\n')[0] ?? '').matchAll(/^([\w-]+): (.*)$/gm)]
    t.strictSame(
      names.map(([, name, value]) => (name === 'Via' ? 'Via' : `${name}: ${value}`)),
      [
        `Host: localhost:${destination.port}`,
        'content-type: application/json',
        'Custom-Header: custom value',
        'custom-header: once more',
        'Via',
        'Content-Length: 27'
      ]
    )
    const inferred = await jit('{"n":"{{ id.first_name }}","same":"{{ id.first_name }}"}', [['x-fp-id', jane]])
    t.equal(inferred.body.toString(), '{"n":"Jane","same":"Jane"}')
  })

  t.test('method, path and query', async (t) => {
    for (const [method, path, line] of [
      ['PUT', '/charges?expand=1', 'PUT /base/charges?expand=1 HTTP/1.1'],
      ['patch', 'charges', 'PATCH /base/charges HTTP/1.1'],
      ['GET', '?a=b%2Fc', 'GET /base?a=b%2Fc HTTP/1.1']
    ] as const) {
      const response = await jit('x', [
        ['x-fp-proxy-method', method],
        ['x-fp-path-and-query', path]
      ])
      t.equal(response.status, 200)
      t.equal(destination.requests.at(-1)?.startLine, line)
    }
    const before = destination.requests.length
    for (const path of ['/../x', '/a%2f..', '/a\\b', '/a#b', '/%2e%2e/x']) {
      const refused = await jit('x', [['x-fp-path-and-query', path]])
      if (path !== '/a%2f..') t.equal(refused.status, 400, path)
    }
    t.equal((await jit('x', [['x-fp-proxy-method', 'TRACE']])).status, 400)
    t.ok(destination.requests.length <= before + 1)
  })

  t.test('values are escaped for their place, by the type that is forwarded or by a look at the body', async (t) => {
    const cases: [string, string | null, string][] = [
      ['{"q":"{{ custom.quoted }}"}', null, '{"q":"say \\"hi\\" & <bye>"}'],
      ['<q>{{ custom.quoted }}</q>', 'text/xml', '<q>say &quot;hi&quot; &amp; &lt;bye&gt;</q>'],
      ['q={{ custom.quoted }}', 'application/x-www-form-urlencoded', 'q=say+%22hi%22+%26+%3Cbye%3E'],
      ['q={{ custom.quoted }}', null, 'q=say "hi" & <bye>'],
      ['{"q":"{{ custom.quoted | raw }}"}', 'application/json', '{"q":"say "hi" & <bye>"}'],
      ['{{{id.first_name}}} << id.first_name >> {{ open', 'text/plain', '{Jane} << id.first_name >> {{ open']
    ]
    for (const [body, type, expected] of cases) {
      const headers: Headers = [['x-fp-id', jane]]
      if (type !== null) headers.push(['x-fp-proxy-fwd-content-type', type])
      t.equal((await jit(body, headers)).body.toString(), expected, `${body} as ${type}`)
      t.equal((await reflect(body, headers)).body.toString(), expected, 'reflected')
    }
    const angle = await jit('<< id.first_name >> {{ id.first_name }}', [
      ['x-fp-id', jane],
      ['Sluice-Delimiters', '<< >>']
    ])
    t.equal(angle.body.toString(), 'Jane {{ id.first_name }}')
  })

  t.test('all or nothing: the destination never hears of a request that fails', async (t) => {
    const before = destination.attempts
    const asJane: Headers = [['x-fp-id', jane]]
    const refusals: [string, Headers, number, string, RegExp][] = [
      [
        `{"a":"{{ ${jane}.id.dob }}","b":"{{ ${jane}.id.zip }} {{ ${john}.id.dob }}"}`,
        [],
        400,
        'ERR_TOKEN_UNKNOWN',
        /id\.zip.*id\.dob/
      ],
      ['a {{ id.dob }}', [], 400, 'ERR_EXPR_SYNTAX', /user/],
      [`a {{ ${john}.id.first_name }}`, asJane, 400, 'ERR_EXPR_SYNTAX', /another user/],
      ['a {{ foo }}', asJane, 400, 'ERR_EXPR_SYNTAX', /reference/],
      ['a {{ id.dob | nosuch }}', asJane, 400, 'ERR_EXPR_FILTER', /nosuch/],
      ['a {{ id.dob | prefix(0) }}', asJane, 400, 'ERR_EXPR_ARGUMENT', /prefix/],
      ['a {{ id.dob | date_format("%m/%Y/%d", "%Y") }}', asJane, 400, 'ERR_EXPR_VALUE', /value/],
      ['a {{ id.dob }}', [['x-fp-id', 'fp_id_nobody']], 404, 'ERR_NOT_FOUND', /fp_id_nobody/],
      ['a', [['x-fp-id', 'nobody']], 400, 'ERR_INPUT', /x-fp-id/],
      [
        'a',
        [
          ['x-fp-id', jane],
          ['x-fp-id', john]
        ],
        400,
        'ERR_HTTP_SYNTAX',
        /twice/
      ]
    ]
    for (const [body, headers, status, code, message] of refusals) {
      const response = await jit(body, headers)
      const error = failed(response)
      t.equal(response.status, status, body)
      t.match(error, { code, message, context: { forwarded: 'no', upstream_called: false } })
      if (code.startsWith('ERR_EXPR')) t.equal(error.context['offset'], 2, 'the offset of the opener')
    }
    for (const name of [
      'Host',
      'Connection',
      'Content-Length',
      'transfer-encoding',
      'TE',
      'Upgrade',
      'Via',
      'x-fp-id',
      'bt-api-key',
      'Sluice-X',
      'Content-Encoding',
      'Expect',
      ''
    ]) {
      const response = await jit('a', [[`x-fp-proxy-fwd-${name}`, 'x']])
      t.equal(response.status, 400, name)
      t.equal(failed(response).code, 'ERR_HTTP_SYNTAX')
    }
    for (const url of ['', 'http://localhost/', 'ftp://localhost/', 'https://127.0.0.1/', 'https://u:p@localhost/']) {
      const response = await footprint(proxy, '/vault_proxy/jit', {
        body: 'a',
        headers: [['x-fp-proxy-target-url', url]]
      })
      t.equal(response.status, 400, url)
      t.equal(failed(response).code, 'ERR_DESTINATION_URL')
    }
    t.equal((await jit('a', [], { method: 'GET' })).status, 405)
    t.equal(destination.attempts, before, 'not even a connection')
  })

  t.test('keys: who may use, who may read', async (t) => {
    const user = await proxy.newKey(['token:use'])
    const reader = await proxy.newKey([], {
      rules: [{ description: '', priority: 1, container: '/pii/', transform: 'reveal', permissions: ['token:read'] }]
    })
    const asJane: Headers = [['x-fp-id', jane]]
    t.equal((await jit('{{ id.dob }}', asJane, { key: user })).body.toString(), '1988-12-30')
    t.match(
      failed(await reflect('{{ id.dob }}', asJane, { key: user })),
      { code: 'ERR_PERMISSION' },
      'using is not reading'
    )
    t.match(failed(await jit('{{ id.dob }}', asJane, { key: reader })), { code: 'ERR_PERMISSION' })
    t.equal((await reflect('{{ id.dob }}', asJane, { key: reader })).body.toString(), '1988-12-30')
    const both = await reflect('{{ id.dob }} {{ card.primary.number }}', asJane, { key: reader })
    t.equal(both.status, 403)
    t.match(failed(both), { code: 'ERR_TOKEN_FORBIDDEN' })
    const bound = await proxy.newKey(['token:use'], { destinations: [{ host: 'psp.example' }] })
    t.match(failed(await jit('{{ id.dob }}', asJane, { key: bound })), { code: 'ERR_DESTINATION_FORBIDDEN' })
    const other = await proxy.newKey(['*'], { tenant: 'other' })
    t.match(failed(await jit(`{{ ${jane}.id.dob }}`, [], { key: other })), { code: 'ERR_TOKEN_UNKNOWN' })
    const nobody = await jit('a', [], { key: 'sk_test_CXUsbCR8j2kH6e5GeEl8eSBnQTIPCUaKpv' })
    t.equal(nobody.status, 401)
    t.match(failed(nobody), { code: 'ERR_AUTH_INVALID', context: { forwarded: 'no' } })
    t.equal(nobody.header('www-authenticate'), 'Basic realm="sluice"')
  })

  t.test('the access reason is in the audit, without card numbers', async (t) => {
    await jit('{{ id.dob }}', [
      ['x-fp-id', jane],
      ['x-fp-proxy-access-reason', 'refund of 4242424242424242']
    ])
    await reflect('{{ id.ssn9 }}', [
      ['x-fp-id', jane],
      ['x-fp-access-reason', 'a look']
    ])
    const folder = join(proxy.folder, 'audit')
    const audit = readdirSync(folder)
      .map((file) => readFileSync(join(folder, file), 'utf8'))
      .join('')
    t.match(audit, `"door":"proxy"`)
    t.match(audit, `"tokens":["${jane}.id.dob"]`)
    t.match(audit, '"reason":"refund of «number»"')
    t.match(audit, /"door":"reflect".*id\.ssn9.*"reason":"a look"/)
    t.notMatch(audit, '1988-12-30')
  })

  t.test('expressions in path and forwarded headers only with their own permission', async (t) => {
    const headers: Headers = [
      ['x-fp-id', jane],
      ['x-fp-path-and-query', '/u/{{id.first_name}}'],
      ['x-fp-proxy-fwd-x-name', '{{ id.last_name | to_ascii }}']
    ]
    t.equal((await jit('a', headers)).status, 200)
    t.equal(destination.requests.at(-1)?.header('x-name'), '{{ id.last_name | to_ascii }}', 'text without it')
    const key = await proxy.newKey(['token:use', 'token:use:head'])
    t.equal((await jit('a', headers, { key })).status, 200)
    t.equal(destination.requests.at(-1)?.startLine, 'POST /base/u/Jane HTTP/1.1')
    t.equal(destination.requests.at(-1)?.header('x-name'), 'Doe')
  })

  t.test('reflect gives the documented sentence, for many users, in whole and streamed', async (t) => {
    const sentence = await reflect(
      'The name on my credit card is {{ id.first_name | to_uppercase }} {{ id.last_name | to_ascii | to_uppercase }}. I was born on a {{ id.dob | date_format("%Y-%m-%d", "%A in %B of %y") }}.',
      [['x-fp-id', jane]]
    )
    t.equal(
      sentence.body.toString(),
      'The name on my credit card is JANE DOE. I was born on a Friday in December of 88.'
    )
    t.equal(sentence.header('content-type'), 'text/plain; charset=utf-8')
    t.equal(sentence.header('x-footprint-proxy-upstream-status-code'), undefined)

    const users = await Promise.all([...Array(150).keys()].map((n) => newUser(proxy, { 'custom.n': String(n) })))
    const many = await reflect(users.map((id) => `{{ ${id}.custom.n }}`).join(','))
    t.equal(many.body.toString(), users.map((_, n) => n).join(','))

    const client = await proxy.client()
    t.teardown(() => client.destroy())
    const long = `${'x'.repeat(3_000_000)}{{ ${jane}.id.dob }}`
    const streamed = await client.request(footprintRequest(proxy.key, '/vault_proxy/reflect', { body: long }))
    t.equal(streamed.body.length, 3_000_010)
    t.ok(streamed.body.toString().endsWith('x1988-12-30'))
    const after = await client.request(footprintRequest(proxy.key, '/vault_proxy/reflect', { body: '' }))
    t.equal(after.body.length, 0)
    t.equal(after.status, 200)
  })

  t.test('a HEAD to the destination is framed as an answer to the POST that asked for it', async (t) => {
    const head = await newDestination({ script: answering('HTTP/1.1 200 OK\r\nContent-Length: 500\r\nX-A: b\r\n\r\n') })
    t.teardown(() => head.close())
    const client = await proxy.client()
    t.teardown(() => client.destroy())
    const call = footprintRequest(proxy.key, '/vault_proxy/jit', {
      headers: [
        ['x-fp-proxy-target-url', head.url],
        ['x-fp-proxy-method', 'HEAD']
      ]
    })
    const response = await client.request(call)
    t.equal(response.body.length, 0)
    t.equal(response.header('x-a'), 'b')
    t.equal((await client.request(call)).status, 200, 'the connection is in step')
  })

  t.test('unknown paths and headers that are too large', async (t) => {
    t.match(await footprintJson(proxy, '/vault_proxy/proxy_id_nothing', { body: 'x' }), {
      status: 404,
      body: { code: 'ERR_NOT_FOUND' }
    })
    t.equal((await footprint(proxy, '/vault_proxy/a/b')).status, 404)
    t.equal((await jit('a', [['x-fp-proxy-pin-cert', 'x'.repeat(70_000)]])).status, 431)
  })
})
