/**
 * `npm run bench:diff REV`: the ratios in bench/results/last.jsonl beside those of revision REV. Ratios were each taken in
 * one run, so they compare across days and machines; the figures themselves do not.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseRows, type Row, table } from './kit/report.ts'

const FILE = 'bench/results/last.jsonl'
const ROOT = fileURLToPath(new URL('../../', import.meta.url))

const revision = process.argv[2]
if (revision === undefined) fail('usage: npm run bench:diff REV')
if (!existsSync(ROOT + FILE)) fail(`${FILE} is not there: run the benchmarks first`)
const before = ratiosOf(textAt(revision))
const now = ratiosOf(readFileSync(ROOT + FILE, 'utf8'))
const lines = [...new Set([...before.keys(), ...now.keys()])].sort().map((name) => {
  const [then, today] = [before.get(name), now.get(name)]
  const change = then === undefined || today === undefined ? '' : `${((today / then - 1) * 100).toFixed(0)} %`
  return [name, then?.toFixed(3) ?? '', today?.toFixed(3) ?? '', change]
})
process.stdout.write(`${table([['ratio', revision, 'now', ''], ...lines], 1)}\n`)

// :: bench, case, subject, figure, against → ratio
function ratiosOf(text: string): Map<string, number> {
  const found = new Map<string, number>()
  for (const row of parseRows(text)) {
    for (const ratio of row.ratios ?? []) found.set(nameOf(row, ratio), ratio.value)
  }
  return found
}

function nameOf(row: Row, ratio: { readonly figure: string; readonly against: string }): string {
  return `${row.bench}, ${row.case}: ${row.subject} / ${ratio.against} (${ratio.figure})`
}

function textAt(revision: string): string {
  try {
    return execFileSync('git', ['show', `${revision}:${FILE}`], { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' })
  } catch {
    return fail(`${FILE} is not in ${revision}`)
  }
}

function fail(why: string): never {
  process.stderr.write(`${why}\n`)
  process.exit(1)
}
