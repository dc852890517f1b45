/**
 * `workers: 1` and `workers: 2` on one vault and one port. What shows how it scales is the CPU time of a request over all
 * its processes: while it stays, twice the cores serve twice the requests. Requests per second show it only as far as the
 * machine goes: the load generator and the destination need cores too, and `possible req/s` is all cores divided by what a
 * request takes of everybody.
 */
import assert from 'node:assert/strict'
import { expectedBody, tokenId, valueOfId } from '../data/small-json.ts'
import { cores, cpuTime, limitTime, pinNothing, processTree, startProgram } from '../kit/child.ts'
import { check, type Entry, targetOf } from '../kit/contest.ts'
import type { Outcome } from '../kit/load.ts'
import { count, quick } from '../kit/options.ts'
import { median, type Row, report } from '../kit/report.ts'
import { newScene } from '../kit/scene.ts'
import { populate, startSluice } from '../kit/sluice.ts'

type Figures = Record<string, number>

limitTime(quick ? 90 : 300)
pinNothing()
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const load = startProgram('load', 'load', new URL('../kit/load.ts', import.meta.url))
scene.add(load)
const population = await populate(scene, 'aes-256-gcm', count('tokens', 20_000, 1000))
const ids = { file: population.ids, sample: Array.from({ length: 8 }, (_, at) => tokenId(at)) }
const requests = count('requests', 8000, 400)
const warm = count('warm', 16_000, 200)
const counts = [1, 2] as const
const measured = new Map<number, Figures[]>(counts.map((workers) => [workers, []]))
for (let round = count('rounds', 3, 1); round > 0; round--) {
  for (const workers of counts) measured.get(workers)?.push(await measure(workers))
}
const rows = counts.map((workers): Row => {
  const figures = medians(measured.get(workers) ?? [])
  const ratio = (figures['CPU µs'] ?? Number.NaN) / (medians(measured.get(1) ?? [])['CPU µs'] ?? Number.NaN)
  const name = `workers: ${workers}`
  const ratios = workers === 1 ? [] : [{ figure: 'CPU µs', against: 'workers: 1', value: ratio }]
  return { bench: 'e2e/workers', case: `1 KiB, four tokens, ${cores.length} cores`, subject: name, figures, ratios }
})
report(rows)
await scene.close()
process.exit(0)

async function measure(workers: number): Promise<Figures> {
  const name = `workers ${workers}`
  const contender = await startSluice(scene, population, { name, role: 'anywhere', workers })
  const entry: Entry = { case: name, contender, body: 'tokens', forwarded: (ids) => expectedBody(ids.map(valueOfId)) }
  await check(scene, ids, entry)
  await load.ask('connect', targetOf(scene, ids, entry, 64))
  // Every process compiles for itself: each gets to serve as many requests before it counts.
  await load.ask('run', { requests: workers * warm, rate: 0 })
  const proxy = processTree(contender.child.pid)
  const before = [cpuOf(proxy), cpuOf([load.pid, scene.upstream.pid]), ...proxy.map((pid) => cpuOf([pid]))]
  const { seconds } = await load.ask<Outcome>('run', { requests, rate: 0 })
  const after = [cpuOf(proxy), cpuOf([load.pid, scene.upstream.pid]), ...proxy.map((pid) => cpuOf([pid]))]
  await load.ask('close')
  await contender.child.stop()
  const [own = 0, others = 0, ...each] = after.map((ms, at) => ((ms - (before[at] ?? 0)) * 1000) / requests)
  if (!quick) assert.ok(workers === 1 || each.filter((one) => one > own / 10).length === workers, 'every worker works')
  return {
    'CPU µs': own,
    'busiest process %': (Math.max(...each) / own) * 100,
    'req/s': requests / seconds,
    'possible req/s': Math.min((cores.length * 1e6) / (own + others), (workers * 1e6) / own),
    'CPU µs of load and destination': others
  }
}

function cpuOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuTime(pid).totalMs, 0)
}

function medians(all: readonly Figures[]): Figures {
  const names = Object.keys(all[0] ?? {})
  return Object.fromEntries(names.map((name) => [name, median(all.map((one) => one[name] ?? Number.NaN))]))
}
