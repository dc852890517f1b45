/**
 * `npm run bench [-- FILTER…] [--quick]`: runs every program under bench/micro, bench/e2e and bench/compare whose path
 * holds one of the filters (all without a filter), then prints all ratios in one table. A full run keeps its rows in
 * bench/results/last.jsonl, a quick one keeps nothing. Exits 1 when a program fails: wrong output, a crash, no end.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { circumstances } from './kit/machine.ts'
import { quick } from './kit/options.ts'
import { parseRows, type Row, ratioText, table } from './kit/report.ts'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const RESULTS = fileURLToPath(new URL('../../bench/results/last.jsonl', import.meta.url))
const TIME_LIMIT_MS = 30 * 60_000

const options = process.argv.slice(2).filter((argument) => argument.startsWith('--'))
const filters = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
const programs = ['micro', 'e2e', 'compare'].flatMap(programsIn).filter(isWanted)
if (programs.length === 0) fail(`no benchmark's path holds ${filters.join(' or ')}`)

const where = circumstances()
process.stdout.write(
  `${where.cpu}, ${where.cores} cores, Node ${where.node}, OpenSSL ${where.openssl}, ${where.date}\n` +
    `${where.instructions ? 'user-space instructions are counted' : 'user-space instructions are not counted here: CPU time it is'}` +
    `; the proxy ${where.pinned ? 'has a core of its own' : 'shares its cores'}\n`
)
const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-rows-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const failed: string[] = []
const rows: Row[] = []
for (const [at, program] of programs.entries()) {
  const file = join(folder, String(at))
  const status = await run(program, file)
  if (status !== 0) failed.push(program)
  if (existsSync(file)) rows.push(...readRows(file))
}
const ratios = rows.flatMap((row) =>
  (row.ratios ?? []).map((ratio) => [row.bench, row.case, row.subject, ratioText(ratio)])
)
if (ratios.length > 0)
  process.stdout.write(
    `\nratios (less is better${quick ? '; a quick run is too short for them to mean anything' : ''})\n${table(ratios, 4)}\n`
  )
if (!quick && failed.length === 0) keep()
if (failed.length > 0) fail(`failed: ${failed.join(', ')}`)

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

/** The program's exit status; -1 when a signal or the time limit ended it. */
function run(program: string, file: string): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--enable-source-maps', join(HERE, program), ...options], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, SLUICE_BENCH_ROWS: file },
      timeout: TIME_LIMIT_MS
    })
    const stop = () => child.kill('SIGTERM')
    process.once('SIGINT', stop).once('SIGTERM', stop)
    child.once('close', (status) => {
      process.off('SIGINT', stop).off('SIGTERM', stop)
      resolve(status ?? -1)
    })
  })
}

/** Replaces the kept rows of the benchmarks that ran; the others stay. */
function keep(): void {
  const ran = new Set(rows.map((row) => row.bench))
  const kept = existsSync(RESULTS) ? readRows(RESULTS).filter((row) => !ran.has(row.bench)) : []
  mkdirSync(join(RESULTS, '..'), { recursive: true })
  const lines = [...kept, ...rows.map((row) => ({ ...row, where }))].map((row) => `${JSON.stringify(row)}\n`)
  writeFileSync(RESULTS, lines.sort().join(''))
}

function readRows(file: string): Row[] {
  return parseRows(readFileSync(file, 'utf8'))
}

function fail(why: string): never {
  process.stderr.write(`${why}\n`)
  process.exit(1)
}
