import { parentPort, workerData } from 'node:worker_threads'
import { ConfigError, type Fault } from '../config/faults.ts'
import type { Config } from '../config/schema.ts'
import { CONFIG_FLAG, configOf, parseArguments } from './command.ts'
import { HelpWanted, UsageError } from './guard.ts'

/** What the thread is begun with. */
export interface Order {
  readonly argv: readonly string[]
  /** Laid over the environment. */
  readonly more: Readonly<Record<string, string>>
}

/** The one thing that it says. */
export type Reply =
  | { readonly config: Config }
  | { readonly faults: readonly Fault[] }
  | { readonly usage: string }
  | { readonly help: true }
  | { readonly fault: unknown }

function read({ argv, more }: Order): Reply {
  try {
    return { config: configOf(parseArguments(argv, CONFIG_FLAG, { withSettings: true }), more) }
  } catch (error) {
    if (error instanceof ConfigError) return { faults: error.faults }
    if (error instanceof UsageError) return { usage: error.message }
    if (error instanceof HelpWanted) return { help: true }
    return { fault: error }
  }
}

parentPort?.postMessage(read(workerData as Order))
