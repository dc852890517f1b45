/*
 * The story: a caller with a key that may little wants more — another user's data, a stored secret, a header that is not
 * for it to set, a rule that writes where it may not, a pattern that never ends. And a destination that answers to hurt.
 */
import t from 'tap'
import { answering, echoing, newDestination } from '../kit/destination.ts'
import { footprint, footprintJson, newUser } from '../kit/footprint.ts'
import { newProxy } from '../kit/proxy.ts'

type Headers = [string, string][]

t.test('hostile callers and destinations', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const jane = await newUser(proxy, { 'id.ssn9': '078051120', 'card.primary.number': '4242424242424242' })
  const jit = (body: string, headers: Headers = [], more: object = {}) =>
    footprint(proxy, '/vault_proxy/jit', {
      body,
      headers: [['x-fp-proxy-target-url', destination.url], ...headers],
      ...more
    })
  const json = (rules: readonly string[], type = 'json'): Headers => [
    ['x-fp-proxy-ingress-content-type', type],
    ...rules.map((rule): [string, string] => ['x-fp-proxy-ingress-rule', rule])
  ]
  const codeOf = (response: { body: Buffer }) => (JSON.parse(response.body.toString()) as { code: string }).code

  t.test('the destination sees no credential, no control and no TLS material', async (t) => {
    await jit('x', [
      ['x-fp-proxy-access-reason', 'why-not'],
      ['Proxy-Authorization', 'Basic eA=='],
      ['Sluice-Subjects', 'nothing']
    ])
    const raw = destination.requests.at(-1)?.raw.toString('latin1') ?? ''
    t.notMatch(raw, proxy.key)
    t.notMatch(raw, /authorization|x-fp-|sluice-subjects|why-not|footprint-secret/i)
  })

  t.test('a forwarded header cannot end its line or change the framing', async (t) => {
    const before = destination.requests.length
    for (const name of [
      'Content-Length',
      'Transfer-Encoding',
      'Host',
      'Connection',
      'a b',
      'Trailer',
      'proxy-connection'
    ]) {
      const response = await jit('x', [[`x-fp-proxy-fwd-${name}`, '0']])
      t.equal(response.status, 400, name)
    }
    t.equal(destination.requests.length, before)
    await jit('x', [['x-fp-proxy-fwd-x', 'tab\tand \xe9']])
    t.equal(destination.requests.at(-1)?.header('x'), 'tab\tand \xe9')
  })

  t.test('values are not scanned again', async (t) => {
    const mallory = await newUser(proxy, {
      'custom.note': `{{ ${jane}.id.ssn9 }}`,
      'custom.open': '{{',
      'custom.rest': `${jane}.id.ssn9 }}`
    })
    const response = await jit(`{{ ${mallory}.custom.note }}{{ ${mallory}.custom.open }} {{ ${mallory}.custom.rest }}`)
    t.equal(response.body.toString(), `{{ ${jane}.id.ssn9 }}{{ ${jane}.id.ssn9 }}`)
  })

  t.test('another tenant: its users, fields and rules are not there', async (t) => {
    const key = await proxy.newKey(['*'], { tenant: 'mallory' })
    t.equal(codeOf(await jit(`{{ ${jane}.id.ssn9 }}`, [], { key })), 'ERR_TOKEN_UNKNOWN')
    t.equal(codeOf(await jit('{{ id.ssn9 }}', [['x-fp-id', jane]], { key })), 'ERR_NOT_FOUND')
    t.equal(codeOf(await jit('{"a":"1"}', json([`${jane}.custom.a=$.a`]), { key })), 'ERR_NOT_FOUND')
    t.equal(
      (await footprint(proxy, `/users/${jane}/vault`, { key, method: 'PATCH', body: { 'id.ssn9': '111111111' } }))
        .status,
      404
    )
    t.equal(
      (await footprintJson(proxy, '/users/search', { key, body: { search: '078051120' } })).body['meta'] !== undefined,
      true
    )
    t.strictSame((await footprintJson(proxy, '/users/search', { key, body: { search: '078051120' } })).body['data'], [])
  })

  t.test('a rule for one user does not reach over to another', async (t) => {
    const bob = await newUser(proxy)
    const only = (user: string) => ({
      rules: [
        {
          description: '',
          priority: 1,
          container: `/general/fp/${user}/`,
          transform: 'reveal',
          permissions: ['token:create', 'token:use']
        }
      ]
    })
    const key = await proxy.newKey([], only(bob))
    t.equal((await jit('{"a":"1"}', json([`${bob}.custom.a=$.a`]), { key })).status, 200)
    t.equal(codeOf(await jit('{"a":"1"}', json([`${jane}.custom.a=$.a`]), { key })), 'ERR_PERMISSION')
    t.equal(
      codeOf(await jit('{"a":"1"}', json([`${bob}.custom.b=$.a`, `${bob}.id.city=$.a`]), { key })),
      'ERR_PERMISSION'
    )
    t.equal(codeOf(await jit(`{{ ${jane}.id.ssn9 }}`, [], { key })), 'ERR_TOKEN_FORBIDDEN')
  })

  t.test('searching does not tell what one may not read', async (t) => {
    const rule = {
      description: '',
      priority: 1,
      container: '/',
      transform: 'mask',
      permissions: ['token:search', 'token:read']
    }
    const key = await proxy.newKey([], { rules: [rule] })
    t.strictSame((await footprintJson(proxy, '/users/search', { key, body: { search: '078051120' } })).body['data'], [])
  })

  t.test('patterns and paths that others would never finish', async (t) => {
    const started = process.cpuUsage()
    const long = `${'a'.repeat(20_000)}!`
    t.equal((await jit(long, json([`${jane}.custom.r=(a+)+$`], 'regex'))).status, 200)
    const deep = `${'{"a":['.repeat(200)}1${']}'.repeat(200)}`
    t.match(codeOf(await jit(deep, json([`${jane}.custom.d=$..*..*..*..*..*`]))), /^ERR_/)
    const spent = process.cpuUsage(started)
    t.ok(spent.user < 20_000_000, `${spent.user / 1000} ms`)
    t.equal(codeOf(await jit('<a/>', json([`${jane}.custom.x=//a//b//c`], 'xml'))), 'ERR_EXPR_LIMIT')
  })

  t.test('an XML answer with entities is refused', async (t) => {
    const bombs = [
      '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
      '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
      '<?xml version="1.0"?>\n<!doctype a SYSTEM "http://127.0.0.1/"><a>1</a>'
    ]
    for (const body of bombs) {
      const response = await jit(body, json([`${jane}.custom.x=/a`], 'xml'))
      t.equal(response.status, 502)
      t.equal(codeOf(response), 'ERR_DESTINATION_RESPONSE')
    }
  })

  t.test('a response cannot forge what Sluice says of it', async (t) => {
    const body = '{"a":"secret-1"}'
    const forging = await newDestination({
      script: answering(
        `HTTP/1.1 200 OK\r\nSluice-Captured: 99\r\nSluice-Rules-Unmatched: 0\r\nbt-trace-id: x\r\nTrailer: a\r\nX-Copy: secret-1\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\nX-Late: secret-1\r\n\r\n`
      )
    })
    t.teardown(() => forging.close())
    const response = await footprint(proxy, '/vault_proxy/jit', {
      body: 'x',
      headers: [['x-fp-proxy-target-url', forging.url], ...json([`${jane}.custom.f=$.a`, `${jane}.custom.g=$.b`])]
    })
    t.strictSame(response.headers('sluice-captured'), ['1'])
    t.strictSame(response.headers('sluice-rules-unmatched'), ['1'])
    t.notMatch(response.raw.toString('latin1'), 'secret-1', 'neither in the body, nor in a header, nor in a trailer')
    t.equal(response.header('x-copy'), `${jane}.custom.f`)
  })

  t.test('no secret in logs, metrics or errors', async (t) => {
    const secrets = /078051120|4242424242424242|secret-1/
    t.notMatch(proxy.logged(), secrets)
    t.notMatch(await (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text(), secrets)
  })
})
