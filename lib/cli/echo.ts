import { readFileSync } from 'node:fs'
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { parseArgs } from 'node:util'

/** How an echo destination listens. */
export interface EchoOptions {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  /** PEM texts; null: plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | null
  /** Ask clients for a certificate. With `ca` only certificates signed by it are let in, without it any is. */
  readonly mtls?: { readonly ca?: string | null } | null
}

/** A running echo destination. */
export interface Echo {
  readonly host: string
  readonly port: number
  /** `https://host:port` or `http://host:port`. */
  readonly url: string
  /** Stops listening and cuts what is open. */
  close(): Promise<void>
}

/**
 * Starts the echo destination ("ditto"): every request is answered with 200, its end-to-end headers as response headers
 * and its body byte for byte, as it arrives. A Content-Length stays exact; a chunked request gets a chunked answer. When
 * the client shows a certificate, `x-ditto-client-cert-serial` holds its serial number in decimal. Rejects when the
 * address cannot be bound or the certificate cannot be read.
 */
export async function startEcho(options: EchoOptions): Promise<Echo> {
  const limits = { maxHeaderSize: HEADER_BYTES, requestTimeout: 0, keepAliveTimeout: KEEP_ALIVE_MS }
  const server =
    options.tls === null
      ? createHttpServer(limits, answer)
      : createHttpsServer({ ...limits, ...options.tls, ...clientCertificates(options.mtls ?? null) }, answer)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    host: options.host,
    port,
    url: `${options.tls === null ? 'http' : 'https'}://${urlHost(options.host)}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}

/**
 * `sluice echo [--port N] [--tls-cert F --tls-key F] [--mtls]`: an echo destination on localhost until SIGINT or
 * SIGTERM. Resolves with the exit code: 0 after a signal, 1 for a fault the user can mend, 2 for wrong usage.
 */
export async function runEcho(argv: readonly string[]): Promise<number> {
  if (argv.includes('--help')) {
    process.stdout.write(`${USAGE}\n`)
    return 0
  }
  const flags = parseFlags(argv)
  if (typeof flags === 'string') {
    process.stderr.write(`sluice echo: ${flags}\n${USAGE}\n`)
    return 2
  }
  let echo: Echo
  try {
    const tls =
      flags.cert === null ? null : { cert: readFileSync(flags.cert, 'utf8'), key: readFileSync(flags.key, 'utf8') }
    echo = await startEcho({ host: 'localhost', port: flags.port, tls, mtls: flags.mtls ? {} : null })
  } catch (error) {
    process.stderr.write(`sluice echo: ${(error as Error).message}\n`)
    return 1
  }
  process.stdout.write(`echo destination on ${echo.url}\n`)
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve())
    process.once('SIGTERM', () => resolve())
  })
  await echo.close()
  return 0
}

interface Flags {
  readonly port: number
  readonly cert: string | null
  readonly key: string
  readonly mtls: boolean
}

function parseFlags(argv: readonly string[]): Flags | string {
  let values: Partial<Record<'port' | 'tls-cert' | 'tls-key', string> & { mtls: boolean }>
  try {
    values = parseArgs({
      args: [...argv],
      options: {
        port: { type: 'string' },
        'tls-cert': { type: 'string' },
        'tls-key': { type: 'string' },
        mtls: { type: 'boolean' }
      }
    }).values
  } catch (error) {
    return (error as Error).message
  }
  const port = values.port ?? String(DEFAULT_PORT)
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) return '--port takes a number from 0 to 65535'
  const cert = values['tls-cert'] ?? null
  const key = values['tls-key'] ?? null
  if ((cert === null) !== (key === null)) return '--tls-cert and --tls-key go together'
  if (values.mtls === true && cert === null) return '--mtls needs --tls-cert and --tls-key'
  return { port: Number(port), cert, key: key ?? '', mtls: values.mtls === true }
}

function clientCertificates(mtls: { readonly ca?: string | null } | null): object {
  if (mtls === null) return {}
  const ca = mtls.ca ?? null
  return ca === null
    ? { requestCert: true, rejectUnauthorized: false }
    : { requestCert: true, rejectUnauthorized: true, ca }
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const headers = endToEnd(request.rawHeaders)
  const serial = clientSerial(request)
  if (serial !== null) headers.push('x-ditto-client-cert-serial', serial)
  if (request.headers['transfer-encoding'] === undefined && request.headers['content-length'] === undefined) {
    headers.push('content-length', '0')
  }
  response.writeHead(200, headers)
  response.flushHeaders()
  // A client that leaves in the middle ends both sides; there is nobody left to tell.
  pipeline(request, response, () => {})
}

/** The flat header list without the fields that are between two neighbours only (RFC 9110, section 7.6.1). */
function endToEnd(rawHeaders: readonly string[]): string[] {
  const dropped = new Set(HOP_BY_HOP)
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.toLowerCase() !== 'connection') continue
    for (const name of rawHeaders[at + 1]?.split(',') ?? []) dropped.add(name.trim().toLowerCase())
  }
  dropped.delete('content-length')
  const kept: string[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    if (!dropped.has(name.toLowerCase())) kept.push(name, rawHeaders[at + 1] as string)
  }
  return kept
}

function clientSerial(request: IncomingMessage): string | null {
  if (!(request.socket instanceof TLSSocket)) return null
  const hex = request.socket.getPeerCertificate().serialNumber
  return hex === undefined ? null : BigInt(`0x${hex}`).toString()
}

function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}

const HOP_BY_HOP = [
  'connection',
  'expect',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade'
]
const USAGE = 'usage: sluice echo [--port N] [--tls-cert FILE --tls-key FILE] [--mtls]'
const DEFAULT_PORT = 9443
const KEEP_ALIVE_MS = 65_000
const HEADER_BYTES = 131_072
