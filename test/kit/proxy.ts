import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type App, type AppOptions, startApp } from '../../lib/app.ts'
import { parseConfig } from '../../lib/config/load.ts'
import { Log } from '../../lib/observe/log.ts'
import { openVault } from '../../lib/cli/vault.ts'
import type { Vault } from '../../lib/vault/vault.ts'
import { certificates } from './certificates.ts'
import { type Client, newClient } from './client.ts'
import type { RawResponse } from './message.ts'

/** A whole Sluice in this process, on loopback and a real LMDB vault of its own in a temporary folder. */
export interface TestProxy {
  readonly app: App
  readonly vault: Vault
  /** A key that holds every permission but `token:use:head`. */
  readonly key: string
  /** Plain HTTP and HTTPS ports. */
  readonly port: number
  readonly httpsPort: number
  readonly adminPort: number
  readonly folder: string
  /** Every log line so far. */
  readonly logged: () => string
  newKey(permissions: readonly string[], more?: object): Promise<string>
  /** A client on the plain or the TLS port. */
  client(tls?: boolean): Promise<Client>
  /** One request on a connection of its own. */
  request(bytes: Buffer | string): Promise<RawResponse>
  /** Creates a token by the API and gives its id. */
  token(data: unknown, more?: object): Promise<string>
  close(): Promise<void>
}

/** @param settings Overrides, in the shape of the configuration file. */
export async function newProxy(
  settings: Record<string, object> = {},
  more: Pick<AppOptions, 'sandbox'> = {}
): Promise<TestProxy> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'))
  const { ca, server } = await certificates()
  const file = (name: string, text: string): string => {
    const path = join(folder, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  const cert = file('cert.pem', server.cert)
  const key = file('key.pem', server.key)
  file('master.key', MASTER_KEY_TEXT)
  const config = parseConfig(
    {
      ...settings,
      listen: {
        http: { host: '127.0.0.1', port: 0 },
        https: { host: '127.0.0.1', port: 0, tls: { cert, key } },
        engine: process.env['SLUICE_TEST_ENGINE'] ?? 'raw',
        ...settings.listen
      },
      admin: { port: 0, ...settings.admin },
      vault: { path: join(folder, 'data'), masterKeyFile: join(folder, 'master.key'), ...settings.vault },
      audit: { path: join(folder, 'audit'), ...settings.audit },
      egress: {
        ports: [...Array(64512).keys()].map((n) => n + 1024),
        allowPrivateNetworks: ['127.0.0.0/8', '::1/128'],
        ca: [file('ca.pem', ca)],
        ...settings.egress
      }
    },
    folder
  )
  const lines: string[] = []
  const log = new Log('info', { write: (line: string) => void lines.push(line) })
  const vault = await openVault(config, MASTER_KEY_TEXT)
  const app = await startApp(config, { vault, log, version: 'test', ...more })
  const port = app.http?.port ?? 0
  const httpsPort = app.https?.port ?? 0
  const newKey = async (permissions: readonly string[], more: object = {}): Promise<string> =>
    (await vault.createKey({ name: 'test', permissions, tenant: 'default', ...more })).key
  const master = await newKey(['*'])
  const client = (tls = false): Promise<Client> =>
    newClient(tls ? { port: httpsPort, tls: { ca } } : { port, tls: null })
  const request = async (bytes: Buffer | string): Promise<RawResponse> => {
    const one = await client()
    try {
      return await one.request(bytes)
    } finally {
      one.destroy()
    }
  }
  return {
    app,
    vault,
    key: master,
    port,
    httpsPort,
    adminPort: app.admin?.port ?? 0,
    folder,
    logged: () => lines.join(''),
    newKey,
    client,
    request,
    token: async (data, more = {}) => {
      const body = JSON.stringify({ type: 'token', data, ...more })
      const response = await request(
        Buffer.from(
          `POST /tokens HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${master}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
        )
      )
      if (response.status !== 201) throw new Error(`no token: ${response.status} ${response.body.toString()}`)
      return (JSON.parse(response.body.toString()) as { id: string }).id
    },
    close: async () => {
      await app.close()
      await vault.close()
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

/** The bytes of a request on /proxy with an exact Content-Length. */
export function proxyRequest(
  key: string,
  url: string,
  body: string | Buffer | null,
  more: { readonly path?: string; readonly method?: string; readonly headers?: Readonly<Record<string, string>> } = {}
): Buffer {
  const bytes = body === null ? Buffer.alloc(0) : Buffer.from(body)
  const headers: Record<string, string> = {
    Host: 'sluice.test',
    'BT-API-KEY': key,
    'BT-PROXY-URL': url,
    ...(body === null ? {} : { 'Content-Type': 'application/json', 'Content-Length': String(bytes.length) }),
    ...more.headers
  }
  let head = `${more.method ?? 'POST'} ${more.path ?? '/proxy'} HTTP/1.1\r\n`
  for (const [name, value] of Object.entries(headers)) head += `${name}: ${value}\r\n`
  return Buffer.concat([Buffer.from(`${head}\r\n`, 'latin1'), bytes])
}

const MASTER_KEY_TEXT = `${Buffer.alloc(32, 7).toString('base64')}\n`
