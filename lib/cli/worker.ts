import type { Config } from '../config/schema.ts'
import { Log } from '../observe/log.ts'
import type { MetricsSnapshot } from '../observe/metrics.ts'
import { explain } from './guard.ts'
import { dieOfBugs, type LoneServer, startServer } from './server.ts'
import { openVault } from './vault.ts'

/** What the primary says to a worker. The master key goes this way and is in no environment. */
export type ToWorker =
  | { readonly kind: 'start'; readonly config: Config; readonly masterKey: string; readonly version: string }
  | { readonly kind: 'reload'; readonly config: Config }
  | { readonly kind: 'metrics'; readonly id: number }
  | { readonly kind: 'drain' }

/** What a worker says to the primary. */
export type ToPrimary =
  | { readonly kind: 'hello' }
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly lines: readonly string[] }
  | { readonly kind: 'metrics'; readonly id: number; readonly snapshot: MetricsSnapshot }

/** Serves as one of several processes, as the primary says. Resolves with the exit code. */
export function runWorker(): Promise<number> {
  // A terminal sends SIGINT to the whole group; the primary then tells its workers to drain.
  process.on('SIGINT', () => {})
  process.on('SIGHUP', () => {})
  return new Promise((resolve) => {
    let server: LoneServer | null = null
    let log: Log | null = null
    const drain = async (): Promise<void> => {
      await server?.close()
      log?.flush()
      process.exit(0)
    }
    const obey = async (message: ToWorker): Promise<void> => {
      switch (message.kind) {
        case 'start': {
          log = new Log(message.config.log.level)
          dieOfBugs(log)
          const vault = await openVault(message.config, message.masterKey)
          server = await startServer(message.config, { vault, log, version: message.version, withAdmin: false })
          tell({ kind: 'ready' })
          break
        }
        case 'reload':
          server?.reload(message.config)
          if (log !== null) log.level = message.config.log.level
          break
        case 'metrics':
          if (server !== null) tell({ kind: 'metrics', id: message.id, snapshot: await server.metrics() })
          break
        case 'drain':
          await drain()
      }
    }
    process.on('message', (message: ToWorker) => {
      obey(message).catch((error: unknown) => {
        if (server !== null) throw error
        tell({ kind: 'failed', lines: explain(error) })
        resolve(1)
      })
    })
    process.on('SIGTERM', () => {
      drain().catch(() => process.exit(1))
    })
    // What comes before somebody listens is lost, so the primary waits for this.
    tell({ kind: 'hello' })
  })
}

function tell(message: ToPrimary): void {
  process.send?.(message)
}
