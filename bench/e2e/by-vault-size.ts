/**
 * What a request of 1 KiB with four tokens costs by the number of tokens in the vault, a thousand to ten million (or
 * `--most=1000000`); the ids are spread over all of it.
 */
import { limitTime } from '../kit/child.ts'
import { count, quick } from '../kit/options.ts'
import { type Row, report } from '../kit/report.ts'
import { newScene } from '../kit/scene.ts'
import { grow, populate, startSluice } from '../kit/sluice.ts'
import { jsonBody, sweep } from '../kit/sweep.ts'

limitTime(quick ? 90 : 900)
const most = count('most', 10_000_000, 1000)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const rows: Row[] = []
let population = await populate(scene, 'aes-256-gcm', quick ? 100 : 1000)
for (;;) {
  const { tokens, ids } = population
  const contender = await startSluice(scene, population)
  const line = { name: 'Sluice, four tokens', contender, contentType: 'application/json', substitutes: true }
  const requests = quick ? 200 : 10_000
  const point = { x: tokens, name: `${tokens} tokens`, ...jsonBody(4, 1024), requests, connections: 32, inFlight: 32 }
  rows.push(...(await sweep('e2e/by-vault-size', scene, ids, [point], [line], 1)))
  await contender.child.stop()
  if (tokens * 10 > most) break
  population = await grow(population, tokens * 10)
}
report(rows)
await scene.close()
process.exit(0)
