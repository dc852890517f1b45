import { once } from 'node:events'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { certificates } from './certificates.ts'
import { type RawRequest, readRequest } from './message.ts'
import { type Keep, Wire } from './wire.ts'

/** What a destination does with each connection. A rejection or a throw ends up in `Destination.faults`. */
export type Script = (connection: DestinationConnection) => Promise<void> | void

export interface DestinationOptions {
  /** Extra TLS settings over the run's certificate for localhost; null: plain TCP. */
  readonly tls?: TlsOptions | null
  /** Default: `answering(OK)`. */
  readonly script?: Script
  /** `count`: bytes are counted, not kept (for large bodies; then no request is ever read). */
  readonly keep?: Keep
  readonly port?: number
}

/** A destination on loopback that records what it gets, down to the byte. */
export interface Destination {
  /** `https://localhost:port` (or `http://`). */
  readonly url: string
  readonly host: 'localhost'
  readonly port: number
  /** Every connection so far (TLS handshake done), open or not. */
  readonly connections: readonly DestinationConnection[]
  /** TCP connections so far, even those whose handshake failed. */
  readonly attempts: number
  /** Every complete request that a script has read, in order. */
  readonly requests: readonly RawRequest[]
  /** What scripts threw: a connection that closes before a whole request is not one. */
  readonly faults: readonly unknown[]
  /** The `index`-th connection, once it is there. */
  connection(index: number): Promise<DestinationConnection>
  /** The `index`-th request, once it is complete. */
  request(index: number): Promise<RawRequest>
  close(): Promise<void>
}

/** Starts a destination on 127.0.0.1. */
export async function newDestination(options: DestinationOptions = {}): Promise<Destination> {
  const script = options.script ?? answering(OK)
  const connections: DestinationConnection[] = []
  const requests: RawRequest[] = []
  const faults: unknown[] = []
  const sockets = new Set<Socket>()
  let attempts = 0
  let waiting: (() => void)[] = []
  const waken = () => {
    const wakened = waiting
    waiting = []
    for (const wake of wakened) wake()
  }
  const nth = async <T>(list: readonly T[], index: number): Promise<T> => {
    for (;;) {
      const found = list[index]
      if (found !== undefined) return found
      await new Promise<void>((resolve) => {
        waiting.push(resolve)
      })
    }
  }
  const open = (socket: Socket) => {
    socket.setNoDelay(true)
    const connection = new DestinationConnection(socket, options.keep, (request) => {
      requests.push(request)
      waken()
    })
    connections.push(connection)
    waken()
    void run(script, connection).catch((fault: unknown) => faults.push(fault))
  }
  const server: Server =
    options.tls === null
      ? createTcpServer({ allowHalfOpen: true }, open)
      : createTlsServer({ ...(await certificates()).server, ALPNProtocols: ['http/1.1'], ...options.tls }, open)
  server.on('connection', (socket: Socket) => {
    attempts++
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('tlsClientError', () => {})
  server.listen(options.port ?? 0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `${options.tls === null ? 'http' : 'https'}://localhost:${port}`,
    host: 'localhost',
    port,
    connections,
    requests,
    faults,
    get attempts() {
      return attempts
    },
    connection: (index) => nth(connections, index),
    request: (index) => nth(requests, index),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      })
  }
}

/** One connection as the destination sees it. */
export class DestinationConnection extends Wire {
  readonly #note: (request: RawRequest) => void

  constructor(socket: Socket, keep: Keep | undefined, note: (request: RawRequest) => void) {
    super(socket, keep)
    this.#note = note
  }

  /** The next whole request, recorded; null when the connection closed before it began. Rejects when it is cut or malformed. */
  async request(): Promise<RawRequest | null> {
    for (;;) {
      const request = readRequest(this.received)
      if (request !== null) {
        this.take(request.raw.length)
        this.#note(request)
        return request
      }
      if (this.ended !== null && this.received.length === 0) return null
      await this.more(`an incomplete request (${this.received.length} bytes)`)
    }
  }
}

/** A script that answers every request with the same bytes (latin1), or with what `answer` makes of it. */
export function answering(answer: Buffer | string | ((request: RawRequest) => Buffer | string)): Script {
  return async (connection) => {
    for (;;) {
      const request = await connection.request()
      if (request === null) return connection.end()
      await connection.send(typeof answer === 'function' ? answer(request) : answer)
    }
  }
}

/** A script that answers every request with its own body. */
export const echoing: Script = answering((request) =>
  Buffer.concat([
    Buffer.from(`HTTP/1.1 200 OK\r\nContent-Type: ${request.header('content-type') ?? 'text/plain'}\r\n`, 'latin1'),
    Buffer.from(`Content-Length: ${request.body.length}\r\n\r\n`),
    request.body
  ])
)

/** The plainest answer. */
export const OK = 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok'

async function run(script: Script, connection: DestinationConnection): Promise<void> {
  try {
    await script(connection)
  } catch (fault) {
    // A proxy may well cut a request in the middle: what was received says so, and the test looks at that.
    if (connection.ended === null) throw fault
  }
}
