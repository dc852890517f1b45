import { Worker } from 'node:worker_threads'
import { ConfigError } from '../config/faults.ts'
import type { Config } from '../config/schema.ts'
import { threadFile } from '../thread-file.ts'
import type { Order, Reply } from './config-thread.ts'
import { HelpWanted, UsageError } from './guard.ts'

/*
 * A configuration read in a thread of its own (`config-thread.ts`), which takes with it what reading one needs (the schema
 * and YAML libraries: 10 MiB that a server would carry for the rest of its life).
 */

/**
 * What `sluice serve` was given, as `configOf` reads it: from the file, the environment with `more` variables, the flags.
 * Rejects with ConfigError, UsageError or HelpWanted, as reading it here would.
 */
export async function readAside(argv: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<Config> {
  const order: Order = { argv, more }
  const reader = new Worker(threadFile(new URL('./config-thread.ts', import.meta.url)), {
    workerData: order,
    execArgv: []
  })
  const reply = await new Promise<Reply>((resolve, reject) => {
    reader.once('message', resolve)
    reader.once('error', reject)
  })
  await reader.terminate()
  if ('config' in reply) return deepFrozen(reply.config)
  if ('faults' in reply) throw new ConfigError(reply.faults)
  if ('usage' in reply) throw new UsageError(reply.usage)
  if ('help' in reply) throw new HelpWanted()
  throw reply.fault
}

/** A copy between threads is not frozen any more. */
function deepFrozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(deepFrozen)
  return value
}
