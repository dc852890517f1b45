/**
 * User-space instructions per request of the proxy process alone, 1 KiB of JSON over TLS on both sides: untouched, and with
 * four tokens. Counted by Linux perf, or where that cannot (virtual machines) by valgrind, if it is installed: the one
 * figure that a busy machine does not change. A quick run is as long as a full one, since both are held against the
 * baseline (bench/kit/baseline.ts). `--peers=http-proxy,nginx+lua`, `--warm=10000`, `--requests=500`.
 */
import { plainBody } from '../data/small-json.ts'
import { callgrindCounter, callgrindWords, hasValgrind } from '../kit/callgrind.ts'
import { type Child, limitTime, startProgram, wrapProxies } from '../kit/child.ts'
import { check, type Entry, targetOf } from '../kit/contest.ts'
import { instructionCounter, instructionsAreCounted } from '../kit/instructions.ts'
import { count, option, quick } from '../kit/options.ts'
import { type Row, report } from '../kit/report.ts'
import { newScene, type Scene } from '../kit/scene.ts'
import { substituting } from './_substituting.ts'

const STEP = 250

limitTime(900)
const perf = instructionsAreCounted()
/** Counts of the two are not comparable: valgrind shows programs an older processor. */
const INSTRUCTIONS = perf ? 'user instructions' : 'user instructions in valgrind'
if (perf || (!quick && hasValgrind())) await run()
else
  process.stdout.write(
    'perf counts no instructions here; a run that is not quick uses valgrind, where it is installed\n'
  )
process.exit(0)

async function run(): Promise<void> {
  const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
  if (!perf) wrapProxies(callgrindWords(scene.folder))
  const peers = option('peers', 'http-proxy,nginx+lua').split(',')
  const { entries: substituted, ids } = await substituting(scene, count('tokens', 5000, 5000), peers)
  const entries = [...untouched(substituted), ...substituted]
  const load = startProgram('load', 'load', new URL('../kit/load.ts', import.meta.url))
  scene.add(load)
  const warm = count('warm', 10_000, 10_000)
  const requests = count('requests', 500, 500)
  const counts = new Map<Entry, number>()
  for (const entry of entries) {
    await check(scene, ids, entry)
    await load.ask('connect', targetOf(scene, ids, entry, 16))
    await send(load, warm)
    const counter = counterOf(scene, entry)
    await counter.start()
    await send(load, requests)
    counts.set(entry, (await counter.stop()) / requests)
    await load.ask('close')
  }
  report(entries.map((entry) => rowOf(entry, counts)))
  await scene.close()
}

/** In steps, since a command has to be answered within its time and valgrind is slow. */
async function send(load: Child, requests: number): Promise<void> {
  for (let left = requests; left > 0; left -= STEP) await load.ask('run', { requests: Math.min(left, STEP), rate: 0 })
}

/** The first two of those with nothing to put in: http-proxy and Sluice, as they stand. */
function untouched(entries: readonly Entry[]): Entry[] {
  const [base, sluice] = [entries[0], entries.find(({ contender }) => contender.name.startsWith('sluice'))]
  if (base === undefined || sluice === undefined) return []
  const plain = { case: '1 KiB', body: 'plain', forwarded: () => plainBody } as const
  const first: Entry = { ...plain, contender: base.contender }
  return [first, { ...plain, contender: sluice.contender, against: [{ entry: first, budget: 0.45 }] }]
}

function counterOf(scene: Scene, { contender }: Entry): ReturnType<typeof instructionCounter> {
  return perf ? instructionCounter(contender.child.pid) : callgrindCounter(contender.child.pid, scene.folder)
}

function rowOf(entry: Entry, counts: ReadonlyMap<Entry, number>): Row {
  const own = counts.get(entry) ?? Number.NaN
  const ratios = (entry.against ?? []).map(({ entry: base, budget }) => ({
    figure: INSTRUCTIONS,
    against: base.contender.name,
    value: own / (counts.get(base) ?? Number.NaN),
    ...(budget === undefined ? {} : { budget })
  }))
  const { name } = entry.contender
  return { bench: 'compare/instructions', case: entry.case, subject: name, figures: { [INSTRUCTIONS]: own }, ratios }
}
