/**
 * What a request of 1 KiB costs by the number of keep-alive connections that are open, one to ten thousand: the requests
 * come on all of them in turn, at most 32 at once. Sluice with four tokens, http-proxy untouched.
 */
import { limitTime } from '../kit/child.ts'
import { quick } from '../kit/options.ts'
import { report } from '../kit/report.ts'
import { newScene, startPeer } from '../kit/scene.ts'
import { populate, startSluice } from '../kit/sluice.ts'
import { jsonBody, type Line, type Point, sweep } from '../kit/sweep.ts'

const CONNECTIONS = quick ? [1, 100] : [1, 3, 10, 30, 100, 300, 1000, 10_000]

limitTime(quick ? 90 : 600)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const population = await populate(scene, 'aes-256-gcm', quick ? 1000 : 100_000)
const { ids } = population
const contentType = 'application/json'
const lines: Line[] = [
  {
    name: 'http-proxy, untouched',
    contender: await startPeer(scene, 'http-proxy'),
    contentType,
    ids,
    substitutes: false
  },
  { name: 'Sluice, four tokens', contender: await startSluice(scene, population), contentType, ids, substitutes: true }
]
const points = CONNECTIONS.map(
  (connections): Point => ({
    x: connections,
    name: `${connections} connections`,
    ...jsonBody(4, 1024),
    requests: quick ? 200 : 4000,
    connections,
    inFlight: 32
  })
)
report(await sweep('e2e/by-connections', scene, points, lines, 1))
await scene.close()
process.exit(0)
