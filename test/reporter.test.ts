import { text } from 'node:stream/consumers'
import t from 'tap'
import Reporter from './kit/reporter.ts'

/** What the reporter makes of TAP that comes in pieces of this many characters. */
function report(tap: string, size: number): Promise<string> {
  const reporter = new Reporter()
  for (let at = 0; at < tap.length; at += size) reporter.write(tap.slice(at, at + size))
  reporter.end()
  return text(reporter)
}

const PASSING = `TAP version 14
1..2
# Subtest: dist/test/a.test.js
    # Subtest: a claim
        ok 1 - holds
        1..1
    ok 1 - a claim # time=1ms
    1..1
ok 1 - dist/test/a.test.js # time=5ms
# Subtest: dist/test/b.test.js
    ok 1 - holds # SKIP
    1..1
ok 2 - dist/test/b.test.js # time=6ms
# { total: 3, pass: 2, skip: 1 }
# time=11ms
`

const FAILING = `TAP version 14
1..1
# Subtest: dist/test/a.test.js
    # Subtest: a claim
        ok 1 - holds
        not ok 2 - is two
          ---
          diff: |
            -2
            +1
          ...
        not ok 3 - is awaited # TODO
        1..3
    not ok 1 - a claim # time=1ms
      ---
      at: {}
      ...
    said by the test
    1..1
not ok 1 - dist/test/a.test.js # time=5ms
  ---
  exitCode: 1
  ...
# { total: 3, pass: 1, fail: 1, todo: 1 }
`

t.test('one line a file, and the closing line', async (t) => {
  for (const size of [1, 7, 10_000]) {
    t.equal(
      await report(PASSING, size),
      'ok dist/test/a.test.js # time=5ms\nok dist/test/b.test.js # time=6ms\n2 passed, 0 failed, 1 skipped\n'
    )
  }
})

t.test('a failure stands under its claims with its diagnostics, once', async (t) => {
  for (const size of [1, 7, 10_000]) {
    t.equal(
      await report(FAILING, size),
      [
        '',
        'FAILED dist/test/a.test.js > a claim > is two',
        '  diff: |',
        '    -2',
        '    +1',
        '    said by the test',
        'not ok dist/test/a.test.js # time=5ms',
        '1 passed, 1 failed, 1 skipped',
        ''
      ].join('\n')
    )
  }
})

t.test('a file that fails without a failed assertion says why', async (t) => {
  const crash = 'not ok 1 - dist/test/c.test.js # time=9ms\n  ---\n  signal: SIGKILL\n  ...\n# { total: 1, fail: 1 }\n'
  t.equal(
    await report(crash, 3),
    '\nFAILED dist/test/c.test.js # time=9ms\nnot ok dist/test/c.test.js # time=9ms\n  signal: SIGKILL\n0 passed, 1 failed, 0 skipped\n'
  )
})

t.test('nothing at all is no success', async (t) => {
  t.equal(await report('', 1), '0 passed, 0 failed, 0 skipped\n')
})
