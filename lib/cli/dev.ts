import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { type App, startApp } from '../app.ts'
import { isLoopback } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { SluiceError } from '../errors.ts'
import { Log } from '../observe/log.ts'
import { createMasterKeyFile } from '../vault/master-key.ts'
import { newKeyMemo, type Vault } from '../vault/vault.ts'
import { localhostCertificate } from './certificate.ts'
import { configOf, parseArguments } from './command.ts'
import { guarded, Refusal, UsageError } from './guard.ts'
import { markAsDev } from './dev-marker.ts'
import { type Echo, type EchoOptions, startEcho } from './echo.ts'
import { openVault } from './vault.ts'

/**
 * `sluice dev`: the five-minute run. Makes in `./.sluice` what is not there yet (configuration, master key, certificate,
 * API key, demo tokens), starts everything on loopback beside an echo destination, and prints a `curl` to paste with
 * what it will answer. Resolves with 0 after SIGINT or SIGTERM.
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
      const echo = await startLocalEcho(echoPort(given.flags['echo-port']), tls)
      opened.unshift(() => echo.close())
      const log = new Log('warn')
      const app = await startApp(config, { vault, log, version, relaxed: [`localhost:${echo.port}`] })
      opened.unshift(() => app.close())
      await makeDemoTokens(urlOf(app), key)
      log.level = config.log.level
      process.stdout.write(welcome(app, echo, key, relative('', certificate.ca)))
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
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
    throw new UsageError('--echo-port takes a number from 0 to 65535')
  return Number(text)
}

/** The echo destination on localhost; on 127.0.0.1 where that name means an IPv6 address that the machine has not. */
async function startLocalEcho(port: number, tls: EchoOptions['tls']): Promise<Echo> {
  try {
    return await startEcho({ host: 'localhost', port, tls })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EADDRNOTAVAIL' && code !== 'EAFNOSUPPORT') throw error
    return startEcho({ host: '127.0.0.1', port, tls })
  }
}

/** The API key of the last start, or a new one. It is kept in a file, as nothing else of Sluice's does. */
async function demoKey(vault: Vault, file: string): Promise<string> {
  if (existsSync(file)) {
    const kept = readFileSync(file, 'utf8').trim()
    try {
      await vault.authenticate(kept, newKeyMemo())
      return kept
    } catch (error) {
      if (!(error instanceof SluiceError) || error.code !== 'ERR_AUTH_INVALID') throw error
    }
  }
  const { key } = await vault.createKey({ name: 'sluice dev', permissions: ['*'], tenant: 'default' })
  rmSync(file, { force: true })
  writeFileSync(file, `${key}\n`, { mode: 0o600 })
  return key
}

/** Makes the demo tokens by the API, as a user would. Those that are there already stay. */
async function makeDemoTokens(url: string, key: string): Promise<void> {
  for (const token of DEMO_TOKENS) {
    const response = await fetch(`${url}/tokens`, {
      method: 'POST',
      headers: { 'BT-API-KEY': key, 'Content-Type': 'application/json' },
      body: JSON.stringify(token)
    })
    if (!response.ok && response.status !== 409) {
      throw new Refusal(`the demo token ${token.id} cannot be made: status ${response.status}`)
    }
    await response.arrayBuffer()
  }
}

function welcome(app: App, echo: Echo, key: string, ca: string): string {
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

const DEMO_TOKENS = [
  {
    id: 'demo_card',
    type: 'card',
    data: { number: '4242424242424242', expiration_month: 12, expiration_year: 2030, cvc: '123' }
  },
  { id: 'demo_name', type: 'token', data: 'Ada Lovelace' },
  { id: 'demo_ssn', type: 'social_security_number', data: '078-05-1120' }
]
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
