/**
 * Program: the destination of the small-request benchmarks. A TLS server on raw sockets that reads requests with an
 * exact length (or chunked) and answers each with the same few bytes: as little work as a correct answer takes, so that
 * the proxy in front of it is what is measured.
 */
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { createServer } from 'node:tls'
import { listenOnLoopback, serveCommands } from './child.ts'
import { ANSWER_BODY, type Counts } from './small-answer.ts'

const ANSWER = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${ANSWER_BODY.length}\r\n\r\n${ANSWER_BODY}`
)
let requests = 0
let wrong = 0
let expectedBytes = -1
/** Null: to be filled by the next request. */
let recorded: string | null = ''

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
  /** From now on a body is right only with this length; -1: any. */
  expect: (bytes: number) => {
    expectedBytes = bytes
    requests = 0
    wrong = 0
  },
  counts: (): Counts => ({ requests, wrong })
})

function serve(socket: Socket): void {
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  let held: Buffer | null = null
  socket.on('data', (chunk: Buffer) => {
    let bytes = held === null ? chunk : Buffer.concat([held, chunk])
    for (;;) {
      const end = endOfRequest(bytes)
      if (end < 0) break
      recorded ??= bytes.toString('latin1', 0, end)
      requests++
      socket.write(ANSWER)
      if (end === bytes.length) {
        held = null
        return
      }
      bytes = bytes.subarray(end)
    }
    held = bytes
  })
}

/** Where the first request ends, -1 while it is incomplete. */
function endOfRequest(bytes: Buffer): number {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return -1
  const head = bytes.toString('latin1', 0, headEnd)
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  const start = headEnd + 4
  if (length === undefined) return /\r\ntransfer-encoding:/i.test(head) ? endOfChunks(bytes, start) : start
  const end = start + Number(length)
  if (end > bytes.length) return -1
  if (expectedBytes >= 0 && Number(length) !== expectedBytes) wrong++
  return end
}

/** The same for a chunked body (no trailers: nobody here sends any). */
function endOfChunks(bytes: Buffer, start: number): number {
  let body = 0
  let at = start
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) return -1
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16)
    at = lineEnd + 2 + size + 2
    if (!(at <= bytes.length)) return -1
    if (size === 0) break
    body += size
  }
  if (expectedBytes >= 0 && body !== expectedBytes) wrong++
  return at
}
