import { ConfigError } from '../config/faults.ts'
import { SluiceError } from '../errors.ts'

/** A fault in how a command was called: exit code 2. */
export class UsageError extends Error {}

/** `--help` was given. */
export class HelpWanted extends Error {}

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

const SYSTEM_FAULTS: Readonly<Record<string, string>> = {
  EACCES: 'no permission',
  EADDRINUSE: 'the address is in use',
  EADDRNOTAVAIL: 'this machine has no such address',
  EEXIST: 'exists already',
  ENOENT: 'does not exist',
  ENOSPC: 'no space is left',
  EROFS: 'the file system is read-only'
}
