import { gzipSync } from 'node:zlib'
import t from 'tap'
import type { RawRequest } from '../kit/message.ts'
import { answering, echoing, newDestination } from '../kit/destination.ts'
import { newProxy, type TestProxy } from '../kit/proxy.ts'
import { call, invoke, newApplication, newStoredProxy, proxyError } from '../kit/stored-proxy.ts'

/*
 * A stored proxy masks and tokenizes what a destination answers, so that its caller never holds the plain data. The
 * destination may be hostile: it answers with what it likes, however it is coded, and would have its bytes pass unseen, its
 * text run as a template, its fields become headers, or its ids become names of tokens. The caller may be hostile too: it
 * asks for parts of an answer, for codings that nobody here reads, and for the proxy's configuration. And whoever writes a
 * proxy may write an expression that is meant to take for ever.
 */

const NUMBER = '4242424242424242'
const MASK = { type: 'mask', matcher: 'regex', expression: '(\\d{16})', replacement: '*' }

type Answer = string | Buffer

/** A proxy, and a destination that answers with whatever the test says. */
async function hostile(t: Tap): Promise<{ proxy: TestProxy; url: string; requests: readonly RawRequest[]; say: Say }> {
  const proxy = await newProxy()
  let answer: Answer = ''
  const destination = await newDestination({ script: answering(() => answer) })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const say: Say = (body, head = '', status = '200 OK') => {
    const bytes = Buffer.from(body)
    const start = `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\n${head}Content-Length: ${bytes.length}\r\n\r\n`
    answer = Buffer.concat([Buffer.from(start, 'latin1'), bytes])
  }
  return { proxy, url: destination.url, requests: destination.requests, say }
}

type Say = (body: Answer, head?: string, status?: string) => void
type Tap = Pick<typeof t, 'teardown'>

t.test('an answer does not pass a mask by the way it is coded', async (t) => {
  const { proxy, url, say } = await hostile(t)
  const { key } = await newStoredProxy(proxy, url, { response_transforms: [MASK] })
  const body = `{"pan":"${NUMBER}"}`
  const zipped = gzipSync(body)
  const answers: [name: string, body: Answer, head: string, status: string][] = [
    ['gzip that is not said', zipped, '', '200 OK'],
    ['gzip within gzip', gzipSync(zipped), 'Content-Encoding: gzip\r\n', '200 OK'],
    ['gzip twice, and said', gzipSync(zipped), 'Content-Encoding: gzip, gzip\r\n', '200 OK'],
    ['a coding that is not known', body, 'Content-Encoding: x-mine\r\n', '200 OK'],
    ['gzip that is plain', body, 'Content-Encoding: gzip\r\n', '200 OK'],
    ['gzip with more behind it', Buffer.concat([zipped, Buffer.from(body)]), 'Content-Encoding: gzip\r\n', '200 OK'],
    ['UTF-16', Buffer.from(body, 'utf16le'), '', '200 OK'],
    ['UTF-16 by its charset', body, 'Content-Type: text/plain; charset=utf-16\r\n', '200 OK'],
    ['a part', body, 'Content-Range: bytes 0-9/100\r\n', '206 Partial Content']
  ]
  for (const [name, bytes, head, status] of answers) {
    say(bytes, head, status)
    const response = await invoke(proxy, key)
    t.equal(response.status, 502, name)
    t.equal(proxyError(response).forwarded, 'yes', name)
    t.equal(response.header('bt-proxy-destination-status'), status.slice(0, 3), name)
    t.notMatch(response.raw.toString('latin1'), NUMBER, name)
    t.notOk(response.raw.includes(zipped.subarray(10, 20)), name)
  }
  say(zipped, 'Content-Encoding: gzip\r\n')
  t.equal((await invoke(proxy, key)).body.toString(), `{"pan":"${'*'.repeat(16)}"}`)
})

t.test('a caller gets no part of an answer, nor in a coding that nobody here reads', async (t) => {
  const { proxy, url, say, requests } = await hostile(t)
  const { key } = await newStoredProxy(proxy, url, { response_transforms: [MASK] })
  say(`{"pan":"${NUMBER}"}`)
  await invoke(proxy, key, {
    headers: {
      Range: 'bytes=8-20',
      'If-Range': '"x"',
      'Accept-Encoding': 'zstd, compress',
      'Sluice-Delimiters': 'none'
    }
  })
  const [sent] = requests
  t.equal(sent?.header('range'), undefined)
  t.equal(sent?.header('if-range'), undefined)
  t.equal(sent?.header('accept-encoding'), 'identity')
  const streamed = await invoke(proxy, key, { headers: { 'Sluice-Body-Mode': 'stream' } })
  t.equal(streamed.body.toString(), `{"pan":"${'*'.repeat(16)}"}`, 'how the request travels changes nothing')
})

t.test('text of a destination is no template, whatever step it goes through', async (t) => {
  const { proxy, url, say } = await hostile(t)
  const { key } = await newStoredProxy(proxy, url, {
    configuration: { SECRET: 'hushhush' },
    response_transforms: [
      { type: 'append_json', options: { value: '{{ res.a }}', location: '$.b' } },
      { type: 'append_header', options: { value: '{{ res.a }}', location: 'X-A' } },
      { type: 'append_text', options: { value: '{{ res.b }}' } }
    ]
  })
  const text = "{{ config: SECRET }}{% assign x = proxy.config.SECRET %}{{ x | append: '!' }}"
  say(JSON.stringify({ a: text }))
  const response = await invoke(proxy, key)
  t.equal(response.status, 200)
  t.equal(response.header('x-a'), text)
  t.notMatch(response.raw.toString('latin1'), 'hushhush')
})

t.test('fields of an answer become no header of their own', async (t) => {
  const { proxy, url, say } = await hostile(t)
  const { key } = await newStoredProxy(proxy, url, {
    response_transforms: [{ type: 'append_header', options: { value: 'v{{ res.a }}', location: 'X-A' } }]
  })
  for (const value of ['\r\nSet-Cookie: a=b', '\nX: y', '\r\n\r\n<script>', '\0', '\u007f', { a: 1 }, ['a']]) {
    say(JSON.stringify({ a: value, pan: NUMBER }))
    const response = await invoke(proxy, key)
    const isObject = typeof value === 'object'
    t.equal(response.status, isObject ? 200 : 502, JSON.stringify(value))
    t.equal(response.header('set-cookie'), undefined)
    if (!isObject) t.notMatch(response.raw.toString('latin1'), NUMBER)
  }
})

t.test('ids of an answer become no names of tokens', async (t) => {
  const { proxy, url, say } = await hostile(t)
  const existing = await proxy.token('theirs')
  const tokenize = (token: object) => ({ response_transforms: [{ type: 'tokenize', options: { token } }] })
  const before = await count(proxy)
  const byExpression = await newStoredProxy(proxy, url, tokenize({ id: '{{ res.id }}', data: '{{ res.v }}' }))
  const byData = await newStoredProxy(proxy, url, tokenize({ id: '{{ data }}', data: '{{ res.id }}' }))
  for (const id of [existing, `${existing}.number`, 'fp_id_abcdef.card.primary.number', 'x', 'a{b', 'new#id']) {
    say(JSON.stringify({ id, v: 1 }))
    for (const { key } of [byExpression, byData]) t.equal((await invoke(proxy, key)).status, 502, id)
  }
  t.equal(await count(proxy), before)
  t.match((await call(proxy, 'GET', `/tokens/${existing}`)).body, { data: 'theirs' })
  const contained = await call(proxy, 'POST', '/proxies', {
    name: 'x',
    destination_url: url,
    ...tokenize({ data: '{{ res.v }}', containers: ['{{ res.container }}'] })
  })
  t.equal(contained.status, 400, 'nor does it choose the container')
})

t.test('whole answers become no tokens with rights of their own', async (t) => {
  const { proxy, url, say } = await hostile(t)
  const { key } = await newStoredProxy(proxy, url, {
    response_transforms: [
      { type: 'tokenize', options: { identifier: 'a', token: { data: '{{ res }}', metadata: { m: '{{ res.m }}' } } } },
      { type: 'append_header', options: { value: "{{ transform_identifier: 'a' | json: '$.id' }}", location: 'X-Id' } },
      {
        type: 'append_header',
        options: { value: "{{ transform_identifier: 'a' | json: '$.data' | json_stringify }}", location: 'X-Data' }
      }
    ]
  })
  say(
    '{"id":"mine","type":"card","containers":["/pci/high/"],"destinations":["evil.example"],"__proto__":{"m":"x"},"m":"y"}'
  )
  const response = await invoke(proxy, key)
  const token = (await call(proxy, 'GET', `/tokens/${response.header('x-id')}`)).body
  t.match(token, { type: 'token', containers: ['/general/high/'], metadata: { m: 'y' } })
  t.equal(token['destinations'], undefined)
  t.not(token['id'], 'mine')
  t.equal(response.header('x-data'), undefined, 'the result of a step never holds the plain data')
})

t.test('an answer does not grow without bound', async (t) => {
  const { proxy, url, say } = await hostile(t)
  const doubling = { type: 'append_text', options: { value: '{{ res }}{{ res }}{{ res }}{{ res }}' } }
  const { key } = await newStoredProxy(proxy, url, { response_transforms: Array(9).fill(doubling) })
  say('x'.repeat(100_000))
  const response = await invoke(proxy, key)
  t.equal(response.status, 502)
  t.match(proxyError(response).code, /^ERR_(BODY_SIZE|EXPR_VALUE)$/)
  const deep = await newStoredProxy(proxy, url, {
    response_transforms: [{ type: 'append_json', options: { value: 1, location: '$.a' } }]
  })
  say(`${'['.repeat(50_000)}${']'.repeat(50_000)}`)
  t.match(proxyError(await invoke(proxy, deep.key)), { status: 502, code: 'ERR_TRANSFORM' })
})

t.test('an expression that is meant to take for ever holds nobody else up', async (t) => {
  const { proxy, url, say } = await hostile(t)
  const bomb = await newStoredProxy(proxy, url, {
    response_transforms: [{ ...MASK, expression: '(a).*b|(a)' }]
  })
  say('a'.repeat(1_000_000))
  let isOver = false
  const bombed = invoke(proxy, bomb.key).then((response) => {
    isOver = true
    return response
  })
  for (let at = 0; at < 5; at++) t.equal((await call(proxy, 'GET', '/permissions')).status, 200)
  t.notOk(isOver, 'the calls of others while it runs')
  const response = await bombed
  t.match(proxyError(response), { status: 502, code: 'ERR_TRANSFORM', forwarded: 'yes' })
  say(`{"pan":"${NUMBER}"}`)
  const { key } = await newStoredProxy(proxy, url, { response_transforms: [MASK] })
  t.equal((await invoke(proxy, key)).status, 200, 'and is over with it')
})

t.test('no door of transforms makes tokens for whoever may not', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const weak = await newApplication(proxy, { permissions: ['token:use'], destinations: ['localhost'] })
  const tokenize = { type: 'tokenize', options: { token: { data: '{{ req.a }}', containers: ['/pci/high/'] } } }
  const before = await count(proxy)
  const users: [more: object, apiKey: string | null][] = [
    [{}, await proxy.newKey(['token:use'])],
    [{ application: { id: weak } }, proxy.key],
    [{ application: { id: weak }, require_auth: false }, null]
  ]
  for (const [more, apiKey] of users) {
    for (const side of ['request', 'response']) {
      const { key } = await newStoredProxy(proxy, destination.url, { ...more, [`${side}_transforms`]: [tokenize] })
      const response = await invoke(proxy, key, { apiKey, body: '{"a":"1"}' })
      t.match(proxyError(response), { code: 'ERR_PERMISSION', status: side === 'request' ? 403 : 502 })
    }
  }
  t.equal(await count(proxy), before)
})

/** Tokens of the tenant. */
async function count(proxy: TestProxy): Promise<number> {
  const { body } = await call(proxy, 'GET', '/tokens?size=1')
  return (body['pagination'] as { total_items: number }).total_items
}
