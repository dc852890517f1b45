/**
 * 1 KiB of JSON with four tokens through Sluice in both ciphers, beside http-proxy and nginx with the same bytes untouched,
 * and nginx with Lua that does the same from a table in memory. `--peers=http-proxy,nginx+lua`, `--tokens=1000000`.
 */
import { limitTime } from '../kit/child.ts'
import { contest } from '../kit/contest.ts'
import { count, option, quick } from '../kit/options.ts'
import { report } from '../kit/report.ts'
import { newScene } from '../kit/scene.ts'
import { substituting } from './_substituting.ts'

limitTime(quick ? 90 : 900)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const peers = option('peers', 'http-proxy,nginx,nginx+lua').split(',')
const { entries, ids } = await substituting(scene, count('tokens', 100_000, 1000), peers)
report(await contest('compare/substitute', scene, ids, entries))
await scene.close()
process.exit(0)
