import t from 'tap'
import { answering, echoing, newDestination } from '../kit/destination.ts'
import { newProxy, proxyRequest } from '../kit/proxy.ts'

/*
 * The whole path on real sockets: client → Sluice → a destination over TLS, compared down to the byte.
 */

const CARD = { number: '4242424242424242', expiration_month: 11, expiration_year: 2030, cvc: '123' }

interface ProxyError {
  readonly proxy_error: {
    readonly status: number
    readonly title: string
    readonly detail: string
    readonly code: string
    readonly offset?: number
    readonly forwarded: string
  }
}

const errorOf = (body: Buffer): ProxyError['proxy_error'] => (JSON.parse(body.toString()) as ProxyError).proxy_error

t.test('a request with tokens goes through', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const card = await proxy.token(CARD)
  const name = await proxy.token('Ada "the first" Lovelace')
  const ssn = await proxy.token('111-22-3333')
  const note = await proxy.token({ text: 'naïve', list: [1, 1.1, null] })

  const filler = 'x'.repeat(600)
  const body = `{"number": "{{ ${card} | json: '$.number' }}", "month":"{{${card}.expiration_month}}",\n "who":"{{ ${name} }}",\t"ssn":"<< ${ssn} | last4 >>","note":"{{ ${note} }}","filler":"${filler}","n":1.10,"n":1e400}`
  const expected = `{"number": "4242424242424242", "month":"11",\n "who":"Ada \\"the first\\" Lovelace",\t"ssn":"3333","note":{"text":"naïve","list":[1,1.1,null]},"filler":"${filler}","n":1.10,"n":1e400}`

  for (const tls of [false, true]) {
    t.test(`1 KiB of JSON with four tokens over ${tls ? 'HTTPS' : 'HTTP'}, byte for byte`, async (t) => {
      const client = await proxy.client(tls)
      t.teardown(() => client.destroy())
      const response = await client.request(proxyRequest(proxy.key, `${destination.url}/api`, body))
      t.equal(response.status, 200)
      t.equal(response.body.toString(), expected)
      t.equal(response.header('bt-proxy-destination-status'), '200')
      t.match(response.header('bt-trace-id'), /^[0-9a-f-]{36}$/)
      const request = destination.requests.at(-1)
      t.equal(request?.body.toString(), expected)
      t.equal(request?.header('content-length'), String(Buffer.byteLength(expected)))
      t.equal(request?.header('host'), `localhost:${destination.port}`)
      t.equal(request?.startLine, 'POST /api HTTP/1.1')
    })
  }

  t.test('the same body cut into chunks at every place', async (t) => {
    const client = await proxy.client()
    t.teardown(() => client.destroy())
    const bytes = Buffer.from(body)
    const head = `POST /proxy HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${proxy.key}\r\nBT-PROXY-URL: ${destination.url}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`
    const chunk = (part: Buffer) =>
      Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')])
    let same = 0
    for (let cut = 1; cut < 220; cut++) {
      const response = await client.request(
        Buffer.concat([
          Buffer.from(head),
          chunk(bytes.subarray(0, cut)),
          chunk(bytes.subarray(cut)),
          Buffer.from('0\r\n\r\n')
        ])
      )
      if (response.body.toString() === expected) same++
      else t.fail(`cut at ${cut}: ${response.status} ${response.body.toString()}`)
    }
    t.equal(same, 219)
  })

  t.test('in stream mode, cut at every place, the body is the same', async (t) => {
    const client = await proxy.client()
    t.teardown(() => client.destroy())
    const bytes = Buffer.from(body)
    const head = `POST /proxy HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${proxy.key}\r\nBT-PROXY-URL: ${destination.url}\r\nContent-Type: application/json\r\nSluice-Body-Mode: stream\r\nTransfer-Encoding: chunked\r\n\r\n`
    const chunk = (part: Buffer) =>
      Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')])
    let same = 0
    for (let cut = 1; cut < 220; cut++) {
      const response = await client.request(
        Buffer.concat([
          Buffer.from(head),
          chunk(bytes.subarray(0, cut)),
          chunk(bytes.subarray(cut)),
          Buffer.from('0\r\n\r\n')
        ])
      )
      if (response.body.toString() === expected) same++
      else t.fail(`cut at ${cut}: ${response.status} ${response.body.toString()}`)
    }
    t.equal(same, 219)
    t.equal(destination.requests.at(-1)?.framing, 'chunked')
  })

  t.test('methods, paths and queries', async (t) => {
    const client = await proxy.client()
    t.teardown(() => client.destroy())
    const table: [string, string, string, string][] = [
      ['GET', '/proxy', '/api', 'GET /api HTTP/1.1'],
      ['GET', '/proxy/', '/api', 'GET /api/ HTTP/1.1'],
      ['DELETE', '/proxy/foo/bar?param=value', '/api', 'DELETE /api/foo/bar?param=value HTTP/1.1'],
      ['PUT', '/proxy/foo', '/api/', 'PUT /api/foo HTTP/1.1'],
      ['PATCH', '/proxy?x=1', '/a?y=2', 'PATCH /a?y=2&x=1 HTTP/1.1'],
      ['POST', '/proxy/foo?x=1', '/a?y=2', 'POST /a/foo?y=2&x=1 HTTP/1.1'],
      ['POST', '/proxy/a%2Fb?q=%20z', '', 'POST /a%2Fb?q=%20z HTTP/1.1']
    ]
    for (const [method, path, base, line] of table) {
      const sent = method === 'GET' || method === 'DELETE' ? null : '{"a":1}'
      const response = await client.request(
        proxyRequest(proxy.key, `${destination.url}${base}`, sent, { method, path })
      )
      t.equal(response.status, 200)
      t.equal(destination.requests.at(-1)?.startLine, line)
    }
    const head = await client.request(proxyRequest(proxy.key, destination.url, null, { method: 'HEAD' }))
    t.equal(head.status, 200)
    for (const method of ['OPTIONS', 'TRACE']) {
      const refused = await proxy.request(proxyRequest(proxy.key, destination.url, null, { method }))
      t.equal(refused.status, 405, method)
    }
    t.equal((await proxy.request('OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n')).status, 405, 'OPTIONS of the server')
  })

  t.test('which headers go on', async (t) => {
    const response = await proxy.request(
      proxyRequest(proxy.key, destination.url, '{}', {
        headers: {
          Authorization: 'Bearer x',
          'X-API-KEY': 'the-destination-s-own',
          'x-odd_name': 'kept',
          'x.dotted': 'dropped',
          Connection: 'keep-alive, x-hop',
          'X-Hop': 'dropped',
          'BT-Anything': 'dropped',
          'Sluice-Anything': 'dropped',
          'x-fp-anything': 'dropped',
          'BT-PROXY-KEEP-ALIVE': 'timeout=5',
          'BT-TRACE-ID': 'trace-1'
        }
      })
    )
    t.equal(response.status, 200)
    t.equal(response.header('bt-trace-id'), 'trace-1')
    const request = destination.requests.at(-1)
    t.equal(request?.header('authorization'), 'Bearer x')
    t.equal(request?.header('x-api-key'), 'the-destination-s-own')
    t.equal(request?.header('x-odd_name'), 'kept')
    t.equal(request?.header('keep-alive'), 'timeout=5')
    t.equal(request?.header('bt-trace-id'), 'trace-1')
    t.match(request?.header('via'), /^1\.1 sluice-/)
    for (const name of [
      'x.dotted',
      'x-hop',
      'bt-anything',
      'sluice-anything',
      'x-fp-anything',
      'bt-api-key',
      'bt-proxy-url'
    ]) {
      t.equal(request?.header(name), undefined, name)
    }
  })

  t.test('X-API-KEY is the credential when it is ours and BT-API-KEY is not there', async (t) => {
    const bytes = Buffer.from(
      `POST /proxy HTTP/1.1\r\nHost: x\r\nX-API-KEY: ${proxy.key}\r\nBT-PROXY-URL: ${destination.url}\r\nContent-Length: 2\r\n\r\n{}`
    )
    t.equal((await proxy.request(bytes)).status, 200)
    t.equal(destination.requests.at(-1)?.header('x-api-key'), undefined)
  })

  t.test('the destination answers by itself: status, headers and body unchanged', async (t) => {
    const teapot = await newDestination({
      script: answering(
        'HTTP/1.1 418 Short and stout\r\nX-A: 1\r\nx-a: 2\r\nBT-Secret: no\r\nSluice-X: no\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\nshort'
      )
    })
    t.teardown(() => teapot.close())
    const response = await proxy.request(proxyRequest(proxy.key, teapot.url, '{}'))
    t.equal(response.startLine, 'HTTP/1.1 418 Short and stout')
    t.strictSame(response.headers('x-a'), ['1', '2'])
    t.equal(response.header('bt-secret'), undefined)
    t.equal(response.header('sluice-x'), undefined)
    t.equal(response.header('bt-proxy-destination-status'), '418')
    t.equal(response.header('content-length'), '5')
    t.equal(response.body.toString(), 'short')
  })

  t.test('a body that holds no expression keeps its bytes, its coding and its length', async (t) => {
    const odd = Buffer.from('{"a":{"b":"}}"},"c":[1,\r\n2 ]} not json ÿ')
    await proxy.request(proxyRequest(proxy.key, destination.url, odd))
    t.ok(destination.requests.at(-1)?.body.equals(odd))
    const binary = Buffer.from([0x1f, 0x8b, 0x7b, 0x7b, 0x20, 0x7d, 0x7d, 0xff])
    await proxy.request(
      proxyRequest(proxy.key, destination.url, binary, {
        headers: { 'Content-Type': 'application/octet-stream', 'Content-Encoding': 'gzip' }
      })
    )
    t.ok(destination.requests.at(-1)?.body.equals(binary))
    t.equal(destination.requests.at(-1)?.header('content-encoding'), 'gzip')
    const off = '{{ not a token at all }}'
    await proxy.request(proxyRequest(proxy.key, destination.url, off, { headers: { 'Sluice-Delimiters': 'none' } }))
    t.equal(destination.requests.at(-1)?.body.toString(), off)
  })
})

t.test('a refused request never reaches the destination', async (t) => {
  const proxy = await newProxy({ limits: { tokensPerRequest: 3 } })
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const id = await proxy.token('secret-marker')
  const createOnly = await proxy.newKey(['token:create'])
  const url = destination.url
  const unknown = '00000000-0000-4000-8000-000000000000'

  const refuse = async (
    name: string,
    bytes: Buffer,
    status: number,
    code: string,
    more: object = {}
  ): Promise<void> => {
    const response = await proxy.request(bytes)
    const error = errorOf(response.body)
    t.equal(response.status, status, name)
    t.match(error, { code, status, forwarded: 'no', ...more }, name)
    t.equal(response.header('bt-proxy-destination-status'), undefined, name)
    t.notMatch(response.body.toString(), /secret-marker|at .*\.js/, name)
  }

  await refuse(
    'no key',
    Buffer.from(`GET /proxy HTTP/1.1\r\nHost: x\r\nBT-PROXY-URL: ${url}\r\n\r\n`),
    401,
    'ERR_AUTH_MISSING',
    {
      detail: 'The BT-API-KEY header is required'
    }
  )
  await refuse('a wrong key', proxyRequest('invalid', url, '{}'), 401, 'ERR_AUTH_INVALID', {
    detail: 'The BT-API-KEY header is required'
  })
  await refuse('a key without token:use', proxyRequest(createOnly, url, `{"a":"{{${id}}}"}`), 403, 'ERR_PERMISSION')
  for (const wrong of [
    'http://localhost/',
    'https://127.0.0.1/',
    'https://u:p@localhost/',
    'nonsense',
    '',
    'https://0x7f.1/'
  ]) {
    await refuse(`BT-PROXY-URL: ${wrong}`, proxyRequest(proxy.key, wrong, '{}'), 400, 'ERR_DESTINATION_URL')
  }
  await refuse(
    'no BT-PROXY-URL',
    Buffer.from(`GET /proxy HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${proxy.key}\r\n\r\n`),
    400,
    'ERR_DESTINATION_URL'
  )
  await refuse(
    'unknown tokens, all named',
    proxyRequest(proxy.key, url, `{"a":"{{${unknown}}}","b":"{{${id}}}","c":"{{nobody}}"}`),
    400,
    'ERR_TOKEN_UNKNOWN',
    {
      title: 'Invalid proxy request',
      detail: `Failed to detokenize some tokens: ${unknown}, nobody. Tokens were not found.`
    }
  )
  await refuse('a senseless expression', proxyRequest(proxy.key, url, '{"a":"{{}}"}'), 400, 'ERR_EXPR_SYNTAX', {
    offset: 6
  })
  await refuse(
    'an unknown filter',
    proxyRequest(proxy.key, url, `{"ab":"{{${id} | nosuch}}"}`),
    400,
    'ERR_EXPR_FILTER',
    {
      offset: 7
    }
  )
  await refuse(
    'too many tokens',
    proxyRequest(proxy.key, url, `["{{a}}","{{b}}","{{c}}","{{d}}"]`),
    400,
    'ERR_TOKEN_LIMIT'
  )
  await refuse(
    'a subject that Sluice-Subjects does not name',
    proxyRequest(proxy.key, url, `{"a":"{{${id}}}"}`, { headers: { 'Sluice-Subjects': 'other' } }),
    400,
    'ERR_SUBJECT_NOT_ALLOWED'
  )
  await refuse(
    'BT-PROXY-CONNECTION',
    proxyRequest(proxy.key, url, '{}', { headers: { 'BT-PROXY-CONNECTION': 'upgrade' } }),
    400,
    'ERR_HTTP_SYNTAX'
  )
  t.equal(destination.attempts, 0, 'not one connection was tried')
  t.notMatch(proxy.logged(), /secret-marker/)
})

t.test('HTTP that is ambiguous gets 400 and the connection closed', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination()
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const head = `POST /proxy HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${proxy.key}\r\nBT-PROXY-URL: ${destination.url}\r\n`
  const messages: Record<string, string> = {
    'both lengths': `${head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
    'two lengths': `${head}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`,
    'a bad chunk size': `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n`,
    'a bare LF': `${head}X: y\nZ: w\r\n\r\n`,
    'another coding': `${head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    'two hosts': `${head}Host: y\r\n\r\n`,
    garbage: 'nonsense\r\n\r\n'
  }
  for (const [name, bytes] of Object.entries(messages)) {
    const client = await proxy.client()
    const response = await client.request(bytes)
    t.equal(response.status, 400, name)
    t.equal(errorOf(response.body).code, 'ERR_HTTP_SYNTAX', name)
    await client.closed
    client.destroy()
  }
  t.equal(destination.requests.length, 0)
})

t.test('trailers that are announced beside a length are no reason to fail', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({
    script: answering('HTTP/1.1 200 OK\r\nTrailer: a\r\nContent-Length: 2\r\n\r\nok')
  })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const response = await proxy.request(proxyRequest(proxy.key, destination.url, '{}'))
  t.equal(response.status, 200)
  t.equal(response.body.toString(), 'ok')
})

t.test('metrics, health and one log line', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const id = await proxy.token('secret-marker')
  await proxy.request(proxyRequest(proxy.key, destination.url, `{"a":"{{${id}}}"}`))
  const text = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text()
  t.match(text, /sluice_requests_total\{dialect="basis_theory",route="\/proxy",outcome="ok"\} 1/)
  t.match(text, /sluice_tokens_revealed_total 1/)
  t.equal((await fetch(`http://127.0.0.1:${proxy.adminPort}/healthz`)).status, 200)
  t.equal((await fetch(`http://127.0.0.1:${proxy.adminPort}/readyz`)).status, 200)
  const line = JSON.parse(proxy.logged().trim().split('\n').at(-1) ?? '') as Record<string, unknown>
  t.match(line, { route: '/proxy', status: 200, destination: 'localhost', tokens: 1, mode: 'whole' })
  t.notMatch(proxy.logged() + text, /secret-marker/)
  t.notMatch(proxy.logged(), new RegExp(proxy.key))
})
