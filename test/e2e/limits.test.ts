import { gzipSync } from 'node:zlib'
import t from 'tap'
import { echoing, newDestination } from '../kit/destination.ts'
import type { RawResponse } from '../kit/message.ts'
import { newProxy, proxyRequest, type TestProxy } from '../kit/proxy.ts'

/*
 * What happens at each limit: an answer that says so, at once, and everything as before when there is room again.
 */

const SILENT = {
  script: async (connection: { receives(text: string): Promise<unknown> }) => void (await connection.receives('never'))
}

function errorIn(response: RawResponse): unknown {
  const body = JSON.parse(response.body.toString()) as Record<string, unknown>
  return body['proxy_error'] ?? body
}

/** Waits until the proxy's gauge is 0 again. */
async function rest(proxy: TestProxy, gauge: string): Promise<void> {
  for (;;) {
    const text = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text()
    if (text.includes(`\n${gauge} 0\n`)) return
  }
}

function apiRequest(proxy: TestProxy, body: Buffer | string, more = ''): Buffer {
  const bytes = Buffer.from(body)
  const head = `POST /tokens HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${proxy.key}\r\nContent-Type: application/json\r\n${more}Content-Length: ${bytes.length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), bytes])
}

t.test('limits.inFlight: 503 with Retry-After, for the proxy and for the API', async (t) => {
  const proxy = await newProxy({ limits: { inFlight: 2 } })
  const destination = await newDestination(SILENT)
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const clients = [await proxy.client(), await proxy.client()]
  for (const [at, client] of clients.entries()) {
    await client.send(proxyRequest(proxy.key, destination.url, '{}'))
    await (await destination.connection(at)).receives('{}')
  }
  for (const bytes of [proxyRequest(proxy.key, destination.url, '{}'), apiRequest(proxy, '{}')]) {
    const response = await proxy.request(bytes)
    t.equal(response.status, 503)
    t.match(response.header('retry-after'), /^\d+$/)
    t.match(errorIn(response), { code: 'ERR_OVERLOAD', forwarded: 'no' })
  }
  t.equal(destination.connections.length, 2)
  for (const client of clients) client.destroy()
  await rest(proxy, 'sluice_in_flight')
  t.ok(await proxy.token('room again'))
})

t.test('limits.bufferedBytes: over the bodies of all requests', async (t) => {
  const proxy = await newProxy({ limits: { bufferedBytes: 100_000 } })
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const half = Buffer.alloc(60_000, 0x20)
  for (const holding of [proxyRequest(proxy.key, destination.url, half), apiRequest(proxy, half)]) {
    const client = await proxy.client()
    await client.send(holding.subarray(0, -1))
    for (;;) {
      const text = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text()
      if (Number(/\nsluice_buffered_bytes (\d+)/.exec(text)?.[1]) > 50_000) break
    }
    for (const bytes of [proxyRequest(proxy.key, destination.url, half), apiRequest(proxy, half)]) {
      const response = await proxy.request(bytes)
      t.equal(response.status, 503)
      t.match(response.header('retry-after'), /^\d+$/)
      t.match(errorIn(response), { code: 'ERR_OVERLOAD' })
    }
    client.destroy()
    await rest(proxy, 'sluice_buffered_bytes')
  }
  t.equal((await proxy.request(proxyRequest(proxy.key, destination.url, half))).status, 200)
  await rest(proxy, 'sluice_buffered_bytes')
})

t.test('limits.decodedBytes: a bomb is 413, and the destination hears nothing', async (t) => {
  const proxy = await newProxy({ limits: { decodedBytes: 500_000 } })
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const noise = Buffer.alloc(600_000)
  for (let at = 0; at < noise.length; at++) noise[at] = 0x61 + ((at * at * 31 + at) % 23)
  for (const [name, body] of [
    ['over the limit', gzipSync(noise)],
    ['over a hundred times its size', gzipSync(Buffer.alloc(300_000, 0x20))]
  ] as const) {
    const response = await proxy.request(
      proxyRequest(proxy.key, destination.url, body, { headers: { 'Content-Encoding': 'gzip' } })
    )
    t.equal(response.status, 413, name)
    t.match(errorIn(response), { code: 'ERR_DECODED_SIZE', forwarded: 'no' }, name)
  }
  t.equal(destination.attempts, 0)
})

t.test('the API’s own bodies', async (t) => {
  const proxy = await newProxy({ limits: { apiBodyBytes: 1000 } })
  t.teardown(() => proxy.close())
  for (const [name, bytes, status, code] of [
    ['not JSON', apiRequest(proxy, '{"type":'), 400, 'ERR_INPUT'],
    ['none', apiRequest(proxy, ''), 400, 'ERR_INPUT'],
    ['not UTF-8', apiRequest(proxy, Buffer.from([0x22, 0xff, 0x22])), 400, 'ERR_INPUT'],
    ['too large', apiRequest(proxy, 'x'.repeat(1001)), 413, 'ERR_BODY_SIZE'],
    ['encoded', apiRequest(proxy, gzipSync('{"data":1}'), 'Content-Encoding: gzip\r\n'), 415, 'ERR_ENCODING']
  ] as const) {
    const response = await proxy.request(bytes)
    t.equal(response.status, status, name)
    const body = JSON.parse(response.body.toString()) as Record<string, unknown>
    t.strictSame(Object.keys(body), ['errors', 'title', 'status', 'detail', 'code'], name)
    t.match(body, { status, code }, name)
  }
})

t.test('a request does not come back to Sluice', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  for (const port of [proxy.port, proxy.httpsPort, proxy.adminPort]) {
    const response = await proxy.request(proxyRequest(proxy.key, `https://localhost:${port}/proxy`, '{}'))
    t.equal(response.status, 403)
    t.match(errorIn(response), { code: 'ERR_DESTINATION_FORBIDDEN', forwarded: 'no' })
  }
  await proxy.request(proxyRequest(proxy.key, destination.url, '{}'))
  const via = destination.requests[0]?.header('via') ?? ''
  const again = await proxy.request(
    proxyRequest(proxy.key, destination.url, '{}', { headers: { Via: `1.0 other, ${via}` } })
  )
  t.equal(again.status, 508)
  t.match(errorIn(again), { code: 'ERR_LOOP', forwarded: 'no' })
  t.equal(destination.requests.length, 1)
})

t.test('an application that is bound sends to its destinations alone', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const elsewhere = await proxy.newKey(['token:use'], { destinations: ['api.example.com'] })
  const here = await proxy.newKey(['token:use'], { destinations: ['localhost'] })
  const refused = await proxy.request(proxyRequest(elsewhere, destination.url, '{}'))
  t.equal(refused.status, 403)
  t.match(errorIn(refused), { code: 'ERR_DESTINATION_FORBIDDEN', forwarded: 'no' })
  t.equal(destination.attempts, 0)
  t.equal((await proxy.request(proxyRequest(here, destination.url, '{}'))).status, 200)
})
