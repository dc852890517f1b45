import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { localhostCertificate } from '../cli/certificate.ts'
import { threadFile } from '../thread-file.ts'

/**
 * Runs what users run, once, so that V8 has compiled what a start takes: a configuration, a server, a token, a request
 * through the proxy. `keep-caches.ts` keeps that. All on loopback, in a folder of its own that is removed.
 *
 * @param programs The folder of the bundle.
 */
export async function warmUp(programs: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-build-'))
  const { ca, cert, key } = await localhostCertificate(folder)
  const destination = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (asked, answer) => {
    asked.resume().on('end', () => answer.end('{}'))
  })
  await once(destination.listen(0, 'localhost'), 'listening')
  const port = (destination.address() as AddressInfo).port
  const file = join(folder, 'sluice.yaml')
  writeFileSync(file, configuration(port))
  const words = ['--import', KEEP, join(programs, 'main.js')]
  const run = (...args: string[]) =>
    execFileSync(process.execPath, [...words, ...args, '--config', file], {
      encoding: 'utf8',
      env: {},
      timeout: LIMIT_MS
    })
  let server: ChildProcess | null = null
  try {
    run('keyring', 'init')
    const made = run('keys', 'create', '--name', 'build', '--permissions', '*', '--json')
    const apiKey = (JSON.parse(made) as { key: string }).key
    run('check')
    server = spawn(process.execPath, [...words, 'serve', '--config', file], {
      env: {},
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL'
    })
    const https = await portOf(server)
    const ask = asking(https, readFileSync(ca), apiKey)
    const token = await ask('/tokens', {}, '{"type":"token","data":"4242424242424242"}')
    const { id } = JSON.parse(token) as { id: string }
    await ask('/proxy', { 'BT-PROXY-URL': `https://localhost:${port}/` }, `{"number":"{{ ${id} }}"}`)
    server.kill('SIGTERM')
    const [code] = (await once(server, 'exit')) as [number | null]
    if (code !== 0) throw new Error('sluice serve did not end well')
  } finally {
    server?.kill('SIGKILL')
    destination.close()
    destination.closeAllConnections()
    rmSync(folder, { recursive: true })
  }
}

function configuration(port: number): string {
  return `
listen: { https: { host: 127.0.0.1, port: 0, tls: { cert: cert.pem, key: key.pem } } }
admin: { host: 127.0.0.1, port: 0 }
vault: { path: data, masterKeyFile: master.key }
audit: { path: audit }
egress: { hosts: [localhost], ports: [${port}], allowPrivateNetworks: [127.0.0.0/8, '::1/128'], ca: [ca.pem] }
`
}

/** The port of the listener for HTTPS, from the line of the log that tells it. */
async function portOf(server: ChildProcess): Promise<number> {
  let said = ''
  for (const stream of [server.stdout, server.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  }
  for (;;) {
    const match = /"listen.https","address":"[^"]*","port":(\d+)/.exec(said)
    if (match !== null) return Number(match[1])
    if (server.exitCode !== null) throw new Error(`sluice serve ended: ${said}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

type Ask = (path: string, headers: Readonly<Record<string, string>>, body: string) => Promise<string>

function asking(port: number, ca: Buffer, apiKey: string): Ask {
  return async (path, headers, body) => {
    const asked = request({
      host: 'localhost',
      port,
      path,
      method: 'POST',
      ca,
      headers: { ...headers, 'BT-API-KEY': apiKey, 'Content-Type': 'application/json' }
    })
    asked.end(body)
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    let text = ''
    for await (const chunk of answer.setEncoding('utf8')) text += chunk as string
    if (answer.statusCode === undefined || answer.statusCode > 299) throw new Error(`${path}: ${text}`)
    return text
  }
}

const KEEP = fileURLToPath(threadFile(new URL('./keep-caches.ts', import.meta.url)))
/** For each of what runs. */
const LIMIT_MS = 60_000
