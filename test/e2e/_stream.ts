import t from 'tap'
import { answering, type DestinationConnection, echoing, newDestination, OK } from '../kit/destination.ts'
import { newProxy, proxyRequest } from '../kit/proxy.ts'

/*
 * Large bodies, and everything that can go wrong while they move.
 */

const chunk = (part: Buffer | string): Buffer => {
  const bytes = Buffer.from(part)
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
}
const LAST = Buffer.from('0\r\n\r\n')

function chunkedHead(key: string, url: string, more = ''): Buffer {
  return Buffer.from(
    `POST /proxy HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${key}\r\nBT-PROXY-URL: ${url}\r\nContent-Type: text/plain\r\n${more}Transfer-Encoding: chunked\r\n\r\n`
  )
}

t.test('a body of unknown length past the limit is streamed, its first byte out before its last is in', async (t) => {
  const proxy = await newProxy({ limits: { wholeBodyBytes: 65_536 } })
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const id = await proxy.token('4242424242424242')
  const client = await proxy.client()
  t.teardown(() => client.destroy())
  const filler = 'abcdefghij'.repeat(10_000)
  await client.send(chunkedHead(proxy.key, destination.url))
  await client.send(chunk(`{{ ${id} }}${filler}`))
  const connection = await destination.connection(0)
  await connection.receives('4242424242424242')
  t.pass('the destination has the first value while the body is open')
  await client.send(chunk(`{{${id}`))
  await client.send(chunk(`}}${filler}<<`))
  await client.send(chunk(` ${id} | last4 >>`))
  await client.send(LAST)
  const response = await client.response()
  t.equal(response.status, 200)
  t.equal(response.body.toString(), `4242424242424242${filler}4242424242424242${filler}4242`)
  t.equal(destination.requests[0]?.framing, 'chunked')
})

t.test('a known length over the limit is streamed too', async (t) => {
  const proxy = await newProxy({ limits: { wholeBodyBytes: 1000 } })
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const id = await proxy.token('value')
  const body = `{"a":"{{${id}}}","b":"${'x'.repeat(5000)}"}`
  const response = await proxy.request(proxyRequest(proxy.key, destination.url, body))
  t.equal(response.body.toString(), body.replace(`{{${id}}}`, 'value'))
  const tooLarge = await proxy.request(
    proxyRequest(proxy.key, destination.url, body, { headers: { 'Sluice-Body-Mode': 'whole' } })
  )
  t.equal(tooLarge.status, 413)
})

t.test('a late failure leaves an incomplete message at the destination, and says 502', async (t) => {
  const proxy = await newProxy({ limits: { wholeBodyBytes: 1000 } })
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const client = await proxy.client()
  t.teardown(() => client.destroy())
  await client.send(chunkedHead(proxy.key, destination.url))
  await client.send(chunk('x'.repeat(5000)))
  const connection = await destination.connection(0)
  await connection.receives('xxxx')
  await client.send(chunk('{{ no-such-token }}'))
  const response = await client.response()
  t.equal(response.status, 502)
  t.match(JSON.parse(response.body.toString()), {
    proxy_error: { code: 'ERR_TOKEN_UNKNOWN', status: 502, forwarded: /yes|unknown/ }
  })
  await connection.closed
  t.equal(destination.requests.length, 0, 'no complete request was ever there')
  t.notOk(connection.received.includes('\r\n0\r\n'), 'the last chunk was not sent')
})

t.test('the cap on tokens counts over all windows', async (t) => {
  const proxy = await newProxy({ limits: { wholeBodyBytes: 1000, tokensPerRequest: 2 } })
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const ids = [await proxy.token('a'), await proxy.token('b'), await proxy.token('c')]
  const client = await proxy.client()
  t.teardown(() => client.destroy())
  await client.send(chunkedHead(proxy.key, destination.url))
  const connection = destination.connection(0)
  await client.send(chunk(`{{${ids[0]}}}${'x'.repeat(2000)}`))
  await (await connection).receives('xxx')
  await client.send(chunk(`{{${ids[0]}}}{{${ids[1]}}}${'y'.repeat(2000)}`))
  await (await connection).receives('yyy')
  await client.send(chunk(`{{${ids[2]}}}`))
  const response = await client.response()
  t.equal(response.status, 502)
  t.match(JSON.parse(response.body.toString()), { proxy_error: { code: 'ERR_TOKEN_LIMIT' } })
})

t.test('an early response is relayed while the request is still open', async (t) => {
  const proxy = await newProxy({ limits: { wholeBodyBytes: 1000 } })
  const destination = await newDestination({
    script: async (connection) => {
      await connection.receives('\r\n\r\n')
      await connection.send('HTTP/1.1 413 Payload Too Large\r\nContent-Length: 4\r\n\r\nbig!')
    }
  })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const client = await proxy.client()
  t.teardown(() => client.destroy())
  await client.send(chunkedHead(proxy.key, destination.url))
  await client.send(chunk('x'.repeat(5000)))
  const response = await client.response()
  t.equal(response.status, 413)
  t.equal(response.header('bt-proxy-destination-status'), '413')
  const connection = await destination.connection(0)
  await connection.closed
  t.pass('the destination is not left waiting for the rest')
})

t.test('a destination that resets in the middle', async (t) => {
  const proxy = await newProxy({ limits: { wholeBodyBytes: 1000 } })
  t.teardown(() => proxy.close())
  t.test('of the request: 502, forwarded unknown', async (t) => {
    const destination = await newDestination({
      script: async (connection) => {
        await connection.receives('\r\n\r\n')
        connection.reset()
      }
    })
    t.teardown(() => destination.close())
    const response = await proxy.request(proxyRequest(proxy.key, destination.url, '{"a":1}'))
    t.equal(response.status, 502)
    t.match(JSON.parse(response.body.toString()), { proxy_error: { forwarded: 'unknown' } })
  })
  t.test('of its response: the client sees a cut, not an end', async (t) => {
    const destination = await newDestination({
      script: async (connection) => {
        await connection.receives('\r\n\r\n')
        await connection.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')
        connection.reset()
      }
    })
    t.teardown(() => destination.close())
    const client = await proxy.client()
    t.teardown(() => client.destroy())
    await t.rejects(client.request(proxyRequest(proxy.key, destination.url, '{"a":1}')))
    t.match(client.received.toString(), /Content-Length: 100/)
  })
  t.test('of a chunked response', async (t) => {
    const destination = await newDestination({
      script: async (connection) => {
        await connection.receives('\r\n\r\n')
        await connection.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n')
        connection.reset()
      }
    })
    t.teardown(() => destination.close())
    const client = await proxy.client()
    t.teardown(() => client.destroy())
    await t.rejects(client.request(proxyRequest(proxy.key, destination.url, '{"a":1}')))
    t.notOk(client.received.includes('\r\n0\r\n'))
  })
})

t.test('a client that leaves in the middle', async (t) => {
  const proxy = await newProxy({ limits: { wholeBodyBytes: 1000 } })
  t.teardown(() => proxy.close())
  t.test('of its request: the destination sees a cut', async (t) => {
    const destination = await newDestination({ script: echoing })
    t.teardown(() => destination.close())
    const client = await proxy.client()
    await client.send(chunkedHead(proxy.key, destination.url))
    await client.send(chunk('x'.repeat(5000)))
    const connection = await destination.connection(0)
    await connection.receives('xxxx')
    client.reset()
    await connection.closed
    t.equal(destination.requests.length, 0)
  })
  t.test('while it waits for the response: the connection to the destination is closed', async (t) => {
    let seen: DestinationConnection | null = null
    const destination = await newDestination({
      script: async (connection) => {
        seen = connection
        await connection.receives('\r\n\r\n')
      }
    })
    t.teardown(() => destination.close())
    const client = await proxy.client()
    await client.send(proxyRequest(proxy.key, destination.url, '{"a":1}'))
    const connection = await destination.connection(0)
    await connection.receives('{"a":1}')
    client.destroy()
    await connection.closed
    t.equal(seen, connection)
  })
  t.test('in the middle of the response', async (t) => {
    const destination = await newDestination({
      script: async (connection) => {
        await connection.receives('\r\n\r\n')
        await connection.send(`HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(1000)}`)
      }
    })
    t.teardown(() => destination.close())
    const client = await proxy.client()
    await client.send(proxyRequest(proxy.key, destination.url, '{"a":1}'))
    await client.receives('xxxx')
    client.destroy()
    await (await destination.connection(0)).closed
    t.pass()
  })
})

t.test('time-outs', async (t) => {
  const proxy = await newProxy({
    egress: {
      ports: [...Array(64512).keys()].map((n) => n + 1024),
      allowPrivateNetworks: ['127.0.0.0/8', '::1/128'],
      timeoutMs: 300,
      bodyIdleTimeoutMs: 300
    },
    listen: { http: { host: '127.0.0.1', port: 0 }, bodyIdleTimeoutMs: 300 }
  })
  t.teardown(() => proxy.close())
  t.test('a destination that never answers: 408', async (t) => {
    const destination = await newDestination({
      script: async (connection) => {
        await connection.receives('never')
      }
    })
    t.teardown(() => destination.close())
    const response = await proxy.request(proxyRequest(proxy.key, destination.url, '{}'))
    t.equal(response.status, 408)
    t.match(JSON.parse(response.body.toString()), {
      proxy_error: { code: 'ERR_DESTINATION_TIMEOUT', forwarded: 'unknown' }
    })
    t.equal(response.header('bt-proxy-destination-status'), undefined)
  })
  t.test('a destination that stalls in its body: a cut', async (t) => {
    const destination = await newDestination({
      script: async (connection) => {
        await connection.receives('\r\n\r\n')
        await connection.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')
      }
    })
    t.teardown(() => destination.close())
    await t.rejects(proxy.request(proxyRequest(proxy.key, destination.url, '{}')))
  })
  t.test('a client that stalls in its body: 408 of its own, the destination hears nothing', async (t) => {
    const destination = await newDestination()
    t.teardown(() => destination.close())
    const client = await proxy.client()
    t.teardown(() => client.destroy())
    await client.send(chunkedHead(proxy.key, destination.url))
    await client.send(chunk('x'))
    const response = await client.response()
    t.equal(response.status, 408)
    t.match(JSON.parse(response.body.toString()), { proxy_error: { code: 'ERR_CLIENT_TIMEOUT', forwarded: 'no' } })
    await client.closed
    t.equal(destination.attempts, 0)
  })
})

t.test('a destination that cannot be reached: 502, not forwarded', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination()
  const { url } = destination
  await destination.close()
  t.teardown(() => proxy.close())
  const response = await proxy.request(proxyRequest(proxy.key, url, '{}'))
  t.equal(response.status, 502)
  t.match(JSON.parse(response.body.toString()), {
    proxy_error: { code: 'ERR_DESTINATION_UNREACHABLE', forwarded: 'no' }
  })
})

t.test('Expect: 100-continue is answered when the request may go, and not before', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const head = (key: string): string =>
    `POST /proxy HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${key}\r\nBT-PROXY-URL: ${destination.url}\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n`
  const client = await proxy.client()
  t.teardown(() => client.destroy())
  await client.send(head(proxy.key))
  t.equal((await client.response()).status, 100)
  await client.send('{"a":1}')
  t.equal((await client.response()).status, 200)
  const refused = await proxy.client()
  t.teardown(() => refused.destroy())
  await refused.send(head('wrong'))
  t.equal((await refused.response()).status, 401)
})

t.test('gzip, deflate and br bodies are decoded, scanned and sent as identity', async (t) => {
  const { brotliCompressSync, deflateSync, gzipSync } = await import('node:zlib')
  const proxy = await newProxy()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const id = await proxy.token('value')
  const text = Buffer.from(`{"a":"{{ ${id} }}"}`)
  for (const [coding, bytes] of [
    ['gzip', gzipSync(text)],
    ['deflate', deflateSync(text)],
    ['br', brotliCompressSync(text)]
  ] as const) {
    const response = await proxy.request(
      proxyRequest(proxy.key, destination.url, bytes, { headers: { 'Content-Encoding': coding } })
    )
    t.equal(response.body.toString(), '{"a":"value"}', coding)
    t.equal(destination.requests.at(-1)?.header('content-encoding'), undefined)
  }
  const other = await proxy.request(
    proxyRequest(proxy.key, destination.url, text, { headers: { 'Content-Encoding': 'zstd' } })
  )
  t.equal(other.status, 415)
  const bomb = gzipSync(Buffer.alloc(30_000_000, 0x20))
  const bombed = await proxy.request(
    proxyRequest(proxy.key, destination.url, bomb, {
      headers: { 'Content-Encoding': 'gzip', 'Content-Length': String(bomb.length) }
    })
  )
  t.ok(bombed.status === 413 || bombed.status === 502, `a bomb: ${bombed.status}`)
  const broken = await proxy.request(
    proxyRequest(proxy.key, destination.url, gzipSync(text).subarray(0, 20), {
      headers: { 'Content-Encoding': 'gzip' }
    })
  )
  t.equal(broken.status, 415)
})

t.test('keep-alive: one connection to the destination serves many requests', async (t) => {
  const proxy = await newProxy()
  const destination = await newDestination({ script: answering(OK) })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const client = await proxy.client()
  t.teardown(() => client.destroy())
  for (let at = 0; at < 5; at++) {
    t.equal((await client.request(proxyRequest(proxy.key, destination.url, '{}'))).status, 200)
  }
  t.equal(destination.connections.length, 1)
  await client.request(proxyRequest(proxy.key, destination.url, '{}', { headers: { 'BT-PROXY-CONNECTION': 'close' } }))
  t.equal(destination.requests.at(-1)?.header('connection'), 'close')
  await client.request(proxyRequest(proxy.key, destination.url, '{}'))
  t.equal(destination.connections.length, 2)
})
