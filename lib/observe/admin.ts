import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What the admin listener needs of the rest. */
export interface AdminOptions {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** The metrics as text, of all workers. */
  readonly metrics: () => Promise<string>
  /** Media type of that text. */
  readonly metricsType: string
  /** True while requests are taken: after start, until drain. */
  readonly ready: () => boolean
  /** Told of every request that was answered. `route` is one of ours, or `other`. */
  readonly done: (route: string, outcome: 'ok' | 'client_error' | 'sluice_error') => void
}

/** A running admin listener. */
export interface AdminServer {
  readonly address: AddressInfo
  close(): Promise<void>
}

/**
 * Serves `/metrics`, `/healthz` (the process runs) and `/readyz` (it takes requests; else 503) over plain HTTP. Rejects
 * when the address cannot be bound.
 */
export async function startAdmin(options: AdminOptions): Promise<AdminServer> {
  const server = createServer({ requestTimeout: 10_000, maxHeaderSize: 8192 }, (request, response) => {
    answer(request, response, options).catch(() => finish(response, options, 'other', 500, 'internal error\n'))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, resolve)
  })
  return {
    address: server.address() as AddressInfo,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeIdleConnections()
        setTimeout(() => server.closeAllConnections(), LINGER_MS).unref()
      })
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, options: AdminOptions): Promise<void> {
  const route = request.url?.split('?', 1)[0] ?? ''
  request.resume()
  if (!ROUTES.includes(route)) {
    finish(response, options, 'other', 404, 'not found\n')
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD')
    finish(response, options, route, 405, 'method not allowed\n')
  } else if (route === '/metrics') {
    const text = await options.metrics()
    response.setHeader('Content-Type', options.metricsType)
    finish(response, options, route, 200, text)
  } else {
    const ok = route === '/healthz' || options.ready()
    finish(response, options, route, ok ? 200 : 503, ok ? 'ok\n' : 'draining\n')
  }
}

function finish(response: ServerResponse, options: AdminOptions, route: string, status: number, text: string): void {
  if (!response.hasHeader('Content-Type')) response.setHeader('Content-Type', 'text/plain; charset=utf-8')
  response.setHeader('Cache-Control', 'no-store')
  response.setHeader('Content-Length', Buffer.byteLength(text))
  response.statusCode = status
  response.end(text)
  options.done(route, status < 400 ? 'ok' : status < 500 ? 'client_error' : 'sluice_error')
}

const ROUTES = ['/metrics', '/healthz', '/readyz']
const LINGER_MS = 1000
