import { parseArgs } from 'node:util'
import { loadConfig } from '../config/load.ts'
import { type Config, SETTINGS } from '../config/schema.ts'
import { HelpWanted, UsageError } from './guard.ts'

/** Flags of a command beside those of the settings. */
type Options = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>

/** What was given to a command. */
export interface Arguments {
  /** :: flag → text; settings by their path */
  readonly flags: Readonly<Record<string, string | undefined>>
  /** Flags that take no text and are set. */
  readonly set: ReadonlySet<string>
  readonly positionals: readonly string[]
}

/**
 * Reads arguments. Every setting is a flag too (`--listen.drainMs 100`) when `withSettings`. Throws UsageError for a flag
 * that is unknown, given twice, or wants a text and has none.
 */
export function parseArguments(
  argv: readonly string[],
  options: Options,
  { withSettings = false, positionals = 0 }: { withSettings?: boolean; positionals?: number } = {}
): Arguments {
  if (argv.includes('--help') || argv.includes('-h')) throw new HelpWanted()
  const all: Options = { ...options }
  if (withSettings) for (const { path } of SETTINGS) all[path] = { type: 'string' }
  let parsed: ReturnType<typeof parseArgs>
  try {
    parsed = parseArgs({ args: [...argv], options: all, allowPositionals: positionals > 0, strict: true })
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0] ?? '')
  }
  if (parsed.positionals.length > positionals) throw new UsageError('too many arguments')
  const flags: Record<string, string> = {}
  const set = new Set<string>()
  for (const [name, value] of Object.entries(parsed.values)) {
    if (typeof value === 'string') flags[name] = value
    else if (value === true) set.add(name)
  }
  return { flags, set, positionals: parsed.positionals }
}

/** The configuration that a command was given, from its file, the environment with `more` variables, and its flags. */
export function configOf(given: Arguments, more: Readonly<Record<string, string>> = {}): Config {
  return loadConfig({ file: given.flags['config'] ?? null, env: { ...process.env, ...more }, flags: given.flags })
}

/** The same, leaving alone the files that it names: for commands that serve nothing. */
export function settingsOf(given: Arguments): Config {
  const file = given.flags['config'] ?? null
  return loadConfig({ file, env: process.env, flags: given.flags, checkFiles: false })
}

/** The flag `--config FILE`. */
export const CONFIG_FLAG = { config: { type: 'string' } } as const satisfies Options
