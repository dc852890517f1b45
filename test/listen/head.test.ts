import t from 'tap'
import type { SluiceError } from '../../lib/errors.ts'
import { onlyField, readHead } from '../../lib/listen/head.ts'

function code(run: () => unknown): string {
  try {
    run()
    return 'no error'
  } catch (error) {
    return (error as SluiceError).code
  }
}

t.test('reads length, chunking and expectation', async (t) => {
  const plain = readHead('GET', '/a?b=c', ['Host', 'x'], 1)
  t.match(plain, { path: '/a', query: '?b=c', bodyBytes: 0, expectsContinue: false })
  t.equal(readHead('POST', '/', ['host', 'x', 'CONTENT-LENGTH', '12'], 1).bodyBytes, 12)
  t.equal(readHead('POST', '/', ['host', 'x', 'content-length', '0'], 1).bodyBytes, 0)
  t.equal(readHead('POST', '/', ['host', 'x', 'Transfer-Encoding', 'Chunked'], 1).bodyBytes, -1)
  t.equal(readHead('POST', '/', ['host', 'x', 'Expect', '100-continue'], 1).expectsContinue, true)
})

t.test('absolute-form becomes origin-form', async (t) => {
  t.equal(readHead('GET', 'http://h.test/a?b', ['Host', 'x'], 1).target, '/a?b')
  t.equal(readHead('GET', 'HTTPS://h.test', ['Host', 'x'], 1).target, '/')
  t.equal(readHead('GET', 'http://h.test?q', ['Host', 'x'], 1).target, '/?q')
})

t.test('refuses what is ambiguous', async (t) => {
  const host = ['Host', 'x']
  const faults: Record<string, () => unknown> = {
    'no host': () => readHead('GET', '/', [], 1),
    'two hosts': () => readHead('GET', '/', [...host, 'host', 'y'], 1),
    'a target that is no path': () => readHead('GET', 'a', host, 1),
    'asterisk-form': () => readHead('GET', '*', host, 1),
    'two equal lengths': () => readHead('POST', '/', [...host, 'Content-Length', '1', 'content-length', '1'], 1),
    'a list of lengths': () => readHead('POST', '/', [...host, 'Content-Length', '1, 1'], 1),
    'a signed length': () => readHead('POST', '/', [...host, 'Content-Length', '+1'], 1),
    'a length over 2^53': () => readHead('POST', '/', [...host, 'Content-Length', '9007199254740993'], 1),
    'another coding': () => readHead('POST', '/', [...host, 'Transfer-Encoding', 'gzip, chunked'], 1),
    'chunked twice': () =>
      readHead('POST', '/', [...host, 'Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked'], 1),
    'both lengths': () => readHead('POST', '/', [...host, 'Content-Length', '3', 'Transfer-Encoding', 'chunked'], 1),
    'chunked in HTTP/1.0': () => readHead('POST', '/', [...host, 'Transfer-Encoding', 'chunked'], 0)
  }
  for (const [name, run] of Object.entries(faults)) t.equal(code(run), 'ERR_HTTP_SYNTAX', name)
})

t.test('HTTP/1.0 needs no host', async (t) => {
  t.equal(readHead('GET', '/', [], 0).bodyBytes, 0)
})

t.test('a field that may stand once', async (t) => {
  const fields = ['A', '1', 'bB', '2', 'c', '3', 'C', '4']
  t.equal(onlyField(fields, 'a'), '1')
  t.equal(onlyField(fields, 'bb'), '2')
  t.equal(onlyField(fields, 'd'), undefined)
  t.equal(
    code(() => onlyField(fields, 'c')),
    'ERR_HTTP_SYNTAX'
  )
})
