/** What code of users sends to the world: one request by our own egress, under its policy and no other. */
import { SluiceError } from '../errors.ts'
import type { Egress } from '../egress/egress.ts'
import type { Deadlines, ResponseHandler } from '../egress/exchange.ts'
import type { Peer } from '../egress/peer.ts'
import { joinTarget, parseDestinationUrl } from '../plan/destination.ts'
import type { DestinationName } from '../vault/destinations.ts'

/** A request of the code, read and found acceptable. */
export interface Outbound {
  readonly destination: DestinationName
  readonly method: string
  readonly head: string
  readonly body: Buffer | null
}

export interface InboundAnswer {
  readonly status: number
  readonly statusText: string
  /** Names in lower case. */
  readonly headers: readonly (readonly [string, string])[]
  readonly body: string
}

export interface OutboundSettings {
  readonly ports: readonly number[]
  readonly exemptOrigins: readonly string[]
}

/**
 * Reads what the code asked for: `{url, method, headers: [name, value][], body}`. Throws ERR_DESTINATION_URL,
 * ERR_INPUT.
 */
export function readOutbound(text: string, settings: OutboundSettings): Outbound {
  const asked = JSON.parse(text) as { url?: unknown; method?: unknown; headers?: unknown; body?: unknown }
  const url = typeof asked.url === 'string' ? asked.url.replace(/#.*$/s, '') : ''
  const base = parseDestinationUrl(url, settings.ports, settings.exemptOrigins)
  const target = joinTarget(base, '')
  const method = typeof asked.method === 'string' ? asked.method.toUpperCase() : ''
  if (!METHODS.includes(method)) throw refuse('The method is not one that code may use')
  const body = typeof asked.body === 'string' ? Buffer.from(asked.body) : null
  if (body !== null && (method === 'GET' || method === 'HEAD')) throw refuse(`A ${method} request has no body`)
  const port = base.port === 443 ? '' : `:${base.port}`
  let head = `${method} ${target.text} HTTP/1.1\r\nHost: ${base.host}${port}\r\n`
  const headers: unknown[] = Array.isArray(asked.headers) ? asked.headers : []
  let isTyped = false
  let isAccepting = false
  for (const pair of headers) {
    const [name, value] = Array.isArray(pair) ? (pair as unknown[]) : []
    if (typeof name !== 'string' || typeof value !== 'string' || !NAME.test(name) || !VALUE.test(value)) {
      throw refuse('A header is malformed')
    }
    const lower = name.toLowerCase()
    if (OURS.includes(lower) || lower.startsWith('proxy-')) continue
    isTyped ||= lower === 'content-type'
    isAccepting ||= lower === 'accept'
    head += `${name}: ${value.trim()}\r\n`
  }
  if (head.length > HEAD_LENGTH) throw refuse('The headers are too long')
  if (body !== null && !isTyped) head += 'Content-Type: text/plain;charset=UTF-8\r\n'
  if (!isAccepting) head += 'Accept: */*\r\n'
  const destination = { host: base.host, port: base.port, method, path: target.path }
  return { destination, method, head, body }
}

/**
 * Sends it. Rejects as `Egress` does, with ERR_BODY_SIZE when more than `bodyBytes` come back, and with ERR_CLIENT_GONE
 * when `over` says that nobody waits for it any more: it is cut then.
 */
export async function send(
  egress: Egress,
  tenant: string,
  request: Outbound,
  deadlines: Deadlines,
  bodyBytes: number,
  over: AbortSignal
): Promise<InboundAnswer> {
  const { host, port } = request.destination
  const peer: Peer = { tenant, host, port, identity: null }
  await egress.reach(peer)
  if (over.aborted) throw gone()
  const { connectTimeoutMs, timeoutMs, bodyIdleTimeoutMs } = deadlines
  const message = {
    method: request.method,
    head: request.head,
    body: request.body === null ? null : [request.body],
    streaming: 'none' as const,
    replayable: request.method !== 'POST' && request.method !== 'PATCH',
    close: false,
    deadlines: { connectTimeoutMs, timeoutMs, bodyIdleTimeoutMs }
  }
  return new Promise((resolve, reject) => {
    const collector = new Collector(bodyBytes, resolve, reject)
    collector.cut = () => exchange.cut()
    const exchange = egress.send(peer, message, collector)
    over.addEventListener('abort', () => {
      exchange.cut()
      reject(gone())
    })
  })
}

class Collector implements ResponseHandler {
  readonly #limit: number
  readonly #resolve: (answer: InboundAnswer) => void
  readonly #reject: (error: SluiceError) => void
  readonly #chunks: Buffer[] = []
  #bytes = 0
  #status = 0
  #statusText = ''
  #headers: (readonly [string, string])[] = []
  cut: () => void = () => {}

  constructor(limit: number, resolve: (answer: InboundAnswer) => void, reject: (error: SluiceError) => void) {
    this.#limit = limit
    this.#resolve = resolve
    this.#reject = reject
  }

  connected(): void {}
  sent(): void {}
  informational(): void {}
  drained(): void {}

  head(status: number, reason: string, rawHeaders: string[]): void {
    this.#status = status
    this.#statusText = reason
    for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
      this.#headers.push([(rawHeaders[at] as string).toLowerCase(), rawHeaders[at + 1] as string])
    }
  }

  body(chunk: Buffer): boolean {
    this.#bytes += chunk.length
    if (this.#bytes > this.#limit) {
      this.cut()
      this.#reject(new SluiceError('ERR_BODY_SIZE', `The response is over ${this.#limit} bytes`))
      return false
    }
    this.#chunks.push(chunk)
    return true
  }

  end(): void {
    this.#resolve({
      status: this.#status,
      statusText: this.#statusText,
      headers: this.#headers,
      body: Buffer.concat(this.#chunks).toString('utf8')
    })
  }

  fail(error: SluiceError): void {
    this.#reject(error)
  }
}

const gone = (): SluiceError => new SluiceError('ERR_CLIENT_GONE', 'The run is over')
const refuse = (why: string): SluiceError => new SluiceError('ERR_INPUT', why)

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const HEAD_LENGTH = 32_768
/** Framing and the connection are ours, and no coding is asked for: the body is text. */
const OURS = [
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'accept-encoding',
  'via'
]
