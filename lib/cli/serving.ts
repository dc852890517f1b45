import { statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { ConfigError, MASTER_KEY } from '../config/faults.ts'
import { reloaded } from '../config/reload.ts'
import type { Config } from '../config/schema.ts'
import { Log } from '../observe/log.ts'
import { Caller } from '../vault/access.ts'
import { DestinationList } from '../vault/destinations.ts'
import type { Vault } from '../vault/vault.ts'
import { Refusal } from './guard.ts'
import { isDev } from './dev-marker.ts'
import { dieOfBugs, type Server, startServer } from './server.ts'
import { openVault, takeMasterKey } from './vault.ts'

/** Reads the configuration anew, with `more` variables. Throws ConfigError. */
export type ReadConfig = (more: Readonly<Record<string, string>>) => Config

/** Serves under a configuration until a signal comes. It is read again for a reload. */
export async function serve(config: Config, read: ReadConfig, version: string): Promise<never> {
  if (isDev(config))
    throw new Refusal('the vault or its master key was made by sluice dev, which keeps its keys in plain files')
  const masterKey = takeMasterKey(config)
  const log = new Log(config.log.level)
  dieOfBugs(log)
  if (isOpenToOthers(config.vault.masterKeyFile)) log.event('warn', 'the master key file is readable by others')
  const vault = await openVault(config, masterKey)
  await warnOfOpenKeys(vault, config, log)
  const workers = config.workers === 0 ? availableParallelism() : config.workers
  let server: Server
  if (workers === 1) {
    server = await startServer(config, { vault, log, version, withAdmin: true })
  } else {
    await vault.close()
    const { startWorkers } = await import('./primary.ts')
    server = await startWorkers(config, { workers, masterKey, log, version })
  }
  log.event('info', 'started', { workers })
  let current = config
  process.on('SIGHUP', () => {
    current = reload(read, current, server, log)
  })
  const signal = await stopSignal()
  log.event('info', 'draining', { signal })
  await server.close()
  log.event('info', 'stopped')
  log.flush()
  // Whatever still holds the event loop has been cut off by now.
  process.exit(0)
}

function isOpenToOthers(file: string): boolean {
  return (statSync(file, { throwIfNoEntry: false })?.mode ?? 0) % 0o100 !== 0
}

/** A leaked key that may send tokens anywhere is worth a warning, unless `egress.hosts` bounds it. */
async function warnOfOpenKeys(vault: Vault, config: Config, log: Log): Promise<void> {
  if (!config.egress.hosts.includes('*')) return
  const spoiled = (): void =>
    log.event('warn', 'an application was changed by someone else: none of its keys is let in')
  for (const key of await vault.listKeys(spoiled)) {
    const caller = new Caller({ ...key, keyId: key.id, live: true }, key)
    const open = key.destinations === null || new DestinationList(key.destinations).open
    if (open && caller.holds('token:use')) {
      log.event('warn', 'this key holds token:use and may reach every host', { keyId: key.id })
    }
  }
}

/** The configuration that is in force after a SIGHUP; a faulty one changes nothing. */
function reload(read: ReadConfig, current: Config, server: Server, log: Log): Config {
  let next: Config
  try {
    // The master key is taken from the environment by now, and a reload does not ask for it.
    next = read({ [MASTER_KEY]: 'taken at the start' })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const settings = error.faults.map(({ path }) => path)
    log.event('error', 'reload refused: the configuration has faults; the old one stays', { settings })
    return current
  }
  const { config, waiting } = reloaded(current, next)
  server.reload(config)
  log.level = config.log.level
  if (waiting.length > 0) log.event('warn', 'these settings wait for a restart', { settings: waiting })
  log.event('info', 'reloaded')
  return config
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
}
