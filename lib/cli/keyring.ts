import { createMasterKeyFile } from '../vault/master-key.ts'
import { CONFIG_FLAG, guarded, parseArguments, settingsOf, UsageError } from './command.ts'

/** `sluice keyring init --config F`: makes the master key file, readable by its owner alone. */
export function runKeyring(argv: readonly string[]): Promise<number> {
  return guarded('keyring', USAGE, async () => {
    const given = parseArguments(argv, CONFIG_FLAG, { withSettings: true, positionals: 1 })
    if (given.positionals[0] !== 'init') throw new UsageError('the action is missing or unknown')
    const file = settingsOf(given).vault.masterKeyFile
    createMasterKeyFile(file)
    process.stdout.write(
      `${file} holds a new master key. Keep a copy elsewhere: without it the vault cannot be opened.\n`
    )
    return 0
  })
}

const USAGE = 'usage: sluice keyring init [--config FILE] [--SETTING VALUE]…'
