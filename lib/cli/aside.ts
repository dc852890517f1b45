import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { ConfigError, type Fault } from '../config/faults.ts'
import type { Config } from '../config/schema.ts'
import { HelpWanted, UsageError } from './guard.ts'

/*
 * A configuration read in a thread of its own, which takes with it what reading one needs (the schema and YAML libraries:
 * 10 MiB that a server would carry for the rest of its life).
 */

interface Order {
  readonly argv: readonly string[]
  readonly more: Readonly<Record<string, string>>
}

type Reply =
  | { readonly config: Config }
  | { readonly faults: readonly Fault[] }
  | { readonly usage: string }
  | { readonly help: true }
  | { readonly fault: unknown }

/**
 * What `sluice serve` was given, as `configOf` reads it: from the file, the environment with `more` variables, the flags.
 * Rejects with ConfigError, UsageError or HelpWanted, as reading it here would.
 */
export async function readAside(argv: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<Config> {
  const order: Order = { argv, more }
  const reader = new Worker(new URL(import.meta.url), { workerData: order, execArgv: [] })
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

/** The thread's side. */
async function read({ argv, more }: Order): Promise<Reply> {
  const { CONFIG_FLAG, configOf, parseArguments } = await import('./command.ts')
  try {
    return { config: configOf(parseArguments(argv, CONFIG_FLAG, { withSettings: true }), more) }
  } catch (error) {
    if (error instanceof ConfigError) return { faults: error.faults }
    if (error instanceof UsageError) return { usage: error.message }
    if (error instanceof HelpWanted) return { help: true }
    return { fault: error }
  }
}

/** A copy between threads is not frozen any more. */
function deepFrozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(deepFrozen)
  return value
}

if (!isMainThread && parentPort !== null) parentPort.postMessage(await read(workerData as Order))
