/**
 * Code of tenants through the compiled `sluice serve` on one core, TLS on both sides: what a call of a trivial reactor
 * takes, warm and cold, and what proxy calls at a constant rate wait while code spins on the same core. `--rate=200`.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseMasterKeys } from '../../lib/vault/master-key.ts'
import { openLmdb } from '../../lib/vault/stores/lmdb.ts'
import { Vault } from '../../lib/vault/vault.ts'
import { type Client, newClient } from '../../test/kit/client.ts'
import { ID_BYTES, requestTexts } from '../data/small-json.ts'
import { limitTime, startProgram } from '../kit/child.ts'
import type { Outcome, Target } from '../kit/load.ts'
import { count, quick } from '../kit/options.ts'
import { median, report, type Row } from '../kit/report.ts'
import { newScene } from '../kit/scene.ts'
import { populate, startSluice } from '../kit/sluice.ts'
import { ANSWER_BODY } from '../kit/small-answer.ts'

const BENCH = 'e2e/reactors'
const TENANTS = quick ? 3 : 12

limitTime(quick ? 60 : 600)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const population = await populate(scene, 'aes-256-gcm', 1000)
const keys = await newTenants()
const sluice = await startSluice(scene, population)
const tls = { ca: readFileSync(scene.ca, 'utf8') }
const load = startProgram('load', 'load', new URL('../kit/load.ts', import.meta.url))
scene.add(load)

const rows = [...(await calls()), ...(await besideLoops())]
report(rows)
await scene.close()
process.exit(0)

// What a call takes.

async function calls(): Promise<Row[]> {
  const client = await newClient({ port: sluice.port, tls })
  const trivial = await newReactor(client, population.apiKey, 'return { raw: req.args }')
  const target: Target = {
    port: sluice.port,
    connections: 1,
    ca: scene.ca,
    head: `POST /reactors/${trivial}/react HTTP/1.1\r\nHost: localhost\r\nBT-API-KEY: ${population.apiKey}\r\nContent-Type: application/json\r\n`,
    texts: ['{"args":{"n":1}}'],
    ids: null,
    idBytes: 0,
    answer: '{"raw":{"n":1}}'
  }
  await load.ask('connect', target)
  await load.ask('run', { requests: quick ? 20 : 1000, rate: 0 })
  const outcome = await load.ask<Outcome>('run', { requests: quick ? 50 : 5000, rate: 0 })
  await load.ask('close')

  const codes: number[] = []
  const ids: string[] = []
  // More than a thread keeps compiled: the first are to be compiled anew.
  for (let at = 0; at < TENANTS + 8; at++)
    ids.push(await newReactor(client, population.apiKey, `return { raw: ${at} }`))
  for (const id of ids.slice(0, TENANTS)) codes.push(await timeOf(client, population.apiKey, id))

  const reactors = new Map<string, string>()
  for (const key of keys) reactors.set(key, await newReactor(client, key, 'return { raw: 1 }'))
  const [ready, sudden]: [number[], number[]] = [[], []]
  // Few threads rest: by the time a tenant has its turn, its thread has gone.
  for (const [at, key] of keys.entries()) {
    const isReady = at % 2 === 0
    if (isReady) await sleep(quick ? 200 : 1000)
    ;(isReady ? ready : sudden).push(await timeOf(client, key, reactors.get(key) ?? ''))
  }
  client.destroy()
  const row = (name: string, times: readonly number[]): Row => ({
    bench: BENCH,
    case: name,
    subject: 'sluice',
    figures: { 'p50 ms': median(times), 'max ms': Math.max(...times) }
  })
  return [
    {
      bench: BENCH,
      case: 'a warm call of a trivial reactor',
      subject: 'sluice',
      figures: { 'p50 ms': outcome.p50Us / 1000, 'p99 ms': outcome.p99Us / 1000 }
    },
    row('a call whose code has to be compiled', codes),
    row('the first call of a tenant', ready),
    row('the first call of a tenant, right after another one’s', sudden)
  ]
}

/** Milliseconds that one call took. */
async function timeOf(client: Client, key: string, id: string): Promise<number> {
  const began = performance.now()
  const { status } = await post(client, key, `/reactors/${id}/react`, { args: {} })
  const took = performance.now() - began
  assert.equal(status, 200)
  return took
}

// What others wait.

async function besideLoops(): Promise<Row[]> {
  const rate = count('rate', 200, 50)
  const seconds = count('seconds', 5, 1)
  const target: Target = {
    port: sluice.port,
    connections: 32,
    ca: scene.ca,
    head: `POST ${sluice.target} HTTP/1.1\r\nHost: ${sluice.host}\r\n${sluice.headers}Content-Type: application/json\r\n`,
    texts: requestTexts,
    ids: population.ids,
    idBytes: ID_BYTES,
    answer: ANSWER_BODY
  }
  const cases = [0, 1, 4]
  // :: loops → of each round
  const outcomes = new Map<number, Outcome[]>(cases.map((loops) => [loops, []]))
  await load.ask('connect', target)
  await load.ask('run', { requests: rate, rate })
  for (let round = 0; round < count('rounds', 3, 1); round++) {
    for (const loops of cases) {
      const end = await startLoops(loops)
      outcomes.get(loops)?.push(await load.ask<Outcome>('run', { requests: rate * seconds, rate }))
      await end()
    }
  }
  await load.ask('close')
  return cases.map((loops) => {
    const rounds = outcomes.get(loops) ?? []
    const of = (figure: (outcome: Outcome) => number) => median(rounds.map(figure)) / 1000
    return {
      bench: BENCH,
      case: `proxy calls, four tokens, ${rate} a second, beside ${loops} ${loops === 1 ? 'loop' : 'loops'}`,
      subject: 'sluice',
      figures: { 'p50 ms': of((o) => o.p50Us), 'p99 ms': of((o) => o.p99Us), 'p99.9 ms': of((o) => o.p999Us) }
    }
  })
}

/** Keeps so many runs spinning until the function that it gives is called, which waits for their end. */
async function startLoops(loops: number): Promise<() => Promise<void>> {
  const clients = await Promise.all(Array.from({ length: loops }, () => newClient({ port: sluice.port, tls })))
  let isOver = false
  const spinning = clients.map(async (client) => {
    const body = 'const until = Date.now() + 1000; while (Date.now() < until); return { raw: 1 }'
    const id = await newReactor(client, population.apiKey, body)
    return { client, id }
  })
  const begun = await Promise.all(spinning)
  const turning = begun.map(async ({ client, id }) => {
    while (!isOver)
      assert.equal((await post(client, population.apiKey, `/reactors/${id}/react`, { args: {} })).status, 200)
    client.destroy()
  })
  await sleep(200)
  return async () => {
    isOver = true
    await Promise.all(turning)
  }
}

async function newReactor(client: Client, key: string, body: string): Promise<string> {
  const code = `module.exports = async function (req) { ${body} }`
  const made = await post(client, key, '/reactors', { name: 'bench', code })
  assert.equal(made.status, 201, made.body)
  return (JSON.parse(made.body) as { id: string }).id
}

async function post(
  client: Client,
  key: string,
  path: string,
  body: object
): Promise<{ status: number; body: string }> {
  const text = JSON.stringify(body)
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nBT-API-KEY: ${key}\r\nContent-Type: application/json\r\n`
  const answer = await client.request(`${head}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`)
  return { status: answer.status, body: answer.body.toString() }
}

/** A key of each of some more tenants. */
async function newTenants(): Promise<string[]> {
  const { folder, seal } = population
  const masterKeys = parseMasterKeys(readFileSync(join(folder, 'master.key'), 'utf8'))
  const parts = { store: openLmdb(join(folder, 'data')), masterKeys, seal, auditDirectory: join(folder, 'audit') }
  const vault = await Vault.open(parts)
  const made: string[] = []
  for (let at = 0; at < TENANTS; at++) {
    made.push((await vault.createKey({ name: 'bench', permissions: ['*'], tenant: `tenant-${at}` })).key)
  }
  await vault.close()
  return made
}
