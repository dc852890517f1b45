import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type RawResponse, readResponse } from './message.ts'

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
}

/** A client that sends exactly the bytes it is told to, and keeps every byte that comes back. */
export interface Client {
  /** Every byte received and not yet taken by `response`. */
  readonly received: Buffer
  /** Resolves when the other side has ended or cut the connection, with how. */
  readonly closed: Promise<'end' | 'reset'>
  /** Resolves when the bytes are with the kernel. Strings are latin1. */
  send(bytes: Buffer | string): Promise<void>
  /** Sends a whole request and reads its final response (1xx responses before it are skipped). */
  request(bytes: Buffer | string): Promise<RawResponse>
  /** Reads the next response, 1xx included. `method` is the request's: HEAD has no body. Rejects when it never completes. */
  response(method?: string): Promise<RawResponse>
  /** Resolves once `bytes` (all of it) has been received. */
  receives(bytes: string): Promise<void>
  pause(): void
  resume(): void
  /** Ends our side only. */
  end(): void
  /** Cuts the connection with a reset. */
  reset(): void
  destroy(): void
}

/** Opens a connection. Rejects when it is refused or the certificate does not hold. */
export async function newClient(options: ClientOptions): Promise<Client> {
  const host = options.host ?? '127.0.0.1'
  const tls = options.tls ?? null
  const socket =
    tls === null
      ? connectTcp({ host, port: options.port })
      : connectTls({ host, port: options.port, servername: 'localhost', ALPNProtocols: ['http/1.1'], ...tls })
  socket.setNoDelay(true)
  await new Promise<void>((resolve, reject) => {
    socket.once(tls === null ? 'connect' : 'secureConnect', resolve)
    socket.once('error', reject)
  })
  return new SocketClient(socket)
}

/** Opens a connection, sends `bytes`, and resolves with everything that came back until the other side closed. */
export async function exchange(options: ClientOptions, bytes: Buffer | string): Promise<Buffer> {
  const client = await newClient(options)
  await client.send(bytes)
  await client.closed
  return client.received
}

class SocketClient implements Client {
  readonly closed: Promise<'end' | 'reset'>
  readonly #socket: Socket
  #chunks: Buffer[] = []
  #ended: 'end' | 'reset' | null = null
  #wake: (() => void)[] = []

  constructor(socket: Socket) {
    this.#socket = socket
    this.closed = new Promise((resolve) => {
      const close = (how: 'end' | 'reset') => {
        this.#ended ??= how
        resolve(this.#ended)
        this.#waken()
      }
      socket.on('end', () => close('end'))
      socket.on('error', () => close('reset'))
      socket.on('close', () => close('reset'))
    })
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#waken()
    })
  }

  get received(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0] ?? Buffer.alloc(0)
  }

  send(bytes: Buffer | string): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, () => resolve())
    })
  }

  async request(bytes: Buffer | string): Promise<RawResponse> {
    const method = (typeof bytes === 'string' ? bytes : bytes.toString('latin1', 0, 16)).split(' ', 1)[0] ?? ''
    void this.send(bytes)
    for (;;) {
      const response = await this.response(method)
      if (response.status >= 200 || response.status === 101) return response
    }
  }

  async response(method = 'POST'): Promise<RawResponse> {
    for (;;) {
      const response = readResponse(this.received, method, this.#ended === 'end')
      if (response !== null) {
        this.#chunks = [this.received.subarray(response.raw.length)]
        return response
      }
      await this.#more(`an incomplete response (${this.received.length} bytes)`)
    }
  }

  async receives(bytes: string): Promise<void> {
    while (!this.received.includes(bytes, 0, 'latin1')) await this.#more(`no ${JSON.stringify(bytes)}`)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(): void {
    this.#socket.end()
  }

  reset(): void {
    this.#socket.resetAndDestroy()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  async #more(lacking: string): Promise<void> {
    if (this.#ended !== null) throw new Error(`the connection closed (${this.#ended}) with ${lacking}`)
    await new Promise<void>((resolve) => this.#wake.push(resolve))
  }

  #waken(): void {
    const waiting = this.#wake
    this.#wake = []
    for (const wake of waiting) wake()
  }
}
