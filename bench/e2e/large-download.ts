/**
 * Large answers on their way back, over TLS on both sides, against a bare Node TLS-to-TLS pipe: CPU and peak anonymous
 * memory. Nothing is looked for in them.
 */
import { limitTime } from '../kit/child.ts'
import { type LargeCase, largeContest } from '../kit/large-contest.ts'
import { option, quick } from '../kit/options.ts'
import { report } from '../kit/report.ts'
import { newScene, startPeer } from '../kit/scene.ts'
import { populate, startSluice } from '../kit/sluice.ts'

limitTime(quick ? 90 : 900)
const scene = await newScene(new URL('../kit/large-upstream.ts', import.meta.url))
const population = await populate(scene, 'aes-256-gcm', 8)
const download = (mib: number, kind: 'text' | 'json', chunked: boolean): LargeCase => {
  const size = Number(option('mib', String(quick ? 4 : mib)))
  return {
    name: `${size} MiB ${kind}, ${chunked ? 'chunked' : 'Content-Length'}`,
    direction: 'down',
    kind,
    bytes: size * 2 ** 20,
    chunked,
    sent: ['first', 'middle', 'last'],
    budget: 1.15
  }
}
const cases = [download(1024, 'json', true), download(1024, 'text', false)]
report(
  await largeContest('e2e/large-download', scene, cases, [
    { name: 'pipe', start: () => startPeer(scene, 'pipe'), forwards: null },
    { name: 'sluice', start: () => startSluice(scene, population), forwards: ['first', 'middle', 'last'] }
  ])
)
await scene.close()
process.exit(0)
