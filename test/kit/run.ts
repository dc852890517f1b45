import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { comparedWithBaseline } from '../../bench/kit/baseline.ts'
import { parseRows } from '../../bench/kit/report.ts'
import { ROOT } from './sources.ts'

/**
 * `npm test`, after the build: format, lint, types, the tests of tap (import rules and unused code among them) and a
 * short run of every benchmark, whose instructions are compared with the baseline where they are counted. All of it runs whatever fails; the last line is `N passed, N failed`, in which a step or
 * a benchmark counts one and tap's part counts its assertions.
 */
async function run(): Promise<void> {
  const sum = { passed: 0, failed: 0 }
  const count = (name: string, outcome: Outcome): void => {
    const seconds = (outcome.ms / 1000).toFixed(1)
    const ok = outcome.status === 0
    process.stdout.write(`${ok ? '' : `${outcome.output}\n`}${ok ? 'ok' : 'not ok'} ${name} (${seconds} s)\n`)
    if (ok) sum.passed++
    else sum.failed++
  }
  count('format', await program(join(BIN, 'biome'), ['format', '.']))
  count('lint', await program(join(BIN, 'oxlint'), ['--deny-warnings']))
  count('types', await program(join(BIN, 'tsc'), ['-p', '.', '--noEmit']))

  const tests = await tap()
  sum.passed += tests.passed
  sum.failed += tests.failed

  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-rows-'))
  const file = join(folder, 'rows')
  process.env['SLUICE_BENCH_ROWS'] = file
  for (const path of benchmarks()) {
    const outcome = await program(process.execPath, ['--enable-source-maps', join('dist', path), '--quick'])
    count(path.replace(/\.js$/, '.ts --quick'), outcome)
  }
  const { counted, grown } = comparedWithBaseline(existsSync(file) ? parseRows(readFileSync(file, 'utf8')) : [])
  rmSync(folder, { recursive: true })
  if (counted === 0)
    process.stdout.write(
      '# instructions: neither perf nor valgrind counts them here, or the baseline has none: not compared\n'
    )
  else count('instructions within +15 % of the baseline', { status: grown.length, output: grown.join('\n'), ms: 0 })
  process.stdout.write(`${sum.passed} passed, ${sum.failed} failed\n`)
  process.exitCode = sum.failed === 0 && sum.passed > 0 ? 0 : 1
}

interface Outcome {
  /** Exit status; -1 when a signal or the time limit ended it. */
  readonly status: number
  readonly output: string
  readonly ms: number
}

interface Tally {
  readonly passed: number
  readonly failed: number
}

/** Runs the tests. A fault that no assertion names (no test ran, a crash of tap) counts as one failure. */
async function tap(): Promise<Tally> {
  if (tapNeedsBuild()) {
    const build = await program(join(BIN, 'tap'), ['build'])
    if (build.status !== 0) process.stdout.write(build.output)
  }
  let closing: RegExpExecArray | null = null
  const outcome = await program(join(BIN, 'tap'), [], (line) => {
    const match = CLOSING.exec(line)
    if (match === null) process.stdout.write(`${line}\n`)
    else closing = match
  })
  const [, passed, failed] = (closing ?? []) as readonly (string | undefined)[]
  const tally = { passed: Number(passed ?? 0), failed: Number(failed ?? 0) }
  const ok = outcome.status === 0 && tally.passed > 0 && tally.failed === 0
  process.stdout.write(`${ok ? 'ok' : 'not ok'} tests (${(outcome.ms / 1000).toFixed(1)} s)\n`)
  return ok ? tally : { passed: tally.passed, failed: Math.max(1, tally.failed) }
}

/**
 * tap bakes its plugins into a class at build time. A fresh install holds the class with the default plugins, of which
 * the TypeScript loader fails every test.
 */
function tapNeedsBuild(): boolean {
  const built = join(ROOT, 'node_modules/@tapjs/test/test-built/dist/esm/index.js')
  return !existsSync(built) || readFileSync(built, 'utf8').includes('@tapjs/typescript')
}

/** The compiled benchmark programs, as paths under dist/. Files named `_x` are parts of others. */
function benchmarks(): string[] {
  return ['micro', 'e2e', 'compare'].flatMap((folder) => {
    const path = join(ROOT, 'dist/bench', folder)
    if (!existsSync(path)) return []
    const files = readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()
    return files.filter((file) => /(^|\/)[^_/][^/]*\.js$/.test(file)).map((file) => join('bench', folder, file))
  })
}

/** Runs a program in the root of the repository; `onLine` gets its lines as they come, else they are kept. */
function program(command: string, args: readonly string[], onLine?: (line: string) => void): Promise<Outcome> {
  const start = performance.now()
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], timeout: TIME_LIMIT_MS })
    let output = ''
    let rest = ''
    const take = (chunk: string): void => {
      if (onLine === undefined) {
        output += chunk
        return
      }
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      lines.forEach(onLine)
    }
    const settle = (status: number): void => {
      if (rest !== '') onLine?.(rest)
      rest = ''
      resolve({ status, output, ms: performance.now() - start })
    }
    child.stdout.setEncoding('utf8').on('data', take)
    child.stderr.setEncoding('utf8').on('data', take)
    child.on('error', (error) => {
      output += error.message
      settle(-1)
    })
    child.on('close', (status) => settle(status ?? -1))
  })
}

const BIN = join(ROOT, 'node_modules/.bin')
/** A slow hour of a shared machine takes twice as long as a good one. */
const TIME_LIMIT_MS = 1_500_000
const CLOSING = /^(\d+) passed, (\d+) failed(?:, \d+ skipped)?$/

await run()
