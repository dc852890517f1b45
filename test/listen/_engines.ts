import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { SluiceError } from '../../lib/errors.ts'
import type { Client, ClientSink } from '../../lib/listen/client.ts'
import { type EngineHandler, type NodeEngineOptions, nodeEngine } from '../../lib/listen/node-engine.ts'
import { type RawServer, rawEngine } from '../../lib/listen/raw-engine.ts'
import { certificates } from '../kit/certificates.ts'

export type EngineName = 'raw' | 'node'

/** What one request did, from the side of who answers it. */
export class Heard implements ClientSink {
  readonly client: Client
  /** Every call, in order; pieces of the body in one. */
  readonly calls: string[] = []
  readonly chunks: Buffer[] = []
  error: SluiceError | null = null
  /** Called behind each call. */
  after: ((call: string) => void) | null = null
  #waiting: (() => void)[] = []

  constructor(client: Client) {
    this.client = client
  }

  get body(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }

  requestChunk(chunk: Buffer): void {
    this.chunks.push(chunk)
    if (this.calls.at(-1) !== 'chunk') this.calls.push('chunk')
    this.#told('chunk')
  }

  requestEnd(): void {
    this.#call('end')
  }

  requestBroken(error: SluiceError): void {
    this.error = error
    this.#call(`broken ${error.code}`)
  }

  clientDrained(): void {
    this.#call('drained')
  }

  clientLeft(): void {
    this.#call('left')
  }

  /** Resolves once the call has been heard. */
  async hears(call: string): Promise<void> {
    while (!this.calls.includes(call)) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Resolves at the next call, or chunk. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #call(call: string): void {
    this.calls.push(call)
    this.#told(call)
  }

  #told(call: string): void {
    this.after?.(call)
    for (const wake of this.#waiting.splice(0)) wake()
  }
}

export interface RunningEngine {
  readonly server: RawServer
  readonly port: number
  /** What a test client needs to connect. */
  readonly at: { readonly port: number; readonly tls: { readonly ca: string } | null }
  readonly requests: Heard[]
  /** Codes of what was refused. */
  readonly refusals: string[]
  /** Resolves with the request of that number (from 0) once it has come. */
  request(number: number): Promise<Heard>
  close(): Promise<void>
}

export interface EngineSetting extends Partial<Omit<NodeEngineOptions, 'tls'>> {
  readonly engine?: EngineName
  readonly tls?: boolean
  /** Default: takes the body in whole, then answers with what came (`describe`). */
  readonly serve?: (heard: Heard) => void
}

/** An engine on a loopback port; what cannot be read is refused with the code as body. */
export async function newEngine(setting: EngineSetting = {}): Promise<RunningEngine> {
  const { engine = 'raw', tls = false, serve = echo, ...limits } = setting
  const made = tls ? await certificates() : null
  const requests: Heard[] = []
  const refusals: string[] = []
  let waiting: (() => void)[] = []
  const handler: EngineHandler = {
    request(client) {
      const heard = new Heard(client)
      client.attend(heard)
      requests.push(heard)
      serve(heard)
      for (const wake of waiting.splice(0)) wake()
    },
    refusal(error) {
      refusals.push(error.code)
      return { fields: ['X-Code', error.code], body: error.code }
    },
    dropped: () => void refusals.push('dropped')
  }
  const options = {
    tls: made === null ? null : made.server,
    headerBytes: 16_384,
    headersTimeoutMs: 10_000,
    bodyIdleTimeoutMs: 10_000,
    idleTimeoutMs: 10_000,
    maxConnections: 0,
    ...limits
  }
  const server = engine === 'raw' ? rawEngine(options, handler) : (nodeEngine(options, handler) as RawServer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    server,
    port,
    at: { port, tls: made === null ? null : { ca: made.ca } },
    requests,
    refusals,
    async request(number) {
      while (requests.length <= number) await new Promise<void>((resolve) => waiting.push(resolve))
      return requests[number] as Heard
    },
    async close() {
      waiting = []
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    }
  }
}

/** Takes the body in whole, then answers with what came. */
export function echo(heard: Heard): void {
  heard.after = (call) => {
    if (call === 'end') heard.client.answer(200, ['Content-Type', 'application/json'], describe(heard))
    else if (call.startsWith('broken')) heard.client.answer((heard.error as SluiceError).status, [], call)
  }
  heard.client.receive()
}

function describe(heard: Heard): string {
  const { method, target, fields } = heard.client.head
  return JSON.stringify({ method, target, fields, body: heard.body })
}

/** Resolves once it holds; polls, for what tells nobody. */
export async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; turn < 2000; turn++) {
    if (holds()) return
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  throw new Error('it never came to hold')
}
