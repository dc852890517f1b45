import t from 'tap'
import { readTransforms, showTransforms } from '../../../../lib/dialects/basis-theory/transforms/documents.ts'
import { Faults, type JsonObject } from '../../../../lib/dialects/basis-theory/token-input.ts'
import type { SluiceError } from '../../../../lib/errors.ts'

type Side = 'request' | 'response'

/** The faults of a body's transforms, by field. */
function faultsOf(body: object, side: Side = 'response'): Record<string, readonly string[]> {
  const faults = new Faults()
  readTransforms(body as JsonObject, side, faults)
  try {
    faults.settle()
    return {}
  } catch (thrown) {
    return { ...(thrown as SluiceError).fields }
  }
}

/** What is stored of them. */
function read(body: object, side: Side = 'response'): unknown[] {
  const faults = new Faults()
  const transforms = readTransforms(body as JsonObject, side, faults)
  faults.settle()
  return [...transforms]
}

const step = (transform: object): object => ({ response_transforms: [transform] })
const fields = (transform: object, side: Side = 'response'): string[] =>
  Object.keys(faultsOf({ [`${side}_transform`]: transform }, side)).map((field) =>
    field.replace(/^\w+_transform\./, '')
  )
const token = { type: 'token', data: '{{ res.number }}' }

t.test('every kind of transform is read, stored and shown as it was written', async (t) => {
  const written = [
    { type: 'code', code: 'module.exports = async (req) => ({})' },
    { type: 'mask', matcher: 'regex', expression: '"n":\\s*"(.*?)"', replacement: '*' },
    { type: 'mask', matcher: 'chase_stratus_pan', replacement: 'X' },
    {
      type: 'tokenize',
      options: { identifier: 'card', token: { type: 'card', data: { number: '{{ res.number }}' } } }
    },
    { type: 'tokenize', options: { token } },
    {
      type: 'append_json',
      options: { value: "{{ transform_identifier: 'card' | json: '$.id' }}", location: '$.card.token' }
    },
    { type: 'append_json', options: { value: { a: ["{{ transform_identifier: 'card' }}"] }, location: '$.list[0]' } },
    { type: 'append_text', options: { value: 'by {{ config: NAME }}' } },
    { type: 'append_header', options: { value: '{{ res.id }}', location: 'X-Card' } }
  ]
  const body = { response_transforms: written }
  t.strictSame(faultsOf(body), {})
  const shown = showTransforms(readTransforms(body, 'response', new Faults()), 'response')
  t.strictSame(shown, body)
})

t.test('code is the kind of a transform that names none', async (t) => {
  t.strictSame(read({ request_transform: { code: 'x' } }, 'request'), [{ type: 'code', code: 'x' }])
})

t.test('a list of one is shown in both spellings, and what is shown can be written back', async (t) => {
  const transforms = readTransforms({ request_transform: { code: 'x' } }, 'request', new Faults())
  const shown = showTransforms(transforms, 'request')
  t.strictSame(shown, {
    request_transform: { type: 'code', code: 'x' },
    request_transforms: [{ type: 'code', code: 'x' }]
  })
  t.strictSame(read(shown, 'request'), [...transforms])
  t.strictSame(showTransforms([], 'request'), {})
})

t.test('both spellings at once are refused when they differ', async (t) => {
  const body = { request_transform: { code: 'x' }, request_transforms: [{ code: 'y' }] }
  t.strictSame(Object.keys(faultsOf(body, 'request')), ['request_transform'])
})

t.test('null is nothing', async (t) => {
  t.strictSame(read({ response_transform: null, response_transforms: null }), [])
})

t.test('what is no list of objects is refused', async (t) => {
  t.strictSame(Object.keys(faultsOf({ response_transforms: {} })), ['response_transforms'])
  t.strictSame(Object.keys(faultsOf({ response_transforms: Array(11).fill({ code: 'x' }) })), ['response_transforms'])
  t.strictSame(Object.keys(faultsOf({ response_transforms: ['x'] })), ['response_transforms[0]'])
  t.strictSame(Object.keys(faultsOf({ response_transforms: [{ type: 'shout' }] })), ['response_transforms[0].type'])
})

t.test('every fault of a list is named by its path', async (t) => {
  const body = {
    response_transforms: [
      { type: 'mask', matcher: 'regex', replacement: '**' },
      { type: 'append_header', options: { location: 'X: y' } }
    ]
  }
  t.strictSame(Object.keys(faultsOf(body)), [
    'response_transforms[0].replacement',
    'response_transforms[0].expression',
    'response_transforms[1].options.value',
    'response_transforms[1].options.location'
  ])
})

t.test('code: one at most, of bounded length, for the one image there is', async (t) => {
  t.strictSame(fields({ code: '' }), ['code'])
  t.strictSame(fields({ code: 'x'.repeat(50_001) }), ['code'])
  t.strictSame(fields({ code: 'x', expression: 'y' }), ['expression'])
  t.strictSame(fields({ code: 'x', options: { runtime: { image: 'node22' } } }), ['options.runtime.image'])
  t.strictSame(fields({ code: 'x', options: { runtime: { image: 'node-bt' } } }), [])
  t.strictSame(Object.keys(faultsOf({ response_transforms: [{ code: 'x' }, { code: 'y' }] })), [
    'response_transforms[1].type'
  ])
})

t.test('mask: a group at least, RE2 alone, one character instead', async (t) => {
  const mask = { type: 'mask', matcher: 'regex', replacement: '*' }
  t.strictSame(fields({ ...mask, expression: 'abc' }), ['expression'], 'no group')
  t.strictSame(fields({ ...mask, expression: '(?:abc)' }), ['expression'], 'no group that captures')
  t.strictSame(fields({ ...mask, expression: '(abc' }), ['expression'])
  t.strictSame(fields({ ...mask, expression: '(a)\\1' }), ['expression'], 'a back-reference')
  t.strictSame(fields({ ...mask, expression: '(?=a)(b)' }), ['expression'], 'lookahead')
  t.strictSame(fields({ ...mask, expression: `(${'a'.repeat(1000)})` }), ['expression'], 'too long')
  t.strictSame(fields({ ...mask, expression: '((a{100}){10}|b{1000})' }), ['expression'], 'too large')
  t.strictSame(fields({ ...mask, expression: '(abc)', matcher: 'luhn' }), ['matcher'])
  t.strictSame(fields({ ...mask, expression: '(abc)', matcher: 'chase_stratus_pan' }), ['expression'])
  for (const replacement of ['', '**', '\n', '💳', 7, null])
    t.strictSame(fields({ ...mask, expression: '(abc)', replacement }), ['replacement'])
})

t.test('tokenize: a token that can be one, under an identifier of its own', async (t) => {
  const tokenize = (options: object, side: Side = 'response') => fields({ type: 'tokenize', options }, side)
  t.strictSame(tokenize({ token }), [])
  t.strictSame(tokenize({}), ['options.token'])
  t.strictSame(tokenize({ token: '{{ res }}' }), ['options.token'])
  t.strictSame(tokenize({ token: { type: 'token' } }), ['options.token.data'])
  t.strictSame(tokenize({ token: { ...token, containers: ['nowhere'] } }), ['options.token.containers'])
  t.strictSame(tokenize({ token: { ...token, type: 'card' } }), [], 'what the data will be is known later')
  t.strictSame(tokenize({ token: { ...token, mask: '{{ data | reveal_last: 4 }}' } }), [])
  t.strictSame(tokenize({ token: { ...token, metadata: { from: '{{ res.id }}' } } }), [])
  t.strictSame(tokenize({ token: { ...token, metadata: { from: '{{ nobody }}' } } }), ['options.token.metadata'])
  t.strictSame(tokenize({ token, identifier: 'x'.repeat(101) }), ['options.identifier'])
  t.strictSame(tokenize({ token, identifier: 7 }), ['options.identifier'])
  t.strictSame(tokenize({ token: { data: '{{ res.number' } }), [], 'an opener without its closer is text')
  t.strictSame(tokenize({ token: { data: '{{ res.number | nosuch }}' } }), ['options.token.data'])
  t.strictSame(tokenize({ token: { data: "{{ encrypted | json: '$.data' }}" } }), ['options.token.data'])
  t.strictSame(tokenize({ token: { ...token, encrypted: 'eyJ' } }), ['options.token.encrypted'])
  t.strictSame(tokenize({ token }, 'request'), ['options.token.data'], 'there is no response yet')
  t.strictSame(tokenize({ token: { data: '{{ req.number }}' } }, 'request'), [])
})

t.test('an identifier stands once, on both sides together', async (t) => {
  const tokenize = { type: 'tokenize', options: { identifier: 'one', token: { data: '{{ req.a }}' } } }
  t.strictSame(Object.keys(faultsOf({ response_transforms: [tokenize, tokenize] })), [
    'response_transforms[1].options.identifier'
  ])
  const both = { request_transforms: [tokenize], response_transforms: [tokenize] }
  t.strictSame(faultsOf(both, 'request'), {})
  t.strictSame(Object.keys(faultsOf(both)), ['response_transforms[0].options.identifier'])
})

t.test('results are used by later steps, and those of the request by the response', async (t) => {
  const tokenize = { type: 'tokenize', options: { identifier: 'one', token: { data: '{{ req.a }}' } } }
  const use = { type: 'append_text', options: { value: "{{ tokenize_transform: 'one' | json: '$.id' }}" } }
  t.strictSame(faultsOf({ request_transforms: [tokenize, use] }, 'request'), {})
  t.strictSame(Object.keys(faultsOf({ request_transforms: [use, tokenize] }, 'request')), [
    'request_transforms[0].options.value'
  ])
  t.strictSame(faultsOf({ request_transform: tokenize, response_transforms: [use] }), {})
})

t.test('append_json: a place, not a search', async (t) => {
  const at = (location: unknown) => fields({ type: 'append_json', options: { value: 'x', location } })
  for (const good of ['$.a', '$.a.b', "$['a b']", '$.list[0]', '$.list[-1]', '$.line-items']) t.strictSame(at(good), [])
  for (const bad of ['$', '$..a', '$.*', '$.a[*]', '$.a[?(@.b)]', 'a', '', 7, null, `$${'.a'.repeat(101)}`]) {
    t.strictSame(at(bad), ['options.location'], String(bad).slice(0, 20))
  }
  t.strictSame(fields({ type: 'append_json', options: { location: '$.a' } }), ['options.value'])
})

t.test('append_header: no header of framing, of the body or of Sluice', async (t) => {
  const at = (location: unknown) => fields({ type: 'append_header', options: { value: 'x', location } })
  for (const good of ['X-Card', 'Authorization', 'Set-Cookie', 'x_1']) t.strictSame(at(good), [], good)
  const bad = [
    'Content-Length',
    'content-type',
    'Content-Encoding',
    'Transfer-Encoding',
    'Connection',
    'Host',
    'Trailer',
    'ETag',
    'BT-PROXY-DESTINATION-STATUS',
    'Sluice-Trace-Id',
    'X: y',
    'X\r\nY',
    'X Y',
    '',
    null
  ]
  for (const name of bad) t.strictSame(at(name), ['options.location'], String(name))
})

t.test('append_text and append_header take text alone', async (t) => {
  t.strictSame(fields({ type: 'append_text', options: { value: '' } }), ['options.value'])
  t.strictSame(fields({ type: 'append_text', options: { value: { a: 1 } } }), ['options.value'])
  t.strictSame(Object.keys(faultsOf(step({ type: 'append_text' }))), ['response_transforms[0].options.value'])
})
