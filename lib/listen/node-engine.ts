import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { SluiceError } from '../errors.ts'
import type { KeyMemo } from '../vault/vault.ts'
import type { Client, ClientSink } from './client.ts'
import { BUSY, ConnectionLimit, KNOWN, type Standing, STRANGER } from './connection-limit.ts'
import { type RequestHead, readHead } from './head.ts'
import { readConnection, UNMET, unmetExpectation } from './persistence.ts'
import { MOST_FIELDS } from './request-parser.ts'

/*
 * The ingress on node:http and node:https, whose parser is llhttp. Hot: per request and chunk; listeners are shared
 * functions that find their client on `this`, so a request allocates its client and nothing else.
 */

export interface NodeEngineOptions {
  /** PEM; null for plain HTTP. */
  readonly tls: { readonly cert: string | Buffer; readonly key: string | Buffer } | null
  /** Header section limit in bytes; beyond: 431. */
  readonly headerBytes: number
  /** Time for a complete head, in ms; 0 = none. */
  readonly headersTimeoutMs: number
  /** Time between two chunks of a request body, in ms; 0 = none. */
  readonly bodyIdleTimeoutMs: number
  /** Time that an idle keep-alive connection is kept, in ms. */
  readonly idleTimeoutMs: number
  /** Connections at once; 0 = any number. */
  readonly maxConnections: number
}

export interface EngineHandler {
  request(client: Client): void
  /** A request that never became one: the body of its answer, as the handler words it. */
  refusal(error: SluiceError): { fields: readonly string[]; body: string }
  /** A connection was ended to make room for another. */
  dropped(): void
}

/** Makes a server that hands every well-formed request to `handler`; it does not listen yet. */
export function nodeEngine(options: NodeEngineOptions, handler: EngineHandler): Server {
  const settings = {
    maxHeaderSize: options.headerBytes,
    headersTimeout: options.headersTimeoutMs,
    // Bodies have no total limit; the gap between two chunks is watched instead.
    requestTimeout: 0,
    keepAliveTimeout: options.idleTimeoutMs,
    connectionsCheckingInterval: 1000,
    insecureHTTPParser: false,
    requireHostHeader: false,
    noDelay: true
  }
  const server =
    options.tls === null
      ? createHttpServer(settings)
      : createHttpsServer({ ...settings, ...options.tls, ca: [], minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'] })

  new ConnectionLimit(server, { most: options.maxConnections, standing, dropped: () => handler.dropped() })
  // NOTE: beyond a limit node:http drops fields without a word, those that frame or bound a request too.
  server.maxHeadersCount = 0

  const accept = (request: IncomingMessage, response: ServerResponse): void => {
    const socket = request.socket as EngineSocket
    // node:http hands on pipelined requests even behind one that was refused with the connection.
    if (socket[CLOSING]) return
    let head: RequestHead
    try {
      // llhttp takes HTTP/0.9 and 2.0 by name.
      if (request.httpVersionMajor !== 1 || request.httpVersionMinor > 1) {
        throw new SluiceError('ERR_HTTP_SYNTAX', 'The version is not HTTP/1.0 or HTTP/1.1')
      }
      const { rawHeaders: fields } = request
      if (fields.length > 2 * MOST_FIELDS) throw new SluiceError('ERR_HEAD_SIZE', 'Too many header fields')
      const minor = request.httpVersionMinor === 0 ? 0 : 1
      head = readHead(request.method as string, request.url as string, fields, minor)
      // What node:http makes of a list that holds 100-continue among others is not what it says.
      if (head.expectsContinue && (readConnection(fields, minor) & UNMET) !== 0) throw unmetExpectation()
    } catch (error) {
      socket[CLOSING] = true
      refuse(response, error as SluiceError)
      return
    }
    const client = new NodeClient(request, response, head, options.bodyIdleTimeoutMs)
    handler.request(client)
  }

  const refuse = (response: ServerResponse, error: SluiceError): void => {
    const { fields, body } = handler.refusal(error)
    response.writeHead(error.status, [
      ...fields,
      'Content-Length',
      String(Buffer.byteLength(body)),
      'Connection',
      'close'
    ])
    response.end(body)
  }

  server.on('request', accept)
  server.on('checkContinue', accept)
  server.on('checkExpectation', accept)
  server.on('connect', (_request, stream) => {
    const socket = stream as EngineSocket
    if (socket[CURRENT]?.answered === false) socket[CLOSING] = true
    else refuseRaw(socket, new SluiceError('ERR_METHOD', 'CONNECT is not allowed here'))
  })
  server.on('clientError', (fault: NodeJS.ErrnoException, stream) => {
    const socket = stream as EngineSocket
    const client = socket[CURRENT]
    // What is refused, or ending, has had its answer.
    if (socket[CLOSING]) return
    if (client !== undefined && !client.messageIsIn) {
      client.malformed(fault.code === 'ECONNRESET')
      return
    }
    if (client !== undefined && !client.answered) {
      // The fault lies behind a valid request, whose own answer must not be replaced: close after it.
      socket[CLOSING] = true
      return
    }
    if (fault.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy()
      return
    }
    refuseRaw(socket, faultOf(fault))
  })

  function refuseRaw(socket: Socket, error: SluiceError): void {
    const { fields, body } = handler.refusal(error)
    let head = `HTTP/1.1 ${error.status} ${REASONS[error.status] ?? 'Error'}\r\n`
    for (let at = 0; at < fields.length; at += 2) head += `${fields[at]}: ${fields[at + 1]}\r\n`
    socket.end(`${head}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`)
    // A client that keeps sending must not keep the socket.
    setTimeout(() => socket.destroy(), LINGER_MS).unref()
  }

  return server
}

class NodeClient implements Client {
  readonly head: RequestHead
  readonly requestLines = null
  readonly acceptedAt = performance.now()
  /** The request's body is in whole, or there is none. */
  bodyComplete: boolean
  /** The answer's last byte was handed to the socket. */
  answered = false
  readonly #request: EngineRequest
  readonly #response: EngineResponse
  readonly #socket: EngineSocket
  readonly #bodyIdleTimeoutMs: number
  #sink: ClientSink = IGNORE
  #headPending = false
  #discarded = 0

  constructor(request: EngineRequest, response: EngineResponse, head: RequestHead, bodyIdleTimeoutMs: number) {
    this.head = head
    this.#request = request
    this.#response = response
    this.#socket = request.socket as EngineSocket
    this.#bodyIdleTimeoutMs = bodyIdleTimeoutMs
    this.bodyComplete = head.bodyBytes === 0
    request[CLIENT] = this
    response[CLIENT] = this
    this.#socket[CURRENT] = this
    response.on('close', onResponseClose)
    response.on('drain', onDrain)
  }

  /** The parser has seen the end of the request; its last events may still be on their way. */
  get messageIsIn(): boolean {
    return this.bodyComplete || this.#request.complete
  }

  get memo(): KeyMemo {
    let memo = this.#socket[MEMO]
    if (memo === undefined) {
      memo = { presented: '', caller: null, generation: -1 }
      this.#socket[MEMO] = memo
    }
    return memo
  }

  attend(sink: ClientSink): void {
    this.#sink = sink
  }

  receive(): void {
    if (this.bodyComplete) {
      this.#sink.requestEnd()
      return
    }
    // An HTTP/1.0 client knows no interim responses. RFC 9110, 10.1.1.
    if (this.head.expectsContinue && this.#request.httpVersionMinor > 0) this.#response.writeContinue()
    if (this.#bodyIdleTimeoutMs > 0) this.#request.setTimeout(this.#bodyIdleTimeoutMs, onBodyIdle)
    this.#request.on('data', onData)
    this.#request.on('end', onEnd)
    this.#request.on('error', ignore)
  }

  pause(): void {
    if (!this.bodyComplete) this.#request.pause()
  }

  resume(): void {
    if (!this.bodyComplete) this.#request.resume()
  }

  answer(status: number, fields: readonly string[], body: Uint8Array | string | null): void {
    const length = body === null ? 0 : typeof body === 'string' ? Buffer.byteLength(body) : body.length
    const lines = fields.slice()
    if (hasFraming(status)) lines.push('Content-Length', String(length))
    if (this.#socket[CLOSING]) lines.push('Connection', 'close')
    this.#response.writeHead(status, lines)
    if (body === null || length === 0) this.#response.end()
    else this.#response.end(body)
    this.#complete()
  }

  inform(status: number, fields: readonly string[]): void {
    if (this.#response.headersSent || this.answered || this.#request.httpVersionMinor === 0) return
    // node:http hands on pipelined requests at once: while the answer before this one goes out, the socket is not ours.
    if (this.#response.socket === null) return
    let head = `HTTP/1.1 ${status} ${REASONS[status] ?? 'Informational'}\r\n`
    for (let at = 0; at < fields.length; at += 2) head += `${fields[at]}: ${fields[at + 1]}\r\n`
    this.#socket.write(`${head}\r\n`, 'latin1')
  }

  begin(status: number, reason: string, fields: readonly string[], length: number): void {
    if (length >= 0 && hasFraming(status) && this.head.method !== 'HEAD') {
      this.#response.writeHead(status, reason, [...withoutTrailer(fields), 'Content-Length', String(length)])
    } else {
      this.#response.writeHead(status, reason, fields as string[])
    }
    this.#headPending = true
    process.nextTick(flushHead, this)
  }

  /** The head alone, when no body byte took it along. */
  flushHead(): void {
    if (!this.#headPending || this.#response.destroyed) return
    this.#headPending = false
    this.#response.flushHeaders()
  }

  send(chunk: Uint8Array): boolean {
    this.#headPending = false
    return this.#response.write(chunk)
  }

  finish(trailers: readonly string[]): void {
    this.#headPending = false
    if (trailers.length > 0) {
      const pairs: [string, string][] = []
      for (let at = 0; at < trailers.length; at += 2) pairs.push([trailers[at] as string, trailers[at + 1] as string])
      this.#response.addTrailers(pairs)
    }
    this.#response.end()
    this.#complete()
  }

  cut(): void {
    this.#sink = IGNORE
    this.answered = true
    this.#socket[CLOSING] = true
    // An answer to HTTP/1.0 may end with the connection; a reset is no end, and TLS needs none. NOTE: a property that Node does not document:
    // its `resetAndDestroy` sends a FIN first.
    const plain = !(this.#socket instanceof TLSSocket)
    if (plain && this.#request.httpVersionMinor === 0) Object.assign(this.#socket, { resetAndClosing: true })
    this.#socket.destroy()
  }

  data(chunk: Buffer): void {
    if (this.answered) {
      // Behind an early answer the rest of the body is read and dropped, so that the client can see the answer; a
      // client that goes on for long is cut off.
      this.#discarded += chunk.length
      if (this.#discarded > DISCARD_BYTES) this.#socket.destroy()
      return
    }
    this.#sink.requestChunk(chunk)
  }

  end(): void {
    this.bodyComplete = true
    if (this.#bodyIdleTimeoutMs > 0) this.#request.setTimeout(0)
    if (!this.answered) this.#sink.requestEnd()
  }

  drained(): void {
    if (!this.answered) this.#sink.clientDrained()
  }

  /** llhttp refused the body, or the connection broke in it. */
  malformed(reset: boolean): void {
    this.#socket[CLOSING] = true
    if (this.answered) this.#socket.destroy()
    else if (reset) this.#sink.requestBroken(new SluiceError('ERR_CLIENT_GONE', 'The connection broke in the body'))
    else this.#sink.requestBroken(new SluiceError('ERR_HTTP_SYNTAX', 'The body is not well-formed HTTP/1.1'))
  }

  stalled(): void {
    if (this.answered) this.#socket.destroy()
    else {
      this.#socket[CLOSING] = true
      this.#sink.requestBroken(
        new SluiceError(
          'ERR_CLIENT_TIMEOUT',
          `The body stalled for ${this.#bodyIdleTimeoutMs} ms (listen.bodyIdleTimeoutMs)`
        )
      )
    }
  }

  closed(): void {
    if (this.#socket[CURRENT] === this) this.#socket[CURRENT] = undefined
    const complete = this.answered && this.#response.writableFinished
    const sink = this.#sink
    this.#sink = IGNORE
    if (!complete) {
      this.answered = true
      sink.clientLeft()
    } else if (this.#socket[CLOSING]) {
      this.#socket.destroySoon()
    }
  }

  #complete(): void {
    this.answered = true
    if (!this.bodyComplete) {
      if (this.#request.listenerCount('data') === 0) {
        this.#request.on('data', onData)
        this.#request.on('end', onEnd)
        this.#request.on('error', ignore)
      }
      this.#request.resume()
      setTimeout(dropUnfinished, LINGER_MS, this).unref()
    }
  }

  dropUnfinished(): void {
    if (!this.bodyComplete) this.#socket.destroy()
  }
}

const CLIENT = Symbol('client')
const CURRENT = Symbol('current')
const CLOSING = Symbol('closing')
const MEMO = Symbol('memo')

type EngineRequest = IncomingMessage & { [CLIENT]?: NodeClient }
type EngineResponse = ServerResponse & { [CLIENT]?: NodeClient }
type EngineSocket = (Socket | TLSSocket) & {
  [CURRENT]?: NodeClient | undefined
  [CLOSING]?: boolean
  [MEMO]?: KeyMemo
}

function standing(socket: EngineSocket): Standing {
  if (socket[CURRENT] !== undefined) return BUSY
  return socket[MEMO]?.caller == null ? STRANGER : KNOWN
}

function onData(this: EngineRequest, chunk: Buffer): void {
  this[CLIENT]?.data(chunk)
}

function onEnd(this: EngineRequest): void {
  this[CLIENT]?.end()
}

function onBodyIdle(this: EngineRequest): void {
  this[CLIENT]?.stalled()
}

function onDrain(this: EngineResponse): void {
  this[CLIENT]?.drained()
}

function onResponseClose(this: EngineResponse): void {
  this[CLIENT]?.closed()
}

function flushHead(client: NodeClient): void {
  client.flushHead()
}

function dropUnfinished(client: NodeClient): void {
  client.dropUnfinished()
}

function ignore(): void {}

/** 1xx, 204 and 304 carry no Content-Length of ours. RFC 9110, 8.6. */
function hasFraming(status: number): boolean {
  return status !== 204 && status !== 304 && status >= 200
}

/** Node refuses to announce trailers beside a length, and there are none then. */
function withoutTrailer(fields: readonly string[]): readonly string[] {
  const isTrailer = (name: string | undefined) => name?.length === 7 && name.toLowerCase() === 'trailer'
  if (!fields.some((name, at) => at % 2 === 0 && isTrailer(name))) return fields
  return fields.filter((_, at) => !isTrailer(fields[at - (at % 2)]))
}

function faultOf(fault: NodeJS.ErrnoException): SluiceError {
  if (fault.code === 'HPE_HEADER_OVERFLOW') {
    return new SluiceError('ERR_HEAD_SIZE', 'The header section is over listen.headerBytes')
  }
  if (fault.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new SluiceError('ERR_CLIENT_TIMEOUT', 'The header section did not arrive within listen.headersTimeoutMs')
  }
  return new SluiceError('ERR_HTTP_SYNTAX', 'The request is not well-formed HTTP/1.1')
}

const IGNORE: ClientSink = {
  requestChunk: ignore,
  requestEnd: ignore,
  requestBroken: ignore,
  clientDrained: ignore,
  clientLeft: ignore
}

const REASONS: Readonly<Record<number, string>> = {
  103: 'Early Hints',
  400: 'Bad Request',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large'
}

/** How much of a body is read and dropped behind an early answer, and for how long. */
const DISCARD_BYTES = 1_048_576
const LINGER_MS = 2000
