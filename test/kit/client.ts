import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type RawResponse, readResponse } from './message.ts'
import { type Keep, Wire } from './wire.ts'

/** Where a test client connects to. */
export interface ClientOptions {
  readonly port: number
  readonly host?: string
  /** Null: plain TCP. */
  readonly tls?: {
    readonly ca: string
    readonly servername?: string
    readonly cert?: string
    readonly key?: string
  } | null
  readonly keep?: Keep
  /** For TLS: a connection that is open already, instead of a new one. */
  readonly over?: Socket
}

/** Opens a connection. Rejects when it is refused or the certificate does not hold. */
export async function newClient(options: ClientOptions): Promise<Client> {
  const host = options.host ?? '127.0.0.1'
  const tls = options.tls ?? null
  const socket =
    tls === null
      ? connectTcp({ host, port: options.port })
      : connectTls({
          socket: options.over,
          host,
          port: options.port,
          servername: 'localhost',
          ALPNProtocols: ['http/1.1'],
          ...tls
        })
  socket.setNoDelay(true)
  await new Promise<void>((resolve, reject) => {
    socket.once(tls === null ? 'connect' : 'secureConnect', resolve)
    socket.once('error', reject)
  })
  return new Client(socket, options.keep)
}

/** Opens a connection, sends `bytes`, and resolves with everything that came back until the other side closed. */
export async function exchange(options: ClientOptions, bytes: Buffer | string): Promise<Buffer> {
  const client = await newClient(options)
  await client.send(bytes)
  await client.closed
  client.destroy()
  return client.received
}

/** An HTTP client that sends exactly the bytes it is told to, right or wrong. */
export class Client extends Wire {
  /** Sends a whole request and reads its final response (1xx responses before it are skipped). */
  async request(bytes: Buffer | string): Promise<RawResponse> {
    const method = bytes.toString('latin1', 0, 16).split(' ', 1)[0] ?? ''
    void this.send(bytes)
    for (;;) {
      const response = await this.response(method)
      if (response.status >= 200 || response.status === 101) return response
    }
  }

  /** Reads the next response, 1xx included. `method` is its request's: HEAD has no body. Rejects when it never completes. */
  async response(method = 'POST'): Promise<RawResponse> {
    for (;;) {
      const response = readResponse(this.received, method, this.ended === 'end')
      if (response !== null) {
        this.take(response.raw.length)
        return response
      }
      await this.more(`an incomplete response (${this.received.length} bytes)`)
    }
  }
}
