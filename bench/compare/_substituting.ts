import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expectedBody, requestBody, tokenId, tokenTable, valueOfId } from '../data/small-json.ts'
import type { Against, Entry, Ids } from '../kit/contest.ts'
import { type Contender, type PeerName, type Scene, startNativePeer, startPeer } from '../kit/scene.ts'
import { populate, startSluice } from '../kit/sluice.ts'

/** Those who take part, and the ids that their bodies are filled with. */
export interface Field {
  readonly entries: readonly Entry[]
  readonly ids: Ids
}

/**
 * 1 KiB of JSON with four of `tokens` tokens. Sluice finds each of them in a store that no cache can hold and opens it,
 * with authentication, permissions, audit, metrics and log on, in either cipher. Against it: peers that forward the same
 * bytes untouched, and nginx with Lua, which looks the values up in a table in memory and does nothing else.
 */
export async function substituting(scene: Scene, tokens: number, peers: readonly string[]): Promise<Field> {
  const bases: Entry[] = []
  for (const name of peers) {
    const contender = await startBase(scene, tokens, name)
    if (contender === null) process.stdout.write(`${name} is not installed here\n`)
    else if (name === 'nginx+lua') bases.push(entry('1 KiB, four tokens', contender, substituted, bases))
    else bases.push(entry('1 KiB, four tokens, untouched', contender, requestBody, bases))
  }
  const aes = await populate(scene, 'aes-256-gcm', tokens)
  const xchacha = await populate(scene, 'xchacha20-poly1305', tokens)
  const name = `1 KiB, four of ${tokens} tokens`
  const entries = [
    ...bases,
    entry(name, await startSluice(scene, aes, { name: 'sluice, AES-256-GCM' }), substituted, bases, AES),
    entry(name, await startSluice(scene, xchacha, { name: 'sluice, XChaCha20' }), substituted, bases, XCHACHA)
  ]
  return { entries, ids: { file: aes.ids, sample: Array.from({ length: 8 }, (_, at) => tokenId(at * 5)) } }
}

function startBase(scene: Scene, tokens: number, name: string): Promise<Contender | null> {
  if (name === 'nginx') return startNativePeer(scene, name)
  if (name !== 'nginx+lua') return startPeer(scene, name as PeerName)
  const table = join(scene.folder, 'table')
  writeFileSync(table, tokenTable(tokens))
  return startNativePeer(scene, name, table)
}

// :: peer → what DESIGN asks of the ratio to it
type Budgets = Readonly<Record<string, number>>

function entry(
  name: string,
  contender: Contender,
  forwarded: Entry['forwarded'],
  bases: readonly Entry[],
  budgets: Budgets = {}
): Entry {
  const against = bases.map((base): Against => {
    const budget = budgets[base.contender.name]
    return budget === undefined ? { entry: base } : { entry: base, budget }
  })
  return { case: name, contender, body: 'tokens', forwarded, against }
}

function substituted(ids: readonly string[]): string {
  return expectedBody(ids.map(valueOfId))
}

const AES: Budgets = { 'http-proxy': 0.65, 'nginx+lua': 3.2 }
const XCHACHA: Budgets = { 'http-proxy': 0.5, 'nginx+lua': 2.5 }
