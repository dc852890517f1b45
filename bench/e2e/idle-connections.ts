/**
 * What an idle keep-alive TLS connection of a client costs in anonymous memory, after one request on it, against a bare
 * node:https server; and how long a start takes to its first answer. `--connections=10000`.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { anonymousBytes } from '../../test/kit/memory.ts'
import { limitTime, startProgram } from '../kit/child.ts'
import type { IdleTarget } from '../kit/idle-client.ts'
import { count, quick } from '../kit/options.ts'
import { type Row, report } from '../kit/report.ts'
import { type Contender, newScene, startPeer } from '../kit/scene.ts'
import { populate, startSluice } from '../kit/sluice.ts'

const STEP = 1000

limitTime(quick ? 90 : 900)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const population = await populate(scene, 'aes-256-gcm', 8)
const client = startProgram('clients', 'load', new URL('../kit/idle-client.ts', import.meta.url))
scene.add(client)
const connections = count('connections', 10_000, 200)
const rows: Row[] = []
for (const start of [() => startPeer(scene, 'bare-server'), () => startSluice(scene, population)]) {
  const begun = performance.now()
  const contender = await start()
  await open(contender, 1)
  const startMs = performance.now() - begun
  // The first thousand warm the process up; they are not counted.
  const warm = Math.ceil(connections / 10)
  await open(contender, warm)
  await sleep(quick ? 100 : 2000)
  const before = anonymousBytes(contender.child.pid)
  await open(contender, connections)
  await sleep(quick ? 100 : 3000)
  const each = (anonymousBytes(contender.child.pid) - before) / connections / 1024
  assert.equal(await client.ask('alive'), 1 + warm + connections, `${contender.name} keeps idle connections open`)
  const bare = rows[0]?.figures['KiB each']
  const ratios =
    bare === undefined ? [] : [{ figure: 'KiB each', against: 'bare-server', value: each / bare, budget: 1.2 }]
  rows.push({
    bench: 'e2e/idle-connections',
    case: `${connections} idle connections`,
    subject: contender.name,
    figures: { 'KiB each': each, 'ms to the first answer': startMs },
    ratios
  })
  await client.ask('close')
  await contender.child.stop()
}
report(rows)
await scene.close()
process.exit(0)

/** In steps, since a command has to be answered within its time. */
async function open(contender: Contender, connections: number): Promise<void> {
  const { port, host, target, headers } = contender
  const request = `POST ${target} HTTP/1.1\r\nHost: ${host}\r\n${headers}Content-Length: 0\r\n\r\n`
  for (let left = connections; left > 0; left -= STEP) {
    const wanted: IdleTarget = { port, ca: scene.ca, connections: Math.min(left, STEP), request }
    await client.ask('open', wanted)
  }
}
