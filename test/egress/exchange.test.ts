import { setImmediate, setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { EgressOptions } from '../../lib/egress/egress.ts'
import {
  answering,
  type Destination,
  type DestinationOptions,
  newDestination,
  OK,
  type Script
} from '../kit/destination.ts'
import { exchangeOnce, Listener, newEgress, newMessage, newPeer } from '../kit/exchange.ts'

/** A destination with its script, an egress that reaches it, and a way to send. */
async function newPair(
  t: Test,
  script: Script,
  options: Partial<EgressOptions> & { destination?: DestinationOptions } = {}
) {
  const destination = await newDestination({ script, ...options.destination })
  const egress = await newEgress({ port: destination.port, ...options })
  t.teardown(async () => {
    egress.destroy()
    await destination.close()
  })
  const peer = newPeer(destination.port)
  return { destination, egress, peer, send: (message = newMessage()) => exchangeOnce(egress, peer, message) }
}

/** Answers the first request with `bytes`, and then as the name says. */
const answerOnce =
  (bytes: string, then: 'stay' | 'end' | 'reset' = 'stay'): Script =>
  async (connection) => {
    await connection.request()
    await connection.send(bytes)
    if (then === 'end') connection.end()
    if (then === 'reset') connection.reset()
  }

const count = (destination: Destination) => destination.connections.length
const body = (bytes: number) => Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8)) & 0xff))

t.test('sends a whole message and hands back the response', async (t) => {
  const { destination, egress, peer, send } = await newPair(
    t,
    answerOnce('HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX-A:  b \r\nX-a: c\r\n\r\nhi')
  )
  await egress.reach(peer)
  const heard = await send(newMessage('{"a":1}'))
  t.equal(heard.error, null)
  t.equal(
    (await destination.request(0)).raw.toString(),
    'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n{"a":1}'
  )
  t.same([heard.status, heard.reason, heard.length, heard.body], [200, 'Fine', 2, 'hi'])
  t.same(heard.rawHeaders, ['Content-Length', '2', 'X-A', 'b', 'X-a', 'c'])
  t.same(heard.calls, ['connected', 'sent', 'head', 'body', 'end'])
  t.equal(heard.exchange.forwarded, 'yes')
})

t.test('frames what there is of a body', async (t) => {
  const { destination, send } = await newPair(t, answering(OK))
  await send(newMessage(null, { method: 'POST' }))
  await send(newMessage(null, { method: 'GET' }))
  await send(newMessage(null, { method: 'DELETE', close: true }))
  await send(newMessage('x', { method: 'GET' }))
  await send(newMessage('', { method: 'PUT' }))
  await send(newMessage(null, { method: 'PATCH', body: [Buffer.from('ab'), Buffer.alloc(0), Buffer.from('c')] }))
  const head = (method: string) => `${method} / HTTP/1.1\r\nHost: localhost\r\n`
  t.same(
    destination.requests.map(({ raw }) => raw.toString()),
    [
      `${head('POST')}Content-Length: 0\r\n\r\n`,
      `${head('GET')}\r\n`,
      `${head('DELETE')}Connection: close\r\n\r\n`,
      `${head('GET')}Content-Length: 1\r\n\r\nx`,
      `${head('PUT')}Content-Length: 0\r\n\r\n`,
      `${head('PATCH')}Content-Length: 3\r\n\r\nabc`
    ]
  )
  t.same(destination.faults, [])
})

t.test('a large whole body arrives in order whatever the pace of the reader', async (t) => {
  const sent = body(1_300_001)
  const { destination, send } = await newPair(t, async (connection) => {
    connection.readSlowly(1)
    await connection.request()
    await connection.send(OK)
  })
  const pieces = [sent.subarray(0, 10), sent.subarray(10, 70_000), sent.subarray(70_000, 70_000), sent.subarray(70_000)]
  const heard = await send(newMessage(null, { method: 'POST', body: pieces }))
  t.equal(heard.error, null)
  t.ok((await destination.request(0)).body.equals(sent))
})

t.test('streams a body in chunks, from before there is a connection, with trailers', async (t) => {
  const { destination, egress, peer } = await newPair(t, answering(OK))
  const listener = new Listener()
  const exchange = egress.send(peer, newMessage(null, { method: 'POST', streaming: 'chunked' }), listener)
  t.equal(exchange.forwarded, 'no')
  t.equal(exchange.write(Buffer.from('early')), false)
  const connection = await destination.connection(0)
  await connection.receives('5\r\nearly\r\n')
  t.equal(exchange.forwarded, 'unknown')
  t.ok(listener.calls.includes('drained'))
  t.equal(exchange.write(Buffer.from('x'.repeat(17))), true)
  exchange.write(Buffer.alloc(0))
  exchange.end(['X-Sum', '1'])
  await listener.over
  const request = await destination.request(0)
  t.equal(request.body.toString(), `early${'x'.repeat(17)}`)
  t.same(request.chunks, [5, 17])
  t.same(request.trailers, ['X-Sum', '1'])
  t.equal(listener.status, 200)
})

t.test('streams a body of known length', async (t) => {
  const { destination, egress, peer } = await newPair(t, answering(OK))
  const listener = new Listener()
  const exchange = egress.send(peer, newMessage(null, { method: 'PUT', streaming: 'length', length: 6 }), listener)
  exchange.write(Buffer.from('abc'))
  exchange.write(Buffer.from('def'))
  exchange.end()
  await listener.over
  t.equal(
    (await destination.request(0)).raw.toString(),
    'PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nabcdef'
  )
  t.equal(egress.idle, 1)
})

t.test('backpressure reaches the writer, and no byte is lost', async (t) => {
  const { destination, egress, peer } = await newPair(t, answering(OK))
  const listener = new Listener()
  const exchange = egress.send(peer, newMessage(null, { method: 'POST', streaming: 'chunked' }), listener)
  const connection = await destination.connection(0)
  connection.pause()
  const piece = body(20_000)
  let written = 0
  let waited = 0
  for (; written < 4_000_000; written += piece.length) {
    if (exchange.write(piece)) continue
    waited++
    if (waited === 2) connection.resume()
    const before = listener.calls.length
    while (!listener.calls.slice(before).includes('drained')) await setImmediate()
  }
  exchange.end()
  await listener.over
  t.ok(waited >= 2, `waited ${waited} times`)
  t.equal((await destination.request(0)).body.length, written)
})

t.test('a streamed body that does not keep its length is cut, never padded', async (t) => {
  for (const [bytes, expected] of [
    ['ab', 'few'],
    ['abcd', 'many']
  ] as const) {
    const { destination, egress, peer } = await newPair(t, answering(OK))
    const listener = new Listener()
    const exchange = egress.send(peer, newMessage(null, { method: 'POST', streaming: 'length', length: 3 }), listener)
    const connection = await destination.connection(0)
    await connection.receives('\r\n\r\n')
    t.throws(
      () => {
        exchange.write(Buffer.from(bytes))
        exchange.end()
      },
      { code: 'ERR_INTERNAL' }
    )
    await connection.closed
    t.equal(destination.requests.length, 0, `too ${expected}`)
    t.equal(egress.busy + egress.idle, 0)
  }
})

t.test('a cut chunked body never ends with the last chunk', async (t) => {
  const { destination, egress, peer } = await newPair(t, answering(OK))
  const listener = new Listener()
  const exchange = egress.send(peer, newMessage(null, { method: 'POST', streaming: 'chunked' }), listener)
  exchange.write(Buffer.from('abc'))
  const connection = await destination.connection(0)
  await connection.receives('3\r\nabc\r\n')
  exchange.cut()
  exchange.cut()
  exchange.end()
  t.equal(exchange.write(Buffer.from('more')), true)
  await connection.closed
  t.notOk(connection.received.toString().includes('0\r\n'))
  t.notOk(listener.calls.includes('fail') || listener.calls.includes('end'))
  t.equal(exchange.isDone, true)
})

t.test('a client that leaves takes the destination’s connection along', async (t) => {
  await t.test('before the connection is there', async (t) => {
    const { egress, peer } = await newPair(t, answering(OK))
    const listener = new Listener()
    const exchange = egress.send(peer, newMessage(), listener)
    exchange.cut()
    t.equal(exchange.forwarded, 'no')
    t.equal(egress.waiting, 0)
  })
  await t.test('while the response is awaited, and while it comes', async (t) => {
    for (const part of ['', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc']) {
      const { destination, egress, peer } = await newPair(t, answerOnce(part))
      const listener = new Listener()
      const exchange = egress.send(peer, newMessage(), listener)
      await destination.request(0)
      if (part !== '') while (listener.text === '') await setImmediate()
      exchange.cut()
      await (await destination.connection(0)).closed
      t.equal(egress.busy, 0)
      t.notOk(listener.calls.includes('fail'))
    }
  })
  await t.test('from inside the handler', async (t) => {
    for (const at of ['connected', 'sent', 'head', 'body'] as const) {
      const { destination, egress, peer } = await newPair(
        t,
        answering('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n')
      )
      const listener = new Listener()
      const original = listener[at].bind(listener) as (...args: unknown[]) => never
      const reached = new Promise<void>((done) => {
        Object.assign(listener, {
          [at]: (...args: unknown[]) => {
            original(...args)
            exchange.cut()
            done()
            return true
          }
        })
      })
      const exchange = egress.send(peer, newMessage(), listener)
      await reached
      // Cut at once, the handshake may never end for the destination.
      if (at !== 'connected') await (await destination.connection(0)).closed
      t.equal(listener.calls.at(-1), at)
      t.equal(egress.busy + egress.idle, 0)
    }
  })
})

t.test('a response that comes early is handed on at once, and ends the exchange', async (t) => {
  const { destination, egress, peer } = await newPair(t, async (connection) => {
    await connection.receives('\r\n\r\n')
    await connection.send('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno')
  })
  const listener = new Listener()
  const exchange = egress.send(peer, newMessage(null, { method: 'POST', streaming: 'chunked' }), listener)
  exchange.write(Buffer.from('abc'))
  await listener.over
  t.equal(listener.status, 413)
  t.equal(listener.text, 'no')
  t.equal(exchange.write(Buffer.from('rest')), true)
  exchange.end()
  await (await destination.connection(0)).closed
  t.notOk((await destination.connection(0)).received.toString().includes('rest'))
  t.equal(egress.idle, 0)
})

t.test('a response may begin before the request ends, and both go on', async (t) => {
  const { destination, egress, peer } = await newPair(t, async (connection) => {
    await connection.receives('\r\n\r\n')
    await connection.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    await connection.request()
    await connection.send('2\r\nok\r\n0\r\n\r\n')
  })
  const listener = new Listener()
  const exchange = egress.send(peer, newMessage(null, { method: 'POST', streaming: 'chunked' }), listener)
  while (listener.status === 0) await setImmediate()
  exchange.write(Buffer.from('abc'))
  exchange.end()
  await listener.over
  t.same([listener.status, listener.text, listener.length], [200, 'ok', -1])
  t.equal((await destination.request(0)).body.toString(), 'abc')
  t.equal(egress.idle, 1)
})

t.test('interim responses', async (t) => {
  const early = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'
  const { send } = await newPair(t, answerOnce(`HTTP/1.1 100 Continue\r\n\r\n${early}HTTP/1.1 102 \r\n\r\n${OK}`))
  const heard = await send()
  t.equal(heard.status, 200)
  t.same(heard.informational, [103, 102])
  const upgraded = await newPair(t, answerOnce('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'))
  const refused = await upgraded.send()
  t.equal(refused.error?.code, 'ERR_UPGRADE')
  t.equal(refused.error?.forwarded, 'yes')
  t.equal(upgraded.egress.idle, 0)
})

t.test('responses without a body leave a reusable connection', async (t) => {
  const answers = [
    'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 204 No Content\r\n\r\n',
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
  ]
  let next = 0
  const { destination, egress, send } = await newPair(
    t,
    answering(() => answers[next++] ?? '')
  )
  for (const method of ['HEAD', 'HEAD', 'GET', 'GET', 'GET']) {
    const heard = await send(newMessage(null, { method }))
    t.same([heard.error, heard.length, heard.body], [null, 0, ''])
  }
  t.equal(count(destination), 1)
  t.equal(egress.idle, 1)
})

t.test('a body that only the end of the connection delimits', async (t) => {
  for (const head of ['HTTP/1.1 200 OK\r\n\r\n', 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n']) {
    const { egress, send } = await newPair(t, answerOnce(`${head}abc`, 'end'))
    const heard = await send()
    t.same([heard.error, heard.status, heard.length, heard.body], [null, 200, -1, 'abc'])
    t.equal(heard.exchange.maybeTruncated, false)
    t.equal(egress.idle, 0)
  }
  await t.test('an end without close_notify is noted', async (t) => {
    const { send } = await newPair(t, async (connection) => {
      await connection.request()
      await connection.send('HTTP/1.1 200 OK\r\n\r\nabc')
      await setTimeout(50)
      connection.destroy()
    })
    const heard = await send()
    t.same([heard.error, heard.body], [null, 'abc'])
    t.equal(heard.exchange.maybeTruncated, true)
  })
  await t.test('a close_notify that comes later is one', async (t) => {
    const { send } = await newPair(t, async (connection) => {
      await connection.request()
      await connection.send('HTTP/1.1 200 OK\r\n\r\nabc')
      await setTimeout(50)
      connection.end()
    })
    t.equal((await send()).exchange.maybeTruncated, false)
  })
})

t.test('trailers', async (t) => {
  const { send } = await newPair(
    t,
    answerOnce('HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;a="b"\r\nabc\r\n00\r\nX-A: b\r\n\r\n')
  )
  const heard = await send()
  t.same([heard.error, heard.body, heard.rawTrailers], [null, 'abc', ['X-A', 'b']])
})

t.test('a malformed response fails the exchange and its connection', async (t) => {
  for (const bytes of [
    'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n',
    'SSH-2.0-x\r\n',
    `${OK}x`,
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
    `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(70_000)}`
  ]) {
    const { destination, egress, send } = await newPair(t, answerOnce(bytes))
    const heard = await send()
    t.equal(heard.error?.code, 'ERR_DESTINATION_RESPONSE')
    t.equal(heard.error?.forwarded, 'yes')
    t.equal(heard.error?.retry, 'never')
    t.equal(egress.idle + egress.busy, 0)
    await (await destination.connection(0)).closed
  }
})

t.test('a response cut short fails', async (t) => {
  for (const how of ['end', 'reset'] as const) {
    for (const part of [
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
      'HTTP/1.1 200 OK\r\nContent-',
      'HTTP/1.1 103 Early\r\n\r\n'
    ]) {
      const { send } = await newPair(t, answerOnce(part, how))
      const heard = await send()
      t.equal(heard.error?.code, 'ERR_DESTINATION_RESPONSE', JSON.stringify(part))
      t.equal(heard.error?.forwarded, 'yes')
      t.equal(heard.calls.includes('end'), false)
    }
  }
})

t.test('a connection that closes without an answer', async (t) => {
  for (const how of ['end', 'reset'] as const) {
    const { destination, send } = await newPair(t, answerOnce('', how))
    const heard = await send()
    t.equal(heard.error?.code, 'ERR_DESTINATION_UNREACHABLE', how)
    t.equal(heard.error?.forwarded, 'unknown')
    t.equal(count(destination), 1)
  }
})

t.test('a slow reader holds the destination back, and gets every byte', async (t) => {
  const sent = body(4_000_000)
  for (const framing of ['length', 'chunked', 'close'] as const) {
    const { egress, peer } = await newPair(t, async (connection) => {
      await connection.request()
      if (framing === 'chunked') {
        await connection.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
        for (let at = 0; at < sent.length; at += 100_000) {
          const piece = sent.subarray(at, at + 100_000)
          await connection.send(`${piece.length.toString(16)}\r\n`)
          await connection.send(piece)
          await connection.send('\r\n')
        }
        await connection.send('0\r\n\r\n')
      } else {
        await connection.send(
          `HTTP/1.1 200 OK\r\n${framing === 'length' ? `Content-Length: ${sent.length}\r\n` : ''}\r\n`
        )
        await connection.send(sent)
        if (framing === 'close') connection.end()
      }
    })
    const listener = new Listener()
    listener.more = false
    const exchange = egress.send(peer, newMessage(), listener)
    while (listener.chunks.length === 0) await setImmediate()
    await setTimeout(50)
    const held = listener.chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    t.ok(held <= 131_072, `${framing}: ${held} bytes came before the pause took hold`)
    for (let i = 0; i < 5; i++) {
      exchange.resume()
      await setImmediate()
    }
    listener.more = true
    exchange.resume()
    await listener.over
    t.equal(listener.error, null)
    t.ok(Buffer.concat(listener.chunks).equals(sent), `${framing}: every byte`)
  }
})

t.test('chunks belong to the callee: none changes when more is read', async (t) => {
  const sent = body(400_000)
  const { send, egress, peer } = await newPair(t, async (connection) => {
    for (;;) {
      if ((await connection.request()) === null) return
      await connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${sent.length}\r\n\r\n`)
      await connection.send(sent)
    }
  })
  const listener = new Listener()
  egress.send(peer, newMessage(), listener)
  await listener.over
  for (let i = 0; i < 3; i++) await send()
  t.ok(Buffer.concat(listener.chunks).equals(sent))
})

t.test('a head that would break the framing is not sent', async (t) => {
  const { destination, egress, peer } = await newPair(t, answering(OK))
  for (const head of [
    'GET / HTTP/1.1\r\nA: b',
    'GET / HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n',
    'GET / HTTP/1.1\r\nA: \u010aB: c\r\n',
    ''
  ]) {
    t.throws(() => egress.send(peer, newMessage(null, { head }), new Listener()), { code: 'ERR_INTERNAL' })
  }
  t.equal(count(destination), 0)
})

t.test('a handler that throws cuts its exchange and nothing else', async (t) => {
  const { egress, peer, send } = await newPair(t, answering(OK))
  for (const at of ['connected', 'sent', 'head', 'body'] as const) {
    const listener = new Listener()
    Object.assign(listener, {
      [at]: () => {
        throw new Error('a bug')
      }
    })
    egress.send(peer, newMessage(), listener)
    await listener.over
    t.equal(listener.error?.code, 'ERR_INTERNAL', at)
  }
  t.equal((await send()).status, 200)
})
