import { readFileSync } from 'node:fs'
import type { IncomingMessage, RequestListener } from 'node:http'
import { createServer } from 'node:https'
import { listenOnLoopback, serveCommands } from '../kit/child.ts'

/** What every peer is told: whom to forward to and which certificates to use (PEM). */
export interface PeerSetup {
  readonly upstreamPort: number
  /** `https://localhost:port`. */
  readonly upstream: string
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/** The arguments of a peer program. */
export function peerSetup(): PeerSetup {
  const [port, ca, cert, key] = process.argv.slice(2) as [string, string, string, string]
  return {
    upstreamPort: Number(port),
    upstream: `https://localhost:${port}`,
    ca: readFileSync(ca, 'utf8'),
    cert: readFileSync(cert, 'utf8'),
    key: readFileSync(key, 'utf8')
  }
}

/** Serves `listener` over TLS on a free port and answers the harness's `listen`. */
export function servePeer(setup: PeerSetup, listener: RequestListener): void {
  const { cert, key } = setup
  const server = createServer({ cert, key, keepAliveTimeout: 600_000, requestTimeout: 0 }, listener)
  serveCommands({
    listen: () => listenOnLoopback(server)
  })
}

/** The request's headers as a flat list without those that are between two neighbours only, with the destination's host. */
export function forwardedHeaders(request: IncomingMessage, host: string): string[] {
  const headers = ['host', host]
  const raw = request.rawHeaders
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] as string
    if (!NOT_FORWARDED.has(name.toLowerCase())) headers.push(name, raw[at + 1] as string)
  }
  return headers
}

/** How many connections to the destination a peer may open: as many as Sluice. */
export const CONNECTIONS = 256

const NOT_FORWARDED = new Set(['connection', 'host', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade'])
