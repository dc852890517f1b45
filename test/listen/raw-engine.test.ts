import { once } from 'node:events'
import { type AddressInfo, connect as connectTcp, createServer } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import t from 'tap'
import type { Client } from '../../lib/listen/client.ts'
import { certificates, newCertificates } from '../kit/certificates.ts'
import { exchange, newClient } from '../kit/client.ts'
import { echo, type Heard, newEngine, until } from './_engines.ts'

const GET = 'GET / HTTP/1.1\r\nHost: h\r\n\r\n'
const POST = 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello'
const CHUNKED = 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n'

/** Answers each request, once it is in, as `how` says. */
const answering = (how: (client: Client, heard: Heard) => void) => (heard: Heard) => {
  heard.after = (call) => {
    if (call === 'end') how(heard.client, heard)
  }
  heard.client.receive()
}

for (const tls of [false, true]) {
  const where = tls ? 'TLS' : 'plain'

  t.test(`${where}: answers, and keeps the connection`, async (t) => {
    const engine = await newEngine({ tls })
    t.teardown(() => engine.close())
    const client = await newClient(engine.at)
    for (let at = 0; at < 3; at++) {
      const answer = await client.request(POST)
      t.equal(answer.status, 200)
      t.match(answer.header('date'), /GMT$/)
      t.equal(answer.header('keep-alive'), 'timeout=10')
      t.match(answer.body.toString(), '"body":"hello"')
    }
    t.equal(new Set(engine.requests.map((heard) => heard.client.memo)).size, 1, 'one memo for a connection')
    t.same(engine.requests[0]?.calls, ['chunk', 'end'])
    client.destroy()
  })

  t.test(`${where}: a request at every two-way split`, async (t) => {
    const engine = await newEngine({ tls })
    t.teardown(() => engine.close())
    const request = `${CHUNKED.replace('Host', 'X-A: b \r\nHost')}5;x="y"\r\nhello\r\n0\r\nT: r\r\n\r\n`
    const client = await newClient(engine.at)
    for (let at = 1; at < request.length; at++) {
      await client.send(request.slice(0, at))
      await new Promise((resolve) => setImmediate(resolve))
      const answer = await client.request(request.slice(at))
      t.match(answer.body.toString(), '"body":"hello"', `at ${at}`)
    }
    client.destroy()
  })

  t.test(`${where}: a large body each way, byte for byte`, async (t) => {
    const engine = await newEngine({
      tls,
      serve(heard) {
        heard.client.begin(200, 'OK', [], -1)
        heard.after = (call) => {
          if (call === 'chunk') {
            if (!heard.client.send(heard.chunks.pop() as Buffer)) heard.client.pause()
          } else if (call === 'drained') heard.client.resume()
          else if (call === 'end') heard.client.finish(['X-Sum', 'none'])
        }
        heard.client.receive()
      }
    })
    t.teardown(() => engine.close())
    const body = Buffer.alloc(3_000_000)
    for (let at = 0; at < body.length; at++) body[at] = (at * 31) ^ (at >> 8)
    const client = await newClient(engine.at)
    for (const pieces of [[body], [body.subarray(0, 5), body.subarray(5, 70_000), body.subarray(70_000)]]) {
      await client.send(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n`)
      for (const piece of pieces) void client.send(piece)
      const answer = await client.response()
      t.equal(answer.framing, 'chunked')
      t.ok(answer.body.equals(body), 'the same bytes')
      t.same(answer.trailers, ['X-Sum', 'none'])
    }
    client.destroy()
  })

  t.test(`${where}: a client that leaves is heard of, whatever was under way`, async (t) => {
    const engine = await newEngine({ tls, serve: (heard) => heard.client.receive() })
    t.teardown(() => engine.close())
    for (const [at, bytes] of [GET, POST.slice(0, -1), `${CHUNKED}5\r\nhel`].entries()) {
      for (const leave of tls ? (['end', 'destroy'] as const) : (['end', 'reset', 'destroy'] as const)) {
        const client = await newClient(engine.at)
        await client.send(bytes)
        const heard = await engine.request(engine.requests.length)
        client[leave]()
        await heard.hears('left')
        t.same(
          heard.calls.filter((call) => call === 'left'),
          ['left'],
          `${at}: ${leave}, once`
        )
        heard.client.answer(200, [], 'too late')
        client.destroy()
      }
    }
  })

  t.test(`${where}: a cut never looks complete`, async (t) => {
    // When the part has been read: a reset that comes together with bytes is an end to libuv, which reads for the test.
    let cut = () => {}
    const serve = answering((client) => {
      client.begin(200, 'OK', [], -1)
      client.send(Buffer.from('part'))
      cut = () => client.cut()
    })
    const engine = await newEngine({ tls, serve })
    t.teardown(() => engine.close())
    const chunked = await newClient(engine.at)
    await chunked.send(GET)
    await chunked.receives('part')
    cut()
    await chunked.closed
    t.match(chunked.received.toString(), '4\r\npart\r\n')
    t.notMatch(chunked.received.toString(), '\r\n0\r\n')
    if (tls) {
      const tap = await newTap(engine.port)
      t.teardown(() => tap.server.close())
      const old = await newClient({ ...engine.at, port: tap.port })
      await old.send('GET / HTTP/1.0\r\n\r\n')
      await old.receives('part')
      const before = tap.bytes()
      cut()
      await old.closed
      t.equal(tap.bytes(), before, 'no close_notify: the end of the connection is not the end of the answer')
      old.destroy()
    } else {
      const other = await newEngine({ engine: 'node', serve })
      t.teardown(() => other.close())
      for (const { at } of [engine, other]) {
        const old = await newClient(at)
        await old.send('GET / HTTP/1.0\r\n\r\n')
        await old.receives('part')
        cut()
        t.equal(await old.closed, 'reset', 'a close-delimited answer ends in a reset')
        t.match(old.received.toString(), /\r\n\r\npart$/)
      }
    }
  })
}

/** A TCP relay that counts the server's bytes: what goes over the wire below TLS. */
async function newTap(to: number) {
  let bytes = 0
  const server = createServer((client) => {
    const upstream = connectTcp(to, '127.0.0.1')
    upstream.on('data', (chunk) => {
      bytes += chunk.length
    })
    for (const socket of [client, upstream]) socket.on('error', () => {})
    client.pipe(upstream).pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port, bytes: () => bytes }
}

t.test('a pipeline is answered in order, one after the other', async (t) => {
  let running = 0
  let most = 0
  const engine = await newEngine({
    serve: answering((client, heard) => {
      most = Math.max(most, ++running)
      setTimeout(
        () => {
          running--
          client.answer(200, [], `${client.head.target}${heard.body}`)
        },
        client.head.target === '/0' ? 20 : 0
      )
    })
  })
  t.teardown(() => engine.close())
  const client = await newClient(engine.at)
  const requests = Array.from({ length: 20 }, (_, at) =>
    at % 2 === 0
      ? `GET /${at} HTTP/1.1\r\nHost: h\r\n\r\n`
      : `PUT /${at} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab`
  )
  await client.send(requests.join(''))
  for (let at = 0; at < 20; at++)
    t.equal((await client.response()).body.toString(), `/${at}${at % 2 === 0 ? '' : 'ab'}`)
  t.equal(most, 1)
  client.destroy()
})

t.test('a thousand requests in one piece, answered at once', async (t) => {
  const engine = await newEngine()
  t.teardown(() => engine.close())
  const client = await newClient(engine.at)
  await client.send(GET.repeat(1000))
  for (let at = 0; at < 1000; at++) await client.response('GET')
  t.equal(engine.requests.length, 1000)
  client.destroy()
})

t.test('what is sent ahead is bounded, and so is what is answered to a client that does not read', async (t) => {
  const engine = await newEngine({ serve: () => {} })
  t.teardown(() => engine.close())
  const ahead = await newClient(engine.at)
  let taken = 0
  const send = (): void => {
    void ahead.send(GET.repeat(2000)).then(() => {
      taken += GET.length * 2000
      if (taken < 100_000_000) send()
    })
  }
  send()
  await engine.request(0)
  let before = -1
  while (taken !== before) {
    before = taken
    await new Promise((resolve) => setTimeout(resolve, 60))
  }
  t.ok(taken < 20_000_000, `reading stopped behind ${taken} bytes`)
  ahead.destroy()

  const answers = await newEngine({ serve: answering((client) => client.answer(200, [], 'x'.repeat(10_000))) })
  t.teardown(() => answers.close())
  const deaf = await newClient(answers.at)
  deaf.pause()
  void deaf.send(GET.repeat(4000))
  await answers.request(0)
  let count = 0
  while (answers.requests.length !== count) {
    count = answers.requests.length
    await new Promise((resolve) => setTimeout(resolve, 60))
  }
  t.ok(count < 3000, `requests stopped behind ${count}`)
  deaf.resume()
  for (let at = 0; at < 4000; at++) await deaf.response('GET')
  t.equal(answers.requests.length, 4000, 'and go on when it reads')
  deaf.destroy()
})

t.test('Expect: 100-continue', async (t) => {
  const expecting = POST.replace('Content', 'Expect: 100-Continue\r\nContent')
  const [head, body] = [expecting.slice(0, -5), 'hello']
  const engine = await newEngine({
    serve(heard) {
      if (heard.client.head.target === '/refused') heard.client.answer(403, [], 'no')
      else echo(heard)
    }
  })
  t.teardown(() => engine.close())
  const client = await newClient(engine.at)
  await client.send(head)
  t.equal((await client.response()).status, 100, 'is answered when the body is asked for')
  t.match((await client.request(body)).body.toString(), 'hello')
  await client.send(head.replace('/', '/refused'))
  const refused = await client.response()
  t.equal(refused.status, 403, 'a refused request never sends its body')
  t.equal(refused.header('connection'), 'close', 'nobody knows what would come next')
  await client.closed
  client.destroy()
  const other = (await exchange(engine.at, POST.replace('Content', 'Expect: tea\r\nContent'))).toString()
  t.match(other, /^HTTP\/1\.1 417 [^]*\r\n\r\nERR_EXPECTATION$/, 'is refused as all else is')
  const head417 = (await exchange(engine.at, 'HEAD / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n')).toString()
  t.match(head417, /^HTTP\/1\.1 417 [^]*\r\n\r\n$/, 'without a body where there is none')
  const old = await exchange(engine.at, expecting.replace('HTTP/1.1', 'HTTP/1.0'))
  t.match(old.toString(), /^HTTP\/1\.1 200 /, 'HTTP/1.0 knows none')
})

t.test('persistence', async (t) => {
  const engine = await newEngine()
  t.teardown(() => engine.close())
  const closing = [
    'Connection: close',
    'Connection: x, Close',
    'Connection: keep-alive\r\nConnection: close',
    'connection: close\r\nConnection: keep-alive'
  ]
  for (const line of closing) {
    const answer = (await exchange(engine.at, GET.replace('Host', `${line}\r\nHost`) + GET)).toString()
    t.equal(answer.split('HTTP/1.1 200').length, 2, line)
    t.match(answer, '\r\nConnection: close\r\n', line)
  }
  t.match(
    (await exchange(engine.at, GET.replace('1.1', '1.0'))).toString(),
    '\r\nConnection: close\r\n',
    'HTTP/1.0 closes'
  )
  const kept = await newClient(engine.at)
  const old = GET.replace('1.1', '1.0').replace('Host', 'Connection: Keep-Alive\r\nHost')
  for (let at = 0; at < 2; at++) t.equal((await kept.request(old)).header('connection'), 'keep-alive')
  kept.destroy()
})

t.test('HEAD, 204 and 304 have no body, whatever is sent', async (t) => {
  const engine = await newEngine({
    serve: answering((client) => {
      const status = Number(client.head.target.slice(1))
      if (client.head.fields.includes('X-Whole')) client.answer(status, [], 'hello')
      else {
        client.begin(
          status,
          'R',
          status === 304 || client.head.method === 'HEAD' ? ['Content-Length', '7'] : [],
          status === 204 ? 0 : -1
        )
        client.send(Buffer.from('hello'))
        client.finish([])
      }
    })
  })
  t.teardown(() => engine.close())
  const client = await newClient(engine.at)
  for (const [method, status, length] of [
    ['HEAD', 200, '5'],
    ['GET', 204, undefined],
    ['GET', 304, undefined]
  ] as const) {
    const whole = await client.request(`${method} /${status} HTTP/1.1\r\nHost: h\r\nX-Whole: y\r\n\r\n`)
    t.equal(whole.header('content-length'), length)
    t.equal(whole.body.length, 0)
    const streamed = await client.request(`${method} /${status} HTTP/1.1\r\nHost: h\r\n\r\n`)
    t.equal(streamed.status, status)
    t.equal(streamed.header('transfer-encoding'), undefined)
    t.equal(streamed.header('content-length'), status === 204 ? undefined : '7', 'the destination’s length stays')
  }
  t.equal(
    (await client.request('GET /200 HTTP/1.1\r\nHost: h\r\nX-Whole: y\r\n\r\n')).body.toString(),
    'hello',
    'nothing is left over'
  )
  client.destroy()
})

t.test('answers of every framing', async (t) => {
  const engine = await newEngine({
    serve: answering((client) => {
      client.inform(103, ['Link', '</a>'])
      client.begin(200, 'Fine', ['X-A', 'b'], client.head.target === '/length' ? 6 : -1)
      client.send(Buffer.from('one'))
      client.send(Buffer.alloc(0))
      client.send(Buffer.from('two'))
      client.finish(['X-T', 'u'])
    })
  })
  t.teardown(() => engine.close())
  const client = await newClient(engine.at)
  await client.send('GET /length HTTP/1.1\r\nHost: h\r\n\r\n')
  const early = await client.response()
  t.equal(early.status, 103)
  t.equal(early.header('link'), '</a>')
  const exact = await client.response()
  t.equal(exact.startLine, 'HTTP/1.1 200 Fine')
  t.equal(exact.framing, 'length')
  t.equal(exact.body.toString(), 'onetwo')
  await client.send('GET /chunked HTTP/1.1\r\nHost: h\r\n\r\n')
  await client.response()
  const chunked = await client.response()
  t.equal(chunked.body.toString(), 'onetwo')
  t.same(chunked.chunks, [6], 'the pieces of a tick are one chunk')
  t.same(chunked.trailers, ['X-T', 'u'])
  client.destroy()
  const old = (await exchange(engine.at, 'GET /chunked HTTP/1.0\r\n\r\n')).toString()
  t.match(
    old,
    /^HTTP\/1\.1 200 Fine\r\n(.*\r\n)*Connection: close\r\n\r\nonetwo$/,
    'HTTP/1.0: until the close, and no 103'
  )
})

t.test('the head leaves at the end of the tick, and a body of another length is cut', async (t) => {
  const engine = await newEngine({ serve: answering((client) => client.begin(200, 'OK', [], 5)) })
  t.teardown(() => engine.close())
  for (const [what, act] of [
    ['too short', (client: Client) => (client.send(Buffer.from('four')), client.finish([]))],
    ['too long', (client: Client) => client.send(Buffer.from('longer'))]
  ] as const) {
    const client = await newClient(engine.at)
    await client.send(GET)
    await client.receives('\r\n\r\n')
    act((await engine.request(engine.requests.length - 1)).client)
    await client.closed
    t.notMatch(client.received.toString(), /\r\n\r\n.{5}/, what)
    client.destroy()
  }
})

t.test('text that would leave its field never goes out', async (t) => {
  const engine = await newEngine({ serve: () => {} })
  t.teardown(() => engine.close())
  const client = await newClient(engine.at)
  await client.send(GET)
  const heard = await engine.request(0)
  for (const value of ['a\r\nX: y', 'a\nb', 'a\rb', 'a\x00', '\u010d\u010a']) {
    t.throws(() => heard.client.answer(200, ['X', value], null), { code: 'ERR_INTERNAL' })
    t.throws(() => heard.client.begin(200, 'OK', [value, 'x'], 0), { code: 'ERR_INTERNAL' })
    t.throws(() => heard.client.begin(200, value, [], 0), { code: 'ERR_INTERNAL' })
  }
  heard.client.answer(200, ['X', 'ü\t'], null)
  t.equal((await client.response()).header('x'), 'ü\t'.trim())
  client.destroy()
})

t.test('an early answer', async (t) => {
  const engine = await newEngine({ serve: (heard) => heard.client.answer(413, [], 'too large') })
  t.teardown(() => engine.close())
  const client = await newClient(engine.at)
  await client.send('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n')
  t.equal((await client.response()).status, 413, 'comes before the body')
  await client.send('x'.repeat(100_000))
  t.equal((await client.request(GET)).status, 413, 'the rest of a small body is dropped, and the connection kept')
  await client.send(`${CHUNKED}5\r\nhello\r\n`)
  t.equal((await client.response()).status, 413)
  await client.send('0\r\n\r\n')
  t.equal((await client.request(GET)).status, 413)
  await client.send('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n')
  const last = await client.response()
  t.equal(last.header('connection'), 'close', 'of a large one it is not')
  await client.send('x'.repeat(500_000))
  await client.closed
  client.destroy()
  const endless = await newClient(engine.at)
  await endless.send(CHUNKED)
  t.equal((await endless.response()).status, 413)
  for (let at = 0; at < 200 && endless.ended === null; at++) await endless.send(`5000\r\n${'x'.repeat(0x5000)}\r\n`)
  await endless.closed
  t.pass('an endless one ends with the connection')
})

t.test('the limits of time', async (t) => {
  const engine = await newEngine({ headersTimeoutMs: 80, bodyIdleTimeoutMs: 80, idleTimeoutMs: 150 })
  t.teardown(() => engine.close())
  const drip = async (bytes: string): Promise<string> => {
    const client = await newClient(engine.at)
    for (const byte of bytes) {
      if (client.ended !== null) break
      await client.send(byte)
      await new Promise((resolve) => setTimeout(resolve, 15))
    }
    await client.closed
    client.destroy()
    return client.received.toString()
  }
  const started = performance.now()
  const [silent, slow, stalled, idle] = await Promise.all([
    exchange(engine.at, ''),
    drip(GET),
    exchange(engine.at, POST.slice(0, -1)),
    exchange(engine.at, GET)
  ])
  t.equal(silent.toString(), '', 'a connection on which nothing comes is closed without a word')
  t.match(slow, /^HTTP\/1\.1 408 /, 'a head that comes byte by byte is 408')
  t.match(stalled.toString(), /^HTTP\/1\.1 408 (.|\r\n)*broken ERR_CLIENT_TIMEOUT$/, 'a body that stalls is broken')
  t.match(idle.toString(), /^HTTP\/1\.1 200 /, 'an idle connection is closed behind its answer')
  t.ok(performance.now() - started < 3000)

  const paused = await newEngine({
    bodyIdleTimeoutMs: 60,
    serve: (heard) => (heard.client.receive(), heard.client.pause())
  })
  t.teardown(() => paused.close())
  const waiting = await newClient(paused.at)
  await waiting.send(POST.slice(0, -1))
  const heard = await paused.request(0)
  await new Promise((resolve) => setTimeout(resolve, 200))
  t.same(heard.calls, [], 'a client that we do not read from is not late')
  heard.client.resume()
  await heard.hears('broken ERR_CLIENT_TIMEOUT')
  waiting.destroy()

  const big = await newEngine({
    bodyIdleTimeoutMs: 80,
    serve: (given) => given.client.answer(200, [], Buffer.alloc(30_000_000))
  })
  t.teardown(() => big.close())
  const reader = await newClient(big.at)
  reader.pause()
  await reader.send(GET)
  await big.request(0)
  const count = () => new Promise<number>((resolve) => big.server.getConnections((_, open) => resolve(open)))
  let open = 1
  for (let at = 0; at < 100 && open > 0; at++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    open = await count()
  }
  t.equal(open, 0, 'a client that takes nothing of its answer is cut')
  reader.destroy()
})

t.test('a large answer reaches a slow reader whole', async (t) => {
  const body = Buffer.alloc(3_000_000, 'abcdefg')
  const engine = await newEngine({ bodyIdleTimeoutMs: 1000, serve: (heard) => heard.client.answer(200, [], body) })
  t.teardown(() => engine.close())
  const client = await newClient(engine.at)
  client.readSlowly(30)
  const started = performance.now()
  await client.send(GET)
  t.ok((await client.response('GET')).body.equals(body))
  t.ok(performance.now() - started > 1000, 'though it takes longer than the limit for a stall')
  client.destroy()
})

t.test('a client that ends behind its request still gets the rest of a large answer', async (t) => {
  for (const tls of [false, true]) {
    const body = Buffer.alloc(3_000_000, 'abc')
    const engine = await newEngine({ tls, serve: (heard) => heard.client.answer(200, [], body) })
    t.teardown(() => engine.close())
    const client = await newClient(engine.at)
    client.pause()
    await client.send(GET)
    await engine.request(0)
    client.end()
    await new Promise((resolve) => setTimeout(resolve, 20))
    client.resume()
    t.ok((await client.response('GET')).body.equals(body))
    t.equal(await client.closed, 'end')
    client.destroy()
  }
})

t.test('pause and resume hold the body back, its end too', async (t) => {
  const engine = await newEngine({ serve: (heard) => (heard.client.pause(), heard.client.receive()) })
  t.teardown(() => engine.close())
  const client = await newClient(engine.at)
  await client.send(`${CHUNKED}5\r\nhello\r\n0\r\n\r\n`)
  const heard = await engine.request(0)
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.same(heard.calls, [])
  heard.after = (call) => {
    if (call === 'chunk') heard.client.pause()
  }
  heard.client.resume()
  t.same(heard.calls, ['chunk'])
  heard.client.resume()
  t.same(heard.calls, ['chunk', 'end'])
  heard.client.answer(200, [], null)
  t.equal((await client.response()).status, 200)
  client.destroy()
})

t.test('draining', async (t) => {
  for (const tls of [false, true]) {
    let release: (() => void) | null = null
    const engine = await newEngine({
      tls,
      serve: answering((client) => {
        if (client.head.target === '/slow') release = () => client.answer(200, [], 'done')
        else client.answer(200, [], 'now')
      })
    })
    const idle = await newClient(engine.at)
    await idle.request(GET)
    const fresh = await newClient(engine.at)
    const busy = await newClient(engine.at)
    await busy.send('GET /slow HTTP/1.1\r\nHost: h\r\n\r\n')
    await until(() => release !== null)
    const closed = new Promise<void>((resolve) => engine.server.close(() => resolve()))
    t.equal(await idle.closed, 'end', 'an idle connection ends, in order')
    t.equal(await fresh.closed, 'end', 'one on which nothing came too')
    idle.destroy()
    fresh.destroy()
    ;(release as unknown as () => void)()
    const answer = await busy.response()
    t.equal(answer.body.toString(), 'done')
    t.equal(answer.header('connection'), 'close')
    t.equal(await busy.closed, 'end')
    busy.destroy()
    await closed
  }
  const engine = await newEngine({ serve: () => {} })
  const stuck = await newClient(engine.at)
  await stuck.send(GET)
  const heard = await engine.request(0)
  const closed = new Promise<void>((resolve) => engine.server.close(() => resolve()))
  engine.server.closeIdleConnections()
  t.equal(stuck.ended, null)
  engine.server.closeAllConnections()
  await closed
  await heard.hears('left')
  stuck.destroy()
})

t.test('TLS', async (t) => {
  const engine = await newEngine({ tls: true, headersTimeoutMs: 1500 })
  t.teardown(() => engine.close())
  const made = await certificates()
  const connect = (options: object) =>
    new Promise<TLSSocket>((resolve, reject) => {
      const socket = connectTls({ port: engine.port, ca: made.ca, servername: 'localhost', ...options }, () =>
        resolve(socket)
      )
      socket.on('error', reject)
    })

  const first = await connect({ ALPNProtocols: ['h2', 'http/1.1'] })
  t.equal(first.alpnProtocol, 'http/1.1')
  const session = new Promise<Buffer>((resolve) => first.once('session', resolve))
  first.write(GET)
  const again = await connect({ session: await session })
  t.ok(again.isSessionReused(), 'sessions are resumed')
  first.destroy()
  again.destroy()
  await t.rejects(connect({ maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }), 'TLS 1.1 is refused')
  await t.rejects(connect({ ALPNProtocols: ['h2'] }), 'a client that speaks only HTTP/2 is refused')

  const plain = connectTcp(engine.port, '127.0.0.1')
  plain.write(GET)
  await new Promise((resolve) =>
    plain
      .on('error', () => {})
      .on('close', resolve)
      .resume()
  )
  t.pass('what is no handshake is cut')
  for (const bytes of ['', '\x16\x03\x01']) {
    const leaving = connectTcp({ port: engine.port, host: '127.0.0.1', allowHalfOpen: true })
    leaving.end(bytes, 'latin1')
    const started = performance.now()
    await new Promise((resolve) =>
      leaving
        .on('error', () => {})
        .on('close', resolve)
        .on('end', resolve)
        .resume()
    )
    t.ok(performance.now() - started < 1000, 'a client that leaves in its handshake is gone at once')
  }
  const silent = connectTcp(engine.port, '127.0.0.1')
  await new Promise((resolve) =>
    silent
      .on('error', () => {})
      .on('close', resolve)
      .resume()
  )
  t.pass('a handshake that does not come has its limit')

  const other = await newCertificates()
  ;(engine.server as { setSecureContext?(options: object): void }).setSecureContext?.({
    ...other.server,
    minVersion: 'TLSv1.2'
  })
  await t.rejects(connect({}), 'certificates are replaced')
  const trusting = await connect({ ca: other.ca })
  trusting.destroy()

  // A request in the flight of the handshake's end.
  const eager = connectTls({ port: engine.port, ca: other.ca, servername: 'localhost' })
  eager.write(GET)
  t.match(String(await new Promise((resolve) => eager.once('data', resolve))), /^HTTP\/1\.1 200 /)
  eager.destroy()
})
