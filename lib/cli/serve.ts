import { url as inspectorUrl } from 'node:inspector'
import { readAside } from './aside.ts'
import { guarded, Refusal } from './guard.ts'

/**
 * `sluice serve`: production. Refuses plain HTTP beyond loopback, a missing master key, a vault of `sluice dev` and the
 * inspector. SIGTERM and SIGINT drain; SIGHUP reloads the file and the certificates. Ends with 0 after a drain.
 */
export function runServe(argv: readonly string[], version: string): Promise<number> {
  return guarded('serve', USAGE, async () => {
    refuseInspector()
    // One thread reads the configuration while this one loads everything else; most likely LMDB too.
    const reading = readAside(argv)
    const loading = import('./serving.ts').then(async (loaded) => {
      await import('../vault/stores/lmdb.ts')
      return loaded
    })
    const [config, { serve }] = await Promise.all([reading, loading])
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
