import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { nativeVersion } from '../compare/_native.ts'
import { pinned } from './child.ts'
import { instructionsAreCounted } from './instructions.ts'
import type { Row } from './report.ts'

/** Where and when figures were taken: kept with every result. */
export interface Circumstances {
  readonly date: string
  /** Commit of the working tree, with `+` when it has changes. */
  readonly revision: string
  readonly node: string
  readonly openssl: string
  readonly kernel: string
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  /** The proxy under test has a core of its own. */
  readonly pinned: boolean
  /** Linux perf counts user-space instructions here. */
  readonly instructions: boolean
  /** Versions of the proxies compared with; null: not found here. */
  readonly peers: Readonly<Record<string, string | null>>
}

/** A row with where and when it was measured. */
export type KeptRow = Row & { readonly where: Circumstances }

/** The circumstances of this run. */
export function circumstances(): Circumstances {
  const processors = cpus()
  return {
    date: new Date().toISOString().slice(0, 10),
    revision: revision(),
    node: process.versions.node,
    openssl: process.versions.openssl,
    kernel: release(),
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    pinned: pinned(),
    instructions: instructionsAreCounted(),
    peers: peerVersions()
  }
}

function revision(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    return git('rev-parse', '--short=10', 'HEAD').trim() + (git('status', '--porcelain').trim() === '' ? '' : '+')
  } catch {
    return 'unknown'
  }
}

function peerVersions(): Record<string, string | null> {
  const manifest = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    devDependencies: Record<string, string>
  }
  const packages = ['http-proxy', 'httpxy', 'fast-proxy', 'undici']
  const natives = ['nginx', 'nginx+lua', 'haproxy'] as const
  return Object.fromEntries([
    ...packages.map((name) => [name, manifest.devDependencies[name] ?? null]),
    ...natives.map((name) => [name, nativeVersion(name)])
  ])
}
