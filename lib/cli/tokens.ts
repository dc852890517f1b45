import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import type { MasterKey } from '../vault/master-key.ts'
import { readMasterKeys } from '../vault/master-key.ts'
import type { Vault } from '../vault/vault.ts'
import { CONFIG_FLAG, parseArguments, settingsOf } from './command.ts'
import { guarded, UsageError } from './guard.ts'
import { openVault, takeMasterKey } from './vault.ts'

/**
 * `sluice tokens export | import FILE --key-file F --config F`: moves a vault in a sealed file: tokens, applications with
 * their keys, and all else but the audit log. The key file has the form of a master key file; both sides are given the same.
 */
export function runTokens(argv: readonly string[]): Promise<number> {
  return guarded('tokens', USAGE, async () => {
    const flags = { ...CONFIG_FLAG, 'key-file': { type: 'string' as const } }
    const given = parseArguments(argv, flags, { withSettings: true, positionals: 2 })
    const [action, file] = given.positionals
    const keyFile = given.flags['key-file']
    if (action !== 'export' && action !== 'import') throw new UsageError('the action is missing or unknown')
    if (file === undefined) throw new UsageError('the FILE is missing')
    if (keyFile === undefined) throw new UsageError('--key-file is missing')
    const [key] = readMasterKeys(keyFile)
    const config = settingsOf(given)
    const vault = await openVault(config, takeMasterKey(config))
    try {
      if (key !== undefined) await (action === 'export' ? exportTo : importFrom)(vault, key, file)
    } finally {
      await vault.close()
    }
    return 0
  })
}

async function exportTo(vault: Vault, key: MasterKey, path: string): Promise<void> {
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 })
  await once(file, 'open')
  const count = await vault.exportTo(key, async (piece) => {
    if (!file.write(piece)) await once(file, 'drain')
  })
  file.end()
  await once(file, 'close')
  process.stdout.write(
    `${count} tokens are in ${path}, sealed, without card verification codes, and applications with their keys\n`
  )
}

async function importFrom(vault: Vault, key: MasterKey, path: string): Promise<void> {
  const { made, existing } = await vault.importFrom(key, createReadStream(path) as AsyncIterable<Buffer>)
  process.stdout.write(`${made} tokens made, ${existing} were there already\n`)
}

const USAGE = 'usage: sluice tokens export | import FILE --key-file FILE [--config FILE] [--SETTING VALUE]…'
