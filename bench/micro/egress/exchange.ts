/**
 * One exchange without TLS and kernel: pool, connection, framing of the request, parsing of the response and the calls of
 * the handler, over a socket that swallows what is written.
 */
import type { TLSSocket } from 'node:tls'
import { CoarseClock, systemTime } from '../../../lib/egress/clock.ts'
import type { Opener } from '../../../lib/egress/connect.ts'
import { Exchange, type OutgoingMessage, type ResponseHandler } from '../../../lib/egress/exchange.ts'
import { type Peer, peerKey } from '../../../lib/egress/peer.ts'
import { Pool } from '../../../lib/egress/pool.ts'
import { type MicroCase, micro } from '../../kit/micro.ts'

const HEAD =
  'POST /v1/charges HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer sk_test_0123456789abcdef0123456789\r\n' +
  'Content-Type: application/json\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nUser-Agent: curl/7.85.0\r\n' +
  'Bt-Trace-Id: 5f8e8c0e-3c1f-4b52-9a4e-6a0b3f0d9a11\r\n'
const BODY = Buffer.from(JSON.stringify({ number: '4242424242424242', cvc: '123', note: 'x'.repeat(960) }))
const RESPONSE = Buffer.from(
  'HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 15 Nov 2022 08:12:31 GMT\r\nContent-Type: application/json\r\n' +
    `Connection: keep-alive\r\nX-Request-Id: 5f8e8c0e\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY.toString()}`
)

/** As much of a socket as a connection uses. */
class DeafSocket {
  readonly writable = true
  readonly writableLength = 0
  written = 0
  writes = 0

  on(): this {
    return this
  }

  write(bytes: Uint8Array | string): boolean {
    this.written += bytes.length
    this.writes++
    return true
  }

  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {}
}

class Counter implements ResponseHandler {
  ends = 0
  bytes = 0
  fields = 0

  connects = 0

  connected(): void {
    this.connects++
  }
  sent(): void {}
  informational(): void {}

  head(_status: number, _reason: string, rawHeaders: string[]): void {
    this.fields += rawHeaders.length
  }

  body(chunk: Buffer): boolean {
    this.bytes += chunk.length
    return true
  }

  end(): void {
    this.ends++
  }

  fail(): void {}
  drained(): void {}
}

const peer: Peer = { tenant: 'tenant-1', host: 'api.example.com', port: 443, identity: null }
const deadlines = { connectTimeoutMs: 1000, timeoutMs: 1000, bodyIdleTimeoutMs: 1000 }
const message: OutgoingMessage = {
  method: 'POST',
  head: HEAD,
  body: [BODY],
  streaming: 'none',
  replayable: false,
  close: false,
  deadlines
}

/** A pool with one idle connection, and the way to its reading side. */
function newPool(socket: DeafSocket): { readonly pool: Pool; readonly opener: () => Opener } {
  let opened: Opener | null = null
  const ignore = (): void => {}
  const pool = new Pool(peer, peerKey(peer), {
    clock: new CoarseClock(systemTime, ignore),
    connector: {
      open(_peer, _key, _addresses, opener) {
        opened = opener
        opener.opened(socket as unknown as TLSSocket, false)
      }
    },
    maxConnections: 1,
    maxWaiting: 1,
    idleTimeoutMs: 1000,
    idle: 0,
    addressesOf: () => [],
    connectionBegun: ignore,
    connectionClosed: ignore,
    connectionIdle: ignore,
    wakeLater: ignore,
    connectSettled: ignore,
    exchangeRetried: ignore,
    poolEmptied: ignore
  })
  return {
    pool,
    opener() {
      if (opened === null) throw new Error('nothing was opened')
      return opened
    }
  }
}

function exchanged(name: string, outgoing: OutgoingMessage, expected: number): MicroCase {
  const socket = new DeafSocket()
  const counter = new Counter()
  const { pool, opener } = newPool(socket)
  const read = Buffer.from(RESPONSE)
  const run = (): number => {
    pool.send(new Exchange(outgoing, counter, pool))
    // The first one waits for the connection, which rests until the turn is over.
    if (counter.connects === counter.ends) pool.wake()
    opener().onRead(read.length, read)
    pool.wake()
    return counter.ends
  }
  const check = (): void => {
    run()
    run()
    const right = counter.ends === 2 && socket.writes === 2 && socket.written === 2 * expected
    if (!right || counter.bytes !== 2 * BODY.length || counter.fields !== 24) throw new Error(`${name} is wrong`)
  }
  return { name, run, check }
}

micro('micro/egress/exchange', [
  exchanged(
    'POST of 1 KiB, answer of 1 KiB',
    message,
    HEAD.length + 'Content-Length: 1014\r\n\r\n'.length + BODY.length
  ),
  exchanged('GET, answer of 1 KiB', { ...message, method: 'GET', body: null }, HEAD.length + 2),
  { name: 'key of a peer', run: () => peerKey(peer) }
])
