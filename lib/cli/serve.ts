import cluster from 'node:cluster'
import { url as inspectorUrl } from 'node:inspector'
import { readAside } from './aside.ts'
import { guarded, Refusal } from './guard.ts'

/**
 * `sluice serve`: production. Refuses plain HTTP beyond loopback, a missing master key, a vault of `sluice dev` and the
 * inspector. SIGTERM and SIGINT drain; SIGHUP reloads the file and the certificates. Ends with 0 after a drain.
 */
export async function runServe(argv: readonly string[], version: string): Promise<number> {
  if (cluster.isWorker) return (await import('./worker.ts')).runWorker()
  return guarded('serve', USAGE, async () => {
    refuseInspector()
    // Two thirds of a start: one thread reads the configuration while this one loads everything else.
    const [config, { serve }] = await Promise.all([readAside(argv), import('./serving.ts')])
    return serve(config, argv, version)
  })
}

function refuseInspector(): void {
  const flags = [...process.execArgv, ...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/)]
  if (inspectorUrl() !== undefined || flags.some((flag) => /^--(inspect|debug)/.test(flag))) {
    throw new Refusal('the inspector (--inspect) shows every secret to whoever connects to it; start without it')
  }
}

const USAGE = 'usage: sluice serve --config FILE [--SETTING VALUE]…'
