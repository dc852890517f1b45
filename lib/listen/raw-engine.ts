import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls'
import { CoarseClock } from './coarse-clock.ts'
import { ConnectionLimit, STRANGER } from './connection-limit.ts'
import type { EngineHandler, NodeEngineOptions } from './node-engine.ts'
import { RawConnection, type RawShared } from './raw-connection.ts'
import { readInto, SHARED_BUFFER } from './read-buffer.ts'

/** A server with the methods by which node:http's are drained. */
export type RawServer = (Server | TlsServer) & {
  /** Ends, in order, every connection that carries no request and no part of one. */
  closeIdleConnections(): void
  /** Destroys every connection, those in their handshake too. */
  closeAllConnections(): void
}

/**
 * The ingress on node:net and node:tls themselves, with a parser of our own: makes a server that hands every well-formed
 * request to `handler`; it does not listen yet. `close()` ends idle connections, and from then on every answer is the
 * last of its connection. Listeners are shared functions that find their connection on the socket, and one coarse timer
 * serves all, so that an idle connection costs two small objects.
 */
export function rawEngine(options: NodeEngineOptions, handler: EngineHandler): RawServer {
  const connections = new Set<RawConnection>()
  const clock = new CoarseClock(tickMs(options), (now) => {
    for (const connection of connections) connection.sweep(now)
  })
  const shared: RawShared = {
    handler,
    clock,
    headerBytes: options.headerBytes,
    headersTimeoutMs: options.headersTimeoutMs,
    bodyIdleTimeoutMs: options.bodyIdleTimeoutMs,
    idleTimeoutMs: options.idleTimeoutMs,
    keepAliveLines: keepAliveLines(options.idleTimeoutMs),
    readBytes: options.tls === null ? PLAIN_READ_BYTES : TLS_READ_BYTES,
    connections,
    draining: false
  }

  const accept = (socket: EngineSocket): void => {
    const connection = new RawConnection(socket, shared)
    // An answer outlives the client's end. Not before: a handshake that ends is over.
    socket.allowHalfOpen = true
    socket[CONNECTION] = connection
    socket.on('end', onEnd)
    socket.on('drain', onDrain)
    socket.on('error', ignore)
    socket.on('close', onClose)
    if (!readInto(socket, SHARED_BUFFER, nextBuffer, onRead)) socket.on('data', onData)
    socket.resume()
  }

  const server: Server =
    options.tls === null
      ? createTcpServer({ noDelay: true, allowHalfOpen: true }, accept)
      : createTlsServer(
          {
            ...options.tls,
            ca: [],
            noDelay: true,
            minVersion: 'TLSv1.2',
            ALPNProtocols: ['http/1.1'],
            handshakeTimeout: options.headersTimeoutMs === 0 ? HANDSHAKE_MS : options.headersTimeoutMs
          },
          accept
        )
  if (options.tls !== null) {
    // A handshake that fails, or takes too long, has nobody to answer.
    server.on('tlsClientError', (_error: Error, socket: Socket) => socket.destroy())
  }
  const limit = new ConnectionLimit(server, {
    most: options.maxConnections,
    standing: (socket: EngineSocket) => socket[CONNECTION]?.standing ?? STRANGER,
    dropped: () => handler.dropped()
  })
  server.on('listening', () => clock.start())
  server.on('close', () => clock.stop())

  const close = server.close.bind(server)
  const closeIdleConnections = (): void => {
    for (const connection of connections) connection.retire()
  }
  return Object.assign(server, {
    close(done?: (error?: Error) => void): Server {
      shared.draining = true
      closeIdleConnections()
      return close(done)
    },
    closeIdleConnections,
    closeAllConnections(): void {
      limit.destroyAll()
    }
  })
}

const CONNECTION = Symbol('connection')

type EngineSocket = Socket & {
  [CONNECTION]?: RawConnection
}

/** Whose bytes were read last: `nextBuffer` is called right behind `onRead`, and without its socket. */
let reader: RawConnection | undefined

function onRead(this: EngineSocket, size: number, buffer: Buffer): boolean {
  reader = this[CONNECTION]
  reader?.read(buffer, size)
  return true
}

function nextBuffer(): Buffer {
  return reader === undefined ? SHARED_BUFFER : reader.nextBuffer()
}

function onData(this: EngineSocket, chunk: Buffer): void {
  this[CONNECTION]?.read(chunk, chunk.length)
}

function onEnd(this: EngineSocket): void {
  this[CONNECTION]?.ended()
}

function onDrain(this: EngineSocket): void {
  this[CONNECTION]?.drained()
}

function onClose(this: EngineSocket): void {
  this[CONNECTION]?.closed()
}

function ignore(): void {}

/** What tells a client how long it may count on the connection, so that it does not meet its end with a request. */
function keepAliveLines(idleTimeoutMs: number): string {
  const seconds = Math.floor(idleTimeoutMs / 1000)
  return seconds > 0 ? `Connection: keep-alive\r\nKeep-Alive: timeout=${seconds}\r\n` : 'Connection: keep-alive\r\n'
}

/** Fine enough for the shortest limit, and no finer. */
function tickMs(options: NodeEngineOptions): number {
  const limits = [options.headersTimeoutMs, options.bodyIdleTimeoutMs, options.idleTimeoutMs].filter((ms) => ms > 0)
  return Math.max(10, Math.min(500, ...limits.map((ms) => ms / 4)))
}

const HANDSHAKE_MS = 10_000
/** TLS hands over at most a record's worth at once. */
const TLS_READ_BYTES = 16_384
const PLAIN_READ_BYTES = 65_536
