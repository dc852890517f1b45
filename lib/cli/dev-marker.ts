import { existsSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Config } from '../config/schema.ts'

/** Marks a folder as made by `sluice dev`, whose keys lie beside the vault in plain files. */
export function markAsDev(folder: string): void {
  writeFileSync(join(folder, MARKER), 'Made by sluice dev; sluice serve refuses what lies here.\n')
}

/** True when the vault or the master key of a configuration were made by `sluice dev`. */
export function isDev(config: Config): boolean {
  const { path, masterKeyFile } = config.vault
  return [path, dirname(path), dirname(masterKeyFile)].some((folder) => existsSync(join(folder, MARKER)))
}

const MARKER = 'DEVELOPMENT'
