import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { anonymousBytes, sampleMemory } from '../../test/kit/memory.ts'
import { bodyBytes, type BodyKind, largeBody } from '../data/large-body.ts'
import { type Child, cpuTime, startProgram } from './child.ts'
import type { Transfer, TransferOutcome } from './large-client.ts'
import type { BodyPlan, Receipt } from './large-stream.ts'
import { count } from './options.ts'
import { median, type Row } from './report.ts'
import type { Contender, Scene } from './scene.ts'

/** One thing to stream. */
export interface LargeCase {
  readonly name: string
  readonly direction: 'up' | 'down'
  readonly kind: BodyKind
  readonly bytes: number
  readonly chunked: boolean
  /** Three texts that the body holds in its first 100 bytes, its middle and its last 100. */
  readonly sent: readonly [string, string, string]
  /** Budget for CPU against the pipe. */
  readonly budget?: number
}

/** Somebody who streams. */
export interface LargeSubject {
  readonly name: string
  /** A fresh process each time, so that one transfer's memory is not another's. */
  readonly start: () => Promise<Contender>
  /** What arrives in place of the three texts. */
  readonly forwards: readonly [string, string, string] | null
}

/**
 * Streams every case through every subject in turns, several rounds, each in a fresh process, and compares every byte
 * that arrives. The first subject is the one that others are measured against. Anonymous memory is the highest of all
 * rounds.
 */
export async function largeContest(
  bench: string,
  scene: Scene,
  cases: readonly LargeCase[],
  subjects: readonly LargeSubject[]
): Promise<Row[]> {
  const client = startProgram('client', 'load', new URL('./large-client.ts', import.meta.url))
  scene.add(client)
  const rows: Row[] = []
  for (const each of cases) {
    const rounds = count('rounds', 3, 1)
    const measured = new Map<LargeSubject, Measure[]>(subjects.map((subject) => [subject, []]))
    for (let round = 0; round < rounds; round++) {
      for (const subject of subjects) measured.get(subject)?.push(await measure(scene, client, each, subject))
    }
    const [base] = subjects
    const cpuOf = (subject: LargeSubject | undefined) =>
      median((subject === undefined ? [] : (measured.get(subject) ?? [])).map((one) => one.cpuMs))
    const memoryOf = (subject: LargeSubject | undefined) =>
      Math.max(...(subject === undefined ? [] : (measured.get(subject) ?? [])).map((one) => one.peakAnonymousMiB))
    for (const subject of subjects) {
      const all = measured.get(subject) ?? []
      const budget = each.budget === undefined || subject.forwards === null ? {} : { budget: each.budget }
      rows.push({
        bench,
        case: each.name,
        subject: subject.name,
        figures: {
          'CPU ms/GiB': cpuOf(subject) * (2 ** 30 / each.bytes),
          'MiB/s': median(all.map((one) => each.bytes / 2 ** 20 / one.seconds)),
          'at rest MiB': median(all.map((one) => one.restMiB)),
          'anonymous MiB': memoryOf(subject),
          'above pipe MiB': memoryOf(subject) - memoryOf(base)
        },
        ...(subject.forwards === null ? {} : { budgets: { 'above pipe MiB': 24 } }),
        ratios:
          subject === base || base === undefined
            ? []
            : [{ figure: 'CPU', against: base.name, value: cpuOf(subject) / cpuOf(base), ...budget }]
      })
    }
  }
  return rows
}

interface Measure {
  readonly cpuMs: number
  readonly seconds: number
  /** Anonymous memory before the transfer. */
  readonly restMiB: number
  readonly peakAnonymousMiB: number
}

async function measure(scene: Scene, client: Child, each: LargeCase, subject: LargeSubject): Promise<Measure> {
  const contender = await subject.start()
  try {
    // The way is warmed by a small transfer; it also shows that the first byte leaves before the last one comes.
    await transfer(scene, client, { ...each, bytes: WARM_BYTES }, subject, contender, true)
    const restMiB = anonymousBytes(contender.child.pid) / 2 ** 20
    const memory = sampleMemory(contender.child.pid)
    const before = cpuTime(contender.child.pid)
    const seconds = await transfer(scene, client, each, subject, contender, false)
    const after = cpuTime(contender.child.pid)
    memory.stop()
    return {
      cpuMs: after.totalMs - before.totalMs,
      seconds,
      restMiB,
      peakAnonymousMiB: memory.peakAnonymousBytes / 2 ** 20
    }
  } finally {
    await contender.child.stop()
  }
}

/** One transfer, compared byte by byte; with `hold` the second half waits until the first has begun to arrive. */
async function transfer(
  scene: Scene,
  client: Child,
  each: LargeCase,
  subject: LargeSubject,
  contender: Contender,
  hold: boolean
): Promise<number> {
  const { kind, chunked } = each
  const sent: BodyPlan = { kind, chunked, pieces: largeBody(kind, each.bytes, each.sent) }
  const up = each.direction === 'up'
  const arriving: BodyPlan = up ? { ...sent, pieces: largeBody(kind, each.bytes, subject.forwards ?? each.sent) } : sent
  await scene.upstream.ask('expect', up ? arriving : null)
  await scene.upstream.ask('answer', up ? null : sent)
  const wanted: Transfer = {
    port: contender.port,
    ca: scene.ca,
    host: contender.host,
    target: contender.target,
    headers: contender.headers,
    upload: up ? sent : null,
    download: up ? null : sent,
    hold: hold && up
  }
  const outcome = client.ask<TransferOutcome>('transfer', wanted)
  if (wanted.hold) {
    await Promise.race([outcome, arrives(scene.upstream)])
    await client.ask('release')
  }
  const { status, seconds, receipt, lastSentMs } = await outcome
  assert.equal(status, 200)
  assert.ok(receipt.exact, `${subject.name}: the answer arrives byte for byte`)
  if (up) {
    const got = await scene.upstream.ask<Receipt>('receipt')
    assert.ok(got.exact, `${subject.name}: the body arrives byte for byte (${got.bytes} bytes)`)
    assert.equal(got.bytes, bodyBytes(arriving.pieces))
    if (hold) assert.ok(got.firstByteMs < lastSentMs, `${subject.name}: the first byte is out before the last is in`)
  }
  return seconds
}

/** Resolves when the destination has body bytes; rejects after ten seconds without. */
async function arrives(upstream: Child): Promise<void> {
  for (let waited = 0; waited < 1000; waited++) {
    if ((await upstream.ask<number>('received')) > 0) return
    await sleep(10)
  }
  throw new Error('half of the body is in and nothing is out')
}

const WARM_BYTES = 8 * 2 ** 20
