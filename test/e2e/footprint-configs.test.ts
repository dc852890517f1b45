import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startEcho } from '../../lib/cli/echo.ts'
import { certificates } from '../kit/certificates.ts'
import { answering, newDestination } from '../kit/destination.ts'
import { footprint, footprintJson, newUser } from '../kit/footprint.ts'
import { newProxy } from '../kit/proxy.ts'

/*
 * Stored configurations: a destination with its headers, secrets, identity and rules, which callers use by name and
 * cannot bend.
 */

const SECRET = 'Bearer sk-very-secret-4711'

t.test('stored configurations', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({
    script: answering(
      'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n{"pan":"4242424242424242"}'
    )
  })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const jane = await newUser(proxy, { 'id.dob': '1988-12-30' })
  const call = (path: string, more: object = {}) => footprintJson(proxy, `/vault_proxy/configs${path}`, more)
  const make = async (more: object = {}) => {
    const { status, body } = await call('', { body: { name: 'psp', url: `${destination.url}/api`, ...more } })
    t.equal(status, 200, JSON.stringify(body))
    return String(body['id'])
  }
  type Headers = [string, string][]
  const invoke = (id: string, headers: Headers = [], body = '{{ id.dob }}', more: object = {}) =>
    footprint(proxy, `/vault_proxy/${id}`, { body, headers: [['x-fp-id', jane], ...headers], ...more })
  const failed = (response: { body: Buffer }) =>
    JSON.parse(response.body.toString()) as { message: string; code: string }
  const rules = { content_type: 'json', rules: [{ token: 'card.stored.number', target: '$.pan' }] }

  t.test('made, shown, listed, changed and removed', async (t) => {
    const id = await make({
      headers: [{ name: 'X-Plain', value: 'a' }],
      secret_headers: [{ name: 'Authorization', value: SECRET }],
      ingress_settings: rules
    })
    t.match(id, /^proxy_id_[0-9A-Za-z]{22}$/)
    const shown = await call(`/${id}`, { method: 'GET' })
    t.match(shown.body, {
      id,
      name: 'psp',
      enabled: true,
      method: 'POST',
      headers: [{ name: 'X-Plain', value: 'a' }],
      ingress_settings: rules,
      pinned_server_certificates: [],
      client_identity: null
    })
    t.strictSame(shown.body['secret_headers'], [{ name: 'Authorization' }], 'a secret is never shown')
    t.match((await call('', { method: 'GET' })).body, { data: [{ id }], meta: { count: 1 } })
    t.match((await call(`/${id}`, { method: 'PATCH', body: { name: 'new', method: 'PUT' } })).body, {
      name: 'new',
      method: 'PUT',
      url: `${destination.url}/api`
    })
    t.equal((await footprint(proxy, `/vault_proxy/configs/${id}`, { method: 'DELETE' })).status, 204)
    t.equal((await call(`/${id}`, { method: 'GET' })).status, 404)
    t.equal((await invoke(id)).status, 404)
  })

  t.test('a call by name: stored and forwarded headers, method, path, reason, rules', async (t) => {
    const id = await make({
      method: 'PUT',
      headers: [
        { name: 'X-Plain', value: 'stored {{ id.dob }}' },
        { name: 'Content-Type', value: 'text/plain' }
      ],
      secret_headers: [{ name: 'Authorization', value: SECRET }],
      ingress_settings: rules
    })
    const response = await invoke(id, [
      ['x-fp-path-and-query', '/charges?a=b'],
      ['x-fp-proxy-fwd-X-More', 'more'],
      ['x-fp-proxy-fwd-x-plain', 'mine'],
      ['x-fp-proxy-fwd-authorization', 'Bearer mine']
    ])
    t.equal(response.status, 200)
    t.equal(response.body.toString(), `{"pan":"${jane}.card.stored.number"}`)
    const request = destination.requests.at(-1)
    t.equal(request?.startLine, 'PUT /api/charges?a=b HTTP/1.1')
    t.equal(request?.body.toString(), '1988-12-30')
    t.equal(request?.header('authorization'), SECRET, 'nobody puts his own in its stead')
    t.equal(request?.header('x-plain'), 'stored {{ id.dob }}', 'what is stored is no template')
    t.equal(request?.header('x-more'), 'more')
    t.equal(request?.raw.toString().match(/authorization:/gi)?.length, 1)

    await invoke(id, [['x-fp-proxy-method', 'PATCH']])
    t.match(destination.requests.at(-1)?.startLine, /^PATCH /, 'the request overrides the verb')
    const legacy = await footprint(proxy, '/vault_proxy', {
      body: 'x',
      headers: [
        ['x-fp-proxy-id', id],
        ['x-fp-id', jane]
      ]
    })
    t.equal(legacy.status, 200, 'the older form')
    const nobody = await footprint(proxy, `/vault_proxy/${id}`, { body: 'x' })
    t.equal(nobody.status, 400)
    t.match(failed(nobody).message, /x-fp-id is required/)
    t.equal(
      (await invoke(id, [['x-fp-proxy-ingress-rule', 'custom.again=$.pan']])).body.toString(),
      `{"pan":"${jane}.card.stored.number"}`
    )
    t.equal((await invoke(id, [['x-fp-proxy-ingress-content-type', 'xml']])).status, 400)
  })

  t.test('a secret stays where it was given for', async (t) => {
    const id = await make({ secret_headers: [{ name: 'Authorization', value: SECRET }] })
    const patch = (body: object) => call(`/${id}`, { method: 'PATCH', body })
    t.equal((await patch({ secret_headers: [{ name: 'authorization' }, { name: 'X-Two', value: '2' }] })).status, 200)
    await invoke(id)
    t.equal(destination.requests.at(-1)?.header('authorization'), SECRET, 'kept when it comes without a value')
    t.equal(destination.requests.at(-1)?.header('x-two'), '2')
    t.match(await patch({ url: 'https://elsewhere.localhost:4433/' }), {
      status: 400,
      body: { code: 'ERR_INPUT', context: { secret_headers: /anew/ } }
    })
    t.match(await patch({ secret_headers: [{ name: 'X-New' }] }), { status: 400 })
    t.notMatch(
      JSON.stringify(await call('', { method: 'GET' })) + JSON.stringify(await patch({ name: 'x' })),
      'very-secret'
    )
    t.notMatch(proxy.logged(), 'very-secret')
    t.notOk(readFileSync(join(proxy.folder, 'data', 'vault.mdb')).includes('very-secret'), 'sealed at rest')
  })

  t.test('client identity and pins are stored, and hold', async (t) => {
    const { client, server, ca } = await certificates()
    const echo = await startEcho({ host: 'localhost', port: 0, tls: server, mtls: {} })
    t.teardown(() => echo.close())
    const id = await make({
      url: echo.url,
      client_identity: { certificate: client.cert, key: client.key },
      pinned_server_certificates: [ca]
    })
    const shown = await call(`/${id}`, { method: 'GET' })
    t.strictSame(shown.body['client_identity'], { certificate: client.cert })
    t.notMatch(JSON.stringify(shown.body), 'PRIVATE')
    const serial = BigInt(`0x${new X509Certificate(client.cert).serialNumber}`).toString()
    t.equal((await invoke(id)).header('x-ditto-client-cert-serial'), serial)
    const own = await invoke(id, [['x-fp-proxy-pin-cert', encodeURIComponent(ca)]])
    t.equal(own.status, 400)
    const cert = await invoke(id, [
      ['x-fp-proxy-client-cert', encodeURIComponent(client.cert)],
      ['x-fp-proxy-client-key', encodeURIComponent(client.key)]
    ])
    t.equal(cert.status, 400)
  })

  t.test('what a call would be refused for is refused when it is stored', async (t) => {
    const cases: [object, string][] = [
      [{ url: 'http://localhost/' }, 'ERR_DESTINATION_URL'],
      [{ url: 'https://127.0.0.1/' }, 'ERR_DESTINATION_URL'],
      [{ method: 'TRACE' }, 'ERR_INPUT'],
      [{ nosuch: 1 }, 'ERR_INPUT'],
      [{ headers: [{ name: 'Transfer-Encoding', value: 'chunked' }] }, 'ERR_HTTP_SYNTAX'],
      [{ headers: [{ name: 'X', value: 'a\r\nB: c' }] }, 'ERR_HTTP_SYNTAX'],
      [{ headers: [{ name: 'X Y', value: 'a' }] }, 'ERR_INPUT'],
      [{ secret_headers: [{ name: 'X' }] }, 'ERR_INPUT'],
      [{ client_identity: { certificate: 'x', key: 'y' } }, 'ERR_INPUT'],
      [{ pinned_server_certificates: ['x'] }, 'ERR_INPUT'],
      [{ ingress_settings: { content_type: 'json', rules: [{ token: 'custom.a', target: '$.a[' }] } }, 'ERR_EXPR_PATH'],
      [
        { ingress_settings: { content_type: 'json', rules: [{ token: 'fp_id_x.custom.a', target: '$.a' }] } },
        'ERR_INPUT'
      ],
      [{ ingress_settings: { content_type: 'pdf', rules: [] } }, 'ERR_INPUT'],
      [{ url: undefined }, 'ERR_INPUT']
    ]
    for (const [more, code] of cases) {
      const { status, body } = await call('', { body: { name: 'x', url: destination.url, ...more } })
      t.equal(status, 400, JSON.stringify(more))
      t.equal(body['code'], code)
    }
  })

  t.test('switched off, of another tenant or another mode: 404; without the right: 403', async (t) => {
    const off = await make({ enabled: false })
    t.match(failed(await invoke(off)), { code: 'ERR_NOT_FOUND' })
    t.equal((await call(`/${off}`, { method: 'PATCH', body: { enabled: true } })).status, 200)
    t.equal((await invoke(off)).status, 200)
    const other = await proxy.newKey(['*'], { tenant: 'other' })
    t.equal((await invoke(off, [], 'x', { key: other })).status, 404)
    t.equal((await call(`/${off}`, { method: 'GET', key: other })).status, 404)
    const use = await proxy.newKey(['token:use'])
    t.match(failed(await invoke(off, [], 'x', { key: use })), { code: 'ERR_PERMISSION' })
    t.equal((await call('', { key: use, body: { name: 'x', url: destination.url } })).status, 403)
    const invoker = await proxy.newKey(['proxy:invoke'])
    t.equal((await invoke(off, [], 'no expression', { key: invoker })).status, 200)
    t.match(failed(await invoke(off, [], '{{ id.dob }}', { key: invoker })), { code: 'ERR_TOKEN_FORBIDDEN' })
    const bound = await proxy.newKey(['proxy:invoke'], { destinations: [{ host: 'psp.example' }] })
    t.match(failed(await invoke(off, [], 'x', { key: bound })), { code: 'ERR_DESTINATION_FORBIDDEN' })
  })
})
