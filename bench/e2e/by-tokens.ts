/**
 * What a request of 8 KiB costs by the number of its tokens, none to a hundred, each found and opened in the store: both
 * ciphers, and nginx with Lua and its table in memory where it is installed.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tokenTable } from '../data/small-json.ts'
import { limitTime } from '../kit/child.ts'
import { quick } from '../kit/options.ts'
import { report } from '../kit/report.ts'
import { newScene, startNativePeer, startPeer } from '../kit/scene.ts'
import { populate, startSluice } from '../kit/sluice.ts'
import { jsonBody, type Line, type Point, sweep } from '../kit/sweep.ts'

const BYTES = 8192
const TOKENS = quick ? [0, 1, 100] : [0, 1, 2, 4, 8, 16, 32, 48, 64, 80, 100]

limitTime(quick ? 90 : 600)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const tokens = quick ? 1000 : 20_000
const aes = await populate(scene, 'aes-256-gcm', tokens)
const xchacha = await populate(scene, 'xchacha20-poly1305', tokens)
const table = join(scene.folder, 'table')
writeFileSync(table, tokenTable(tokens))
const { ids } = aes
const contentType = 'application/json'
const lines: Line[] = [
  { name: 'Sluice, AES-256-GCM', contender: await startSluice(scene, aes), contentType, ids, substitutes: true },
  { name: 'Sluice, XChaCha20', contender: await startSluice(scene, xchacha), contentType, ids, substitutes: true },
  {
    name: 'http-proxy, untouched',
    contender: await startPeer(scene, 'http-proxy'),
    contentType,
    ids,
    substitutes: false
  }
]
const lua = await startNativePeer(scene, 'nginx+lua', table)
if (lua === null) process.stdout.write('nginx+lua is not installed here\n')
else lines.push({ name: 'nginx + Lua', contender: lua, contentType, ids, substitutes: true })
const points = TOKENS.map(
  (tokens): Point => ({
    x: tokens,
    name: `${tokens} tokens`,
    ...jsonBody(tokens, BYTES),
    requests: quick ? 50 : 800,
    connections: 16,
    inFlight: 16
  })
)
report(await sweep('e2e/by-tokens', scene, points, lines, quick ? 1 : 3))
await scene.close()
process.exit(0)
