/**
 * Large uploads with a token in the first, middle and last hundred bytes, over TLS on both sides, against a bare Node
 * TLS-to-TLS pipe that is given the same bytes: CPU, peak anonymous memory, and the first byte out before the last in.
 * `--mib=10240 --case=text` for one of another size.
 */
import { tokenId, tokenValue } from '../data/small-json.ts'
import { limitTime } from '../kit/child.ts'
import { type LargeCase, type LargeSubject, largeContest } from '../kit/large-contest.ts'
import { option, quick } from '../kit/options.ts'
import { report } from '../kit/report.ts'
import { newScene, startPeer } from '../kit/scene.ts'
import { populate, startSluice } from '../kit/sluice.ts'

limitTime(quick ? 90 : 1500)
const scene = await newScene(new URL('../kit/large-upstream.ts', import.meta.url))
const population = await populate(scene, 'aes-256-gcm', 8)
const upload = (mib: number, kind: 'text' | 'json', chunked: boolean): LargeCase => {
  const size = Number(option('mib', String(quick ? 4 : mib)))
  return {
    name: `${size} MiB ${kind}, ${chunked ? 'chunked' : 'Content-Length'}`,
    direction: 'up',
    kind,
    bytes: size * 2 ** 20,
    chunked,
    sent: [`{{ ${tokenId(0)} }}`, `{{ ${tokenId(1)} }}`, `{{ ${tokenId(2)} }}`],
    budget: kind === 'text' ? 1.15 : 1.75
  }
}
const cases = [upload(10, 'text', true), upload(1024, 'text', true), upload(1024, 'json', false)].filter(
  (each, at, all) => each.name.includes(option('case', '')) && all[at - 1]?.name !== each.name
)
const subjects: LargeSubject[] = [
  { name: 'pipe', start: () => startPeer(scene, 'pipe'), forwards: null },
  {
    name: 'sluice',
    start: () => startSluice(scene, population),
    forwards: [tokenValue(0), tokenValue(1), tokenValue(2)]
  }
]
report(await largeContest('e2e/large-upload', scene, cases, subjects))
await scene.close()
process.exit(0)
