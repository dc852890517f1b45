import { statSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './sources.ts'

/** The bundle: what users run. */
export const BUNDLE = join(ROOT, 'dist/bin/main.js')

/** What stands for the command: the bundle, or the modules where they were compiled anew without it. */
export function mainFile(): string {
  return isFresh() ? BUNDLE : MODULES
}

/** Was the bundle made of the modules that are there? */
export function isFresh(): boolean {
  const made = statSync(BUNDLE, { throwIfNoEntry: false })?.mtimeMs ?? 0
  return made > (statSync(MODULES, { throwIfNoEntry: false })?.mtimeMs ?? 0)
}

const MODULES = join(ROOT, 'dist/lib/main.js')
