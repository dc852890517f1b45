import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { EgressOptions } from '../../lib/egress/egress.ts'
import { answering, type DestinationConnection, newDestination, OK, type Script } from '../kit/destination.ts'
import { exchangeOnce, Listener, ManualTime, newEgress, newMessage, newPeer } from '../kit/exchange.ts'

async function newPair(t: Test, script: Script, options: Partial<EgressOptions> = {}) {
  const destination = await newDestination({ script })
  const time = new ManualTime()
  const egress = await newEgress({ port: destination.port, time, ...options })
  t.teardown(async () => {
    egress.destroy()
    await destination.close()
  })
  const peer = newPeer(destination.port)
  return { destination, egress, peer, time, send: (message = newMessage()) => exchangeOnce(egress, peer, message) }
}

/** Answers the n-th request of a connection with what `answers` says of it; then nothing. */
const answersOf =
  (...answers: readonly (string | ((connection: DestinationConnection) => void))[]): Script =>
  async (connection) => {
    for (const answer of answers) {
      if ((await connection.request()) === null) return
      if (typeof answer === 'string') await connection.send(answer)
      else answer(connection)
    }
  }

const until = async (holds: () => boolean) => {
  for (let i = 0; !holds(); i++) {
    if (i > 20_000) throw new Error('it never came to hold')
    await setImmediate()
  }
}

t.test('reuses the connection that was idle for the shortest time', async (t) => {
  const { destination, egress, peer, send } = await newPair(t, answering(OK))
  await Promise.all([send(), send(), send()])
  await setImmediate()
  t.equal(destination.connections.length, 3)
  t.same([egress.idle, egress.busy, egress.waiting, egress.opening], [3, 0, 0, 0])
  for (let i = 0; i < 5; i++) {
    await send()
    await setImmediate()
  }
  t.equal(destination.connections.length, 3)
  const last = destination.connections.filter((connection) => connection.arrived > 100)
  t.equal(last.length, 1)
  t.equal(egress.counters.connects.get('ok'), 3)
  t.equal(egress.reach(peer), undefined)
})

t.test('never shares a connection between peers that differ in anything', async (t) => {
  const { destination, egress } = await newPair(t, answering(OK))
  const { port } = destination
  const peers = [newPeer(port), newPeer(port, { tenant: 'tenant-2' }), newPeer(port, { host: 'other.localhost' })]
  for (const peer of [...peers, ...peers]) t.equal((await exchangeOnce(egress, peer, newMessage())).status, 200)
  t.equal(destination.connections.length, peers.length)
  t.same(
    destination.connections.map(({ servername }) => servername),
    ['localhost', 'localhost', 'other.localhost']
  )
})

t.test('does not reuse a connection after', async (t) => {
  const rows: readonly (readonly [string, string, boolean?])[] = [
    ['a response that says close', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'],
    ['close among other options', 'HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n'],
    ['HTTP/1.0, even with keep-alive', 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n'],
    ['a request that says close', OK, true],
    ['a 204 that announces a body', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n'],
    ['a challenge of NTLM', 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n'],
    [
      'a challenge of Negotiate',
      'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic, negotiate\r\nContent-Length: 0\r\n\r\n'
    ],
    ['an authenticated connection', 'HTTP/1.1 200 OK\r\nPersistent-Auth: true\r\nContent-Length: 0\r\n\r\n'],
    [
      'a keep-alive time too short to be of use',
      'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n'
    ]
  ]
  for (const [name, answer, close = false] of rows) {
    const { destination, egress, send } = await newPair(t, answering(answer))
    t.equal((await send(newMessage(null, { close }))).error, null, name)
    t.equal(egress.idle, 0, name)
    t.equal((await send()).error, null, name)
    t.equal(destination.connections.length, 2, name)
    t.equal(await destination.connections[0]?.closed, 'end', `${name}: closed in order`)
  }
})

t.test('nor after a request that may have authenticated the connection', async (t) => {
  for (const [line, reused] of [
    ['Authorization: NTLM TlRMTVNTUAAB', false],
    ['authorization:\tnegotiate YII', false],
    ['Authorization: Bearer negotiate', true],
    ['X-Authorization: NTLM x', true]
  ] as const) {
    const { egress, send } = await newPair(t, answering(OK))
    const head = `GET / HTTP/1.1\r\nHost: localhost\r\n${line}\r\n`
    t.equal((await send(newMessage(null, { head }))).status, 200)
    t.equal(egress.idle, reused ? 1 : 0, line)
  }
})

t.test('an idle time of 0 keeps no connection, but for the request that it was opened for', async (t) => {
  const { destination, egress, send } = await newPair(t, answering(OK), { idleTimeoutMs: 0 })
  for (let i = 0; i < 2; i++) t.equal((await send()).status, 200)
  t.equal(destination.connections.length, 2)
  t.equal(egress.idle, 0)
})

t.test('a connection is used again in the next turn, and who waits for that opens no other', async (t) => {
  const { destination, egress, peer, send } = await newPair(t, answering(OK))
  await send()
  const listener = new Listener()
  egress.send(peer, newMessage(), listener)
  t.same([egress.waiting, egress.opening, egress.idle], [1, 0, 1])
  await listener.over
  t.equal(listener.status, 200)
  t.equal(destination.connections.length, 1)
})

t.test('unexpected bytes on an idle connection destroy it', async (t) => {
  const { destination, egress, send } = await newPair(t, answering(OK))
  await send()
  const connection = await destination.connection(0)
  await connection.send('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')
  await connection.closed
  t.equal(egress.idle, 0)
  t.equal((await send()).body, 'ok')
  t.equal(destination.connections.length, 2)
})

t.test('a connection that the destination closes while idle is forgotten', async (t) => {
  const { destination, egress, send, time } = await newPair(t, answering(OK))
  await send()
  destination.connections[0]?.end()
  await until(() => egress.idle === 0)
  t.equal((await send()).status, 200)
  destination.connections[1]?.reset()
  await until(() => egress.idle === 0)
  await until(() => !time.isAwaited)
  t.pass('and when none is left, nothing ticks')
})

t.test('retries', async (t) => {
  const cut = (connection: DestinationConnection) => connection.reset()
  const end = (connection: DestinationConnection) => connection.end()
  await t.test('once, on a reused connection that closed before any byte', async (t) => {
    for (const how of [cut, end]) {
      const { destination, egress, send } = await newPair(t, answersOf(OK, how))
      await send()
      const heard = await send()
      t.equal(heard.status, 200)
      t.same(heard.calls.slice(0, 4), ['connected', 'sent', 'connected', 'sent'])
      t.equal(destination.connections.length, 2)
      t.equal(egress.counters.retried, 1)
    }
  })
  await t.test('with its body, large or small', async (t) => {
    const { destination, send } = await newPair(t, answersOf(OK, cut))
    await send()
    const large = 'x'.repeat(300_000)
    t.equal((await send(newMessage(large, { method: 'PUT', replayable: true }))).status, 200)
    t.equal(destination.requests.at(-1)?.body.toString(), large)
  })
  await t.test('also when only a part of it was taken', async (t) => {
    const { destination, send } = await newPair(t, async (connection) => {
      if (connection === destination.connections[0]) {
        await connection.request()
        await connection.send(OK)
        await connection.receivesBytes(connection.arrived + 100_000)
        connection.reset()
      } else {
        await connection.receivesBytes(3_000_000)
        await connection.send(OK)
      }
    })
    await send()
    const large = 'x'.repeat(3_000_000)
    const heard = await send(newMessage(large, { method: 'PUT', replayable: true }))
    t.equal(heard.error, null)
    t.equal(destination.connections.length, 2)
  })
  await t.test('not a second time', async (t) => {
    let requests = 0
    const { destination, egress, send } = await newPair(t, async (connection) => {
      await connection.request()
      if (requests++ > 0) return connection.reset()
      await connection.send(OK)
      await connection.request()
      connection.reset()
    })
    await send()
    const heard = await send()
    t.equal(heard.error?.code, 'ERR_DESTINATION_UNREACHABLE')
    t.equal(heard.error?.forwarded, 'unknown')
    t.equal(destination.connections.length, 2)
    t.equal(egress.counters.retried, 1)
  })
  await t.test('never what is not replayable, nor a streamed body', async (t) => {
    const { destination, egress, send, peer } = await newPair(t, answersOf(OK, cut))
    await send()
    const heard = await send(newMessage('{}'))
    t.equal(heard.error?.code, 'ERR_DESTINATION_UNREACHABLE')
    t.equal(heard.error?.forwarded, 'unknown')
    await send()
    const listener = new Listener()
    egress
      .send(peer, newMessage(null, { method: 'PUT', streaming: 'chunked', replayable: true }), listener)
      .write(Buffer.from('a'))
    destination.connections[1]?.reset()
    await listener.over
    t.equal(listener.error?.code, 'ERR_DESTINATION_UNREACHABLE')
    t.equal(egress.counters.retried, 0)
  })
  await t.test('never once a byte of a response came', async (t) => {
    const part = (connection: DestinationConnection) => {
      void connection.send('H')
      connection.reset()
    }
    const { egress, send } = await newPair(t, answersOf(OK, part))
    await send()
    t.equal((await send()).error?.code, 'ERR_DESTINATION_RESPONSE')
    t.equal(egress.counters.retried, 0)
  })
  await t.test('and what it knows of the first time is not forgotten', async (t) => {
    const { destination, send } = await newPair(t, answersOf(OK, cut))
    await send()
    const second = send()
    await destination.request(1)
    await destination.close()
    const heard = await second
    t.equal(heard.error?.code, 'ERR_DESTINATION_UNREACHABLE')
    t.equal(heard.error?.forwarded, 'unknown')
  })
})

t.test('time limits', async (t) => {
  const deadlines = { connectTimeoutMs: 1000, timeoutMs: 3000, bodyIdleTimeoutMs: 2000 }
  const HEAD = 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n'
  await t.test('for the head of a response, interim ones or not', async (t) => {
    for (const part of ['', 'HTTP/1.1 103 Early\r\n\r\n', 'HTTP/1.1 200 OK\r\n']) {
      const { destination, egress, peer, time } = await newPair(t, answersOf(part))
      const listener = new Listener()
      const exchange = egress.send(peer, newMessage('a', { deadlines }), listener)
      await destination.request(0)
      if (part !== '') await until(() => exchange.forwarded === 'yes')
      time.pass(2999)
      t.equal(listener.error, null)
      time.pass(101)
      t.equal(listener.error?.code, 'ERR_DESTINATION_TIMEOUT')
      t.equal(listener.error?.status, 408)
      t.equal(listener.error?.forwarded, part === '' ? 'unknown' : 'yes')
      await destination.connections[0]?.closed
    }
  })
  await t.test('for each piece of a body, not for all of it', async (t) => {
    const { destination, egress, peer, time } = await newPair(t, answersOf(`${HEAD}a`))
    const listener = new Listener()
    egress.send(peer, newMessage('a', { deadlines }), listener)
    for (const text of ['a', 'ab', 'abc']) {
      await until(() => listener.text === text)
      time.pass(1900)
      t.equal(listener.error, null)
      await destination.connections[0]?.send(text === 'a' ? 'b' : text === 'ab' ? 'c' : 'd')
    }
    await until(() => listener.text === 'abcd')
    time.pass(2101)
    t.equal(listener.error?.code, 'ERR_DESTINATION_TIMEOUT')
    t.equal(listener.error?.forwarded, 'yes')
  })
  await t.test('not while we do not read', async (t) => {
    const { egress, peer, time } = await newPair(t, answersOf(`${HEAD}abc`))
    const listener = new Listener()
    listener.more = false
    const exchange = egress.send(peer, newMessage('a', { deadlines }), listener)
    await until(() => listener.text === 'abc')
    time.pass(60_000)
    t.equal(listener.error, null)
    exchange.resume()
    time.pass(2101)
    t.equal(listener.error?.code, 'ERR_DESTINATION_TIMEOUT')
  })
  await t.test('not while the request is not whole, until the destination takes nothing', async (t) => {
    const { destination, egress, peer, time } = await newPair(t, (connection) => connection.pause())
    const listener = new Listener()
    const exchange = egress.send(peer, newMessage(null, { method: 'POST', streaming: 'chunked', deadlines }), listener)
    await destination.connection(0)
    await until(() => listener.calls.includes('connected'))
    time.pass(60_000)
    t.equal(listener.error, null)
    const piece = Buffer.alloc(65536)
    for (;;) {
      const before = listener.calls.length
      if (exchange.write(piece)) continue
      let turns = 0
      while (turns++ < 200 && !listener.calls.slice(before).includes('drained')) await setImmediate()
      if (turns > 200) break
    }
    time.pass(2101)
    t.equal(listener.error?.code, 'ERR_DESTINATION_TIMEOUT')
    t.equal(listener.error?.forwarded, 'unknown')
  })
  await t.test('for an idle connection, by us or by the destination', async (t) => {
    const keepAlive = 'HTTP/1.1 200 OK\r\nKeep-Alive: max=5, timeout=5\r\nContent-Length: 0\r\n\r\n'
    for (const [answer, idleMs] of [
      [OK, 30_000],
      [keepAlive, 4000]
    ] as const) {
      const { destination, egress, send, time } = await newPair(t, answering(answer))
      await send()
      time.pass(idleMs - 1)
      t.equal(egress.idle, 1)
      time.pass(101)
      t.equal(egress.idle, 0)
      t.equal(await destination.connections[0]?.closed, 'end')
      await until(() => !time.isAwaited)
    }
  })
  await t.test('for a destination that does not answer our close', async (t) => {
    const { send, time } = await newPair(t, async (connection) => {
      await connection.request()
      connection.pause()
      await connection.send('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    })
    await send()
    time.pass(1200)
    await until(() => !time.isAwaited)
    t.pass('the socket is gone')
  })
  await t.test('time in which we were stuck does not count', async (t) => {
    const { destination, egress, peer, time } = await newPair(t, answersOf(''))
    const listener = new Listener()
    egress.send(peer, newMessage('a', { deadlines }), listener)
    await destination.request(0)
    time.leap(60_000)
    time.pass(50)
    t.equal(listener.error, null)
  })
})

t.test('limits', async (t) => {
  await t.test('connections to one peer: the rest waits its turn', async (t) => {
    const { destination, egress, send } = await newPair(t, answering(OK), { maxConnectionsPerPeer: 3 })
    const heard = await Promise.all(Array.from({ length: 20 }, () => send()))
    t.ok(heard.every(({ status }) => status === 200))
    t.equal(destination.connections.length, 3)
    t.equal(egress.idle, 3)
  })
  await t.test('requests that wait: beyond it is an overload', async (t) => {
    const { destination, egress, peer, send } = await newPair(t, answersOf(''), {
      maxConnectionsPerPeer: 1,
      maxWaitingPerPeer: 2
    })
    const first = new Listener()
    const exchange = egress.send(peer, newMessage(), first)
    await destination.request(0)
    const second = send()
    const third = send()
    t.equal(egress.waiting, 2)
    const refused = await send()
    t.equal(refused.error?.code, 'ERR_OVERLOAD')
    t.equal(refused.error?.forwarded, 'no')
    exchange.cut()
    await destination.request(1)
    destination.connections[1]?.destroy()
    t.equal((await second).error?.code, 'ERR_DESTINATION_UNREACHABLE')
    await destination.request(2)
    destination.connections[2]?.destroy()
    await third
  })
  await t.test('time to wait: then it is an overload', async (t) => {
    const { destination, egress, peer, send, time } = await newPair(t, answersOf(''), { maxConnectionsPerPeer: 1 })
    egress.send(peer, newMessage(), new Listener())
    await destination.request(0)
    const second = send()
    time.pass(2101)
    t.equal((await second).error?.code, 'ERR_OVERLOAD')
    t.equal(egress.waiting, 0)
  })
  await t.test('idle connections in all: the one idle for longest goes', async (t) => {
    const { destination, egress, time } = await newPair(t, answering(OK), { maxIdleConnections: 2 })
    for (const tenant of ['a', 'b', 'c']) {
      await exchangeOnce(egress, newPeer(destination.port, { tenant }), newMessage())
      time.pass(100)
    }
    t.equal(egress.idle, 2)
    t.equal(await destination.connections[0]?.closed, 'end')
  })
})

t.test('connecting fails', async (t) => {
  await t.test('when nobody listens', async (t) => {
    const { destination, egress, send } = await newPair(t, answering(OK))
    await destination.close()
    const heard = await send()
    t.equal(heard.error?.code, 'ERR_DESTINATION_UNREACHABLE')
    t.equal(heard.error?.forwarded, 'no')
    t.match(heard.error?.message, /ECONNREFUSED/)
    t.same([egress.waiting, egress.opening], [0, 0])
  })
  await t.test('when the handshake never ends', async (t) => {
    const silent = await newDestination({ tls: null, script: () => {} })
    const egress = await newEgress({ port: silent.port, connectTimeoutMs: 100 })
    t.teardown(() => silent.close())
    const heard = await exchangeOnce(egress, newPeer(silent.port), newMessage())
    t.equal(heard.error?.code, 'ERR_DESTINATION_UNREACHABLE')
    t.equal(heard.error?.forwarded, 'no')
  })
  await t.test('when the other side speaks no TLS', async (t) => {
    const plain = await newDestination({ tls: null, script: (connection) => connection.send('SSH-2.0-OpenSSH\r\n') })
    const egress = await newEgress({ port: plain.port })
    t.teardown(() => plain.close())
    const heard = await exchangeOnce(egress, newPeer(plain.port), newMessage())
    t.equal(heard.error?.code, 'ERR_DESTINATION_TLS')
    t.equal(heard.error?.forwarded, 'no')
  })
  await t.test('when the connection is dropped in the handshake', async (t) => {
    const plain = await newDestination({ tls: null, script: (connection) => connection.destroy() })
    const egress = await newEgress({ port: plain.port })
    t.teardown(() => plain.close())
    t.equal((await exchangeOnce(egress, newPeer(plain.port), newMessage())).error?.code, 'ERR_DESTINATION_TLS')
  })
  await t.test('for one address, and the next is tried', async (t) => {
    const lookup: EgressOptions['lookup'] = (_host, _options, done) =>
      done(null, [
        { address: '127.0.0.9', family: 4 },
        { address: '127.0.0.1', family: 4 }
      ])
    const { send, destination } = await newPair(t, answering(OK), { lookup })
    // Nothing listens on 127.0.0.9: the destination is bound to 127.0.0.1.
    t.equal((await send()).status, 200)
    t.equal(destination.connections.length, 1)
  })
  await t.test('and an exchange that found another connection is not told', async (t) => {
    const { destination, egress, peer, send } = await newPair(t, answering(OK))
    await send()
    const server = destination.connections[0]
    const both = Promise.all([send(), send()])
    t.equal(egress.opening, 1)
    await both
    t.ok(server)
    t.equal(egress.opening <= 1, true)
    t.equal(egress.reach(peer), undefined)
  })
})

t.test('draining closes what is idle and keeps nothing', async (t) => {
  const { destination, egress, peer, send, time } = await newPair(
    t,
    answersOf(OK, (connection) => void connection.send(OK))
  )
  const busy = new Listener()
  egress.send(peer, newMessage(), busy)
  await busy.over
  const streaming = new Listener()
  const exchange = egress.send(peer, newMessage(null, { method: 'POST', streaming: 'chunked' }), streaming)
  await send()
  t.equal(egress.idle, 1)
  egress.drain()
  t.equal(egress.idle, 0)
  exchange.end()
  await streaming.over
  t.equal(streaming.status, 200)
  t.same([egress.idle, egress.busy], [0, 0])
  for (const connection of destination.connections) t.equal(await connection.closed, 'end')
  await until(() => !time.isAwaited)
})

t.test('destroying fails what is under way and leaks no socket', async (t) => {
  const { destination, egress, peer, time } = await newPair(t, answersOf(''))
  const listeners = [new Listener(), new Listener(), new Listener()]
  for (const listener of listeners.slice(0, 2)) egress.send(peer, newMessage(), listener)
  await destination.request(1)
  egress.send(peer, newMessage(), listeners[2] as Listener)
  egress.destroy()
  for (const listener of listeners) await listener.over
  t.same(
    listeners.map(({ error }) => error?.forwarded),
    ['unknown', 'unknown', 'no']
  )
  t.same([egress.idle, egress.busy, egress.opening, egress.waiting], [0, 0, 0, 0])
  await until(() => !time.isAwaited)
})
