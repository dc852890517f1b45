import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { ID_BYTES, valueOfId } from '../data/small-json.ts'
import { type Child, cpuTime, startProgram } from './child.ts'
import { instructionCounter, instructionsAreCounted } from './instructions.ts'
import type { Amount, Outcome, Target } from './load.ts'
import { quick } from './options.ts'
import { median, type Row } from './report.ts'
import type { Contender, Scene } from './scene.ts'
import { ANSWER_BODY, type Counts } from './small-answer.ts'

/** One point of a graph: what is sent, how often, over how many connections. */
export interface Point {
  readonly x: number
  readonly name: string
  /** The texts around ids, padding and a tail. */
  readonly texts: readonly string[]
  readonly pad: { readonly bytes: number; readonly tail: string }
  readonly requests: number
  readonly connections: number
  /** At most as many as there are connections. */
  readonly inFlight: number
}

/** A line of a graph. */
export interface Line {
  readonly name: string
  readonly contender: Contender
  readonly contentType: string
  /** File of ids that go into the texts; null when none has a place for one. */
  readonly ids: string | null
  /** Whether values are put in the places of ids, or all goes on untouched. */
  readonly substitutes: boolean
  /** Points that it takes part in; all by default. */
  readonly takes?: (point: Point) => boolean
}

/**
 * Measures every point of every line: CPU of the proxy process per request, and instructions where they are counted. At
 * each point the first request's body is compared with what it should be by its hash. Lines take turns, and each round goes
 * over all points, so that an unquiet minute is no step in a line; a figure is the median of the rounds.
 */
export async function sweep(
  bench: string,
  scene: Scene,
  points: readonly Point[],
  lines: readonly Line[],
  rounds: number
): Promise<Row[]> {
  const load = startProgram('load', 'load', new URL('./load.ts', import.meta.url))
  scene.add(load)
  const run: Run = (amount) => load.ask<Outcome>('run', amount)
  const pairs = points.flatMap((point) =>
    lines.filter((line) => line.takes?.(point) !== false).map((line) => ({ point, line, figures: [] as Figures[] }))
  )
  for (const line of lines) {
    const first = pairs.find((pair) => pair.line === line)
    if (first === undefined) continue
    await connect(scene, load, first.point, line)
    // What is hot gets compiled: else that would stand in the first point.
    await run({ requests: WARM_REQUESTS, rate: 0 })
    await load.ask('close')
  }
  for (let round = 0; round < rounds; round++) {
    for (const { point, line, figures } of pairs) {
      await connect(scene, load, point, line)
      await check(scene, run, point, line)
      figures.push(await measure(scene, run, point, line))
      await load.ask('close')
    }
  }
  await load.stop()
  return pairs.map(({ point, line, figures }) => {
    const names = Object.keys(figures[0] ?? {})
    const medians = names.map((name) => [name, median(figures.map((one) => one[name] ?? Number.NaN))] as const)
    return { bench, case: point.name, subject: line.name, x: point.x, figures: Object.fromEntries(medians) }
  })
}

type Figures = Record<string, number>

/** In steps, since a command has to be answered within its time. */
async function connect(scene: Scene, load: Child, point: Point, line: Line): Promise<void> {
  const { connections } = point
  await load.ask('connect', targetOf(scene, point, line, Math.min(connections, STEP)))
  for (let open = STEP; open < connections; open += STEP) await load.ask('grow', Math.min(STEP, connections - open))
}

function targetOf(scene: Scene, point: Point, line: Line, connections: number): Target {
  const { port, host, target, headers } = line.contender
  return {
    port,
    connections,
    ca: scene.ca,
    head: `POST ${target} HTTP/1.1\r\nHost: ${host}\r\n${headers}Content-Type: ${line.contentType}\r\n`,
    texts: point.texts,
    ids: point.texts.length > 1 ? line.ids : null,
    idBytes: ID_BYTES,
    pad: point.pad,
    answer: ANSWER_BODY
  }
}

type Run = (amount: Amount) => Promise<Outcome>

/** Sends one request and compares what arrives, byte by byte, by its hash. */
async function check(scene: Scene, run: Run, point: Point, line: Line): Promise<void> {
  await scene.upstream.ask('hash')
  const { firstIds } = await run({ requests: 1, rate: 0, inFlight: 1 })
  const digest = createHash('sha256')
    .update(forwarded(point, line, firstIds))
    .digest('hex')
  assert.equal(await scene.upstream.ask('digest'), digest, `${line.name}, ${point.name}: the body that arrives`)
}

function forwarded(point: Point, line: Line, ids: readonly string[]): Buffer {
  const { substitutes } = line
  const woven = point.texts.map((text, at) => {
    const own = substitutes ? inner(text, at, point.texts.length) : text
    const id = ids[at]
    return id === undefined ? own : own + (substitutes ? valueOfId(id) : id)
  })
  const { bytes, tail } = point.pad
  return Buffer.concat([Buffer.from(woven.join(''), 'latin1'), Buffer.alloc(bytes, '-'), Buffer.from(tail, 'latin1')])
}

/** A text without the delimiters at its ends. */
function inner(text: string, at: number, texts: number): string {
  return text.slice(at === 0 ? 0 : CLOSE.length, at === texts - 1 ? text.length : text.length - OPEN.length)
}

async function measure(scene: Scene, run: Run, point: Point, line: Line): Promise<Record<string, number>> {
  const { pid } = line.contender.child
  const amount: Amount = { requests: point.requests, rate: 0, inFlight: Math.min(point.inFlight, point.connections) }
  await run({ ...amount, requests: Math.ceil(point.requests / 5) })
  await scene.upstream.ask('expect', -1)
  const counter = instructionsAreCounted() ? instructionCounter(pid) : null
  await counter?.start()
  const before = cpuTime(pid)
  const { seconds } = await run(amount)
  const after = cpuTime(pid)
  const instructions = counter === null ? {} : { 'user instructions': (await counter.stop()) / point.requests }
  const { requests } = await scene.upstream.ask<Counts>('counts')
  assert.equal(requests, point.requests, `${line.name}, ${point.name}: every request arrives`)
  return {
    ...instructions,
    'CPU µs': ((after.totalMs - before.totalMs) * 1000) / point.requests,
    'req/s': point.requests / seconds
  }
}

/** A JSON body of exactly `bytes` bytes with places for so many ids at its beginning. */
export function jsonBody(tokens: number, bytes: number): Pick<Point, 'texts' | 'pad'> {
  const tail = '"}'
  const open = tokens === 0 ? '{"all":[]' : `{"all":["${OPEN}`
  const texts = [open, ...Array.from({ length: tokens }, (_, at) => CLOSE + (at < tokens - 1 ? `","${OPEN}` : '"]'))]
  texts[tokens] += ',"pad":"'
  const used = texts.join('').length + tokens * ID_BYTES + tail.length
  return { texts, pad: { bytes: bytes - used, tail } }
}

const WARM_REQUESTS = quick ? 20 : 2000
const STEP = 1000
const OPEN = '{{ '
const CLOSE = ' }}'
