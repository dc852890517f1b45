import { readFileSync } from 'node:fs'

/** argv → command. Resolves with the exit code; modules of other commands are not loaded. */
async function run(command: string, args: readonly string[]): Promise<number> {
  switch (command) {
    case 'dev':
      return (await import('./cli/dev.ts')).runDev(args, version())
    case 'serve':
      // NOTE: before anything is loaded. By default SIGUSR1 opens the inspector, through which every secret can be read.
      process.on('SIGUSR1', () => {})
      return (await import('./cli/serve.ts')).runServe(args, version())
    case WORKER:
      process.on('SIGUSR1', () => {})
      return process.send === undefined ? unknown(command) : (await import('./cli/worker.ts')).runWorker()
    case 'check':
      return (await import('./cli/check.ts')).runCheck(args)
    case 'keys':
      return (await import('./cli/keys.ts')).runKeys(args)
    case 'keyring':
      return (await import('./cli/keyring.ts')).runKeyring(args)
    case 'tokens':
      return (await import('./cli/tokens.ts')).runTokens(args)
    case 'audit':
      return (await import('./cli/audit.ts')).runAudit(args)
    case 'echo':
      return (await import('./cli/echo.ts')).runEcho(args)
    case 'help':
    case '--help':
    case '-h':
      process.stdout.write(`${USAGE}\n`)
      return 0
    case 'version':
    case '--version':
      process.stdout.write(`${version()}\n`)
      return 0
    default:
      return unknown(command)
  }
}

function unknown(command: string): number {
  process.stderr.write(`sluice: there is no command ${command}\n${USAGE}\n`)
  return 2
}

function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

/** One of several processes that serve: for `serve` to call. */
const WORKER = 'worker'

const USAGE = `usage: sluice COMMAND [FLAGS]

  dev       the five-minute run: vault, keys, certificate and an echo destination in ./.sluice
  serve     production: sluice serve --config sluice.yaml
  check     tells every fault of a configuration: sluice check --config sluice.yaml
  keys      API keys: sluice keys create | list | revoke
  keyring   the keys of the vault: sluice keyring init | list | rotate | rewrap
  tokens    moves tokens between vaults: sluice tokens export | import
  audit     looks for tampering: sluice audit verify
  echo      a destination that answers with what it gets
  version   prints the version

Every setting is a flag too (--egress.timeoutMs 5000), and a variable (SLUICE_EGRESS_TIMEOUT_MS=5000).`

const [name = 'help', ...argv] = process.argv.slice(2)
// A command that gave up may have left something open.
void run(name, argv).then((code) => process.exit(code))
