/**
 * From the exec of `node … serve` to the last byte of the first 200 through the proxy: a TLS connection, a key, four tokens
 * out of a vault on disk, a connection to the destination and back. Beside it Node that does nothing, from its exec to its
 * end, and what is above that. Wall time; of it, how long the main thread was ready to run and had no core (Linux): a free machine
 * takes that much less; and the process's CPU time. Goal: 300 ms.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, newClient } from '../../test/kit/client.ts'
import { requestBody, tokenId } from '../data/small-json.ts'
import { cpuTime, ENVIRONMENT, limitTime, pinNothing, queuedTime } from '../kit/child.ts'
import { count, quick } from '../kit/options.ts'
import { median, type Row, report } from '../kit/report.ts'
import { type Contender, newScene } from '../kit/scene.ts'
import { launchSluice, populate } from '../kit/sluice.ts'

const BUDGET_MS = 300

/** `ms`, `above node ms`, `without a core ms`, `CPU ms`. */
type Start = Readonly<Record<string, number>>

pinNothing()
limitTime(quick ? 90 : 300)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const population = await populate(scene, 'aes-256-gcm', 1000)
const ca = readFileSync(scene.ca, 'utf8')
const body = requestBody([0, 1, 2, 3].map(tokenId))
const rounds = count('rounds', 15, 1)
const node: Start[] = []
const sluice: Start[] = []
// The client and the destination are warm, and files are in memory, before anything is measured.
await startToAnswer()
for (let round = 0; round < rounds; round++) {
  const nothing = await startNode()
  const start = await startToAnswer()
  node.push({ ms: nothing })
  sluice.push({
    ms: start.ms,
    'above node ms': start.ms - nothing,
    'without a core ms': start.queuedMs,
    'CPU ms': start.cpuMs
  })
}
report([
  row('node -e 0', 'node, nothing else', node),
  { ...row('first answer', 'sluice', sluice), budgets: { ms: BUDGET_MS } }
])
await scene.close()
process.exit(0)

async function startToAnswer(): Promise<{ ms: number; queuedMs: number; cpuMs: number }> {
  const contender = await launchSluice(scene, population, { role: 'anywhere', direct: true })
  // Node's spawn returns when exec has succeeded.
  const begun = performance.now()
  const client = await firstConnection(contender)
  const { host, target, headers, child } = contender
  const head = `POST ${target} HTTP/1.1\r\nHost: ${host}\r\n${headers}Content-Type: application/json\r\n`
  const answer = await client.request(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)
  const ms = performance.now() - begun
  const took = { ms, queuedMs: queuedTime(child.pid), cpuMs: cpuTime(child.pid).totalMs }
  assert.equal(answer.status, 200, answer.body.toString())
  client.destroy()
  await child.stop()
  return took
}

/** Knocks every two milliseconds, and no louder than it must: the other side has the same cores. */
async function firstConnection({ child, port }: Contender): Promise<Client> {
  for (const begun = performance.now(); performance.now() - begun < 30_000; ) {
    const socket = connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
    } catch {
      await sleep(2)
      continue
    }
    return newClient({ port, tls: { ca }, over: socket })
  }
  throw new Error(`no answer\n${child.output}`)
}

async function startNode(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '0'], { env: ENVIRONMENT, stdio: 'ignore' })
  const begun = performance.now()
  await once(child, 'exit')
  return performance.now() - begun
}

function row(name: string, subject: string, all: readonly Start[]): Row {
  const names = Object.keys(all[0] ?? {})
  const figures = Object.fromEntries(names.map((name) => [name, median(all.map((one) => one[name] ?? Number.NaN))]))
  return { bench: 'e2e/cold-start', case: name, subject, figures }
}
