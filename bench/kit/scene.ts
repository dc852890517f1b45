import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { certificates } from '../../test/kit/certificates.ts'
import { type NativeName, startNative } from '../compare/_native.ts'
import { type Child, startProgram } from './child.ts'

/** What the contenders of one benchmark share: a folder, certificates, the destination behind them. */
export interface Scene {
  /** Removed at the end. */
  readonly folder: string
  /** PEM files. */
  readonly ca: string
  readonly cert: string
  readonly key: string
  readonly upstream: Child
  readonly upstreamPort: number
  /** Stops every process of the scene and removes the folder. */
  close(): Promise<void>
  /** Stops this process too, at the end. */
  add(child: Child): void
}

/** A proxy that takes part: running, and ready. */
export interface Contender {
  readonly name: string
  readonly child: Child
  readonly port: number
  /** Value of the Host field. The bare pipe cannot change it, so that it must be the destination's. */
  readonly host: string
  /** Request target and extra header lines (each ending in CRLF) that make it forward to the scene's destination. */
  readonly target: string
  readonly headers: string
}

/** The proxies to compare with, by the names of their programs in `bench/compare/`. */
const PEERS = {
  'http-proxy': new URL('../compare/_http-proxy.ts', import.meta.url),
  httpxy: new URL('../compare/_httpxy.ts', import.meta.url),
  'fast-proxy': new URL('../compare/_fast-proxy.ts', import.meta.url),
  undici: new URL('../compare/_undici.ts', import.meta.url),
  'bare-server': new URL('../compare/_bare-server.ts', import.meta.url),
  pipe: new URL('../compare/_pipe.ts', import.meta.url)
} as const

export type PeerName = keyof typeof PEERS

/** Makes certificates and starts `program` (an upstream of `bench/kit/`) behind them. */
export async function newScene(program: URL): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  const file = (name: string, text: string) => {
    const path = join(folder, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  const made = await certificates()
  const [ca, cert, key] = [
    file('ca.pem', made.ca),
    file('cert.pem', made.server.cert),
    file('key.pem', made.server.key)
  ]
  const upstream = startProgram('upstream', 'upstream', program, [cert, key])
  const upstreamPort = await upstream.ask<number>('listen')
  const children = [upstream]
  return {
    folder,
    ca,
    cert,
    key,
    upstream,
    upstreamPort,
    add: (child) => children.push(child),
    async close() {
      await Promise.all(children.map((child) => child.stop()))
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

/** Starts one of the peers in front of the scene's destination. */
export async function startPeer(scene: Scene, name: PeerName): Promise<Contender> {
  const args = [String(scene.upstreamPort), scene.ca, scene.cert, scene.key]
  const child = startProgram(name, 'proxy', PEERS[name], args)
  scene.add(child)
  const port = await child.ask<number>('listen')
  const host = `localhost:${name === 'pipe' ? scene.upstreamPort : port}`
  return { name, child, port, host, target: '/v1/payments', headers: '' }
}

/** Starts nginx (with Lua: over a file of lines `ID VALUE`) or HAProxy there; null where it is not installed. */
export async function startNativePeer(scene: Scene, name: NativeName, table = ''): Promise<Contender | null> {
  const started = await startNative(name, { ...scene, table })
  if (started === null) return null
  const { child, port } = started
  scene.add(child)
  return { name, child, port, host: `localhost:${port}`, target: '/v1/payments', headers: '' }
}
