import { request as httpsRequest } from 'node:https'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { certificates } from './kit/certificates.ts'
import { exchange, newClient } from './kit/client.ts'
import { answering, echoing, newDestination, OK } from './kit/destination.ts'
import { anonymousBytes, memoryIsVisible, sampleMemory } from './kit/memory.ts'
import { readRequest, readResponse } from './kit/message.ts'
import { sweep } from './kit/sweep.ts'

t.test('the message reader takes exactly one well-formed message', async (t) => {
  const bytes = Buffer.from(
    'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=1\r\nabc\r\n0\r\nT: 1\r\n\r\nrest'
  )
  for (let cut = 0; cut < bytes.length - 4; cut++) t.equal(readRequest(bytes.subarray(0, cut)), null)
  const request = readRequest(bytes)
  t.match(request, { method: 'POST', target: '/x', framing: 'chunked', trailers: ['T', '1'], chunks: [3] })
  t.equal(String(request?.body), 'abc')
  t.equal(request?.raw.length, bytes.length - 4)
  for (const bad of [
    'POST /x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na',
    'POST /x HTTP/1.1\r\nContent-Length: +1\r\n\r\na',
    'POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n',
    'POST /x HTTP/1.1\r\nHost : a\r\n\r\n',
    'POST /x HTTP/1.1\r\nA: b\n c\r\n\r\n',
    'POST  /x HTTP/1.1\r\n\r\n'
  ]) {
    t.throws(() => readRequest(Buffer.from(bad)), bad)
  }
  const open = Buffer.from('HTTP/1.1 200 OK\r\n\r\nall')
  t.equal(readResponse(open, 'GET', false), null, 'a response without a length needs the end')
  t.equal(String(readResponse(open, 'GET', true)?.body), 'all')
  t.equal(readResponse(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n'), 'HEAD', false)?.framing, 'none')
})

t.test('a destination records requests and answers by script', async (t) => {
  const { ca } = await certificates()
  const destination = await newDestination({ script: echoing })
  t.teardown(() => destination.close())
  const client = await newClient({ port: destination.port, tls: { ca } })
  t.teardown(() => client.destroy())
  const response = await client.request('POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody')
  t.equal(String(response.body), 'body')
  t.equal((await destination.request(0)).target, '/a')
  t.equal(destination.connections.length, 1)
  t.equal(destination.connections[0]?.servername, 'localhost')

  const status = await new Promise((resolve) => {
    const { port, host } = destination
    httpsRequest({ port, host, ca, path: '/b' }, (r) => resolve(r.resume().statusCode)).end()
  })
  t.equal(status, 200, "Node's own client accepts the certificate and the answer")
  t.same(destination.faults, [])
})

t.test('a destination can reset in the middle, end early, read slowly and not at all', async (t) => {
  const reset = await newDestination({
    tls: null,
    script: async (connection) => {
      await connection.request()
      await connection.send('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')
      connection.reset()
    }
  })
  t.teardown(() => reset.close())
  const request = 'GET / HTTP/1.1\r\n\r\n'
  const cut = await newClient({ port: reset.port })
  await t.rejects(cut.request(request))
  t.equal(await cut.closed, 'reset')

  const tlsReset = await newDestination({ script: (connection) => connection.reset() })
  t.teardown(() => tlsReset.close())
  const { ca } = await certificates()
  const tlsCut = await newClient({ port: tlsReset.port, tls: { ca } }).catch(() => null)
  t.equal(tlsCut === null ? 'reset' : await tlsCut.closed, 'reset')

  const early = await newDestination({
    tls: null,
    script: async (connection) => {
      await connection.send('HTTP/1.1 200 OK\r\n\r\nto the end')
      connection.end()
    }
  })
  t.teardown(() => early.close())
  t.match(String(await exchange({ port: early.port }, request)), /to the end$/)

  const deaf = await newDestination({ tls: null, keep: 'count', script: (connection) => connection.pause() })
  t.teardown(() => deaf.close())
  const shouting = await newClient({ port: deaf.port })
  const sent = shouting.send(Buffer.alloc(32 << 20))
  const connection = await deaf.connection(0)
  t.equal(await Promise.race([sent, setTimeout(100, 'waits')]), 'waits')
  t.ok(connection.arrived <= 65536, 'at most the chunk that was under way')
  connection.readSlowly(1)
  connection.resume()
  await connection.receivesBytes(1 << 20)
  t.ok(connection.arrived < 32 << 20)
  shouting.destroy()
})

t.test('certificates hold for localhost only with their authority', async (t) => {
  const { ca, client: own } = await certificates()
  const destination = await newDestination({ tls: { requestCert: true, ca }, script: answering(OK) })
  t.teardown(() => destination.close())
  await t.rejects(newClient({ port: destination.port, tls: { ca: own.cert } }))
  await t.rejects(newClient({ port: destination.port, tls: { ca, servername: 'example.com' } }))
  const client = await newClient({ port: destination.port, tls: { ca, ...own, servername: 'other.localhost' } })
  t.equal((await client.request('GET / HTTP/1.1\r\n\r\n')).status, 200)
  t.match(destination.connections[0]?.peerSerial, /^[0-9A-F]+$/)
  client.destroy()
  t.equal(destination.attempts, 3, 'failed handshakes count as attempts')
})

t.test('the sweep finds a secret in every form', async (t) => {
  const card = '4242424242424242'
  const name = 'O"Connor <x> é'
  const clean = { log: 'nothing here', body: Buffer.from('{}') }
  t.same(sweep([card, name], clean), [])
  for (const place of [
    `number=${card}`,
    '4242 4242 4242 4242',
    '4242-4242-4242-4242',
    Buffer.from(card).toString('hex').toUpperCase(),
    Buffer.from(`a${card}b`).toString('base64'),
    Buffer.from(`ab${card}`).toString('base64url'),
    Buffer.from(`abc${card}...`).toString('base64')
  ]) {
    t.equal(sweep([name, card], { place })[0]?.secret, 1, String(place))
  }
  for (const written of [JSON.stringify(name), encodeURIComponent(name), Buffer.from(name)]) {
    t.equal(sweep([name], { ...clean, written: [written] })[0]?.place, 'written')
  }
})

if (memoryIsVisible)
  t.test('the memory sampler sees what a process holds', async (t) => {
    const before = anonymousBytes(process.pid)
    const sampler = sampleMemory(process.pid)
    const held = Buffer.alloc(64 << 20, 1)
    sampler.stop()
    t.ok(sampler.peakAnonymousBytes > before + (50 << 20), `${held.length} bytes show`)
    t.ok(sampler.peakResidentBytes >= sampler.peakAnonymousBytes)
  })
