import { CONFIG_FLAG, parseArguments, settingsOf } from './command.ts'
import { guarded, UsageError } from './guard.ts'
import { openVault, takeMasterKey } from './vault.ts'

/** `sluice audit verify --config F`: exit 1 when a record was removed, changed, moved or cut off. */
export function runAudit(argv: readonly string[]): Promise<number> {
  return guarded('audit', USAGE, async () => {
    const given = parseArguments(argv, CONFIG_FLAG, { withSettings: true, positionals: 1 })
    if (given.positionals[0] !== 'verify') throw new UsageError('the action is missing or unknown')
    const config = settingsOf(given)
    const vault = await openVault(config, takeMasterKey(config))
    try {
      const reports = await vault.verifyAudit()
      for (const { chain, seals, intents, outcomes, unknown, unsealed, fault } of reports) {
        const counts = `${seals} seals, ${intents} intents, ${outcomes} outcomes, ${unknown} unknown, ${unsealed} unsealed`
        process.stdout.write(
          `${fault === null ? 'ok' : 'FAULT'}  ${chain}  ${counts}${fault === null ? '' : `: ${fault}`}\n`
        )
      }
      return reports.some(({ fault }) => fault !== null) ? 1 : 0
    } finally {
      await vault.close()
    }
  })
}

const USAGE = 'usage: sluice audit verify [--config FILE] [--SETTING VALUE]…'
