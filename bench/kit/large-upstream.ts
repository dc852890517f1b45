/**
 * Program: the destination of the streaming benchmarks. It takes a large body and compares every byte of it with what
 * it should be, or answers with one.
 */
import { readFileSync } from 'node:fs'
import { createServer, type TLSSocket } from 'node:tls'
import type { Piece } from '../data/large-body.ts'
import { listenOnLoopback, serveCommands } from './child.ts'
import { BodyReader, type BodyPlan, framingLine, headOf, lengthOf, type Receipt, sendBody } from './large-stream.ts'

let expected: BodyPlan | null = null
let answer: BodyPlan | null = null
let reader: BodyReader | null = null
let requestHead = ''

const [cert, key] = process.argv.slice(2) as [string, string]
const server = createServer({ cert: readFileSync(cert), key: readFileSync(key), ALPNProtocols: ['http/1.1'] }, serve)
server.on('tlsClientError', () => {})

serveCommands({
  listen: () => listenOnLoopback(server),
  /** The body that the next request must have; null: none. */
  expect: (plan: BodyPlan | null) => {
    expected = plan
    reader = null
  },
  /** The body that requests are answered with; null: a short one. */
  answer: (plan: BodyPlan | null) => {
    answer = plan
  },
  /** Body bytes received so far of the request under way. */
  received: () => reader?.bytes ?? 0,
  receipt: (): Receipt | null => reader?.receipt ?? null,
  head: () => requestHead
})

function serve(socket: TLSSocket): void {
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  let held: Buffer | null = null
  let own: BodyReader | null = null
  socket.on('data', (chunk: Buffer) => {
    let at = 0
    let bytes = chunk
    if (own === null) {
      bytes = held === null ? chunk : Buffer.concat([held, chunk])
      const split = headOf(bytes)
      if (split === null) {
        held = bytes
        return
      }
      held = null
      requestHead = split.head
      const length = lengthOf(split.head)
      const hasBody = length !== null || /\r\ntransfer-encoding:/i.test(split.head)
      own = new BodyReader(expected?.kind ?? 'text', expected?.pieces ?? NOTHING, hasBody ? length : 0)
      if (expected !== null) reader = own
      at = split.bodyAt
      if (!hasBody || length === 0) return respond()
    }
    own.write(bytes, at)
    if (own.done) respond()
  })
  const respond = () => {
    own = null
    if (answer === null) {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}')
      return
    }
    socket.write(`HTTP/1.1 200 OK\r\nContent-Type: ${MEDIA[answer.kind]}\r\n${framingLine(answer)}\r\n`)
    sendBody(socket, answer, null).catch(() => socket.destroy())
  }
}

const NOTHING: readonly Piece[] = []
const MEDIA = { json: 'application/json', text: 'text/plain', binary: 'application/octet-stream' }
