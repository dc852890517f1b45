/*
 * Response queue poisoning: a destination (or somebody in front of it) that sends a byte too many, answers twice at once
 * or ends in the middle tries to make the answer to one request the answer to the next one on the same connection.
 * Clients that leave at any moment must not help. Whatever happens, an exchange that ends well got its own answer, and
 * every exchange ends exactly once.
 */
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { type DestinationConnection, newDestination, type Script } from '../kit/destination.ts'
import { Listener, newEgress, newMessage, newPeer } from '../kit/exchange.ts'

const EXCHANGES = 300 * Number(process.env['SLUICE_FUZZ'] ?? 1)
const AT_ONCE = 16

/** A small generator with a seed (mulberry32), so that a failure can be run again. */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

t.test('whatever the destination does, an answer belongs to its request', async (t) => {
  const seed = Number(process.env['SLUICE_SEED'] ?? Date.now() % 1_000_000)
  t.comment(`seed ${seed}`)
  const pick = random(seed)
  const poison = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'

  const misbehave = async (connection: DestinationConnection, id: string): Promise<boolean> => {
    const plain = `HTTP/1.1 200 OK\r\nContent-Length: ${id.length}\r\n\r\n${id}`
    const chunked = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n${id[0]}\r\n${(id.length - 1).toString(16)}\r\n${id.slice(1)}\r\n0\r\n\r\n`
    switch (pick(14)) {
      case 0:
        await connection.send(`${plain}${poison}`)
        return true
      case 1: {
        // In TLS records of their own: the response fills the first one to its last byte.
        const head = 'HTTP/1.1 200 OK\r\nContent-Length: '
        const length = 16384 - head.length - 5 - 4
        await connection.send(`${head}${length}\r\n\r\n${id.padEnd(length)}${poison}`)
        return true
      }
      case 2:
        await connection.send(`${chunked}\r\n`)
        return true
      case 3:
        await connection.send(plain.slice(0, pick(plain.length)))
        connection.reset()
        return false
      case 4:
        await connection.send(chunked.slice(0, pick(chunked.length)))
        connection.end()
        return false
      case 5:
        connection.reset()
        return false
      case 6:
        await connection.send(`HTTP/1.1 204 No Content\r\nContent-Length: ${poison.length}\r\n\r\n${poison}`)
        return true
      case 7:
        await connection.send(`HTTP/1.1 200 OK\r\n\r\n${id}`)
        connection.end()
        return false
      case 8: {
        const cut = pick(chunked.length)
        await connection.send(chunked.slice(0, cut))
        await setTimeout(pick(4))
        await connection.send(chunked.slice(cut))
        return true
      }
      case 9:
        await connection.send(`HTTP/1.1 103 Early\r\n\r\n${chunked}`)
        connection.end()
        return false
      default:
        await connection.send(pick(2) === 0 ? plain : chunked)
        return true
    }
  }

  const script: Script = async (connection) => {
    for (;;) {
      const request = await connection.request()
      if (request === null) return
      if (!(await misbehave(connection, request.target.slice(1)))) return
    }
  }
  const destination = await newDestination({ script })
  const egress = await newEgress({ port: destination.port, maxConnectionsPerPeer: 8, maxWaitingPerPeer: AT_ONCE })
  t.teardown(async () => {
    egress.destroy()
    await destination.close()
  })

  const peer = newPeer(destination.port)
  const outcomes = { own: 0, failed: 0, left: 0 }
  let next = 0
  const client = async (): Promise<void> => {
    while (next < EXCHANGES) {
      const id = `id-${next++}-`
      const leaves = pick(6) === 0
      const method = pick(2) === 0 ? 'GET' : 'POST'
      const listener = new Listener()
      const streaming = method === 'POST' && pick(2) === 0 ? 'chunked' : 'none'
      const head = `${method} /${id} HTTP/1.1\r\nHost: localhost\r\n`
      const message = newMessage(method === 'POST' && streaming === 'none' ? 'body' : null, { method, head, streaming })
      const exchange = egress.send(peer, message, listener)
      if (streaming === 'chunked') {
        exchange.write(Buffer.from('a'))
        await setTimeout(pick(3))
        exchange.end()
      }
      if (leaves) {
        await setTimeout(pick(4))
        exchange.cut()
        const calls = listener.calls.length
        await setTimeout(2)
        t.equal(listener.calls.length, calls, 'nothing is told after a cut')
        outcomes.left++
        continue
      }
      await listener.over
      const ends = listener.calls.filter((call) => call === 'end' || call === 'fail').length
      if (ends !== 1) t.fail(`${id} ended ${ends} times`)
      if (listener.error !== null) outcomes.failed++
      else if (listener.text.trimEnd() === id || (listener.status === 204 && listener.text === '')) outcomes.own++
      else if (!(listener.length === -1 && exchange.maybeTruncated)) t.fail(`${id} got ${listener.text}`)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, client))
  t.ok(outcomes.own > EXCHANGES / 3, JSON.stringify(outcomes))
  t.ok(outcomes.failed > 0)
  await setTimeout(20)
  t.same([egress.busy, egress.waiting], [0, 0])
})
