import t from 'tap'
import type { Client } from '../kit/client.ts'
import { newDestination } from '../kit/destination.ts'
import { newProxy, proxyRequest } from '../kit/proxy.ts'

/*
 * What a destination may answer, down to the bytes that the client gets.
 */

const proxy = await newProxy()
t.teardown(() => proxy.close())

const forPost = (url: string): Buffer => proxyRequest(proxy.key, url, '{}')
const forHead = (url: string): Buffer => proxyRequest(proxy.key, url, null, { method: 'HEAD' })
const forOld = (url: string): Buffer =>
  Buffer.from(`GET /proxy HTTP/1.0\r\nBT-API-KEY: ${proxy.key}\r\nBT-PROXY-URL: ${url}\r\n\r\n`)

/** Sends a request to a destination that answers with these bytes (and then may close); `read` looks at what comes. */
async function relayed(
  answer: string,
  request: (url: string) => Buffer,
  read: (client: Client) => Promise<void>,
  close = false
): Promise<void> {
  const destination = await newDestination({
    script: async (connection) => {
      await connection.request()
      await connection.send(Buffer.from(answer, 'latin1'))
      if (close) connection.end()
    }
  })
  const client = await proxy.client()
  try {
    await client.send(request(destination.url))
    await read(client)
  } finally {
    client.destroy()
    await destination.close()
  }
}

t.test('answers without a body', async (t) => {
  for (const [request, method] of [
    [forPost, 'POST'],
    [forHead, 'HEAD']
  ] as const) {
    for (const [answer, length] of [
      ['HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', undefined],
      ['HTTP/1.1 304 Not Modified\r\nContent-Length: 55\r\n\r\n', '55']
    ] as const) {
      await relayed(answer, request, async (client) => {
        const response = await client.response(method)
        t.equal(response.startLine, answer.split('\r\n')[0])
        t.equal(response.body.length, 0)
        t.equal(response.header('content-length'), length)
        t.equal(response.header('transfer-encoding'), undefined)
        t.equal(client.received.length, 0, 'nothing behind the head')
      })
    }
  }
  await relayed('HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n', forHead, async (client) => {
    const response = await client.response('HEAD')
    t.equal(response.header('content-length'), '5000')
    t.equal(client.received.length, 0)
  })
})

t.test('interim responses go on, but for 100 and but for HTTP/1.0', async (t) => {
  const answer =
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
  await relayed(answer, forPost, async (client) => {
    const hints = await client.response()
    t.equal(hints.status, 103)
    t.equal(hints.header('link'), '</x>')
    t.equal((await client.response()).body.toString(), 'ok')
  })
  await relayed(answer, forOld, async (client) => {
    const response = await client.response('GET')
    t.equal(response.status, 200)
    t.equal(response.body.toString(), 'ok')
    await client.closed
  })
})

t.test('a 101 is 502', async (t) => {
  await relayed('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n', forPost, async (client) => {
    const response = await client.response()
    t.equal(response.status, 502)
    t.match(JSON.parse(response.body.toString()), { proxy_error: { code: 'ERR_UPGRADE', forwarded: 'yes' } })
    t.equal(response.header('upgrade'), undefined)
  })
})

t.test('fields that belong to the destination’s connection stay there', async (t) => {
  const answer =
    'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=77\r\nX-End: 2\r\nContent-Length: 2\r\n\r\nok'
  await relayed(answer, forPost, async (client) => {
    const response = await client.response()
    t.equal(response.header('x-hop'), undefined)
    t.equal(response.header('x-end'), '2')
    t.not(response.header('keep-alive'), 'timeout=77')
  })
})

t.test('trailers go on with a chunked body', async (t) => {
  const answer = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nBT-X: 2\r\n\r\n'
  await relayed(answer, forPost, async (client) => {
    await client.receives('\r\n0\r\n')
    await client.receives('X-Sum: 1')
    t.notOk(client.received.includes('BT-X'))
    t.equal((await client.response()).body.toString(), 'ok')
  })
  await relayed(answer, forOld, async (client) => {
    await client.closed
    t.match(client.received.toString(), /\r\n\r\nok$/, 'HTTP/1.0 has neither chunks nor trailers')
  })
})

t.test('a body that ends with the connection', async (t) => {
  for (const answer of ['HTTP/1.0 200 OK\r\n\r\nall of it', 'HTTP/1.1 200 OK\r\n\r\nall of it']) {
    await relayed(
      answer,
      forPost,
      async (client) => {
        const response = await client.response()
        t.equal(response.body.toString(), 'all of it')
        t.equal(response.header('connection'), 'keep-alive', 'the client’s connection lives on')
      },
      true
    )
  }
})

t.test('a connection that offers NTLM is not used again', async (t) => {
  const destination = await newDestination({
    script: async (connection) => {
      await connection.request()
      await connection.send('HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n')
    }
  })
  t.teardown(() => destination.close())
  t.equal((await proxy.request(forPost(destination.url))).status, 401)
  await (await destination.connection(0)).closed
})

t.test('a redirect is returned, not followed', async (t) => {
  const answer = 'HTTP/1.1 307 Go\r\nLocation: https://localhost:1/\r\nContent-Length: 0\r\n\r\n'
  await relayed(answer, forPost, async (client) => {
    const response = await client.response()
    t.equal(response.status, 307)
    t.equal(response.header('location'), 'https://localhost:1/')
  })
})

t.test('a malformed head is 502 and says that the request was received', async (t) => {
  for (const head of [
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n',
    'HTTP/1.1 200 OK\nContent-Length: 2\n\n',
    'SSH-2.0-OpenSSH\r\n\r\n'
  ]) {
    await relayed(head, forPost, async (client) => {
      const response = await client.response()
      t.equal(response.status, 502, head)
      t.equal(response.header('bt-proxy-destination-status'), undefined)
      t.match(JSON.parse(response.body.toString()), {
        proxy_error: { code: 'ERR_DESTINATION_RESPONSE', forwarded: 'yes' }
      })
    })
  }
})
