import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openVault } from '../../lib/cli/vault.ts'
import { loadConfig } from '../../lib/config/load.ts'
import { newMasterKey } from '../../lib/vault/master-key.ts'
import { certificates } from '../kit/certificates.ts'
import { newClient } from '../kit/client.ts'
import { type Command, startCommand } from '../kit/command.ts'
import { answering, newDestination } from '../kit/destination.ts'
import { postgresIsMissing, startPostgres } from '../kit/postgres.ts'

/*
 * What a stored proxy is made of is kept in every process that has met it. A change of the proxy, of its application or of
 * a caller's key, made by one process, holds in all of them: workers of one machine, and machines on one database.
 */

/** Each change must hold everywhere within this. */
const WITHIN_MS = 1000
const WORKERS = 2

t.test('workers over LMDB', async (t) => {
  await judge(t, 'workers: 2\n', 1)
})

t.test('two processes over PostgreSQL', async (t) => {
  const missing = postgresIsMissing()
  if (missing !== null) throw new Error(missing)
  const server = await startPostgres()
  t.teardown(() => server.stop())
  await judge(t, `vault: { store: postgres, url: '${server.url('postgres')}' }\n`, 2)
})

async function judge(t: Test, yaml: string, processes: number): Promise<void> {
  const { ca } = await certificates()
  const [one, two] = await Promise.all(['one', 'two'].map((word) => newDestination({ script: saying(word) })))
  if (one === undefined || two === undefined) throw new Error('no destinations')
  t.teardown(() => Promise.all([one.close(), two.close()]))
  const egress = `egress: { ports: [${one.port}, ${two.port}], allowPrivateNetworks: [127.0.0.0/8], ca: [ca.pem] }\n`
  const listen = 'listen: { http: { port: 0 } }\nadmin: { port: 0 }\n'
  const folder = t.testdir({ 's.yaml': `${listen}${egress}${yaml}`, 'master.key': newMasterKey(), 'ca.pem': ca })
  chmodSync(join(folder, 'master.key'), 0o600)
  const key = await newKey(folder, ['*'])
  const caller = await newKey(folder, ['token:use'])
  const commands: Command[] = []
  for (let at = 0; at < processes; at++) {
    writeFileSync(join(folder, `s${at}.yaml`), `${listen}${egress}${yaml}audit: { path: audit-${at} }\n`)
    const command = startCommand(['serve', '--config', `s${at}.yaml`], { cwd: folder })
    t.teardown(() => command.kill('SIGKILL'))
    await command.prints(/"msg":"started"/)
    commands.push(command)
  }
  const ports = await Promise.all(commands.map((command) => command.port('listen.http')))

  const ask = async (port: number, bytes: string) => {
    const client = await newClient({ port, tls: null })
    try {
      return await client.request(bytes)
    } finally {
      client.destroy()
    }
  }
  const api = async (method: string, path: string, json: object = {}) => {
    const body = JSON.stringify(json)
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    const head = `${method} ${path} HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${key}\r\nContent-Type: ${type}\r\n`
    const response = await ask(ports[0] ?? 0, `${head}Content-Length: ${body.length}\r\n\r\n${body}`)
    if (response.status >= 300) throw new Error(`${method} ${path}: ${response.status} ${response.body.toString()}`)
    return response.body.length === 0 ? {} : (JSON.parse(response.body.toString()) as Record<string, unknown>)
  }
  const grants = { name: 'a', type: 'private', permissions: ['token:use'] }
  const application = await api('POST', '/applications', { ...grants, destinations: ['localhost'] })
  const attached = { application: { id: application['id'] } }
  const open = await api('POST', '/proxies', { name: 'p', destination_url: one.url, require_auth: false, ...attached })
  const asked = await api('POST', '/proxies', { name: 'p', destination_url: one.url })

  /** What each process says, by as many connections as make it likely that every worker is met. */
  const everywhere = async (proxyKey: unknown, apiKey: string | null): Promise<string[]> => {
    const said: string[] = []
    for (const port of ports) {
      for (let round = 0; round < WORKERS * 2; round++) {
        const credential = apiKey === null ? '' : `BT-API-KEY: ${apiKey}\r\n`
        const response = await ask(
          port,
          `GET /proxy HTTP/1.1\r\nHost: x\r\nBT-PROXY-KEY: ${String(proxyKey)}\r\n${credential}\r\n`
        )
        said.push(response.status === 200 ? response.body.toString() : String(response.status))
      }
    }
    return said
  }
  const holds = async (name: string, expected: string, proxyKey: unknown, apiKey: string | null = null) => {
    const begun = performance.now()
    for (;;) {
      const asking = performance.now()
      const said = await everywhere(proxyKey, apiKey)
      if (said.every((word) => word === expected)) return t.pass(`${name}: ${expected}`)
      if (asking - begun > WITHIN_MS) return t.fail(`${name}: ${said.join()} and not ${expected}`)
    }
  }
  const path = `/proxies/${String(open['id'])}`
  await holds('made', 'one', open['key'])
  await api('PATCH', path, { destination_url: two.url })
  await holds('the proxy goes elsewhere', 'two', open['key'])
  await api('PUT', `/applications/${String(application['id'])}`, { ...grants, destinations: ['psp.example'] })
  await holds('the application is bound', '403', open['key'])
  await api('PUT', `/applications/${String(application['id'])}`, { ...grants, destinations: ['localhost'] })
  await holds('and freed', 'two', open['key'])
  await api('DELETE', `/applications/${String(application['id'])}`)
  await holds('the application is gone', '409', open['key'])
  await api('DELETE', path)
  await holds('the proxy is gone', '404', open['key'])

  await holds('by a key', 'one', asked['key'], caller)
  const keys = (await api('GET', '/applications/key')) as { id: string }
  const owner = (await listed(folder)).find(({ application: id }) => id !== keys.id)
  await api('DELETE', `/applications/${owner?.application ?? ''}`)
  await holds('the caller is revoked', '401', asked['key'], caller)
}

function saying(word: string) {
  return answering(`HTTP/1.1 200 OK\r\nContent-Length: ${word.length}\r\n\r\n${word}`)
}

async function newKey(folder: string, permissions: string[]): Promise<string> {
  const vault = await vaultOf(folder)
  const { key } = await vault.createKey({ name: 'k', permissions, tenant: 'default' })
  await vault.close()
  return key
}

async function listed(folder: string) {
  const vault = await vaultOf(folder)
  const keys = await vault.listKeys()
  await vault.close()
  return keys
}

async function vaultOf(folder: string) {
  const config = loadConfig({ file: join(folder, 's.yaml'), env: {}, flags: {}, checkFiles: false })
  return openVault(config, readFileSync(join(folder, 'master.key'), 'utf8'))
}
