import type { Server as HttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Config } from '../config/schema.ts'
import { SluiceError } from '../errors.ts'
import { type EngineHandler, nodeEngine } from '../listen/node-engine.ts'
import { rawEngine } from '../listen/raw-engine.ts'
import { readText } from './files.ts'

/** A listening server of either engine. */
type Engine = ReturnType<typeof nodeEngine> | ReturnType<typeof rawEngine>

/** The sockets that clients connect to, of either engine. */
export class Listeners {
  http: AddressInfo | null = null
  https: AddressInfo | null = null
  readonly #servers: Engine[] = []

  /** Throws ERR_CONFIG when a file does not read or a port is taken. */
  async open(listen: Config['listen'], handler: EngineHandler): Promise<void> {
    const { http, https } = listen
    if (http !== null) this.http = await this.#open(engineOf(listen, null, handler), http)
    if (https !== null) this.https = await this.#open(engineOf(listen, readTls(https.tls), handler), https)
  }

  /** Takes a new certificate for connections from now on. Throws ERR_CONFIG. */
  reload({ https }: Config['listen']): void {
    const server = this.#servers.at(-1)
    if (https === null || this.https === null || server === undefined) return
    ;(server as HttpsServer).setSecureContext({ ...readTls(https.tls), ca: [], minVersion: 'TLSv1.2' })
  }

  /** Stops accepting, and settles when every connection is closed: at the latest after `drainMs`, then they are cut. */
  async close(drainMs: number): Promise<void> {
    const closed = this.#servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve())
          server.closeIdleConnections()
        })
    )
    const idle = setInterval(() => {
      for (const server of this.#servers) server.closeIdleConnections()
    }, IDLE_LOOK_MS)
    const deadline = setTimeout(() => {
      for (const server of this.#servers) server.closeAllConnections()
    }, drainMs)
    await Promise.all(closed)
    clearInterval(idle)
    clearTimeout(deadline)
  }

  async #open(server: Engine, at: { readonly host: string; readonly port: number }): Promise<AddressInfo> {
    await new Promise<void>((resolve, reject) => {
      server.once('error', (fault: NodeJS.ErrnoException) => {
        reject(
          new SluiceError('ERR_CONFIG', `Cannot listen on ${at.host}:${at.port}: ${fault.code ?? 'unknown fault'}`)
        )
      })
      server.listen(at.port, at.host, resolve)
    })
    this.#servers.push(server)
    return server.address() as AddressInfo
  }
}

interface Certificate {
  readonly cert: string
  readonly key: string
}

function engineOf(listen: Config['listen'], tls: Certificate | null, handler: EngineHandler): Engine {
  const { engine, headerBytes, headersTimeoutMs, bodyIdleTimeoutMs, idleTimeoutMs, maxConnections } = listen
  const options = { tls, headerBytes, headersTimeoutMs, bodyIdleTimeoutMs, idleTimeoutMs, maxConnections }
  return engine === 'raw' ? rawEngine(options, handler) : nodeEngine(options, handler)
}

function readTls(files: Certificate): Certificate {
  return { cert: readText(files.cert, 'listen.https.tls.cert'), key: readText(files.key, 'listen.https.tls.key') }
}

const IDLE_LOOK_MS = 50
