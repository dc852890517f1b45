/** `sluice audit verify`: finds any record that was removed, changed, moved or cut off. */
import type { KeyObject } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Anchor, sealLine } from './audit.ts'
import { firstMac, runningMac } from './audit-mac.ts'
import type { Records } from './records.ts'
import type { Store } from './store.ts'

export interface ChainReport {
  readonly chain: string
  readonly seals: number
  /** Intents, their outcomes, and intents without one. */
  readonly intents: number
  readonly outcomes: number
  readonly unknown: number
  /** Records after the last seal: written in the last second of a process that was killed, or that still runs. */
  readonly unsealed: number
  /** What is wrong, and where; null when nothing is. */
  readonly fault: string | null
}

interface Chain extends ChainReport {
  // :: number of a seal → its mac
  readonly macs: ReadonlyMap<number, string>
  readonly heads: Readonly<Record<string, number>>
}

/** A report of every chain that there is, or that something says there should be. */
export async function verifyAudit(
  directory: string,
  key: KeyObject,
  store: Store,
  records: Records
): Promise<ChainReport[]> {
  // The anchors first: a chain that grows meanwhile is then ahead of its anchor, never behind.
  const anchors = new Map<string, Anchor>()
  for (const { key: id, value } of await store.scan('anchors', { prefix: '', limit: Number.MAX_SAFE_INTEGER })) {
    anchors.set(id, records.decode<Anchor>('anchors', id, value))
  }
  const chains = new Map<string, Chain>()
  for (const name of filesOf(directory)) {
    const chain = name.slice(0, -EXTENSION.length)
    chains.set(chain, verifyChain(chain, readFileSync(join(directory, name)), key, anchors.get(chain)))
  }
  const reports: ChainReport[] = [...chains.values()]
  const missing = new Map<string, string>()
  for (const id of anchors.keys()) if (!chains.has(id)) missing.set(id, 'the file is gone')
  for (const { chain: by, heads } of chains.values()) {
    for (const [id, seal] of Object.entries(heads)) {
      if ((chains.get(id)?.seals ?? 0) < seal)
        missing.set(id, `the file is gone or cut off: ${by} knew of seal ${seal}`)
    }
  }
  for (const [chain, fault] of missing)
    reports.push({ chain, seals: 0, intents: 0, outcomes: 0, unknown: 0, unsealed: 0, fault })
  return reports
}

function filesOf(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith(EXTENSION))
      .sort()
  } catch {
    return []
  }
}

function verifyChain(chain: string, bytes: Buffer, key: KeyObject, anchor: Anchor | undefined): Chain {
  const macs = new Map<number, string>()
  const open = new Set<number>()
  const macOf = beginsAs2(bytes) ? runningMac : firstMac
  let running = macOf(key, chain, '')
  let heads: Record<string, number> = {}
  let [at, intents, outcomes, unsealed] = [0, 0, 0, 0]
  let fault: string | null = null
  while (at < bytes.length && fault === null) {
    const newline = bytes.indexOf(NEWLINE, at)
    const end = newline < 0 ? bytes.length : newline + 1
    const line = bytes.subarray(at, end)
    const record = newline < 0 ? null : parse(line)
    if (record?.seal !== undefined) {
      const mac = running.final(at)
      if (line.toString() !== sealLine(macs.size + 1, record.n ?? 0, at, mac)) fault = `changed before byte ${at}`
      macs.set(macs.size + 1, mac)
      running = macOf(key, chain, mac)
      unsealed = 0
    } else {
      unsealed++
      if (record?.chain !== undefined) {
        if (at !== 0 || record.chain !== chain) fault = `it begins as another chain at byte ${at}`
        heads = record.heads ?? {}
      } else if (at === 0) fault = 'its beginning is gone'
      if (record?.of !== undefined) {
        outcomes++
        open.delete(record.of)
      } else if (record?.door !== undefined && record.n !== undefined) {
        intents++
        if (record.refused === undefined) open.add(record.n)
      }
    }
    running.update(line)
    at = end
  }
  fault ??= anchor === undefined ? null : againstAnchor(anchor, macs, unsealed)
  return { chain, seals: macs.size, intents, outcomes, unknown: open.size, unsealed, fault, macs, heads }
}

/** What the first line says of its seals' macs. Whoever changes it changes what they are made over. */
function beginsAs2(bytes: Buffer): boolean {
  return parse(bytes.subarray(0, Math.max(0, bytes.indexOf(NEWLINE))))?.v === 2
}

function againstAnchor(anchor: Anchor, macs: ReadonlyMap<number, string>, unsealed: number): string | null {
  if (macs.get(anchor.seal) !== anchor.mac) return `it is cut off: the store knows of seal ${anchor.seal}`
  return anchor.closed && unsealed > 0 ? 'records follow its end' : null
}

interface Line {
  readonly chain?: string
  readonly v?: number
  readonly heads?: Record<string, number>
  readonly n?: number
  readonly of?: number
  readonly door?: string
  readonly refused?: string
  readonly seal?: number
}

/** null for what is no record: the MAC says whether it was one. */
function parse(line: Buffer): Line | null {
  try {
    return JSON.parse(line.toString()) as Line
  } catch {
    return null
  }
}

const EXTENSION = '.audit'
const NEWLINE = 0x0a
