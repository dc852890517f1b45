import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SealName } from '../../lib/vault/keyring.ts'
import { newMasterKey, parseMasterKeys } from '../../lib/vault/master-key.ts'
import { openLmdb } from '../../lib/vault/stores/lmdb.ts'
import type { NewToken } from '../../lib/vault/creates.ts'
import { Vault } from '../../lib/vault/vault.ts'
import { indicesInOrder, tokenId, tokenValue } from '../data/small-json.ts'
import { BUNDLE, isFresh } from '../../test/kit/main-file.ts'
import { freePort, onAllCores, type Role, startChild } from './child.ts'
import { fill } from './fill.ts'
import type { Contender, Scene } from './scene.ts'

/** A vault on disk with its tokens, not open. */
export interface Population {
  readonly folder: string
  readonly seal: SealName
  readonly tokens: number
  /** An API key that may do everything. */
  readonly apiKey: string
  /** File of the tokens' ids, one behind the other. */
  readonly ids: string
}

/**
 * A vault with `tokens` tokens `tokenId(0)` … that hold `tokenValue(0)` …, in the scene's folder; or in `kept`, which stays:
 * when it holds one that was filled before, that one is taken. The file of ids holds a million at most, spread evenly.
 */
export async function populate(scene: Scene, seal: SealName, tokens: number, kept?: string): Promise<Population> {
  const folder = kept ?? join(scene.folder, `${seal}-${tokens}`)
  const done = join(folder, 'filled')
  const isFilled = existsSync(done)
  if (!isFilled) {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'master.key'), newMasterKey(), { mode: 0o600 })
  }
  const masterKeys = parseMasterKeys(readFileSync(join(folder, 'master.key'), 'utf8'))
  const store = openLmdb(join(folder, 'data'))
  const begun = performance.now()
  if (!isFilled) await onAllCores(() => fill({ store, masterKeys, seal, tenant: TENANT }, tokensInOrder(tokens)))
  const seconds = (performance.now() - begun) / 1000
  if (seconds > LONG_S) process.stdout.write(`  ${tokens} tokens written in ${seconds.toFixed(0)} s\n`)
  const vault = await Vault.open({ store, masterKeys, seal, auditDirectory: join(folder, 'audit') })
  const { key } = await vault.createKey({ name: 'bench', permissions: ['*'], tenant: TENANT })
  await vault.close()
  const ids = join(folder, 'ids')
  const stride = Math.ceil(tokens / MOST_IDS)
  writeFileSync(ids, Array.from({ length: Math.floor(tokens / stride) }, (_, at) => tokenId(at * stride)).join(''))
  writeFileSync(done, '')
  return { folder, seal, tokens, apiKey: key, ids }
}

function* tokensInOrder(tokens: number): Generator<{ id: string; draft: NewToken }> {
  for (const index of indicesInOrder(tokens)) {
    yield { id: tokenId(index), draft: DRAFTS[index % DRAFTS.length] as NewToken }
  }
}

/** How `startSluice` differs from one worker on the proxy's core. */
export interface SluiceOptions {
  /** Also the name of its configuration file. */
  readonly name?: string
  readonly role?: Role
  readonly workers?: number
  /** See ChildOptions. */
  readonly direct?: boolean
}

/** Starts the compiled `sluice serve` over a population, as one would run it: keys, audit, metrics and log all on. */
export async function startSluice(
  scene: Scene,
  population: Population,
  options: SluiceOptions = {}
): Promise<Contender> {
  const launched = await launchSluice(scene, population, options)
  const { child } = launched
  await ready(launched.adminPort, child.exited, () => child.output)
  return launched
}

/** Starts it and does not wait until it is ready. */
export async function launchSluice(
  scene: Scene,
  population: Population,
  { name = 'sluice', role = 'proxy', workers = 1, direct = false }: SluiceOptions = {}
): Promise<Contender & { readonly adminPort: number }> {
  const [port, adminPort] = await Promise.all([freePort(), freePort()])
  const { folder, seal } = population
  const config = {
    listen: { https: { host: '127.0.0.1', port, tls: { cert: scene.cert, key: scene.key } }, idleTimeoutMs: 600_000 },
    admin: { host: '127.0.0.1', port: adminPort },
    vault: { path: join(folder, 'data'), masterKeyFile: join(folder, 'master.key'), seal },
    audit: { path: join(folder, 'audit') },
    egress: {
      hosts: ['localhost'],
      ports: [scene.upstreamPort],
      allowPrivateNetworks: ['127.0.0.0/8', '::1/128'],
      ca: [scene.ca]
    },
    log: { level: process.env['SLUICE_BENCH_LOG'] ?? 'info' },
    workers
  }
  const file = join(folder, `${name}.yaml`)
  writeFileSync(file, JSON.stringify(config))
  if (!isFresh()) throw new Error(`${BUNDLE} is not built of the modules that are there: npm run build`)
  const child = startChild({
    name,
    role,
    direct,
    command: process.execPath,
    args: [
      ...(process.env['SLUICE_BENCH_NODE_ARGS'] ?? '').split(' ').filter(Boolean),
      BUNDLE,
      'serve',
      '--config',
      file
    ],
    commands: false
  })
  scene.add(child)
  const headers = `BT-API-KEY: ${population.apiKey}\r\nBT-PROXY-URL: https://localhost:${scene.upstreamPort}/v1/payments\r\n`
  return { name, child, port, host: `localhost:${port}`, target: '/proxy', headers, adminPort }
}

/** Resolves when the admin listener says ready; rejects when the process ends first or two minutes pass. */
async function ready(adminPort: number, exited: Promise<void>, output: () => string): Promise<void> {
  let ended = false
  void exited.then(() => {
    ended = true
  })
  for (let waited = 0; waited < 120_000 && !ended; waited += 20) {
    if (await isReady(adminPort)) return
    await sleep(20)
  }
  throw new Error(`sluice serve ${ended ? 'ended' : 'is not ready'}\n${output()}`)
}

function isReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path: '/readyz', agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    }).on('error', () => resolve(false))
  })
}

const TENANT = 'default'
// As many as there are values.
const DRAFTS = Array.from({ length: 8 }, (_, at): NewToken => {
  return { type: 'card_number', container: '/pci/high/', data: JSON.stringify(tokenValue(at)), expiresAt: null }
})
const MOST_IDS = 1_000_000
const LONG_S = 10
