/**
 * User-space instructions of the pieces that a request consists of, each by itself, in one process: counted by Linux perf,
 * or where that cannot by valgrind, if it is installed. One thread and fixed seeds make V8 compile the same at the same
 * moment in each run, so that the counts are steady enough to be held against the baseline (bench/kit/baseline.ts), however
 * busy the machine is; a quick run is as long as a full one.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { callgrindCounter, callgrindWords, hasValgrind } from '../kit/callgrind.ts'
import { type Child, limitTime, startChild } from '../kit/child.ts'
import { instructionCounter, instructionsAreCounted } from '../kit/instructions.ts'
import { report } from '../kit/report.ts'
import type { Piece } from './_counted.ts'

/** What is counted, and after how many runs it is compiled for good. */
const PIECES: readonly (Piece & { readonly warm: number })[] = [
  { name: 'micro/listen/request-parser: 9 fields, 1 KiB, in one read', times: 1000, warm: 20_000 },
  { name: 'micro/scan/scanner: 1 KiB of JSON, four expressions', times: 1000, warm: 20_000 },
  { name: 'micro/expr/render: split | last | upcase', times: 1000, warm: 20_000 },
  { name: 'four tokens revealed', times: 300, warm: 4000 },
  { name: 'micro/egress/exchange: POST of 1 KiB, answer of 1 KiB', times: 1000, warm: 20_000 },
  { name: 'micro/listen/answer-head: 10 fields and 65 bytes, in one piece', times: 1000, warm: 20_000 }
]
/** The least of them counts: a collection of garbage, which falls into this one or that, only adds. */
const ROUNDS = 3
const STEADY = ['--single-threaded', '--hash-seed=1', '--random-seed=1', '--no-flush-bytecode']

limitTime(300)
const perf = instructionsAreCounted()
/** Counts of the two are not comparable: valgrind shows programs an older processor. */
const figure = perf ? 'user instructions' : 'user instructions in valgrind'
if (perf || hasValgrind()) await run()
else process.stdout.write('neither perf nor valgrind counts instructions here\n')
process.exit(0)

async function run(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  const program = fileURLToPath(new URL('./_counted.ts', import.meta.url)).replace(/\.ts$/, extname(import.meta.url))
  const args = [...(perf ? [] : callgrindWords(folder)), process.execPath, ...STEADY, program]
  const child = startChild({ name: 'counted', role: 'anywhere', command: 'env', args, commands: true })
  await child.ask(
    'check',
    PIECES.map(({ name }) => name)
  )
  for (const { name, warm } of PIECES) await child.ask('run', { name, times: warm })
  const counts = new Map<Piece, number[]>(PIECES.map((piece) => [piece, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const [piece, own] of counts) own.push(await counted(child, piece, folder))
  }
  report(
    [...counts].map(([{ name }, own]) => {
      const figures = { [figure]: Math.min(...own) }
      return { bench: 'micro/instructions', case: name, subject: 'sluice', figures }
    })
  )
  await child.ask('close')
  await child.stop()
}

async function counted(child: Child, { name, times }: Piece, folder: string): Promise<number> {
  const counter = perf ? instructionCounter(child.pid) : callgrindCounter(child.pid, folder, true)
  await counter.start()
  await child.ask('run', { name, times })
  return (await counter.stop()) / times
}
