import { url as inspectorUrl } from 'node:inspector'
import { guarded, Refusal } from './guard.ts'

/**
 * `sluice serve`: production. Refuses plain HTTP beyond loopback, a missing master key, a vault of `sluice dev` and the
 * inspector. SIGTERM and SIGINT drain; SIGHUP reloads the file and the certificates. Ends with 0 after a drain.
 */
export function runServe(argv: readonly string[], version: string): Promise<number> {
  return guarded('serve', USAGE, async () => {
    refuseInspector()
    const { CONFIG_FLAG, configOf, parseArguments } = await import('./command.ts')
    const read = (more = {}) => configOf(parseArguments(argv, CONFIG_FLAG, { withSettings: true }), more)
    const config = read()
    const { serve } = await import('./serving.ts')
    return serve(config, read, version)
  })
}

function refuseInspector(): void {
  const flags = [...process.execArgv, ...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/)]
  if (inspectorUrl() !== undefined || flags.some((flag) => /^--(inspect|debug)/.test(flag))) {
    throw new Refusal('the inspector (--inspect) shows every secret to whoever connects to it; start without it')
  }
}

const USAGE = 'usage: sluice serve --config FILE [--SETTING VALUE]…'
