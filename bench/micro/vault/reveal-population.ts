/**
 * Reveal of four cold tokens by the size of the vault: populations take turns in one process, and each ratio is against
 * the smallest. Budget: ten million at most 1.5 × ten thousand.
 *
 * `--tokens=10000,1000000,10000000`; `--at=DIR` makes the vaults there once and keeps them for the next run.
 */
import { join } from 'node:path'
import type { Caller } from '../../../lib/vault/access.ts'
import { newKeyMemo } from '../../../lib/vault/vault.ts'
import { option, quick } from '../../kit/options.ts'
import { median, report, type Row } from '../../kit/report.ts'
import { type BenchVault, benchVault, idAt } from './_filled.ts'

interface Contender {
  readonly bench: BenchVault
  readonly population: number
  /** The next ids, each far from the one before. */
  readonly ids: (count: number) => string[]
  readonly reveal: (ids: readonly string[]) => void
  /** Of each event-loop turn: of a process that has just begun, and later. */
  readonly first: number[]
  readonly later: number[]
}

const DATA = '"4242424242424242"'
const TOKEN = { type: 'card_number', container: '/pci/high/', data: DATA, expiresAt: null }
const DESTINATION = { host: 'psp.example', port: 443, method: 'POST', path: '/v1/charges' }
const TURNS = quick ? 20 : 100
const REVEALS = 10

const populations = option('tokens', quick ? '500,1000' : '10000,1000000')
  .split(',')
  .map(Number)
const kept = option('at', '')
const contenders: Contender[] = []
for (const population of populations) contenders.push(await contend(population))
const rounds = quick ? 2 : 60
for (let round = -(rounds >> 1); round < rounds; round++) {
  for (const contender of contenders) await run(contender, round < 0 ? contender.first : contender.later)
}
const [smallest] = contenders
const rows = contenders.map(({ population, first, later }): Row => {
  const µs = median(later)
  const base = median(smallest?.later ?? [])
  const name = String(smallest?.population)
  const ratios =
    population === smallest?.population ? [] : [{ figure: 'µs', against: name, value: µs / base, budget: 1.5 }]
  return {
    bench: 'micro/vault/reveal-population',
    case: 'four tokens',
    subject: String(population),
    figures: { µs, 'µs at first': median(first) },
    ratios
  }
})
for (const { bench } of contenders) await bench.close()
report(rows)

async function contend(population: number): Promise<Contender> {
  const bench = await benchVault({
    count: population,
    token: () => TOKEN,
    ...(kept === '' ? {} : { kept: join(kept, String(population)) })
  })
  const { vault, key } = bench
  const memo = newKeyMemo()
  // The golden section of the population, made coprime to it: no token comes twice before all have come.
  let step = Math.floor(population * 0.618) | 1
  while (divisor(step, population) !== 1) step += 2
  let at = 0
  const ids = (count: number) => Array.from({ length: count }, () => idAt((at = (at + step) % population), population))
  const reveal = (four: readonly string[]) => {
    const subjects = four.map((id) => ({ text: id, form: 'data' as const, candidates: [id] }))
    const purpose = { door: 'proxy' as const, destination: DESTINATION, traceId: 'bench', reason: null, intent: 0 }
    const found = vault.reveal(vault.authenticate(key, memo) as Caller, subjects, purpose, 100)
    if (found instanceof Promise || found.length !== 4 || found[0]?.data.exposeText() !== DATA)
      throw new Error('wrong reveal')
    vault.outcome(purpose.intent, 'ok')
  }
  return { bench, population, ids, reveal, first: [], later: [] }
}

/** A round. In the first ones the code is not compiled, and few pages of the map are in the page tables. */
async function run({ bench, ids, reveal }: Contender, times: number[]): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) {
    const all = ids(REVEALS * 4)
    const groups = Array.from({ length: REVEALS }, (_, n) => all.slice(n * 4, n * 4 + 4))
    const started = process.hrtime.bigint()
    for (const four of groups) reveal(four)
    times.push(Number(process.hrtime.bigint() - started) / 1000 / REVEALS)
    await bench.vault.released()
  }
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b)
}
