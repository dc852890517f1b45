import assert from 'node:assert/strict'
import { newClient } from '../../test/kit/client.ts'
import { peakResidentBytes } from '../../test/kit/memory.ts'
import { readRequest } from '../../test/kit/message.ts'
import { readFileSync } from 'node:fs'
import { ID_BYTES, plainBody, requestBody, requestTexts, TOKENS } from '../data/small-json.ts'
import { type Child, cpuTime, startProgram } from './child.ts'
import { instructionCounter, instructionsAreCounted } from './instructions.ts'
import type { Amount, Outcome, Target } from './load.ts'
import { count } from './options.ts'
import { median, type Ratio, type Row } from './report.ts'
import type { Contender, Scene } from './scene.ts'
import { ANSWER_BODY, type Counts } from './small-answer.ts'

/** One line of the contest: a contender doing one thing. */
export interface Entry {
  readonly case: string
  readonly contender: Contender
  /** `tokens`: bodies with four ids, each request with others; `plain`: always the same body. */
  readonly body: 'tokens' | 'plain'
  /** What the destination must get for these ids (none for `plain`). */
  readonly forwarded: (ids: readonly string[]) => string
  /** Whom it is measured against, and the budgets for that ratio. */
  readonly against?: readonly Against[]
}

/** Another entry of the same contest, and what DESIGN asks of the ratio to it. */
export interface Against {
  readonly entry: Entry
  readonly budget?: number
}

/** The ids that bodies are filled with. */
export interface Ids {
  /** File of ids, one behind the other. */
  readonly file: string
  readonly sample: readonly string[]
}

/**
 * Runs the entries against each other: first every one is checked for exact output, then they take turns for a number of
 * rounds, on fresh keep-alive connections each; then all run at one constant rate, half of what the first can do, where
 * latencies are taken. Figures are medians over the rounds. A ratio is the median of the rounds' ratios, each between two
 * neighbours in time: a machine whose speed changes from one minute to the next then changes it less.
 */
export async function contest(bench: string, scene: Scene, ids: Ids, entries: readonly Entry[]): Promise<Row[]> {
  for (const entry of entries) await check(scene, ids, entry)
  const load = startProgram('load', 'load', new URL('./load.ts', import.meta.url))
  scene.add(load)
  const rounds = count('rounds', 9, 1)
  const requests = count('requests', 4000, 300)
  const figures = new Map<Entry, Figures[]>(entries.map((entry) => [entry, []]))
  for (let round = 0; round < rounds; round++) {
    for (const entry of entries) {
      const [measured] = await measure(scene, load, ids, entry, { requests, rate: 0 }, round === 0)
      figures.get(entry)?.push(measured)
    }
  }
  const closed = new Map(entries.map((entry) => [entry, medians(figures.get(entry) ?? [])]))
  const rate = Math.max(100, Math.floor((closed.get(entries[0] as Entry)?.['req/s'] ?? 0) / 200) * 100)
  const rows: Row[] = []
  for (const entry of entries) {
    const own = closed.get(entry) as Record<string, number>
    const amount = { requests: Math.ceil(rate * count('seconds', 4, 0.5)), rate }
    const [, outcome] = await measure(scene, load, ids, entry, amount, false)
    const latencies = { 'p50 µs': outcome.p50Us, 'p99 µs': outcome.p99Us, 'p99.9 µs': outcome.p999Us }
    const memory = { 'peak RSS MiB': peakResidentBytes(entry.contender.child.pid) / 2 ** 20 }
    const ratios = (entry.against ?? []).flatMap((base) =>
      ratiosTo(base, figures.get(entry) ?? [], figures.get(base.entry) ?? [])
    )
    const row = { bench, case: entry.case, subject: entry.contender.name, ratios }
    rows.push({ ...row, figures: { ...own, 'at req/s': rate, ...latencies, ...memory } })
  }
  return rows
}

/** Of one round. */
type Figures = Record<string, number>

/** The budget goes to what it is about: instructions where they are counted, else CPU time. */
function ratiosTo(base: Against, own: readonly Figures[], other: readonly Figures[]): Ratio[] {
  const counted = instructionsAreCounted()
  return (counted ? [INSTRUCTIONS, CPU] : [CPU, USER]).map((figure) => ({
    figure,
    against: base.entry.contender.name,
    value: median(own.map((round, at) => (round[figure] ?? Number.NaN) / (other[at]?.[figure] ?? Number.NaN))),
    ...(base.budget !== undefined && figure === (counted ? INSTRUCTIONS : CPU) ? { budget: base.budget } : {})
  }))
}

/** Rounds' worth of requests before the first one: V8 compiles on until some 10 000. */
const WARM = 3
const INSTRUCTIONS = 'user instructions'
const CPU = 'CPU µs'
const USER = 'user µs'

/** Sends a few requests by hand and looks at every byte that arrives on either side. */
export async function check(scene: Scene, ids: Ids, entry: Entry): Promise<void> {
  const { contender } = entry
  const client = await newClient({ port: contender.port, tls: { ca: readFileSync(scene.ca, 'utf8') } })
  for (let at = 0; at < 3; at++) {
    const own = ids.sample.slice(at, at + TOKENS)
    const body = entry.body === 'plain' ? plainBody : requestBody(own)
    const expected = entry.forwarded(own)
    await scene.upstream.ask('record')
    const answer = await client.request(`${head(entry)}Content-Length: ${body.length}\r\n\r\n${body}`)
    assert.equal(answer.status, 200, `${contender.name}: ${answer.body.toString()}`)
    assert.equal(answer.body.toString(), ANSWER_BODY, `${contender.name} returns the destination's answer`)
    const request = readRequest(Buffer.from(await scene.upstream.ask<string>('recorded'), 'latin1'))
    assert.ok(request !== null, `${contender.name} forwards a whole request`)
    assert.equal(request.body.toString('latin1'), expected, `${contender.name} forwards the right body`)
    assert.equal(request.method, 'POST')
    assert.equal(request.target, '/v1/payments', `${contender.name} forwards to the right path`)
    assert.equal(request.header('host'), `localhost:${scene.upstreamPort}`, `${contender.name} names the destination`)
    assert.equal(request.header('content-type'), 'application/json')
    assert.equal(request.header('x-request-id'), REQUEST_ID)
    assert.deepEqual(
      request.rawHeaders.filter((name) => /^(bt|sluice)-(api|proxy)/i.test(name)),
      []
    )
  }
  client.destroy()
}

/** What the load generator is told about an entry. */
export function targetOf(scene: Scene, ids: Ids, entry: Entry, connections: number): Target {
  const isPlain = entry.body === 'plain'
  return {
    port: entry.contender.port,
    connections,
    ca: scene.ca,
    head: head(entry),
    texts: isPlain ? [plainBody] : requestTexts,
    ids: isPlain ? null : ids.file,
    idBytes: ID_BYTES,
    answer: ANSWER_BODY
  }
}

/** One round of one entry. */
async function measure(
  scene: Scene,
  load: Child,
  ids: Ids,
  entry: Entry,
  amount: Amount,
  first: boolean
): Promise<[Record<string, number>, Outcome]> {
  const { child } = entry.contender
  await load.ask('connect', targetOf(scene, ids, entry, count('connections', 32, 8)))
  await load.ask('run', { requests: first ? WARM * amount.requests : Math.ceil(amount.requests / 20), rate: 0 })
  await scene.upstream.ask('expect', entry.forwarded(ids.sample.slice(0, TOKENS)).length)
  const counter = instructionsAreCounted() ? instructionCounter(child.pid) : null
  await counter?.start()
  const before = cpuTime(child.pid)
  const outcome = await load.ask<Outcome>('run', amount)
  const after = cpuTime(child.pid)
  const instructions = counter === null ? {} : { [INSTRUCTIONS]: (await counter.stop()) / amount.requests }
  await load.ask('close')
  const { requests, wrong } = await scene.upstream.ask<Counts>('counts')
  assert.deepEqual([requests, wrong], [amount.requests, 0], `${entry.contender.name}: what the destination got`)
  const each = (ms: number): number => (ms * 1000) / amount.requests
  const figures = {
    ...instructions,
    [CPU]: each(after.totalMs - before.totalMs),
    [USER]: each(after.userMs - before.userMs),
    'req/s': amount.requests / outcome.seconds
  }
  return [figures, outcome]
}

function head(entry: Entry): string {
  const { target, headers, host } = entry.contender
  return (
    `POST ${target} HTTP/1.1\r\nHost: ${host}\r\n${headers}` +
    `Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: payments/3.1\r\nX-Request-Id: ${REQUEST_ID}\r\n`
  )
}

function medians(rounds: readonly Record<string, number>[]): Record<string, number> {
  const names = Object.keys(rounds[0] ?? {})
  return Object.fromEntries(names.map((name) => [name, median(rounds.map((round) => round[name] ?? Number.NaN))]))
}

const REQUEST_ID = '01J9Z8K7Q5'
