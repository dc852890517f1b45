/**
 * What a request costs by the size of its body, 100 bytes to 100 MB, over TLS on both sides: JSON with a token, a type in
 * which nothing is looked for, and beside them http-proxy and a bare pipe, which know nothing of bodies. Sizes stand on both
 * sides of every buffer's: TLS records of 16 KiB, reads of 64 KiB, `limits.wholeBodyBytes` of 1 MiB.
 */
import { limitTime } from '../kit/child.ts'
import { quick } from '../kit/options.ts'
import { report } from '../kit/report.ts'
import { newScene, startPeer } from '../kit/scene.ts'
import { populate, startSluice } from '../kit/sluice.ts'
import { jsonBody, type Line, type Point, sweep } from '../kit/sweep.ts'

const SIZES = quick
  ? [100, 20_000, 70_000, 1_100_000]
  : [
      100, 300, 1000, 3000, 10_000, 16_000, 17_000, 30_000, 65_000, 67_000, 100_000, 300_000, 1_000_000, 1_100_000,
      3_000_000, 10_000_000, 30_000_000, 100_000_000
    ]

limitTime(quick ? 90 : 600)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const population = await populate(scene, 'aes-256-gcm', quick ? 100 : 10_000)
const [pipe, httpProxy, sluice] = [
  await startPeer(scene, 'pipe'),
  await startPeer(scene, 'http-proxy'),
  await startSluice(scene, population)
]
const { ids } = population
const [json, binary] = ['application/json', 'application/octet-stream']
const lines: Line[] = [
  { name: 'http-proxy', contender: httpProxy, contentType: json, ids, substitutes: false },
  { name: 'Sluice, JSON, a token', contender: sluice, contentType: json, ids, substitutes: true },
  { name: 'Sluice, binary', contender: sluice, contentType: binary, ids, substitutes: false },
  { name: 'bare TLS pipe', contender: pipe, contentType: json, ids, substitutes: false }
]
const points = SIZES.map((bytes): Point => {
  const requests = Math.ceil(Math.min(quick ? 50 : 1000, Math.max(2, (quick ? 2e6 : 2e7) / bytes)))
  const connections = Math.min(8, Math.ceil(3e6 / bytes))
  return { x: bytes, name: `${bytes} B`, ...jsonBody(1, bytes), requests, connections, inFlight: connections }
})
report(await sweep('e2e/by-body-size', scene, points, lines, quick ? 1 : 3))
await scene.close()
process.exit(0)
