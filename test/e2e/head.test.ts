import t from 'tap'
import { echoing, newDestination } from '../kit/destination.ts'
import { newProxy, proxyRequest } from '../kit/proxy.ts'

/*
 * Expressions in the path, the query and header values: only for keys that hold `token:use:head`.
 */

t.test('expressions in the head', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const id = await proxy.token('4242424242424242')
  const odd = await proxy.token('a b/ü"&=')
  const breaking = await proxy.token('a\r\nX-Injected: yes')
  const dots = await proxy.token('..')
  const slash = await proxy.token('a/b')
  const half = await proxy.token('2f')
  const encoded = await proxy.token('a%2Fb')
  const key = await proxy.newKey(['token:use', 'token:use:head'])
  const send = (more: object, apiKey = key) =>
    proxy.request(proxyRequest(apiKey, `${destination.url}/base`, `{"a":"{{${id} | last4}}"}`, more))
  const enc = (text: string): string =>
    text.replaceAll('{', '%7B').replaceAll('}', '%7D').replaceAll(' ', '%20').replaceAll('|', '%7C')

  const all = await send({
    path: `/proxy/v1/${enc(`{{ ${id} | last4 }}`)}/x?card=${enc(`{{${odd}}}`)}&y=%7B%7B`,
    headers: { 'X-Card': `Card {{ ${id} | last4 }}!`, 'X-Plain': '{{', 'Content-Language': `{{${id}}}` }
  })
  t.equal(all.status, 200)
  const request = destination.requests.at(-1)
  t.equal(request?.startLine, 'POST /base/v1/4242/x?card=a%20b%2F%C3%BC%22%26%3D&y=%7B%7B HTTP/1.1')
  t.equal(request?.header('x-card'), 'Card 4242!')
  t.equal(request?.header('x-plain'), '{{')
  t.equal(request?.header('content-language'), `{{${id}}}`, 'Content-* is never templated')
  t.equal(request?.body.toString(), '{"a":"4242"}')

  const seen = destination.requests.length
  for (const [name, more, code] of [
    ['CR LF in a header', { headers: { 'X-A': `{{${breaking}}}` } }, 'ERR_EXPR_VALUE'],
    ['a dot segment made by a value', { path: `/proxy/${enc(`{{${dots}}}`)}/x` }, 'ERR_DESTINATION_URL'],
    ['a slash made by a value', { path: `/proxy/${enc(`{{${slash}}}`)}` }, 'ERR_EXPR_VALUE'],
    ['half of a percent-encoded slash', { path: `/proxy/%${enc(`{{${half}}}`)}x` }, 'ERR_DESTINATION_URL'],
    ['a digit of a percent-encoded slash', { path: `/proxy/%2${enc(`{{${half}}}`)}x` }, 'ERR_DESTINATION_URL'],
    ['a percent-encoded slash, raw', { path: `/proxy/${enc(`{{${encoded} | raw}}`)}` }, 'ERR_EXPR_VALUE'],
    ['an unknown token', { headers: { 'X-A': '{{nobody}}' } }, 'ERR_TOKEN_UNKNOWN']
  ] as const) {
    const response = await send(more)
    t.equal(response.status, 400, name)
    t.match(JSON.parse(response.body.toString()), { proxy_error: { code, forwarded: 'no' } }, name)
  }
  t.equal(destination.requests.length, seen)

  await send({ path: `/proxy/${enc(`{{${id}}}`)}`, headers: { 'X-Card': `{{${id}}}` } }, proxy.key)
  const plain = destination.requests.at(-1)
  t.equal(
    plain?.startLine,
    `POST /base/${enc(`{{${id}}}`)} HTTP/1.1`,
    "without the permission, which '*' does not hold"
  )
  t.equal(plain?.header('x-card'), `{{${id}}}`)
})
