import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { startEcho } from '../../lib/cli/echo.ts'
import { certificates } from '../kit/certificates.ts'
import { answering, echoing, newDestination } from '../kit/destination.ts'
import { newProxy, proxyRequest } from '../kit/proxy.ts'
import { call, invoke, newApplication, newStoredProxy, proxyError } from '../kit/stored-proxy.ts'

/*
 * Stored proxies on real sockets: made by the API, called by their key, compared at the destination down to the byte.
 */

const NUMBER = '4242424242424242'

t.test('a stored proxy from its making to its end', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const { url } = destination

  t.test('made, shown, listed, replaced, patched, removed', async (t) => {
    const application = await newApplication(proxy, {})
    const made = await call(proxy, 'POST', '/proxies', {
      name: 'My Proxy',
      destination_url: `${url}/api`,
      configuration: { SERVICE_API_KEY: 'key_abcd1234' },
      application: { id: application },
      timeout: 7,
      retry: 'idempotency-key'
    })
    t.equal(made.status, 201)
    const id = String(made.body['id'])
    t.match(made.body, {
      id: /^[0-9a-f-]{36}$/,
      tenant_id: 'default',
      name: 'My Proxy',
      key: /^[1-9A-HJ-NP-Za-km-z]{22}$/,
      destination_url: `${url}/api`,
      configuration: { SERVICE_API_KEY: null },
      application_id: application,
      require_auth: true,
      disable_detokenization: false,
      timeout: 7,
      retry: 'idempotency-key',
      created_at: /^\d{4}-.*\+00:00$/
    })
    t.strictSame((await call(proxy, 'GET', `/proxies/${id}`)).body, made.body)
    await newStoredProxy(proxy, url, { name: 'Another' })
    const named = await call(proxy, 'GET', '/proxies?name=my*&page=1&size=5')
    t.match(named.body, { pagination: { total_items: 1, page_number: 1, page_size: 5 }, data: [{ id }] })
    t.match((await call(proxy, 'GET', `/proxies/?id=${id}&id=x`)).body, { pagination: { total_items: 1 } })
    t.match((await call(proxy, 'GET', '/proxies?page=2')).body, { data: [] })

    const patch = await call(proxy, 'PATCH', `/proxies/${id}`, {
      name: 'Patched',
      configuration: { MORE: 'x' },
      timeout: null
    })
    t.match(patch, { status: 204, text: '' })
    const patched = await call(proxy, 'GET', `/proxies/${id}`)
    t.match(patched.body, {
      name: 'Patched',
      configuration: { SERVICE_API_KEY: null, MORE: null },
      key: made.body['key']
    })
    t.equal(patched.body['timeout'], undefined)
    t.ok(patched.body['modified_at'])
    const put = await call(proxy, 'PUT', `/proxies/${id}`, { name: 'Put', destination_url: url })
    t.match(put, { status: 200, body: { id, name: 'Put', destination_url: url, key: made.body['key'] } })
    t.strictSame(put.body['configuration'], {}, 'what a PUT leaves out is gone')
    t.equal(put.body['application_id'], undefined)
    t.equal((await call(proxy, 'DELETE', `/proxies/${id}`)).status, 204)
    t.equal((await call(proxy, 'GET', `/proxies/${id}`)).status, 404)
    t.equal((await call(proxy, 'DELETE', `/proxies/${id}`)).status, 404)
    t.equal((await invoke(proxy, String(made.body['key']))).status, 404, 'nor is it called any more')
    const log = (await call(proxy, 'GET', `/logs?entity_type=proxy&entity_id=${id}`)).body['data'] as object[]
    t.strictSame(
      log.map((entry) => (entry as { operation: string }).operation),
      ['delete', 'update', 'update', 'create']
    )
  })

  t.test('bad input is named field by field', async (t) => {
    const cases: [object, string][] = [
      [{ name: '' }, 'name'],
      [{ name: 'x'.repeat(201) }, 'name'],
      [{ destination_url: undefined }, 'destination_url'],
      [{ destination_url: 'http://localhost/' }, 'destination_url'],
      [{ destination_url: 'https://127.0.0.1/' }, 'destination_url'],
      [{ destination_url: 'https://user:pass@localhost/' }, 'destination_url'],
      [{ destination_url: `${url}/${'x'.repeat(400)}` }, 'destination_url'],
      [{ destination_url: `${url}/../x` }, 'destination_url'],
      [{ configuration: ['x'] }, 'configuration'],
      [{ configuration: { a: {} } }, 'configuration.a'],
      [{ configuration: { a: null } }, 'configuration.a'],
      [{ configuration: Object.fromEntries([...Array(26).keys()].map((n) => [`k${n}`, 'v'])) }, 'configuration'],
      [{ require_auth: 'no' }, 'require_auth'],
      [{ disable_detokenization: 1 }, 'disable_detokenization'],
      [{ client_certificate: 'x' }, 'client_certificate'],
      [{ client_certificate: { certificate: 'x', key: 'y' } }, 'client_certificate'],
      [{ client_certificate: '«redacted»' }, 'client_certificate'],
      [{ timeout: 0 }, 'timeout'],
      [{ timeout: 301 }, 'timeout'],
      [{ timeout: 1.5 }, 'timeout'],
      [{ timeout: '5' }, 'timeout'],
      [{ retry: 'always' }, 'retry'],
      [{ application: { id: 'nobody' } }, 'application.id'],
      [{ application: 'x' }, 'application.id'],
      [{ request_reactor_id: 'x' }, 'request_reactor_id'],
      [{ require_auth: false }, 'application.id']
    ]
    for (const [more, field] of cases) {
      const { status, body } = await call(proxy, 'POST', '/proxies', { name: 'x', destination_url: url, ...more })
      t.equal(status, 400, JSON.stringify(more).slice(0, 80))
      t.match(body, { errors: { [field]: [String] } }, field)
    }
    const all = await call(proxy, 'POST', '/proxies', { timeout: 'x', retry: 'y' })
    t.strictSame(Object.keys(all.body['errors'] as object), ['name', 'destination_url', 'timeout', 'retry'])
    const { id } = await newStoredProxy(proxy, url)
    const json = await proxy.request(
      `PATCH /proxies/${id} HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${proxy.key}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`
    )
    t.equal(json.status, 415)
  })

  t.test('transforms: both spellings, kept and replaced by side, code that does not parse', async (t) => {
    const code = 'module.exports = async function (req) { return { headers: req.args.headers, body: req.args.body } }'
    const mask = { type: 'mask', matcher: 'regex', expression: '"n":"(.*?)"', replacement: '*' }
    const { id } = await newStoredProxy(proxy, url, { request_transform: { code }, response_transforms: [mask] })
    const shown = async () => (await call(proxy, 'GET', `/proxies/${id}`)).body
    t.match(await shown(), {
      request_transform: { type: 'code', code },
      request_transforms: [{ type: 'code', code }],
      response_transform: mask,
      response_transforms: [mask]
    })
    t.equal(
      (await call(proxy, 'PUT', `/proxies/${id}`, await shown())).status,
      200,
      'what is shown can be written back'
    )
    const text = { type: 'append_text', options: { value: 'x' } }
    t.equal((await call(proxy, 'PATCH', `/proxies/${id}`, { request_transforms: [text, text] })).status, 204)
    t.match(await shown(), { request_transforms: [text, text], response_transforms: [mask] })
    t.equal((await call(proxy, 'PATCH', `/proxies/${id}`, { response_transform: null })).status, 204)
    const left = await shown()
    t.strictSame(
      Object.keys(left).filter((name) => name.includes('transform')),
      ['request_transforms']
    )
    for (const wrong of ['module.exports = (', 'module.exports = 1', 'throw new Error("x")']) {
      const { status, body } = await call(proxy, 'PATCH', `/proxies/${id}`, { response_transform: { code: wrong } })
      t.equal(status, 422, wrong)
      t.match(body, { code: 'ERR_CODE', errors: { 'response_transform.code': [String] } })
    }
    const long = { token: { data: '{{ req.body }}', metadata: {} }, identifier: 'x' }
    const made = await call(proxy, 'PATCH', `/proxies/${id}`, {
      request_transform: { type: 'tokenize', options: long }
    })
    t.equal(made.status, 204)
    t.match(await shown(), { request_transform: { type: 'tokenize', options: long } })
  })

  t.test('each permission by itself', async (t) => {
    const { id } = await newStoredProxy(proxy, url)
    const body = { name: 'x', destination_url: url }
    const calls: [string, string, string, object | undefined, number][] = [
      ['proxy:create', 'POST', '/proxies', body, 201],
      ['proxy:read', 'GET', '/proxies', undefined, 200],
      ['proxy:read', 'GET', `/proxies/${id}`, undefined, 200],
      ['proxy:update', 'PUT', `/proxies/${id}`, body, 200],
      ['proxy:update', 'PATCH', `/proxies/${id}`, {}, 204],
      ['proxy:delete', 'DELETE', `/proxies/${id}`, undefined, 204]
    ]
    const every = ['proxy:create', 'proxy:read', 'proxy:update', 'proxy:delete', 'proxy:invoke', 'token:use']
    for (const [permission, method, path, json, status] of calls) {
      const without = await proxy.newKey(every.filter((one) => one !== permission))
      t.equal((await call(proxy, method, path, json, without)).status, 403, `${method} without ${permission}`)
      const key = await proxy.newKey([permission])
      t.equal((await call(proxy, method, path, json, key)).status, status, `${method} with ${permission}`)
    }
  })

  t.test('a call by the key in the header and in the query: path, query, tokens, byte for byte', async (t) => {
    const { key } = await newStoredProxy(proxy, `${url}/api/?y=2`)
    const card = await proxy.token({ number: NUMBER })
    const body = `{"n": "{{ ${card} | json: '$.number' }}",\t"x":1.10}`
    const table: [string | null, string, string][] = [
      [key, '/proxy', '/api?y=2'],
      [key, '/proxy/foo?x=1', '/api/foo?y=2&x=1'],
      [null, `/proxy/a%2Fb?bt-proxy-key=${key}&x=%20z`, '/api/a%2Fb?y=2&x=%20z'],
      [null, `/proxy?x=1&BT-Proxy-Key=${key}&x=2`, '/api?y=2&x=1&x=2'],
      [null, `/proxy/?bt%2Dproxy%2Dkey=${key}`, '/api/?y=2'],
      [key, `/proxy/?bt-proxy-key=${key}&bt-proxy-key=${key}`, '/api/?y=2'],
      [key, '/proxy?bt-proxy=1&&bt-proxy-kez=2', '/api?y=2&bt-proxy=1&&bt-proxy-kez=2']
    ]
    for (const [header, path, target] of table) {
      const response = await invoke(proxy, header, {
        path,
        body,
        headers: { 'BT-PROXY-URL': 'https://ignored.example' }
      })
      t.equal(response.status, 200, path)
      t.equal(response.header('bt-proxy-destination-status'), '200')
      t.equal(response.body.toString(), `{"n": "${NUMBER}",\t"x":1.10}`)
      const request = destination.requests.at(-1)
      t.equal(request?.startLine, `POST ${target} HTTP/1.1`)
      t.notMatch(request?.raw.toString('latin1'), new RegExp(`${key}|${proxy.key}|bt-proxy-key|bt-api-key`, 'i'))
    }
    for (const method of ['GET', 'DELETE', 'HEAD', 'PUT', 'PATCH']) {
      const sent = method === 'GET' || method === 'DELETE' || method === 'HEAD' ? null : '{}'
      t.equal((await invoke(proxy, key, { method, body: sent })).status, 200, method)
      t.equal(destination.requests.at(-1)?.startLine, `${method} /api?y=2 HTTP/1.1`)
    }
    t.match(proxyError(await invoke(proxy, key, { method: 'OPTIONS' })), { code: 'ERR_METHOD', status: 405 })
  })

  t.test('bodies that pass, that are held and that stream', async (t) => {
    const { key } = await newStoredProxy(proxy, url)
    const token = await proxy.token(NUMBER)
    const binary = Buffer.from([0x7b, 0x7b, 0x20, 0x7d, 0x7d, 0xff])
    await invoke(proxy, key, { body: binary, headers: { 'Content-Type': 'application/octet-stream' } })
    t.ok(destination.requests.at(-1)?.body.equals(binary))
    const large = ' '.repeat(2 * 1024 * 1024)
    const answer = await invoke(proxy, key, { body: `["{{ ${token} }}"${large}]` })
    t.equal(answer.status, 200)
    t.equal(destination.requests.at(-1)?.framing, 'chunked')
    t.ok(destination.requests.at(-1)?.body.equals(Buffer.from(`["${NUMBER}"${large}]`)))
    const chunk = `["{{ ${token} }}"]`
    const chunked = await proxy.request(
      `POST /proxy HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${proxy.key}\r\nBT-PROXY-KEY: ${key}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.length.toString(16)}\r\n${chunk}\r\n0\r\n\r\n`
    )
    t.equal(chunked.body.toString(), `["${NUMBER}"]`)
    const none = await invoke(proxy, key, { method: 'GET', body: null })
    t.equal(none.status, 200)
  })

  t.test('disable_detokenization sends the body as it is, whatever the request asks for', async (t) => {
    const { key } = await newStoredProxy(proxy, url, { disable_detokenization: true })
    const token = await proxy.token(NUMBER)
    const all = await proxy.newKey(['token:use', 'token:use:head'])
    const body = `{"a":"{{ ${token} }}","b":"{{ nobody }}`
    const response = await invoke(proxy, key, {
      apiKey: all,
      path: `/proxy/%7B%7B${token}%7D%7D`,
      body,
      headers: { 'X-A': `{{ ${token} }}`, 'Sluice-Delimiters': '{{ }}' }
    })
    t.equal(response.body.toString(), body)
    t.equal(destination.requests.at(-1)?.header('x-a'), `{{ ${token} }}`)
    t.equal(destination.requests.at(-1)?.startLine, `POST /%7B%7B${token}%7D%7D HTTP/1.1`)
  })

  t.test('who may call, and the order of refusals', async (t) => {
    const { key } = await newStoredProxy(proxy, url)
    const before = destination.requests.length
    const refused = async (
      name: string,
      code: string,
      status: number,
      given: Parameters<typeof invoke>[2],
      by = key
    ) => {
      const response = await invoke(proxy, by, given)
      t.match(proxyError(response), { code, status, forwarded: 'no' }, name)
      t.equal(response.header('bt-proxy-destination-status'), undefined, name)
    }
    await refused('no API key', 'ERR_AUTH_MISSING', 401, { apiKey: null })
    await refused('a wrong one', 'ERR_AUTH_INVALID', 401, { apiKey: 'wrong' })
    await refused('one without the right', 'ERR_PERMISSION', 403, { apiKey: await proxy.newKey(['token:read']) })
    for (const unknown of ['', 'x', 'TDEyQmkhQMpGiZd13FSRQ9', proxy.key])
      await refused(`the proxy key '${unknown.slice(0, 4)}'`, 'ERR_NOT_FOUND', 404, {}, unknown)
    await refused('named twice', 'ERR_HTTP_SYNTAX', 400, { path: '/proxy?bt-proxy-key=TDEyQmkhQMpGiZd13FSRQ9' })
    await refused('a dot segment', 'ERR_DESTINATION_URL', 400, { path: '/proxy/../x' })
    t.equal(destination.requests.length, before)
    const invoker = await proxy.newKey(['proxy:invoke'])
    t.equal(
      (await invoke(proxy, key, { apiKey: invoker })).status,
      200,
      'proxy:invoke is enough where nothing is revealed'
    )
    const token = await proxy.token(NUMBER)
    await refused('and not where something is', 'ERR_TOKEN_FORBIDDEN', 403, {
      apiKey: invoker,
      body: `"{{ ${token} }}"`
    })
  })

  t.test('without require_auth anybody with the key calls, as the application', async (t) => {
    const application = await newApplication(proxy, { destinations: ['localhost'] })
    const { id, key } = await newStoredProxy(proxy, url, { require_auth: false, application: { id: application } })
    const token = await proxy.token(NUMBER)
    for (const apiKey of [null, 'wrong', proxy.key]) {
      const response = await invoke(proxy, key, { apiKey, body: `"{{ ${token} }}"` })
      t.equal(response.body.toString(), `"${NUMBER}"`)
    }
    const theirs = await invoke(proxy, key, { apiKey: null, headers: { 'X-API-KEY': 'of the destination' } })
    t.equal(theirs.status, 200)
    t.equal(destination.requests.at(-1)?.header('x-api-key'), 'of the destination')
    const ours = await invoke(proxy, key, { apiKey: null, headers: { 'X-API-KEY': proxy.key } })
    t.equal(ours.status, 200)
    t.equal(destination.requests.at(-1)?.header('x-api-key'), undefined)
    const line = JSON.parse(proxy.logged().trim().split('\n').at(-1) ?? '') as object
    t.match(line, { route: '/proxy?bt-proxy-key', proxy: id, application, status: 200 })
    const metrics = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text()
    t.match(metrics, /requests_total\{dialect="basis_theory",route="\/proxy\?bt-proxy-key",outcome="ok"\} \d+/)
    t.notMatch(proxy.logged() + metrics, key)
  })

  t.test('client_certificate: the destination sees whose it is, nobody else sees it', async (t) => {
    const { client, server } = await certificates()
    const echo = await startEcho({ host: 'localhost', port: 0, tls: server, mtls: {} })
    t.teardown(() => echo.close())
    const serial = BigInt(`0x${new X509Certificate(client.cert).serialNumber}`).toString()
    const seen = async (key: string) => (await invoke(proxy, key)).header('x-ditto-client-cert-serial')
    for (const certificate of [`${client.cert}${client.key}`, { certificate: client.cert, key: client.key }]) {
      const { id, key } = await newStoredProxy(proxy, echo.url, { client_certificate: certificate })
      t.equal(await seen(key), serial)
      const shown = await call(proxy, 'GET', `/proxies/${id}`)
      t.equal(shown.body['client_certificate'], '«redacted»')
      t.equal((await call(proxy, 'PUT', `/proxies/${id}`, shown.body)).status, 200)
      t.equal(await seen(key), serial, 'what was shown, written back, changes nothing')
      t.equal((await call(proxy, 'PATCH', `/proxies/${id}`, { client_certificate: null })).status, 204)
      t.equal(await seen(key), undefined)
    }
  })

  t.test('timeout is the deadline of the destination', async (t) => {
    const silent = await newDestination({ script: async (connection) => void (await connection.request()) })
    t.teardown(() => silent.close())
    const { key } = await newStoredProxy(proxy, silent.url, { timeout: 1 })
    const begun = performance.now()
    const response = await invoke(proxy, key)
    t.match(proxyError(response), { code: 'ERR_DESTINATION_TIMEOUT', status: 408, forwarded: 'unknown' })
    t.ok(performance.now() - begun < 10_000, 'egress.timeoutMs is 25 s')
  })

  t.test(
    'retry: a POST goes out again only with an Idempotency-Key, where the proxy says so and no code takes it away',
    async (t) => {
      const token = await proxy.token(NUMBER)
      const retry = 'idempotency-key'
      const header = { type: 'append_header', options: { value: 'x', location: 'X-A' } }
      const code = 'module.exports = async (req) => ({ headers: {}, body: req.args.body })'
      for (const [more, headers, attempts] of [
        [{}, { 'Idempotency-Key': 'k-1' }, 1],
        [{ retry }, {}, 1],
        [{ retry }, { 'Idempotency-Key': '' }, 1],
        [{ retry, request_transform: { code } }, { 'Idempotency-Key': 'k-1' }, 1],
        [{ retry, request_transform: header }, { 'Idempotency-Key': 'k-1' }, 2],
        [{ retry }, { 'Idempotency-Key': 'k-1' }, 2]
      ] as const) {
        // The first connection answers once, and closes on the second request that comes on it.
        let requests = 0
        const fickle = await newDestination({
          script: async (connection) => {
            for (;;) {
              if ((await connection.request()) === null) return connection.end()
              if (++requests === 2) return connection.reset()
              await connection.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
            }
          }
        })
        t.teardown(() => fickle.close())
        const { key } = await newStoredProxy(proxy, fickle.url, more)
        t.equal((await invoke(proxy, key)).status, 200)
        const response = await invoke(proxy, key, { body: `"{{ ${token} }}"`, headers })
        t.equal(response.status, attempts === 1 ? 502 : 200, JSON.stringify([more, headers]))
        const sent = fickle.requests.slice(1)
        t.equal(sent.length, attempts)
        for (const { body } of sent) t.equal(body.toString(), `"${NUMBER}"`)
      }
    }
  )

  t.test('the ephemeral proxy is what it was', async (t) => {
    const response = await proxy.request(proxyRequest(proxy.key, url, '{}', { path: '/proxy/a?b=c' }))
    t.equal(response.status, 200)
    t.equal(destination.requests.at(-1)?.startLine, 'POST /a?b=c HTTP/1.1')
  })
})

t.test('a change holds at once, on a connection that is open', async (t) => {
  const proxy = await newProxy()
  const one = await newDestination({ script: answering('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none') })
  const two = await newDestination({ script: answering('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo') })
  t.teardown(() => Promise.all([proxy.close(), one.close(), two.close()]))
  const application = await newApplication(proxy, { destinations: ['localhost'] })
  const { id, key } = await newStoredProxy(proxy, one.url, { require_auth: false, application: { id: application } })
  const client = await proxy.client()
  t.teardown(() => client.destroy())
  const ask = async () =>
    client.request(`GET /proxy HTTP/1.1\r\nHost: x\r\nBT-PROXY-KEY: ${key}\r\n\r\n`).then((response) => response)
  t.equal((await ask()).body.toString(), 'one')
  t.equal((await call(proxy, 'PATCH', `/proxies/${id}`, { destination_url: two.url })).status, 204)
  t.equal((await ask()).body.toString(), 'two')
  const bound = (destinations: string[] | null) =>
    call(proxy, 'PUT', `/applications/${application}`, { name: 'a', permissions: ['token:use'], destinations })
  t.equal((await bound(['psp.example'])).status, 200)
  t.match(proxyError(await ask()), { code: 'ERR_DESTINATION_FORBIDDEN', status: 403 })
  t.equal((await bound(null)).status, 200)
  t.match(proxyError(await ask()), { code: 'ERR_DESTINATION_FORBIDDEN', status: 403 }, 'bound to nothing is not bound')
  t.equal((await bound(['localhost'])).status, 200)
  t.equal((await ask()).body.toString(), 'two')
  t.equal((await call(proxy, 'DELETE', `/applications/${application}`)).status, 204)
  t.match(proxyError(await ask()), { code: 'ERR_CONFLICT', status: 409 })
  t.equal((await call(proxy, 'DELETE', `/proxies/${id}`)).status, 204)
  t.match(proxyError(await ask()), { code: 'ERR_NOT_FOUND', status: 404 })
})
