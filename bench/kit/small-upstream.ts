/**
 * Program: the destination of the small-request benchmarks. A TLS server on raw sockets that reads requests with an
 * exact length (or chunked) and answers each with the same few bytes: as little work as a correct answer takes, so that
 * the proxy in front of it is what is measured.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import { BodyCount } from './body-count.ts'
import { listenOnLoopback, serveCommands } from './child.ts'
import { ANSWER_BODY, type Closing, type Counts } from './small-answer.ts'

const HEAD = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${ANSWER_BODY.length}\r\n`
const ANSWER = Buffer.from(`${HEAD}\r\n${ANSWER_BODY}`)
const LAST_ANSWER = Buffer.from(`${HEAD}Connection: close\r\n\r\n${ANSWER_BODY}`)
let requests = 0
let wrong = 0
let connections = 0
let resumed = 0
let expectedBytes = -1
let closing: Closing = 'never'
/** Null: to be filled by the next request. */
let recorded: string | null = ''
/** Null: to be filled by the next request's body. */
let digest: string | null = ''

const [cert, key] = process.argv.slice(2) as [string, string]
const server = createServer({ cert: readFileSync(cert), key: readFileSync(key), ALPNProtocols: ['http/1.1'] }, serve)
server.on('tlsClientError', () => {})

serveCommands({
  listen: () => listenOnLoopback(server),
  /** Keeps the next request. */
  record: () => {
    recorded = null
  },
  /** The request kept, as it stood on the wire, latin1. */
  recorded: () => recorded,
  /** Hashes the next request's body. */
  hash: () => {
    digest = null
  },
  /** The hash kept: SHA-256, hexadecimal. */
  digest: () => digest,
  /** From now on a body is right only with this length; -1: any. */
  expect: (bytes: number) => {
    expectedBytes = bytes
    requests = 0
    wrong = 0
    connections = 0
    resumed = 0
  },
  /** Whether connections end with their first answer from now on. */
  close: (wanted: Closing) => {
    closing = wanted
  },
  counts: (): Counts => ({ requests, wrong, connections, resumed })
})

function serve(socket: TLSSocket): void {
  connections++
  if (socket.isSessionReused()) resumed++
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  const reader = new Reader(socket)
  socket.on('data', (chunk: Buffer) => reader.write(chunk))
}

/** Reads the requests of one connection, one after the other. */
class Reader {
  readonly #socket: Socket
  /** The beginning of a head. */
  #held: Buffer | null = null
  #body: BodyCount | null = null
  /** What was read of a request that is to be kept; null: it is not. */
  #kept: string | null = null

  constructor(socket: Socket) {
    this.#socket = socket
  }

  write(chunk: Buffer): void {
    const bytes = this.#held === null ? chunk : Buffer.concat([this.#held, chunk])
    this.#held = null
    for (let at = 0; at < bytes.length; ) {
      const from = at
      if (this.#body === null) {
        const headEnd = bytes.indexOf('\r\n\r\n', at)
        if (headEnd < 0) {
          this.#held = bytes.subarray(at)
          return
        }
        this.#body = new BodyCount(lengthOf(bytes.toString('latin1', at, headEnd)), digest === null)
        this.#kept = recorded === null ? '' : null
        at = headEnd + 4
      }
      at = this.#body.write(bytes, at)
      if (this.#kept !== null) this.#kept += bytes.toString('latin1', from, at)
      if (this.#body.done) this.#finish(this.#body)
    }
  }

  #finish(body: BodyCount): void {
    requests++
    if (expectedBytes >= 0 && body.bytes !== expectedBytes) wrong++
    if (digest === null) digest = body.digest()
    recorded ??= this.#kept
    this.#body = null
    this.#kept = null
    // By now the tickets of this connection are written.
    if (closing === 'forgetting') server.setTicketKeys(randomBytes(48))
    if (closing !== 'never') this.#socket.end(LAST_ANSWER)
    else this.#socket.write(ANSWER)
  }
}

/** Bytes of a request's body by its head; null: chunked. */
function lengthOf(head: string): number | null {
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length !== undefined) return Number(length)
  return /\r\ntransfer-encoding:/i.test(head) ? null : 0
}
