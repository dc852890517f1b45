import { createMasterKeyFile } from '../vault/master-key.ts'
import type { Vault } from '../vault/vault.ts'
import { CONFIG_FLAG, parseArguments, settingsOf } from './command.ts'
import { guarded, UsageError } from './guard.ts'
import { openVault, takeMasterKey } from './vault.ts'

/**
 * `sluice keyring init | list | rotate | rewrap --config F`: makes the master key file; shows the keys of the vault;
 * retires its data keys; wraps all keys under the first master key and seals anew what lies under retired ones.
 */
export function runKeyring(argv: readonly string[]): Promise<number> {
  return guarded('keyring', USAGE, async () => {
    const given = parseArguments(argv, CONFIG_FLAG, { withSettings: true, positionals: 1 })
    const action = ACTIONS[given.positionals[0] ?? '']
    if (given.positionals[0] === 'init') {
      const file = settingsOf(given).vault.masterKeyFile
      createMasterKeyFile(file)
      process.stdout.write(
        `${file} holds a new master key. Keep a copy elsewhere: without it the vault cannot be opened.\n`
      )
      return 0
    }
    if (action === undefined) throw new UsageError('the action is missing or unknown')
    const config = settingsOf(given)
    const vault = await openVault(config, takeMasterKey(config))
    try {
      await action(vault)
    } finally {
      await vault.close()
    }
    return 0
  })
}

const ACTIONS: Readonly<Record<string, (vault: Vault) => Promise<void>>> = {
  async list(vault) {
    for (const { key, kind, format, master, created, retired } of await vault.listRing()) {
      const state = retired === null ? 'in use' : `retired ${new Date(retired).toISOString()}`
      const seal = kind !== 'data' ? '' : format === 1 ? 'aes-256-gcm' : 'xchacha20-poly1305'
      const cells = [key.padEnd(40), new Date(created).toISOString(), `under ${master}`, state, seal]
      process.stdout.write(`${cells.join('  ').trimEnd()}\n`)
    }
  },

  async rotate(vault) {
    const retired = await vault.rotate()
    process.stdout.write(`${retired} data keys are retired. Run rewrap to seal anew what lies under them.\n`)
  },

  async rewrap(vault) {
    const { keys, seen, sealed } = await vault.rewrap((progress) => {
      process.stderr.write(`${progress.seen} rows seen, ${progress.sealed} sealed anew\n`)
    })
    process.stdout.write(`${keys} keys wrapped anew, ${sealed} of ${seen} rows sealed anew\n`)
  }
}

const USAGE = 'usage: sluice keyring init | list | rotate | rewrap [--config FILE] [--SETTING VALUE]…'
