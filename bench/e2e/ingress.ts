/**
 * The ingress by itself: node:https, the node engine and the raw engine, each reading 1 KiB of JSON over TLS and answering
 * 1 KiB. CPU (and instructions, where they are counted) of the server process per request; and what an idle keep-alive
 * connection costs in anonymous memory (budget: 1.2 × bare node:https).
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { newClient } from '../../test/kit/client.ts'
import { anonymousBytes, memoryIsVisible } from '../../test/kit/memory.ts'
import { plainBody } from '../data/small-json.ts'
import { type Child, cpuTime, limitTime, startProgram } from '../kit/child.ts'
import { instructionCounter, instructionsAreCounted } from '../kit/instructions.ts'
import type { Amount, Outcome, Target } from '../kit/load.ts'
import { count, quick } from '../kit/options.ts'
import { median, type Row, report } from '../kit/report.ts'
import { newScene, type Scene } from '../kit/scene.ts'
import { ANSWER_BODY } from './_ingress-answer.ts'

const BENCH = 'e2e/ingress'
const NAMES = ['node:https', 'node engine', 'raw engine'] as const
const KINDS = { 'node:https': 'https', 'node engine': 'node', 'raw engine': 'raw' } as const
const HEAD =
  'POST /v1/payments HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\nContent-Type: application/json\r\n' +
  'BT-API-KEY: key_test_us_pvt_0123456789abcdef.0123456789abcdef0123456789\r\nX-Request-Id: 01234567-89ab-cdef-0123-456789abcdef\r\n'

limitTime(quick ? 90 : 900)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const load = startProgram('load', 'load', new URL('../kit/load.ts', import.meta.url))
scene.add(load)
report([...(await cpuPerRequest(scene)), ...(memoryIsVisible ? await idleConnections(scene) : [])])
await scene.close()
process.exit(0)

interface Subject {
  readonly name: (typeof NAMES)[number]
  readonly child: Child
  readonly port: number
}

async function start(scene: Scene, name: Subject['name']): Promise<Subject> {
  const program = new URL('./_ingress-server.ts', import.meta.url)
  const child = startProgram(name, 'proxy', program, [KINDS[name], scene.cert, scene.key])
  scene.add(child)
  return { name, child, port: await child.ask<number>('listen') }
}

async function check(scene: Scene, subject: Subject): Promise<void> {
  const client = await newClient({ port: subject.port, tls: { ca: readFileSync(scene.ca, 'utf8') } })
  for (let at = 0; at < 3; at++) {
    const answer = await client.request(`${HEAD}Content-Length: ${plainBody.length}\r\n\r\n${plainBody}`)
    assert.equal(answer.status, 200)
    assert.equal(answer.body.toString(), ANSWER_BODY, `${subject.name} answers right`)
  }
  client.destroy()
}

function target(scene: Scene, subject: Subject, connections: number): Target {
  const { port } = subject
  return { port, connections, ca: scene.ca, head: HEAD, texts: [plainBody], ids: null, idBytes: 0, answer: ANSWER_BODY }
}

async function cpuPerRequest(scene: Scene): Promise<Row[]> {
  const subjects: Subject[] = []
  for (const name of NAMES) subjects.push(await start(scene, name))
  for (const subject of subjects) await check(scene, subject)
  const requests = count('requests', 10_000, 400)
  const rounds = count('rounds', 5, 1)
  const measured = new Map<string, Record<string, number>[]>(NAMES.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const subject of subjects) {
      measured.get(subject.name)?.push(await measure(scene, subject, { requests, rate: 0 }))
    }
  }
  for (const { child } of subjects) await child.stop()
  const figure = instructionsAreCounted() ? 'user instructions' : 'CPU µs'
  const medians = (name: string): Record<string, number> => {
    const all = measured.get(name) ?? []
    return Object.fromEntries(Object.keys(all[0] ?? {}).map((key) => [key, median(all.map((one) => one[key] ?? 0))]))
  }
  return NAMES.map((name) => ({
    bench: BENCH,
    case: '1 KiB in, 1 KiB out, TLS',
    subject: name,
    figures: medians(name),
    ratios: NAMES.slice(0, NAMES.indexOf(name)).map((against) => ({
      figure,
      against,
      value: (medians(name)[figure] ?? Number.NaN) / (medians(against)[figure] ?? Number.NaN)
    }))
  }))
}

async function measure(scene: Scene, subject: Subject, amount: Amount): Promise<Record<string, number>> {
  await load.ask('connect', target(scene, subject, 32))
  await load.ask('run', { requests: Math.ceil(amount.requests / 10), rate: 0 })
  const counter = instructionsAreCounted() ? instructionCounter(subject.child.pid) : null
  await counter?.start()
  const before = cpuTime(subject.child.pid)
  const outcome = await load.ask<Outcome>('run', amount)
  const after = cpuTime(subject.child.pid)
  const instructions = counter === null ? {} : { 'user instructions': (await counter.stop()) / amount.requests }
  await load.ask('close')
  const each = (ms: number) => (ms * 1000) / amount.requests
  return {
    ...instructions,
    'CPU µs': each(after.totalMs - before.totalMs),
    'user µs': each(after.userMs - before.userMs),
    'p50 µs': outcome.p50Us,
    'p99 µs': outcome.p99Us
  }
}

/** Every connection has carried a request, and then idles. */
async function idleConnections(scene: Scene): Promise<Row[]> {
  const connections = count('connections', 2000, 50)
  const rows: Row[] = []
  for (const name of NAMES) {
    const subject = await start(scene, name)
    const clients = startProgram('clients', 'load', new URL('../kit/load.ts', import.meta.url))
    scene.add(clients)
    const batch = quick ? 25 : 100
    const open = async () => {
      // The batch before stays open: its sockets are only forgotten.
      await clients.ask('connect', target(scene, subject, batch))
      await clients.ask('run', { requests: batch * 2, rate: 0 })
    }
    await open()
    const before = await settled(subject.child.pid)
    for (let opened = batch; opened < connections + batch; opened += batch) await open()
    const grown = (await settled(subject.child.pid)) - before
    await Promise.all([clients.stop(), subject.child.stop()])
    const kib = grown / 1024 / connections
    const bare = rows[0]?.figures['KiB each'] ?? kib
    rows.push({
      bench: BENCH,
      case: `${connections} idle connections, TLS`,
      subject: name,
      figures: { 'KiB each': kib },
      ...(name === 'node:https'
        ? {}
        : { ratios: [{ figure: 'KiB each', against: 'node:https', value: kib / bare, budget: 1.2 }] })
    })
  }
  return rows
}

/** Anonymous memory once the garbage of the handshakes had time to go. */
async function settled(pid: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, quick ? 100 : 3000))
  return anonymousBytes(pid)
}
