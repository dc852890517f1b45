import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { platform } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openVault } from '../../lib/cli/vault.ts'
import { loadConfig } from '../../lib/config/load.ts'
import { newMasterKey } from '../../lib/vault/master-key.ts'
import { certificates, issue, newAuthority } from '../kit/certificates.ts'
import { newClient } from '../kit/client.ts'
import { type Command, type CommandOptions, runCommand, startCommand } from '../kit/command.ts'

const LISTEN = 'listen: { http: { port: 0 }, drainMs: 5000 }\nadmin: { port: 0 }\n'

/** A folder with a configuration and a master key. */
function newFolder(t: Test, yaml: string): string {
  const folder = t.testdir({ 's.yaml': yaml, 'master.key': newMasterKey() })
  chmodSync(join(folder, 'master.key'), 0o600)
  return folder
}

/** Makes a key as `sluice keys create` does, without the process. */
async function newKey(
  folder: string,
  permissions = ['*'],
  destinations: string[] | null = null
): Promise<{ id: string; key: string }> {
  const config = loadConfig({ file: join(folder, 's.yaml'), env: {}, flags: {}, checkFiles: false })
  const vault = await openVault(config, readFileSync(join(folder, 'master.key'), 'utf8'))
  const made = await vault.createKey({ name: 'k', permissions, tenant: 'default', destinations })
  await vault.close()
  return made
}

async function serve(t: Test, folder: string, options: CommandOptions = {}): Promise<Command> {
  const command = startCommand(['serve', '--config', 's.yaml'], { cwd: folder, ...options })
  t.teardown(() => command.kill('SIGKILL'))
  await command.prints(/"msg":"started"/)
  return command
}

/** Waits for lines that other processes write on their own. */
async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    if (tries > 500) throw new Error('it did not come to that')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function post(key: string, length: number): string {
  return `POST /tokens HTTP/1.1\r\nHost: a\r\nBT-API-KEY: ${key}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
}

const TOKEN = '{"type": "token", "data": "marked-value"}'

t.test('serve refuses what would be dangerous, with one line and exit code 1', async (t) => {
  const folder = newFolder(t, LISTEN)
  writeFileSync(join(folder, 'plain.yaml'), 'listen: { http: { host: 0.0.0.0, port: 0 } }\n')
  writeFileSync(join(folder, 'keyless.yaml'), `${LISTEN}vault: { masterKeyFile: nowhere }\n`)
  const run = (args: string[], options: CommandOptions = {}) =>
    runCommand(['serve', ...args], { cwd: folder, ...options })
  const [plain, keyless, inspected, byOptions, taken, usage] = await Promise.all([
    run(['--config', 'plain.yaml']),
    run(['--config', 'keyless.yaml']),
    run(['--config', 's.yaml'], { node: ['--inspect=127.0.0.1:0'] }),
    run(['--config', 's.yaml'], { env: { NODE_OPTIONS: '--inspect-publish-uid=http --inspect=127.0.0.1:0' } }),
    run(['--config', 's.yaml', '--admin.port', String(await busyPort(t))]),
    run(['--confg', 's.yaml'])
  ])
  t.match(plain, { code: 1, stdout: '', stderr: /^sluice serve: listen\.http\.host: plain HTTP/ })
  t.match(keyless, { code: 1, stdout: '', stderr: /^sluice serve: vault\.masterKeyFile: .* \(ENOENT\)\n$/ })
  t.match(inspected, { code: 1, stdout: '', stderr: /^sluice serve: the inspector/m })
  t.match(byOptions, { code: 1, stdout: '', stderr: /^sluice serve: the inspector/m })
  t.match(taken, { code: 1, stderr: /^sluice serve: [^\n]+\n$/ })
  t.match(usage, { code: 2 })
})

/** A port that somebody listens on. */
async function busyPort(t: Test): Promise<number> {
  const { createServer } = await import('node:net')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return (server.address() as { port: number }).port
}

t.test(
  'serve warns of keys that may send anywhere, hides its key, ignores SIGUSR1 and reloads on SIGHUP',
  async (t) => {
    const { server: first } = await certificates()
    const authority = await newAuthority('another')
    const second = await issue(authority, 'localhost', ['localhost'])
    const https = 'https: { port: 0, tls: { cert: cert.pem, key: key.pem } }'
    const listen = `listen: { http: { port: 0 }, ${https} }\nadmin: { port: 0 }\n`
    const folder = newFolder(t, listen)
    writeFileSync(join(folder, 'cert.pem'), first.cert)
    writeFileSync(join(folder, 'key.pem'), first.key)
    const open = await newKey(folder)
    const bound = await newKey(folder, ['token:use'], ['api.example.com'])
    const harmless = await newKey(folder, ['token:create'])
    const server = await serve(t, folder)
    t.match(server.stdout, new RegExp(`"keyId":"${open.id}","msg":"this key holds token:use`))
    for (const { id } of [bound, harmless]) t.notMatch(server.stdout, id)

    server.kill('SIGUSR1')
    const admin = await server.port('admin')
    const healthy = async (path: string) => (await fetch(`http://127.0.0.1:${admin}${path}`)).status
    t.equal(await healthy('/healthz'), 200)
    t.equal(await healthy('/readyz'), 200)
    t.notMatch(server.stderr, /debugger/i)

    const port = await server.port('listen.http')
    const client = await newClient({ port })
    t.teardown(() => client.destroy())
    const answer = await client.request(post(open.key, TOKEN.length) + TOKEN)
    t.equal(answer.status, 201)
    await server.prints(/"route":"\/tokens".*"status":201/)

    writeFileSync(join(folder, 's.yaml'), `${listen}egress: { timeoutMs: nought }\n`)
    server.kill('SIGHUP')
    await server.prints(/"settings":\["egress\.timeoutMs"\],"msg":"reload refused/)
    t.equal(await healthy('/readyz'), 200)
    writeFileSync(join(folder, 's.yaml'), `${listen}limits: { apiBodyBytes: 10 }\nworkers: 2\n`)
    writeFileSync(join(folder, 'cert.pem'), second.cert)
    writeFileSync(join(folder, 'key.pem'), second.key)
    server.kill('SIGHUP')
    await server.prints(/"settings":\["workers"\],"msg":"these settings wait for a restart"/)
    await server.prints(/"msg":"reloaded"/)
    t.equal((await client.request(post(open.key, TOKEN.length) + TOKEN)).status, 413, 'the new limit is in force')
    const renewed = await newClient({ port: await server.port('listen.https'), tls: { ca: authority.cert } })
    renewed.destroy()
    t.pass('and so is the new certificate')
    t.notMatch(server.stdout, 'marked-value')
  }
)

t.test('SIGTERM finishes what runs, accepts nothing new, and exits with 0', async (t) => {
  const folder = newFolder(t, LISTEN)
  const { key } = await newKey(folder)
  const server = await serve(t, folder)
  const port = await server.port('listen.http')
  const running = await newClient({ port })
  t.teardown(() => running.destroy())
  await running.send(post(key, TOKEN.length) + TOKEN.slice(0, 9))
  const idle = await newClient({ port })
  t.teardown(() => idle.destroy())
  t.equal((await idle.request(post(key, TOKEN.length) + TOKEN)).status, 201)

  server.kill('SIGTERM')
  await server.prints(/"msg":"draining"/)
  await idle.closed
  await t.rejects(newClient({ port }), 'no new connections')
  await running.send(TOKEN.slice(9))
  t.equal((await running.response()).status, 201, 'the running request is finished')
  t.match(await server.exited, { code: 0, signal: null, stderr: '' })
})

t.test('SIGTERM cuts what is not through within drainMs, and exits with 0', async (t) => {
  const folder = newFolder(t, LISTEN.replace('5000', '300'))
  const { key } = await newKey(folder)
  const server = await serve(t, folder)
  const stuck = await newClient({ port: await server.port('listen.http') })
  t.teardown(() => stuck.destroy())
  await stuck.send(post(key, TOKEN.length) + TOKEN.slice(0, 9))
  server.kill('SIGTERM')
  t.match(await server.exited, { code: 0, signal: null, stderr: '' })
})

t.test('workers share the listeners; the primary adds up metrics, replaces the dead, and drains', async (t) => {
  const folder = newFolder(t, `${LISTEN}workers: 2\n`)
  const { key } = await newKey(folder)
  const masterKey = readFileSync(join(folder, 'master.key'), 'utf8').trim()
  const server = await serve(t, folder, { env: { SLUICE_MASTER_KEY: masterKey } })
  const port = await server.port('listen.http')
  const workers = () =>
    new Set([...server.stdout.matchAll(/"pid":(\d+),"setting":"listen\.http"/g)].map((match) => Number(match[1])))
  await until(() => workers().size === 2)
  t.notOk(workers().has(server.pid))
  if (platform() === 'linux') {
    for (const pid of workers())
      t.notMatch(readFileSync(`/proc/${pid}/environ`, 'latin1'), masterKey, 'no key in the environment')
  }
  const create = async () => {
    const client = await newClient({ port })
    const { status } = await client.request(post(key, TOKEN.length) + TOKEN)
    client.destroy()
    return status
  }
  for (let at = 0; at < 6; at++) t.equal(await create(), 201)
  const served = () => new Set([...server.stdout.matchAll(/"pid":(\d+),"dialect"/g)].map((match) => match[1]))
  await until(() => served().size === 2)

  const admin = await server.port('admin')
  const scrape = async () => (await fetch(`http://127.0.0.1:${admin}/metrics`)).text()
  t.match(await scrape(), /^sluice_requests_total\{dialect="basis_theory",route="\/tokens",outcome="ok"\} 6$/m)
  t.match(await scrape(), /^sluice_requests_total\{dialect="admin",route="\/metrics",outcome="ok"\} 1$/m)

  const [victim = 0] = workers()
  process.kill(victim, 'SIGKILL')
  await server.prints(/"msg":"worker died"/)
  await server.prints(/"msg":"worker replaced"/)
  await until(() => workers().size === 3)
  for (let at = 0; at < 4; at++) t.equal(await create(), 201)

  writeFileSync(join(folder, 's.yaml'), `${LISTEN}workers: 2\nlimits: { apiBodyBytes: 10 }\n`)
  server.kill('SIGHUP')
  await server.prints(/"msg":"reloaded"/)
  t.equal(await create(), 413)

  server.kill('SIGTERM')
  t.match(await server.exited, { code: 0, signal: null, stderr: '' })
})

t.test('workers that cannot start end the command with what is wrong', async (t) => {
  const folder = newFolder(t, `listen: { http: { port: ${await busyPort(t)} } }\nadmin: { port: 0 }\nworkers: 2\n`)
  const result = await runCommand(['serve', '--config', 's.yaml'], { cwd: folder })
  t.match(result, { code: 1, stderr: /^sluice serve: [^\n]+\n$/ })
})
