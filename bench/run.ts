/** `npm run bench`: see USAGE. The rows of a run that is not quick are kept, drawn and put into bench/README.md. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { comparedWithBaseline, keepBaseline } from './kit/baseline.ts'
import { type Circumstances, circumstances } from './kit/machine.ts'
import { quick } from './kit/options.ts'
import { budgetTexts, parseRows, type Row, ratioText, table } from './kit/report.ts'
import { keep, publish } from './kit/results.ts'

const USAGE = `usage: npm run bench [-- [FILTER…] [--quick] [--NAME=VALUE…]]

  FILTER         runs the programs whose path below bench/ holds one of them; all without a filter
  --quick        about a twentieth of the length: shows that every output is right, not how fast; keeps nothing
  --baseline     keeps the instructions that were counted as those which npm test compares with (+15 % fails)
  --list         prints the programs' paths and ends
  --at=DIR       vaults that take minutes to fill are made there and kept for the next run; --most=10000000 goes to ten million
  --NAME=VALUE   handed to the programs: --rounds=3 --requests=1000 --peers=http-proxy,nginx --seal=xchacha20-poly1305 …

A whole run takes 20 minutes at most: after 16 it starts no other program and names those that it left out. It compares with the proxies that it finds and installs none. What
it measures replaces the same programs' rows in bench/results/last.jsonl; from those it draws bench/results/*.svg and writes
the tables of bench/README.md. Exits 1 when an output was wrong or a program failed; the others' rows are kept. SIGINT and
SIGTERM end it and every process that it started.`

const HERE = fileURLToPath(new URL('.', import.meta.url))
const TIME_LIMIT_MS = 10 * 60_000
const LAST_START_MS = 16 * 60_000
const END_MS = 20 * 60_000

const options = process.argv.slice(2).filter((argument) => argument.startsWith('-'))
const filters = process.argv.slice(2).filter((argument) => !argument.startsWith('-'))
if (options.includes('--help') || options.includes('-h')) say(`${USAGE}\n`, 0)
const unknown = options.find((option) => !/^--(quick|list|baseline|[a-z]+=.*)$/i.test(option))
if (unknown !== undefined) say(`there is no option ${unknown}\n${USAGE}\n`, 2)
// Those at the end are left out when it is late: one takes minutes in valgrind, the other repeats what compare/ shows.
const LAST = ['compare/instructions.js', 'e2e/small-json.js']
const all = ['compare', 'micro', 'e2e'].flatMap(programsIn).filter(isWanted)
const programs = [
  ...all.filter((program) => !LAST.includes(program)),
  ...all.filter((program) => LAST.includes(program))
]
if (programs.length === 0) say(`no benchmark's path holds ${filters.join(' or ')}\n`, 2)
if (options.includes('--list')) say(programs.map((program) => `${program.replace(/\.js$/, '')}\n`).join(''), 0)

const where = circumstances()
process.stdout.write(introduction(where))
const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-rows-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
let child: ChildProcess | null = null
/** By which signal. */
const ended: NodeJS.Signals[] = []
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop(signal))

const failed: string[] = []
const rows: Row[] = []
for (const [at, program] of programs.entries()) {
  const file = join(folder, String(at))
  if (performance.now() > LAST_START_MS) {
    process.stdout.write(`left out, it is late: ${programs.slice(at).join(', ')}\n`)
    break
  }
  const begun = performance.now()
  const status = await run(program, file)
  if (ended.length > 0) say(`\nended by ${ended.join()}\n`, 130)
  const seconds = ((performance.now() - begun) / 1000).toFixed(0)
  process.stdout.write(`${status === 0 ? '' : 'FAILED: '}${program.replace(/\.js$/, '')}, ${seconds} s\n`)
  if (status !== 0) failed.push(program)
  else if (existsSync(file)) rows.push(...parseRows(readFileSync(file, 'utf8')))
}
const lines = rows.flatMap((row) =>
  [...(row.ratios ?? []).map(ratioText), ...budgetTexts(row)].map((text) => [row.bench, row.case, row.subject, text])
)
const caution = quick ? '; a quick run is too short for them to mean anything' : ''
if (lines.length > 0) process.stdout.write(`\nratios (less is better${caution})\n${table(lines, 4)}\n`)
const { counted, grown } = comparedWithBaseline(rows)
if (counted > 0)
  process.stdout.write(
    `\ninstructions: ${counted} compared with the baseline\n${grown.map((line) => `${line}\n`).join('')}`
  )
if (options.includes('--baseline')) keepBaseline(rows, where)
if (!quick && rows.length > 0) {
  keep(rows, where)
  publish()
}
say(failed.length > 0 ? `failed: ${failed.join(', ')}\n` : '', failed.length > 0 ? 1 : 0)

/** Compiled programs under a folder; files named `_x` are parts of others. */
function programsIn(name: string): string[] {
  const path = join(HERE, name)
  if (!existsSync(path)) return []
  const files = readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()
  return files.filter((file) => /(^|[\\/])[^_\\/][^\\/]*\.js$/.test(file)).map((file) => join(name, file))
}

function isWanted(program: string): boolean {
  return filters.length === 0 || filters.some((filter) => program.includes(filter))
}

function introduction(where: Circumstances): string {
  const peers = Object.entries(where.peers).map(([name, version]) => `${name} ${version ?? 'not found'}`)
  return `${where.cpu}, ${where.cores} cores, Node ${where.node}, OpenSSL ${where.openssl}, ${where.date}
${where.instructions ? 'user-space instructions are counted' : 'user-space instructions are not counted here: CPU time it is'}; the proxy ${where.pinned ? 'has a core of its own' : 'shares its cores'}
to compare with: ${peers.join(', ')}
`
}

/** The program's exit status; -1 when a signal or the time limit ended it. */
function run(program: string, file: string): Promise<number> {
  return new Promise((resolve) => {
    child = spawn(process.execPath, ['--enable-source-maps', join(HERE, program), ...options], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, SLUICE_BENCH_ROWS: file },
      timeout: Math.max(1, Math.floor(Math.min(TIME_LIMIT_MS, END_MS - performance.now())))
    })
    child.once('close', (status) => resolve(status ?? -1))
  })
}

/** Passes a signal on: a program ends with its children. One that does not within two seconds is killed. */
function stop(signal: NodeJS.Signals): void {
  ended.push(signal)
  child?.kill('SIGTERM')
  setTimeout(() => child?.kill('SIGKILL'), 2000).unref()
}

function say(text: string, status: number): never {
  ;(status === 0 ? process.stdout : process.stderr).write(text)
  process.exit(status)
}
