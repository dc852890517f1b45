import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { type App, startApp } from '../app.ts'
import { isLoopback } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { Log } from '../observe/log.ts'
import { createMasterKeyFile } from '../vault/master-key.ts'
import { localhostCertificate, selfSignedCertificate } from './certificate.ts'
import { configOf, parseArguments } from './command.ts'
import { guarded, Refusal, UsageError } from './guard.ts'
import { DEMO_TOKENS, DEMO_USER, demoKey, makeDemoTokens, makeDemoUsers } from './demo.ts'
import { markAsDev } from './dev-marker.ts'
import { type Echo, type EchoOptions, startEcho } from './echo.ts'
import { openVault } from './vault.ts'

/**
 * `sluice dev`: the five-minute run. Makes in `./.sluice` what is not there yet (configuration, master key, certificate,
 * API key, demo tokens and users), starts everything on loopback beside two echo destinations (`--echo-port`, and with
 * client certificates on the port after it), and prints a `curl` to paste with what it will answer. Resolves with 0 after SIGINT or SIGTERM.
 */
export function runDev(argv: readonly string[], version: string): Promise<number> {
  return guarded('dev', USAGE, async () => {
    const given = parseArguments(
      argv,
      { folder: { type: 'string' }, 'echo-port': { type: 'string' } },
      { withSettings: true }
    )
    if (process.env['NODE_ENV'] === 'production') {
      throw new Refusal('NODE_ENV is production; this command keeps its keys in plain files. Use sluice serve')
    }
    const folder = resolve(given.flags['folder'] ?? '.sluice')
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    markAsDev(folder)
    const file = join(folder, 'sluice.yaml')
    if (!existsSync(file)) writeFileSync(file, CONFIG)
    const masterKeyFile = join(folder, 'master.key')
    if (!existsSync(masterKeyFile)) createMasterKeyFile(masterKeyFile)
    const certificate = await localhostCertificate(folder)
    const config = configOf({ ...given, flags: { config: file, ...given.flags } })
    refuseBeyond(folder, config)

    const vault = await openVault(config, readFileSync(masterKeyFile, 'utf8'))
    const opened: (() => Promise<unknown>)[] = [() => vault.close()]
    try {
      markAsDev(config.vault.path)
      const key = await demoKey(vault, join(folder, 'api-key'))
      const tls = { cert: readFileSync(certificate.cert, 'utf8'), key: readFileSync(certificate.key, 'utf8') }
      const port = echoPort(given.flags['echo-port'])
      const echo = await startLocalEcho(port, tls, null)
      opened.unshift(() => echo.close())
      const ditto = await selfSignedCertificate(folder, 'ditto', 'localhost')
      await selfSignedCertificate(folder, 'client', 'a client of sluice dev')
      const mtls = await startLocalEcho(port === 0 ? 0 : port + 1, ditto, {})
      opened.unshift(() => mtls.close())
      const log = new Log('warn')
      const app = await startApp(config, {
        vault,
        log,
        version,
        relaxed: [`localhost:${echo.port}`, `localhost:${mtls.port}`]
      })
      opened.unshift(() => app.close())
      await makeDemoTokens(urlOf(app), key)
      await makeDemoUsers(vault, urlOf(app), key)
      log.level = config.log.level
      process.stdout.write(welcome(app, [echo, mtls], key, relative('', folder)))
      await interrupted()
    } finally {
      for (const close of opened) await close()
    }
    return 0
  })
}

/** Keeps the plain keys of this command away from the network, and this command away from other vaults. */
function refuseBeyond(folder: string, config: Config): void {
  const { http, https } = config.listen
  if (http === null) throw new Refusal('listen.http is needed')
  for (const [setting, at] of Object.entries({ 'listen.http': http, 'listen.https': https, admin: config.admin })) {
    if (at !== null && !isLoopback(at.host)) throw new Refusal(`${setting}.host is not loopback; use sluice serve`)
  }
  const { path, masterKeyFile } = config.vault
  if (dirname(path) !== folder || dirname(masterKeyFile) !== folder) {
    throw new Refusal(`vault.path and vault.masterKeyFile have to lie in ${folder}`)
  }
}

function echoPort(text = '9443'): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_534)
    throw new UsageError('--echo-port takes a number from 0 to 65534; the one after it is taken too')
  return Number(text)
}

/** The echo destination on localhost; on 127.0.0.1 where that name means an IPv6 address that the machine has not. */
async function startLocalEcho(port: number, tls: EchoOptions['tls'], mtls: object | null): Promise<Echo> {
  try {
    return await startEcho({ host: 'localhost', port, tls, mtls })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EADDRNOTAVAIL' && code !== 'EAFNOSUPPORT') throw error
    return startEcho({ host: '127.0.0.1', port, tls, mtls })
  }
}

function welcome(app: App, [echo, mtls]: readonly [Echo, Echo], key: string, folder: string): string {
  const ca = join(folder, 'ca.pem')
  const https = app.https === null ? '' : `, https://localhost:${app.https.port} (curl --cacert ${ca})`
  const admin = app.admin === null ? '' : `http://127.0.0.1:${app.admin.port}/metrics`
  return `Sluice serves on ${urlOf(app)}${https}
Metrics: ${admin}

The vault holds the demo tokens ${DEMO_TOKENS.map(({ id }) => id).join(', ')}. Paste this:

curl -s ${urlOf(app)}/proxy/charge \\
  -H 'BT-API-KEY: ${key}' \\
  -H 'BT-PROXY-URL: https://localhost:${echo.port}' \\
  -H 'Content-Type: application/json' \\
  -d '${DEMO_BODY}'

The echo destination answers with the body that it received:

${DEMO_ANSWER}

The Footprint dialect, with the same key:

curl -s ${urlOf(app)}/vault_proxy/reflect \\
  -u ${key}: \\
  -H 'x-fp-id: ${DEMO_USER}' \\
  --data 'I am {{ id.first_name | to_uppercase }}.'

I am JANE.

https://localhost:${mtls.port} echoes as well, asks for a client certificate (${join(folder, 'client.crt')} and
${join(folder, 'client.key')}) and shows one that nobody signed (pin ${join(folder, 'ditto.crt')}).

`
}

function urlOf(app: App): string {
  return `http://127.0.0.1:${app.http?.port}`
}

function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve())
    process.once('SIGTERM', () => resolve())
  })
}

const DEMO_BODY = '{"number": "{{ demo_card.number }}", "name": "{{ demo_name | upcase }}", "ssn": "{{ demo_ssn }}"}'
const DEMO_ANSWER = '{"number": "4242424242424242", "name": "ADA LOVELACE", "ssn": "078-05-1120"}'

const CONFIG = `# Made by sluice dev, which reads it at each start. sluice serve refuses it.
listen:
  http: { host: 127.0.0.1, port: 8080 }
  https: { host: 127.0.0.1, port: 8443, tls: { cert: cert.pem, key: key.pem } }
vault: { path: data, masterKeyFile: master.key }
audit: { path: audit }
egress: { ca: [ca.pem] }
`
const USAGE = 'usage: sluice dev [--folder .sluice] [--echo-port 9443] [--SETTING VALUE]…'
