/**
 * The attack: somebody without a key opens all the connections that a server takes, and keeps each: in its handshake, in a head
 * that comes byte by byte, or silent. Nobody else should be kept out by that, and no request under way may be cut for it.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import type { Caller } from '../../lib/vault/access.ts'
import { newClient } from '../kit/client.ts'
import { newProxy } from '../kit/proxy.ts'
import { echo, type EngineName, newEngine, until } from '../listen/_engines.ts'

const HALF = 'GET /a HTTP/1.1\r\nHost: x\r\nX-A: '
const WHOLE = 'GET /a HTTP/1.1\r\nHost: x\r\n\r\n'
const MOST = 8

/** A socket that never gets beyond TCP, as far as TLS is concerned. */
async function newSocket(port: number): Promise<Socket & { isClosed: boolean }> {
  const socket = Object.assign(connect({ port, host: '127.0.0.1' }), { isClosed: false })
  socket.on('error', () => {})
  socket.on('close', () => {
    socket.isClosed = true
  })
  socket.resume()
  await once(socket, 'connect')
  return socket
}

for (const engineName of ['raw', 'node'] satisfies EngineName[]) {
  for (const tls of [false, true]) {
    const name = `${engineName} ${tls ? 'TLS' : 'plain'}`

    t.test(`${name}: whoever holds half a head, or a handshake, gives way to the next`, async (t) => {
      const engine = await newEngine({ engine: engineName, tls, maxConnections: MOST })
      t.teardown(() => engine.close())
      const flood: (Socket & { isClosed: boolean })[] = []
      for (let at = 0; at < 3 * MOST; at++) {
        const socket = await newSocket(engine.port)
        if (at % 2 === 0 && !tls) socket.write(HALF)
        flood.push(socket)
      }
      await until(() => flood.filter(({ isClosed }) => isClosed).length === 2 * MOST)
      t.ok(
        flood.slice(0, 2 * MOST).every(({ isClosed }) => isClosed),
        'the oldest went first'
      )
      for (let at = 0; at < MOST; at++) {
        const client = await newClient(engine.at)
        await client.send(HALF)
        const honest = await newClient(engine.at)
        t.equal((await honest.request(WHOLE)).status, 200)
        honest.destroy()
        t.teardown(() => client.destroy())
      }
      t.ok(engine.refusals.every((code) => code === 'dropped'))
      t.ok(engine.refusals.length >= 2 * MOST)
      for (const socket of flood) socket.destroy()
    })

    t.test(
      `${name}: a request under way is never cut for it, and an idle connection with a key outlives strangers`,
      async (t) => {
        const engine = await newEngine({
          engine: engineName,
          tls,
          maxConnections: MOST,
          serve(heard) {
            if (heard.client.head.target === '/held') return
            // As the vault does when the key is one.
            heard.client.memo.caller = KNOWN_CALLER
            echo(heard)
          }
        })
        t.teardown(() => engine.close())
        const known = await newClient(engine.at)
        t.equal((await known.request(WHOLE)).status, 200)
        const held = []
        for (let at = 1; at < MOST; at++) {
          const client = await newClient(engine.at)
          await client.send('GET /held HTTP/1.1\r\nHost: x\r\n\r\n')
          await engine.request(at)
          held.push(client)
        }
        const newcomer = await newClient(engine.at)
        t.equal((await newcomer.request(WHOLE)).status, 200, 'the idle one gives way where all others are busy')
        await known.closed
        const strangers: Socket[] = []
        for (let at = 0; at < 2 * MOST; at++) strangers.push(await newSocket(engine.port))
        await until(() => engine.refusals.length >= 2)
        t.ok(held.every(({ ended }) => ended === null))
        for (const [at, heard] of engine.requests.filter(({ client }) => client.head.target === '/held').entries()) {
          heard.client.answer(200, [], `held ${at}`)
          t.equal((await held[at]?.response())?.body.toString(), `held ${at}`)
        }
        for (const one of [...strangers, ...held, newcomer]) one.destroy()
      }
    )
  }
}

t.test('all of Sluice: a caller with a key is served through a flood, and what was dropped is counted', async (t) => {
  const proxy = await newProxy({ listen: { maxConnections: MOST } })
  t.teardown(() => proxy.close())
  const known = await proxy.client()
  const ask = `GET /tokens?size=1 HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${proxy.key}\r\n\r\n`
  t.equal((await known.request(ask)).status, 200)
  const flood: Socket[] = []
  for (let at = 0; at < 4 * MOST; at++) {
    const socket = await newSocket(proxy.port)
    socket.write(HALF)
    flood.push(socket)
  }
  t.equal((await known.request(ask)).status, 200, 'on the connection that it had')
  t.equal((await proxy.request(ask)).status, 200, 'and on a new one')
  const metrics = await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)
  const [, dropped = '0'] = /sluice_errors_total\{code="ERR_OVERLOAD"\} (\d+)/.exec(await metrics.text()) ?? []
  t.ok(Number(dropped) >= 3 * MOST, `${dropped} were dropped`)
  for (const socket of flood) socket.destroy()
})

const KNOWN_CALLER = {} as Caller
