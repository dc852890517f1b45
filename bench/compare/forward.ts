/**
 * 1 KiB of JSON through every proxy there is, over TLS on both sides, nothing changed on the way: what forwarding costs
 * the proxy process. `--peers=http-proxy,undici` narrows the field; the first is the one the others are measured by.
 */
import { plainBody, tokenId } from '../data/small-json.ts'
import { limitTime } from '../kit/child.ts'
import { contest, type Entry } from '../kit/contest.ts'
import { option, quick } from '../kit/options.ts'
import { report } from '../kit/report.ts'
import { type Contender, newScene, type PeerName, type Scene, startNativePeer, startPeer } from '../kit/scene.ts'
import { populate, startSluice } from '../kit/sluice.ts'

const FIELD = ['http-proxy', 'httpxy', 'fast-proxy', 'undici', 'nginx', 'haproxy', 'pipe', 'sluice']

limitTime(quick ? 90 : 900)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const population = await populate(scene, 'aes-256-gcm', 8)
const entries: Entry[] = []
for (const name of option('peers', FIELD.join()).split(',')) {
  const contender = await start(scene, name)
  if (contender === null) process.stdout.write(`${name} is not installed here\n`)
  else entries.push(entryOf(contender))
}
const ids = { file: population.ids, sample: Array.from({ length: 8 }, (_, at) => tokenId(at)) }
report(await contest('compare/forward', scene, ids, entries))
await scene.close()
process.exit(0)

function entryOf(contender: Contender): Entry {
  const [base] = entries
  const budget = contender.name === 'sluice' ? { budget: 0.45 } : {}
  const against = base === undefined ? [] : [{ entry: base, ...budget }]
  return { case: 'forward 1 KiB', contender, body: 'plain', forwarded: () => plainBody, against }
}

function start(scene: Scene, name: string): Promise<Contender | null> {
  if (name === 'sluice') return startSluice(scene, population)
  return name === 'nginx' || name === 'haproxy' ? startNativePeer(scene, name) : startPeer(scene, name as PeerName)
}
