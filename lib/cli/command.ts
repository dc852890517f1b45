import { parseArgs } from 'node:util'
import { ConfigError } from '../config/faults.ts'
import { loadConfig } from '../config/load.ts'
import { type Config, SETTINGS } from '../config/schema.ts'
import { SluiceError } from '../errors.ts'

/** A fault in how a command was called: exit code 2. */
export class UsageError extends Error {}

/** `--help` was given. */
class HelpWanted extends Error {}

/** A fault the user can mend, in one line: exit code 1. */
export class Refusal extends Error {}

/**
 * Runs a command and resolves with its exit code: what it says itself, 1 for a fault the user can mend, 2 for wrong usage.
 * Faults are told on standard error, a line each; nothing prints a stack but a bug.
 */
export async function guarded(name: string, usage: string, command: () => Promise<number>): Promise<number> {
  try {
    return await command()
  } catch (error) {
    if (error instanceof HelpWanted) {
      process.stdout.write(`${usage}\n`)
      return 0
    }
    if (error instanceof UsageError) {
      process.stderr.write(`sluice ${name}: ${error.message}\n${usage}\n`)
      return 2
    }
    for (const line of explain(error)) process.stderr.write(`sluice ${name}: ${line}\n`)
    return 1
  }
}

/** What went wrong, in lines for the user. */
export function explain(error: unknown): string[] {
  if (error instanceof ConfigError) return error.message.split('\n')
  if (error instanceof Refusal) return [error.message]
  if (error instanceof SluiceError && error.code !== 'ERR_INTERNAL') {
    const fields = Object.entries(error.fields ?? {}).map(([field, whys]) => `${field}: ${whys.join(', ')}`)
    return fields.length > 0 ? fields : [error.message]
  }
  const { code, syscall, path, address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number }
  if (code !== undefined && syscall !== undefined) {
    const what = path ?? (address === undefined ? '' : `${address}:${port}`)
    return [`${syscall} ${what}: ${SYSTEM_FAULTS[code] ?? code}`]
  }
  return [error instanceof Error ? (error.stack ?? error.message) : String(error)]
}

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

const SYSTEM_FAULTS: Readonly<Record<string, string>> = {
  EACCES: 'no permission',
  EADDRINUSE: 'the address is in use',
  EADDRNOTAVAIL: 'this machine has no such address',
  EEXIST: 'exists already',
  ENOENT: 'does not exist',
  ENOSPC: 'no space is left',
  EROFS: 'the file system is read-only'
}
