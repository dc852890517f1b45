import { Transform, type TransformCallback } from 'node:stream'

/**
 * A tap reporter: one line a test file, each failed assertion with the claims it stands under and its diagnostics, and
 * the closing line `N passed, N failed, N skipped`. TAP text goes in, plain text comes out. It has to be a Transform:
 * tap pipes it on to stdout.
 */
// oxlint-disable-next-line import/no-default-export -- tap takes the default export
export default class Reporter extends Transform {
  #rest = ''
  #failed = false
  // The open subtests, outermost first.
  #open: Subtest[] = []
  // The diagnostics (YAML) of a failure that is being printed or passed over, by their indentation.
  #diagnostics: { readonly indent: number; readonly lines: string[] | null } | null = null
  #sum = { passed: 0, failed: 0, skipped: 0 }

  override _transform(chunk: Buffer | string, _encoding: BufferEncoding, done: TransformCallback): void {
    const lines = (this.#rest + chunk.toString()).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#line(line)
    done()
  }

  override _flush(done: TransformCallback): void {
    if (this.#rest !== '') this.#line(this.#rest)
    const { passed, failed, skipped } = this.#sum
    done(null, `${passed} passed, ${failed} failed, ${skipped} skipped\n`)
  }

  #line(line: string): void {
    const indent = line.length - line.trimStart().length
    const text = line.slice(indent)
    if (this.#diagnostics !== null) {
      if (text === '...' && indent === this.#diagnostics.indent) this.#closeDiagnostics()
      else this.#diagnostics.lines?.push(line.slice(this.#diagnostics.indent))
      return
    }
    const total = TOTAL.exec(line)
    if (total !== null) {
      this.#sum = {
        passed: Number(total[2] ?? 0),
        failed: Number(total[3] ?? 0),
        skipped: Number(total[4] ?? 0) + Number(total[5] ?? 0)
      }
    } else if (text.startsWith('# Subtest: ')) {
      this.#open = this.#open.filter((subtest) => subtest.indent < indent)
      this.#open.push({ name: text.slice(11), indent, failures: 0 })
    } else if (text === '---') {
      this.#diagnostics = { indent, lines: this.#failed ? [] : null }
    } else {
      this.#point(line, text, indent)
    }
  }

  #point(line: string, text: string, indent: number): void {
    const point = POINT.exec(text)
    if (point === null) {
      this.#failed = false
      if (text.startsWith('Bail out!') || !QUIET.test(text)) this.push(`${line}\n`)
      return
    }
    const last = this.#open.at(-1)
    const closes = last !== undefined && last.indent === indent
    if (closes) this.#open.pop()
    this.#failed = point[1] !== undefined && !text.includes('# TODO') && !(closes && last.failures > 0)
    if (this.#failed) {
      for (const subtest of this.#open) subtest.failures++
      const claims = [...this.#open.map((subtest) => subtest.name), point[2] ?? '']
      this.push(`\nFAILED ${claims.join(' > ')}\n`)
    } else if (closes && point[1] !== undefined) {
      for (const subtest of this.#open) subtest.failures++
    }
    if (indent === 0) this.push(`${point[1] === undefined ? 'ok' : 'not ok'} ${point[2] ?? ''}\n`)
  }

  #closeDiagnostics(): void {
    const lines = this.#diagnostics?.lines
    if (lines !== null && lines !== undefined) this.push(`${lines.map((line) => `  ${line}`).join('\n')}\n`)
    this.#diagnostics = null
    this.#failed = false
  }
}

interface Subtest {
  readonly name: string
  readonly indent: number
  failures: number
}

const TOTAL = /^# \{ total: (\d+)(?:, pass: (\d+))?(?:, fail: (\d+))?(?:, todo: (\d+))?(?:, skip: (\d+))? \}/
const POINT = /^(not )?ok \d+(?: - (.*))?$/
// Lines of TAP that say nothing by themselves.
const QUIET = /^(#|\d+\.\.\d+|TAP version|pragma|$)/
