/**
 * Program: a server that answers by itself, over TLS (or plain, when no certificate is named): bare node:https, or one of
 * the two engines. Arguments: kind, PEM files of the certificate and the key.
 */
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { Server } from 'node:net'
import type { Client, ClientSink } from '../../lib/listen/client.ts'
import { type EngineHandler, nodeEngine } from '../../lib/listen/node-engine.ts'
import { rawEngine } from '../../lib/listen/raw-engine.ts'
import { listenOnLoopback, serveCommands } from '../kit/child.ts'
import { ANSWER_BODY } from './_ingress-answer.ts'

const [kind, cert, key] = process.argv.slice(2) as [string, string?, string?]
const tls = cert === undefined || key === undefined ? null : { cert: readFileSync(cert), key: readFileSync(key) }
const answer = Buffer.from(ANSWER_BODY)

class Answer implements ClientSink {
  readonly #client: Client

  constructor(client: Client) {
    this.#client = client
  }

  requestChunk(): void {}

  requestEnd(): void {
    this.#client.answer(200, ['Content-Type', 'application/json'], answer)
  }

  requestBroken(): void {
    this.#client.cut()
  }

  clientDrained(): void {}
  clientLeft(): void {}
}

const handler: EngineHandler = {
  request(client) {
    client.attend(new Answer(client))
    client.receive()
  },
  refusal: () => ({ fields: [], body: '' }),
  dropped: () => {}
}

serveCommands({ listen: () => listenOnLoopback(newServer()) })

function newServer(): Server {
  const limits = {
    headerBytes: 65_536,
    headersTimeoutMs: 60_000,
    bodyIdleTimeoutMs: 60_000,
    idleTimeoutMs: 600_000,
    maxConnections: 0
  }
  if (kind === 'raw') return rawEngine({ ...limits, tls }, handler)
  if (kind === 'node') return nodeEngine({ ...limits, tls }, handler)
  const settings = { keepAliveTimeout: limits.idleTimeoutMs, requestTimeout: 0, noDelay: true }
  return tls === null ? createHttpServer(settings, serve) : createHttpsServer({ ...settings, ...tls }, serve)
}

function serve(request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  request.on('end', () => {
    response.writeHead(200, ['Content-Type', 'application/json', 'Content-Length', String(answer.length)])
    response.end(answer)
  })
}
