import { asSluiceError, SluiceError } from '../errors.ts'
import type { Caller } from '../vault/access.ts'
import type { ApiAnswer, ApiCall, ApiRoute } from './api.ts'
import type { Client, ClientSink } from './client.ts'
import { onlyField } from './head.ts'

/** What the control plane needs of its surroundings. */
export interface ApiPorts {
  /** The caller of a request; throws ERR_AUTH_MISSING, ERR_AUTH_INVALID. */
  authenticate(client: Client): Caller | Promise<Caller>
  /** Words an error as this API does. */
  failure(error: SluiceError, traceId: string): { readonly fields: readonly string[]; readonly body: string }
  /** Largest body, in bytes. */
  readonly apiBodyBytes: number
  /** What bodies may take in memory, over all requests. */
  readonly buffers: BodyBudget
  done(client: Client, result: ApiResult): void
}

/** Throws ERR_OVERLOAD when it has not so many bytes left; what was taken is given back. */
export interface BodyBudget {
  take(bytes: number): void
  give(bytes: number): void
}

export interface ApiResult {
  readonly route: string
  readonly status: number
  readonly error: SluiceError | null
  readonly traceId: string
  readonly caller: Caller | null
  readonly requestBytes: number
  readonly responseBytes: number
}

/**
 * Serves one call: who calls, then the body, then the handler. The body of a request that is refused is never asked
 * for (`Expect: 100-continue`).
 */
export class ApiExchange implements ClientSink {
  readonly #client: Client
  readonly #route: ApiRoute
  readonly #params: Readonly<Record<string, string>>
  readonly #traceId: string
  readonly #ports: ApiPorts
  #caller: Caller | null = null
  #chunks: Buffer[] = []
  #bytes = 0
  /** What of them the budget has lent. */
  #lent = 0
  #over = false

  constructor(
    client: Client,
    route: ApiRoute,
    params: Readonly<Record<string, string>>,
    traceId: string,
    ports: ApiPorts
  ) {
    this.#client = client
    this.#route = route
    this.#params = params
    this.#traceId = traceId
    this.#ports = ports
  }

  start(): void {
    this.#client.attend(this)
    this.#run().catch((error: unknown) => this.#fail(error))
  }

  requestChunk(chunk: Buffer): void {
    if (this.#over) return
    this.#bytes += chunk.length
    if (this.#bytes > this.#ports.apiBodyBytes) {
      this.#fail(tooLarge(this.#ports.apiBodyBytes))
      return
    }
    try {
      this.#ports.buffers.take(chunk.length)
    } catch (error) {
      this.#fail(error)
      return
    }
    this.#lent += chunk.length
    this.#chunks.push(chunk)
  }

  requestEnd(): void {
    if (this.#over) return
    this.#handle().catch((error: unknown) => this.#fail(error))
  }

  requestBroken(error: SluiceError): void {
    this.#fail(error)
  }

  clientDrained(): void {}

  clientLeft(): void {
    this.#finish(0, new SluiceError('ERR_CLIENT_GONE', 'The client left'), 0)
  }

  async #run(): Promise<void> {
    this.#caller = await this.#ports.authenticate(this.#client)
    const coding = onlyField(this.#client.head.fields, 'content-encoding') ?? 'identity'
    if (coding.toLowerCase() !== 'identity') {
      throw new SluiceError('ERR_ENCODING', 'Bodies of the API have no Content-Encoding')
    }
    if (this.#client.head.bodyBytes > this.#ports.apiBodyBytes) throw tooLarge(this.#ports.apiBodyBytes)
    this.#client.receive()
  }

  async #handle(): Promise<void> {
    const { head } = this.#client
    const bytes = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks, this.#bytes)
    this.#chunks = []
    const call: ApiCall = {
      caller: this.#caller as Caller,
      params: this.#params,
      query: new URLSearchParams(head.query),
      body: this.#bytes === 0 ? null : utf8(bytes),
      contentType: onlyField(head.fields, 'content-type'),
      traceId: this.#traceId,
      header: (name) => onlyField(head.fields, name)
    }
    this.#answer(await this.#route.handler(call))
  }

  #answer(answer: ApiAnswer): void {
    if (this.#over) return
    const fields = ['bt-trace-id', this.#traceId, 'Sluice-Trace-Id', this.#traceId, 'Cache-Control', 'no-store']
    const isTyped = answer.headers?.some((name, at) => at % 2 === 0 && name.toLowerCase() === 'content-type') ?? false
    if (answer.body !== null && !isTyped) fields.push('Content-Type', 'application/json')
    if (answer.headers !== undefined) fields.push(...answer.headers)
    this.#client.answer(answer.status, fields, answer.body)
    this.#finish(answer.status, null, answer.body === null ? 0 : Buffer.byteLength(answer.body))
  }

  #fail(thrown: unknown): void {
    if (this.#over) return
    const error = asSluiceError(thrown)
    if (error.code === 'ERR_CLIENT_GONE') {
      this.#client.cut()
      this.#finish(0, error, 0)
      return
    }
    const { fields, body } = this.#ports.failure(error, this.#traceId)
    this.#client.answer(error.status, fields, body)
    this.#finish(error.status, error, Buffer.byteLength(body))
  }

  #finish(status: number, error: SluiceError | null, responseBytes: number): void {
    if (this.#over) return
    this.#over = true
    this.#chunks = []
    this.#ports.buffers.give(this.#lent)
    this.#ports.done(this.#client, {
      route: this.#route.path,
      status,
      error,
      traceId: this.#traceId,
      caller: this.#caller,
      requestBytes: this.#bytes,
      responseBytes
    })
  }
}

function utf8(bytes: Buffer): string {
  try {
    return DECODER.decode(bytes)
  } catch {
    throw new SluiceError('ERR_INPUT', 'The body is not well-formed UTF-8')
  }
}

function tooLarge(limit: number): SluiceError {
  return new SluiceError('ERR_BODY_SIZE', `The body is over ${limit} bytes (limits.apiBodyBytes)`)
}

const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false })
