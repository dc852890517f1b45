import { MASTER_KEY } from '../config/faults.ts'
import { parseMasterKeys, readMasterKeys } from '../vault/master-key.ts'
import { CONFIG_FLAG, configOf, parseArguments } from './command.ts'
import { guarded, UsageError } from './guard.ts'

/** `sluice check --config F`: exit code 0, or 1 with every fault of the configuration on a line of its own. */
export function runCheck(argv: readonly string[]): Promise<number> {
  return guarded('check', USAGE, async () => {
    const given = parseArguments(argv, CONFIG_FLAG, { withSettings: true })
    const file = given.flags['config']
    if (file === undefined) throw new UsageError('--config is missing')
    const config = configOf(given)
    const text = process.env[MASTER_KEY]
    if (text === undefined) readMasterKeys(config.vault.masterKeyFile)
    else parseMasterKeys(text)
    process.stdout.write(`${file} is good\n`)
    return 0
  })
}

const USAGE = 'usage: sluice check --config FILE [--SETTING VALUE]…'
