import { startApp } from '../app.ts'
import type { Config } from '../config/schema.ts'
import type { Log } from '../observe/log.ts'
import type { MetricsSnapshot } from '../observe/metrics.ts'
import type { Vault } from '../vault/vault.ts'
import { giveHeapBack } from './heap.ts'

/** What serves: this process, or workers of it. */
export interface Server {
  reload(config: Config): void
  /** Drains and closes. */
  close(): Promise<void>
}

/** One process that serves by itself. */
export interface LoneServer extends Server {
  metrics(): Promise<MetricsSnapshot>
}

/** What a server is made of. */
export interface ServerParts {
  /** Closed with the server. */
  readonly vault: Vault
  readonly log: Log
  readonly version: string
  /** False in a worker: the primary owns the admin listener. */
  readonly withAdmin: boolean
}

/** Starts serving in this process. Closes the vault when that fails. */
export async function startServer(config: Config, parts: ServerParts): Promise<LoneServer> {
  const { vault, log, version, withAdmin } = parts
  // Small buffers are slices of pools; Node's pool of 8 KiB holds three requests. Measured: a tenth of a small request.
  Buffer.poolSize = POOL_BYTES
  try {
    const app = await startApp(config, { vault, log, version, withAdmin })
    setTimeout(() => void giveHeapBack(), HEAP_AFTER_MS).unref()
    for (const [setting, at] of Object.entries({
      'listen.http': app.http,
      'listen.https': app.https,
      admin: app.admin
    })) {
      if (at !== null) log.event('info', 'listening', { setting, address: at.address, port: at.port })
    }
    return {
      reload: (next) => app.reload(next),
      metrics: () => app.metrics(),
      close: async () => {
        await app.close()
        await vault.close()
      }
    }
  } catch (error) {
    await vault.close()
    throw error
  }
}

const POOL_BYTES = 65_536
/** Whoever waits for the start has had an answer by then. */
const HEAP_AFTER_MS = 100

/** Logs where a bug was thrown, without its message, and ends: Node would print the message, which may hold anything. */
export function dieOfBugs(log: Log): void {
  process.on('uncaughtException', (error) => {
    log.bug(error)
    log.flush()
    process.exit(1)
  })
}
