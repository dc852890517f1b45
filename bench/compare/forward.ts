/**
 * 1 KiB of JSON through every proxy there is, over TLS on both sides, nothing changed on the way: what forwarding costs
 * the proxy process. `--peers=a,b` narrows the field.
 */
import { join } from 'node:path'
import { writeFileSync } from 'node:fs'
import { plainBody, tokenId } from '../data/small-json.ts'
import { limitTime } from '../kit/child.ts'
import { contest, type Entry } from '../kit/contest.ts'
import { option, quick } from '../kit/options.ts'
import { report } from '../kit/report.ts'
import { newScene, type PeerName, startPeer } from '../kit/scene.ts'

limitTime(quick ? 60 : 900)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const names = option('peers', 'http-proxy,httpxy,fast-proxy,undici,pipe').split(',') as PeerName[]
const entries: Entry[] = []
for (const name of names) {
  entries.push({
    case: 'forward 1 KiB',
    contender: await startPeer(scene, name),
    body: 'plain',
    forwarded: () => plainBody
  })
}
const sample = Array.from({ length: 8 }, (_, at) => tokenId(at))
writeFileSync(join(scene.folder, 'ids'), sample.join(''))
report(
  await contest('compare/forward', scene, { file: join(scene.folder, 'ids'), sample }, entries, entries[0] as Entry)
)
await scene.close()
process.exit(0)
