/**
 * What a request of 1 KiB with four tokens costs by the number of tokens in the vault; the ids are spread over all of it. The
 * vaults take turns, each behind a process of its own. `--most=10000000`; `--at=DIR` makes the vaults there once and keeps
 * them for the next run.
 */
import { join } from 'node:path'
import { limitTime } from '../kit/child.ts'
import { count, option, quick } from '../kit/options.ts'
import { report } from '../kit/report.ts'
import { newScene } from '../kit/scene.ts'
import { populate, startSluice } from '../kit/sluice.ts'
import { jsonBody, type Line, type Point, sweep } from '../kit/sweep.ts'

limitTime(quick ? 90 : 1200)
const kept = option('at', '')
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const points: Point[] = []
const lines: Line[] = []
for (let tokens = quick ? 100 : 1000; tokens <= count('most', 1_000_000, 1000); tokens *= 10) {
  const at = kept === '' ? undefined : join(kept, `cards-${tokens}`)
  const population = await populate(scene, 'aes-256-gcm', tokens, at)
  lines.push({
    name: 'Sluice, four tokens',
    contender: await startSluice(scene, population),
    contentType: 'application/json',
    ids: population.ids,
    substitutes: true,
    takes: ({ x }) => x === tokens
  })
  const requests = count('requests', 6000, 200)
  points.push({ x: tokens, name: `${tokens} tokens`, ...jsonBody(4, 1024), requests, connections: 32, inFlight: 32 })
}
report(await sweep('e2e/by-vault-size', scene, points, lines, count('rounds', 3, 1)))
await scene.close()
process.exit(0)
