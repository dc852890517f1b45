import type { TimeSource } from '../../lib/egress/clock.ts'
import { Egress, type EgressOptions } from '../../lib/egress/egress.ts'
import type { Exchange, OutgoingMessage, ResponseHandler } from '../../lib/egress/exchange.ts'
import type { Peer } from '../../lib/egress/peer.ts'
import type { SluiceError } from '../../lib/errors.ts'
import { certificates } from './certificates.ts'

/** An egress that trusts the run's authority and finds every name on 127.0.0.1. */
export async function newEgress(options: Partial<EgressOptions> & { readonly port: number }): Promise<Egress> {
  const { ca } = await certificates()
  return new Egress({
    allowsHost: () => true,
    ports: [options.port],
    allowPrivateNetworks: true,
    ca: [ca],
    localAddress: null,
    connectTimeoutMs: 2000,
    idleTimeoutMs: 30000,
    maxConnectionsPerPeer: 16,
    lookup: (_host, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]),
    ...options
  })
}

export function newPeer(port: number, changes: Partial<Peer> = {}): Peer {
  return { tenant: 'tenant-1', host: 'localhost', port, identity: null, ...changes }
}

/** A message to `/` with a whole body; POST when there is one, else GET. */
export function newMessage(body: string | null = null, changes: Partial<OutgoingMessage> = {}): OutgoingMessage {
  const method = changes.method ?? (body === null ? 'GET' : 'POST')
  return {
    method,
    head: `${method} / HTTP/1.1\r\nHost: localhost\r\n`,
    body: body === null ? null : [Buffer.from(body)],
    streaming: 'none',
    replayable: body === null,
    close: false,
    deadlines: { connectTimeoutMs: 2000, timeoutMs: 5000, bodyIdleTimeoutMs: 5000 },
    ...changes
  }
}

/** What came of an exchange. */
export interface Heard {
  readonly status: number
  readonly reason: string
  readonly rawHeaders: readonly string[]
  readonly length: number
  readonly body: string
  readonly rawTrailers: readonly string[]
  readonly error: SluiceError | null
  /** The names of the calls, in order; runs of `body` as one. */
  readonly calls: readonly string[]
  readonly informational: readonly number[]
  readonly exchange: Exchange
}

/** A handler that notes everything, and a promise for when it is over. */
export class Listener implements ResponseHandler {
  readonly calls: string[] = []
  readonly informationalStatus: number[] = []
  status = 0
  reason = ''
  rawHeaders: string[] = []
  length = 0
  readonly chunks: Buffer[] = []
  rawTrailers: string[] = []
  error: SluiceError | null = null
  /** What `body` returns. */
  more = true
  readonly over: Promise<void>
  #done: () => void = () => {}

  constructor() {
    this.over = new Promise((done) => {
      this.#done = done
    })
  }

  connected(): void {
    this.#note('connected')
  }

  sent(): void {
    this.#note('sent')
  }

  informational(status: number): void {
    this.#note('informational')
    this.informationalStatus.push(status)
  }

  head(status: number, reason: string, rawHeaders: string[], length: number): void {
    this.#note('head')
    this.status = status
    this.reason = reason
    this.rawHeaders = rawHeaders
    this.length = length
  }

  body(chunk: Buffer): boolean {
    this.#note('body')
    this.chunks.push(chunk)
    return this.more
  }

  end(rawTrailers: string[]): void {
    this.#note('end')
    this.rawTrailers = rawTrailers
    this.#done()
  }

  fail(error: SluiceError): void {
    this.#note('fail')
    this.error = error
    this.#done()
  }

  drained(): void {
    this.#note('drained')
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }

  #note(call: string): void {
    if (call !== 'body' || this.calls[this.calls.length - 1] !== 'body') this.calls.push(call)
  }
}

/** Sends a message and waits for its end. */
export async function exchangeOnce(egress: Egress, peer: Peer, message: OutgoingMessage): Promise<Heard> {
  const listener = new Listener()
  const exchange = egress.send(peer, message, listener)
  await listener.over
  const { status, reason, rawHeaders, length, text, rawTrailers, error, calls, informationalStatus } = listener
  return {
    status,
    reason,
    rawHeaders,
    length,
    body: text,
    rawTrailers,
    error,
    calls,
    informational: informationalStatus,
    exchange
  }
}

/** Time that moves when it is told to. */
export class ManualTime implements TimeSource {
  #now = 0
  readonly #ticks = new Map<() => void, { readonly ms: number; next: number }>()

  now(): number {
    return this.#now
  }

  every(ms: number, tick: () => void): () => void {
    this.#ticks.set(tick, { ms, next: this.#now + ms })
    return () => this.#ticks.delete(tick)
  }

  /** Lets time pass, tick by tick. */
  pass(ms: number): void {
    const end = this.#now + ms
    while (this.#now < end) {
      this.#now++
      for (const [tick, entry] of this.#ticks) {
        if (this.#now < entry.next) continue
        entry.next += entry.ms
        tick()
      }
    }
  }

  /** Time passes while nothing runs: as when the process is stopped. */
  leap(ms: number): void {
    this.#now += ms
    for (const entry of this.#ticks.values()) entry.next += ms
  }

  /** True while something waits for time to pass. */
  get isAwaited(): boolean {
    return this.#ticks.size > 0
  }
}
