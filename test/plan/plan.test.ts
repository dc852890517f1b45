import t from 'tap'
import type { SluiceError } from '../../lib/errors.ts'
import { chooseBodyMode, codingsOf } from '../../lib/plan/body-mode.ts'
import { isBinaryType, parseMediaType } from '../../lib/scan/media-type.ts'
import { acceptableTraceId, bodyModeOf, delimitersOf, subjectsOf } from '../../lib/plan/controls.ts'
import {
  listedByConnection,
  FIELD_CONTROL,
  FIELD_DROP,
  FIELD_FORWARD,
  FIELD_UNKNOWN_NAME,
  requestField,
  endToEndFields
} from '../../lib/plan/headers.ts'

function code(run: () => unknown): string {
  try {
    run()
    return 'no error'
  } catch (error) {
    return (error as SluiceError).code
  }
}

const FACTS = {
  bodyBytes: 100,
  delimiters: 3,
  delimitersNamed: false,
  contentType: 'application/json',
  wish: 'auto' as const,
  wholeBodyBytes: 1000,
  encoded: false,
  needsWhole: false
}

t.test('the body mode is decided from the head alone', async (t) => {
  const mode = (facts: Partial<typeof FACTS> | object): string => chooseBodyMode({ ...FACTS, ...facts }).mode
  t.equal(mode({}), 'whole')
  t.equal(mode({ bodyBytes: 0 }), 'pass')
  t.equal(mode({ delimiters: 0 }), 'pass')
  t.equal(mode({ contentType: 'image/png' }), 'pass')
  t.equal(mode({ contentType: 'image/png', delimitersNamed: true }), 'whole')
  t.equal(mode({ contentType: 'image/svg+xml' }), 'pass')
  t.equal(mode({ bodyBytes: 1000 }), 'whole')
  t.equal(mode({ bodyBytes: 1001 }), 'stream')
  t.equal(mode({ bodyBytes: -1 }), 'whole', 'until it passes the limit')
  t.equal(mode({ bodyBytes: 5000, encoded: true }), 'whole', 'the decoded length is unknown')
  t.equal(mode({ wish: 'stream' }), 'stream')
  t.equal(
    code(() => mode({ wish: 'whole', bodyBytes: 1001 })),
    'ERR_BODY_SIZE'
  )
})

t.test('content codings', async (t) => {
  t.strictSame(codingsOf(undefined), [])
  t.strictSame(codingsOf('identity'), [])
  t.strictSame(codingsOf('X-GZIP'), ['gzip'])
  t.strictSame(codingsOf('br'), ['br'])
  t.equal(
    code(() => codingsOf('zstd')),
    'ERR_ENCODING'
  )
  t.equal(
    code(() => codingsOf('gzip, br')),
    'ERR_ENCODING',
    'one coding at most'
  )
  for (const [type, isBinary] of [
    ['application/PDF; x=y', true],
    ['application/json', false],
    ['image/png, text/plain', true],
    ['application/json', false]
  ] as const) {
    t.equal(isBinaryType(type), isBinary, type)
    if (!type.includes(',')) t.equal(parseMediaType(type).isBinary, isBinary, type)
    t.equal(isBinaryType(type), isBinary, `${type}, known`)
  }
})

t.test('header fields: which go on', async (t) => {
  t.equal(requestField('authorization'), FIELD_FORWARD)
  t.equal(requestField('x-custom_1'), FIELD_FORWARD)
  for (const name of ['bt-api-key', 'bt-anything', 'x-fp-id', 'sluice-subjects']) {
    t.equal(requestField(name), FIELD_CONTROL, name)
  }
  for (const name of ['te', 'upgrade', 'keep-alive', 'transfer-encoding', 'content-length', 'host', 'trailer']) {
    t.equal(requestField(name), FIELD_DROP, name)
  }
  t.equal(requestField('x.y'), FIELD_UNKNOWN_NAME, 'names outside letters, digits, - and _')
  t.equal(requestField('constructor'), FIELD_FORWARD)
  for (const name of ['connection', 'transfer-encoding', 'bt-trace-id', 'sluice-literal', 'content-length']) {
    t.strictSame(endToEndFields([name, 'x'], false), [], name)
  }
  t.strictSame(endToEndFields(['Set-Cookie', 'a', 'set-cookie', 'b'], false), ['Set-Cookie', 'a', 'set-cookie', 'b'])
  t.strictSame(endToEndFields(['Content-Length', '5'], true), ['Content-Length', '5'])
})

t.test('names that Connection lists', async (t) => {
  t.equal(listedByConnection(['Connection', 'keep-alive']), null)
  t.equal(listedByConnection(['Connection', 'close, keep-alive']), null)
  t.strictSame(
    [...(listedByConnection(['connection', 'close, X-A , x-b', 'X', 'y', 'CONNECTION', 'x-c']) ?? [])],
    ['x-a', 'x-b', 'x-c']
  )
})

t.test('controls of our own', async (t) => {
  t.equal(delimitersOf(undefined, 3), 3)
  t.equal(delimitersOf('none', 3), 0)
  t.equal(delimitersOf('{{ }}', 3), 1)
  t.equal(delimitersOf('<< >>', 3), 2)
  t.equal(
    code(() => delimitersOf('[[ ]]', 3)),
    'ERR_HTTP_SYNTAX'
  )
  t.equal(bodyModeOf(undefined), 'auto')
  t.equal(bodyModeOf('stream'), 'stream')
  t.equal(
    code(() => bodyModeOf('both')),
    'ERR_HTTP_SYNTAX'
  )
  t.strictSame([...(subjectsOf('a, b,,c ') ?? [])], ['a', 'b', 'c'])
  t.equal(subjectsOf(undefined), null)
  t.equal(acceptableTraceId('abc-1._'), 'abc-1._')
  t.equal(acceptableTraceId('a b'), null)
  t.equal(acceptableTraceId('a'.repeat(65)), null)
})
