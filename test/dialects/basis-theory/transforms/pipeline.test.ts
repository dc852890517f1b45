import t from 'tap'
import { readyLines, splitHeaders } from '../../../../lib/dialects/basis-theory/transforms/header-expressions.ts'
import { MaskThread } from '../../../../lib/dialects/basis-theory/transforms/mask-thread.ts'
import { type TransformCall, TransformRun } from '../../../../lib/dialects/basis-theory/transforms/run.ts'
import type { SluiceError } from '../../../../lib/errors.ts'
import type { WholeRequest, WholeResponse } from '../../../../lib/plan/transforms.ts'
import { fieldValue } from '../../../../lib/plan/headers.ts'
import { Secret } from '../../../../lib/secret.ts'
import { purpose, newVault, subject } from '../../../kit/vault.ts'
import { newTransformBench, wholeResponse } from '../../../kit/transforms.ts'

/* What each step makes of a message, alone and after others. */

const { vault, caller: newCaller, close: closeVault } = await newVault()
const caller = await newCaller()
const bench = newTransformBench(vault, caller, new MaskThread())
t.teardown(async () => {
  await bench.close()
  await closeVault()
})

type Made = { status: number; text: string; fields: readonly string[] }

/** What the steps make of a response. */
async function respond(
  steps: readonly object[],
  body: string | Buffer,
  more: Partial<WholeResponse> = {},
  call: Partial<TransformCall> = {}
): Promise<Made> {
  const transforms = bench.transforms({ response_transforms: steps }, call)
  const made = await transforms?.response?.(wholeResponse(body, more), [])
  return { status: made?.status ?? 0, text: made?.body.toString() ?? '', fields: made?.fields ?? [] }
}

/** What they make of a request. */
async function send(
  steps: readonly object[],
  body: string,
  call: Partial<TransformCall> = {},
  fields: readonly string[] = ['Content-Type', 'application/json']
): Promise<Made> {
  const transforms = bench.transforms({ request_transforms: steps }, call)
  const made = await transforms?.request?.({ fields, body: Buffer.from(body) }, [])
  return { status: 0, text: made?.body.toString() ?? '', fields: made?.fields ?? [] }
}

async function fault(doing: Promise<unknown>): Promise<SluiceError> {
  return doing.then(
    () => {
      throw new Error('nothing is wrong')
    },
    (error: unknown) => error as SluiceError
  )
}

const json = (location: string, value: unknown) => ({ type: 'append_json', options: { location, value } })
const text = (value: string) => ({ type: 'append_text', options: { value } })
const header = (location: string, value: string) => ({ type: 'append_header', options: { location, value } })
const tokenize = (identifier: string | null, token: object) => ({
  type: 'tokenize',
  options: { ...(identifier === null ? {} : { identifier }), token }
})
const mask = (expression: string, replacement = '*') => ({ type: 'mask', matcher: 'regex', expression, replacement })

t.test('append_json puts a value at a place and leaves all other bytes alone', async (t) => {
  const vectors: [body: string, location: string, value: unknown, made: string][] = [
    ['{}', '$.a', 'x', '{"a":"x"}'],
    ['{ }', '$.a', 'x', '{"a":"x" }'],
    ['{"b" : 1.10, "b":1e400}', '$.a', 'x', '{"b" : 1.10, "b":1e400,"a":"x"}'],
    ['{"2":0,"1":0}\n', '$.a', 1, '{"2":0,"1":0,"a":1}\n'],
    ['{"a":"old","z":1}', '$.a', 'new', '{"a":"new","z":1}'],
    ['{"a":{"deep":[1,{"x":"}"}]},"z":1}', '$.a', null, 'a fault'],
    ['{"a":{"deep":[1,{"x":"}\\""}]},"z":1}', '$.a', true, '{"a":true,"z":1}'],
    ['{"a":1,"a":2}', '$.a', 3, '{"a":1,"a":3}'],
    ['{"a":{"b":1}}', '$.a.c', 2, '{"a":{"b":1,"c":2}}'],
    ['{"a":{}}', '$.a.b.c', 2, '{"a":{"b":{"c":2}}}'],
    ['{"l":[1,2]}', '$.l[0]', 9, '{"l":[9,2]}'],
    ['{"l":[1,2]}', '$.l[-1]', 9, '{"l":[1,9]}'],
    ['{"l":[1,2]}', '$.l[2]', 9, '{"l":[1,2,9]}'],
    ['{"l":[]}', '$.l[0]', { a: 1 }, '{"l":[{"a":1}]}'],
    ['[{"a":1}]', '$[0].b', [1], '[{"a":1,"b":[1]}]'],
    ['{"\\u0061":1}', '$.a', 2, '{"\\u0061":2}'],
    ['{"a b":1}', "$['a b']", 2, '{"a b":2}'],
    ['{}', "$['__proto__']", 2, '{"__proto__":2}'],
    ['{}', '$.a', 'q"\\\n', '{"a":"q\\"\\\\\\n"}']
  ]
  for (const [body, location, value, made] of vectors) {
    if (value === null) continue
    t.equal((await respond([json(location, value)], body)).text, made, `${location} of ${body}`)
  }
})

t.test('append_json refuses a place that cannot be, and what is no JSON', async (t) => {
  const vectors: [body: string, location: string][] = [
    ['', '$.a'],
    ['text', '$.a'],
    ['{"a":', '$.a'],
    ['1', '$.a'],
    ['[]', '$.a'],
    ['{"a":1}', '$.a.b'],
    ['{"a":null}', '$.a.b'],
    ['{"a":{}}', '$.a[0]'],
    ['{}', '$.a[0]'],
    ['{"l":[1]}', '$.l[2]'],
    ['{"l":[1]}', '$.l[-2]'],
    ['{"l":[1]}', "$.l['0']"]
  ]
  for (const [body, location] of vectors) {
    const error = await fault(respond([json(location, 'x')], body))
    t.equal(error.code, 'ERR_TRANSFORM', `${location} of ${body}`)
    t.match(error.message, /^append_json of the response: /)
  }
})

t.test('values: text, and a template of one expression with its type', async (t) => {
  const body = '{"id":7,"card":{"last":"4242"},"list":[1,2],"big":12345678901234567890,"none":null}'
  const vectors: [value: unknown, made: string][] = [
    ['plain', '"plain"'],
    ['{{ res.id }}', '7'],
    ['n{{ res.id }}', '"n7"'],
    ['{{ res.card }}', '{"last":"4242"}'],
    ['{{ res.big }}', '12345678901234567890'],
    ['{{ res.missing }}', 'null'],
    ["{{ res | json: '$.card.last' | reveal_last: 2 }}", '"XX42"'],
    [{ a: ['{{ res.id }}', 1] }, '{"a":[7,1]}'],
    ['{% if res.id == 7 %}seven{% else %}other{% endif %}', '"seven"'],
    ['{% for one in res.list %}<{{ one }}{{ forloop.last }}>{% endfor %}', '"<1false><2true>"'],
    ['{% assign x = res.id %}{{ x }}', '"7"'],
    ['{{ config: KEY }}', '"secret"'],
    ["{{ config: 'KEY' | upcase }}", '"SECRET"'],
    ['{{ config: a b | upcase }}', '"SPACED"'],
    ['{{ proxy.config.KEY }}', '"secret"'],
    ['}} {{', '"}} {{"']
  ]
  for (const [value, made] of vectors) {
    const { text } = await respond(
      [json('$.made', value)],
      body,
      {},
      { configuration: { KEY: 'secret', 'a b': 'spaced' } }
    )
    t.equal(text, `${body.slice(0, -1)},"made":${made}}`, String(value))
  }
})

t.test('a key that the configuration has not is a fault, not an empty text', async (t) => {
  for (const value of ['{{ config: NO }}', '{{ proxy.config.NO }}', '{{ config: toString }}']) {
    const error = await fault(respond([text(value)], '', {}, { configuration: { KEY: 'secret' } }))
    t.equal(error.code, 'ERR_TRANSFORM', value)
    t.notMatch(error.message, 'secret')
  }
})

t.test('values that were put in are not looked through again', async (t) => {
  const { text: made } = await respond(
    [text('{{ res.a }}')],
    '{"a":"{{ config: KEY }}"}',
    {},
    { configuration: { KEY: 's' } }
  )
  t.equal(made, '{"a":"{{ config: KEY }}"}{{ config: KEY }}')
})

t.test('append_text', async (t) => {
  t.equal((await respond([text('!'), text('{{ res | upcase }}')], 'ab', { fields: [] })).text, 'ab!AB!')
  t.equal((await respond([text('{{ res.a }}{{ res.none }}')], '{"a":{"b":1}}')).text, '{"a":{"b":1}}{"b":1}')
  const bytes = Buffer.from([0xff, 0xfe, 0x80])
  const transforms = bench.transforms({ response_transforms: [text('x')] })
  const made = await transforms?.response?.(wholeResponse(bytes), [])
  t.strictSame(made?.body, Buffer.concat([bytes, Buffer.from('x')]), 'what is no text keeps its bytes')
})

t.test('append_header adds a field; of nothing it adds none', async (t) => {
  const made = await respond(
    [header('X-A', '{{ res.n }}'), header('X-A', 'ö{{ res.t }}'), header('X-B', '{{ res.no }}')],
    '{"n":7,"t":"é"}'
  )
  t.strictSame(made.fields.slice(2), ['X-A', '7', 'X-A', Buffer.from('öé').toString('latin1')])
})

t.test('append_header lets no value out of its field', async (t) => {
  for (const value of ['a\r\nX-B: c', 'a\nb', 'a\0b']) {
    const error = await fault(respond([header('X-A', '{{ res.v }}')], JSON.stringify({ v: value })))
    t.equal(error.code, 'ERR_EXPR_VALUE')
    const config = await fault(respond([header('X-A', '{{ config: K }}')], '', {}, { configuration: { K: value } }))
    t.equal(config.code, 'ERR_EXPR_VALUE')
  }
  t.equal((await fault(respond([header('X-A', '{{ res }}')], '{"a":1}'))).code, 'ERR_TRANSFORM', 'an object')
})

t.test('tokenize makes a token of what its templates draw from the message', async (t) => {
  const token = {
    type: 'card',
    data: {
      number: '{{ res.card.pan }}',
      expiration_month: '{{ res.card.month }}',
      expiration_year: '{{ res.card.year }}',
      cvc: '{{ res.card.cvc }}'
    },
    metadata: { from: 'psp {{ res.id }}' },
    mask: { number: '{{ data.number | reveal_last: 4 }}' },
    containers: ['/pci/high/']
  }
  const body = '{"id":7,"card":{"pan":"4242424242424242","month":11,"year":2030,"cvc":"123"}}'
  const made = await respond(
    [
      tokenize('card', token),
      json('$.token', "{{ transform_identifier: 'card' | json: '$.id' }}"),
      header('X-Token', "{{ transform_identifier: 'card' | json: '$.id' }}"),
      json('$.whole', "{{ tokenize_transform: 'card' }}")
    ],
    body
  )
  const { token: id, whole } = JSON.parse(made.text) as { token: string; whole: { data: object; metadata: object } }
  t.equal(fieldValue(made.fields, 'x-token'), id)
  t.strictSame(whole.data, { number: 'XXXXXXXXXXXX4242' }, 'the result is masked as an answer to a create is')
  t.strictSame(whole.metadata, { from: 'psp 7' })
  const [found] = await vault.reveal(caller, [subject(id)], purpose('detokenize'), 10)
  t.strictSame(found?.data.expose(), {
    number: '4242424242424242',
    expiration_month: 11,
    expiration_year: 2030,
    cvc: '123'
  })
})

t.test('tokenize of a request, used by later steps of it and by the response', async (t) => {
  const transforms = bench.transforms({
    request_transforms: [
      tokenize('name', { data: '{{ req.name }}' }),
      json('$.name', "{{ tokenize_transform: 'name' | json: '$.id' }}")
    ],
    response_transforms: [
      json('$.name', "{{ tokenize_transform: 'name' | json: '$.id' }}"),
      json('$.sent', '{{ req.name }}')
    ]
  })
  const request = { fields: ['Content-Type', 'application/json'], body: Buffer.from('{"name":"Ada"}') }
  const sent = (await transforms?.request?.(request, [])) as WholeRequest
  const { name } = JSON.parse(sent.body.toString()) as { name: string }
  t.match(name, /^[0-9a-f-]{36}$/)
  const answer = await transforms?.response?.(wholeResponse('{}'), [])
  t.strictSame(JSON.parse(answer?.body.toString() ?? ''), { name, sent: name }, 'the request as it left')
  const [found] = await vault.reveal(caller, [subject(name)], purpose('detokenize'), 10)
  t.equal(found?.data.expose(), 'Ada')
})

t.test('tokens of neighbouring steps are made together, or none of them', async (t) => {
  const kept = 'an id that is taken'
  await vault.create(
    caller,
    [{ id: kept, type: 'token', container: '/general/high/', data: '1', expiresAt: null }],
    'x'
  )
  const before = await count()
  const error = await fault(
    respond([tokenize('a', { data: '{{ res.a }}' }), tokenize('b', { id: kept, data: '{{ res.a }}' })], '{"a":1}')
  )
  t.equal(error.code, 'ERR_CONFLICT')
  t.equal(await count(), before)
  await respond([tokenize('a', { data: '{{ res.a }}' }), tokenize('b', { data: '{{ res.a }}' })], '{"a":1}')
  t.equal(await count(), before + 2)
  const chained = [
    tokenize('a', { data: '{{ res.a }}' }),
    tokenize('b', { data: "{{ transform_identifier: 'a' | json: '$.id' }}" }),
    text("{{ transform_identifier: 'b' | json: '$.id' }}")
  ]
  t.equal((await fault(respond(chained, 'x', { fields: [] }))).code, 'ERR_INPUT', 'there is no a in a text')
  const { text: id } = await respond(chained, '{"a":1}')
  const [found] = await vault.reveal(caller, [subject(id.slice(7))], purpose('detokenize'), 10)
  t.match(found?.data.expose(), /^[0-9a-f-]{36}$/, 'the second holds the id of the first')
})

t.test('tokens are made by the attached application, or else by the caller', async (t) => {
  const none = await newCaller({ permissions: ['token:use'] })
  const bound = await newCaller({ rules: [rule('/general/')] })
  const made = (call: Partial<TransformCall>, token: object) => respond([tokenize('a', token)], '{"a":1}', {}, call)
  const token = { data: '{{ res.a }}' }
  t.equal((await fault(made({ caller: none }, token))).code, 'ERR_PERMISSION')
  t.equal((await fault(made({ attached: none }, token))).code, 'ERR_PERMISSION', 'not by the caller in its stead')
  t.equal((await made({ caller: none, attached: bound }, token)).status, 200)
  const elsewhere = { ...token, containers: ['/pci/high/'] }
  t.equal((await fault(made({ attached: bound }, elsewhere))).code, 'ERR_PERMISSION', 'in a container of its own')
})

t.test('what a destination sends plants no token under a name of its choice', async (t) => {
  const before = await count()
  const body = '{"id":"planted","a":1,"container":"/pci/high/","ids":["x"]}'
  const named = await fault(respond([tokenize('a', { id: '{{ res.id }}', data: '{{ res.a }}' })], body))
  t.equal(named.code, 'ERR_INPUT', 'the expressions of an id are the token’s own, over its data')
  const contained = await fault(
    Promise.resolve().then(() =>
      respond([tokenize('a', { data: '{{ res.a }}', containers: ['{{ res.container }}'] })], body)
    )
  )
  t.equal(contained.code, 'ERR_INPUT')
  t.equal(await count(), before)
  for (const id of ['fp_id_x.card.primary.number', 'planted.x', 'a#b']) {
    const error = await fault(
      respond([tokenize('a', { id: '{{ data }}', data: '{{ res.id }}' })], JSON.stringify({ id }))
    )
    t.ok(['ERR_INPUT', 'ERR_CONFLICT'].includes(error.code) || id === 'planted.x', id)
  }
})

t.test('steps run in their order, each on what the one before it made', async (t) => {
  const made = await respond(
    [json('$.n', '{{ res.a | plus: 1 }}'), text('\n'), mask('"a":(\\d+)', '9'), text('{{ res.n }}')],
    '{"a":41}'
  )
  t.equal(made.text, '{"a":99,"n":42}\n42')
})

t.test('a message without a body: what needs one is passed over', async (t) => {
  const before = await count()
  const made = await respond(
    [
      tokenize('a', { data: '{{ res.a }}' }),
      mask('(.)'),
      json('$.a', 1),
      text('x'),
      header('X-A', 'b'),
      header('X-B', "{{ transform_identifier: 'a' | json: '$.id' }}")
    ],
    '',
    { status: 204, isBodiless: true, fields: [] }
  )
  t.strictSame([made.text, made.fields], ['', ['X-A', 'b']])
  t.equal(await count(), before)
})

t.test('code among declared steps', async (t) => {
  const code = (body: string) => ({ type: 'code', code: `module.exports = async function (req) { ${body} }` })
  const made = await respond(
    [
      json('$.b', 2),
      code('return { headers: { "x-code": "yes" }, body: { ...req.args.body, c: 3 } }'),
      json('$.d', 4),
      header('X-D', '5')
    ],
    '{ "a": 1 }'
  )
  t.equal(made.text, '{"a":1,"b":2,"c":3,"d":4}')
  t.strictSame(made.fields, ['x-code', 'yes', 'X-D', '5'])
  const kept = await respond([code('return { headers: req.args.headers, body: req.args.body }')], '{ "a": 1.0 }')
  t.equal(kept.text, '{ "a": 1.0 }', 'what it hands back as it got it keeps its bytes')
  const answer = await send([code('return { res: { statusCode: 400, body: { no: 1 } } }'), text('!')], '{}')
  t.equal(answer.text, '{"no":1}', 'an answer ends the steps')
})

t.test('an error names the kind of its step, and no value of the call', async (t) => {
  const transforms = bench.transforms(
    { response_transforms: [tokenize('a', { type: 'card', data: { number: '{{ res.n }}' } })] },
    { configuration: { K: 'topsecret' } }
  )
  const revealed = [{ id: 'token', data: new Secret('"4000056655665556"') }]
  const error = await fault(
    transforms?.response?.(wholeResponse('{"n":"4000056655665556 topsecret"}'), revealed) ?? Promise.resolve()
  )
  t.equal(error.code, 'ERR_INPUT')
  t.match(error.message, /^tokenize of the response: /)
  t.notMatch(JSON.stringify([error.message, error.fields, error.names]), /4000056655665556|topsecret/)
})

t.test('header expressions of a call are filled in when its body is in and transformed', async (t) => {
  // The key and the text of `spec/basis-theory-vectors.json`.
  const lines = [
    "Authorization: v1 {{ proxy | json: '$.request.headers.X-User' | append: proxy.request.headers.x-date | append: proxy.request.body | hmac: 'sha-256', proxy.config.secret_key | to_base16 }}",
    'X-Api-Key: {{ config: api_key }}',
    'X-User: 4242',
    'X-Date: 4242',
    'X-Line: {{ proxy.request.method }} {{ proxy.request.path }}{{ proxy.request.query }}',
    'X-Token: {{ 815029c2-29ec-4fc2-8cd4-99feb3ee582c }}',
    ''
  ].join('\r\n')
  const { lines: rest, ready, waiting } = splitHeaders(lines)
  t.equal(rest, 'X-User: 4242\r\nX-Date: 4242\r\nX-Token: {{ 815029c2-29ec-4fc2-8cd4-99feb3ee582c }}\r\n')
  t.strictSame(
    [ready.map(({ name }) => name), waiting.map(({ name }) => name)],
    [['X-Api-Key'], ['Authorization', 'X-Line']]
  )
  const configuration = { secret_key: 'secretKeyValue', api_key: 'k' }
  const call = { caller, attached: null, traceId: 'trace', method: 'POST', path: '', query: '' }
  t.equal(readyLines(ready, new TransformRun({ ...call, configuration })), 'X-Api-Key: k\r\n')
  for (const api_key of ['a\r\nX-B: c', 'a\nb', 'a\0']) {
    const run = new TransformRun({ ...call, configuration: { api_key } })
    t.throws(() => readyLines(ready, run), { code: 'ERR_EXPR_VALUE' })
  }
  t.throws(() => readyLines(ready, new TransformRun({ ...call, configuration: {} })), { code: 'ERR_TRANSFORM' })
  const transforms = bench.transforms({ request_transforms: [text('42424242')] }, { configuration }, lines)
  const request = { fields: ['X-User', '4242', 'X-Date', '4242'], body: Buffer.from('') }
  const made = await transforms?.request?.(request, [])
  t.strictSame(made?.fields.slice(4), [
    'Authorization',
    'v1 90A0050E90515101DCAD0F68955370CCA81F6DCB9D299E7E0585CC9746716D9B',
    'X-Line',
    'POST /charges?a=b'
  ])
})

t.test('header expressions refuse what cannot work', async (t) => {
  const split = async (line: string) => splitHeaders(`${line}\r\n`)
  for (const line of [
    'X: {{ config: a }} {{ 815029c2-29ec-4fc2-8cd4-99feb3ee582c }}',
    'X: {{ config: }}',
    'X: {{ proxy | nosuch }}',
    'X: {{ proxy.request.body | hmac: "sha-256", proxy.config.k }}',
    'X: \xff{{ config: a }}'
  ]) {
    t.match((await fault(split(line))).code, /^ERR_EXPR_/, line)
  }
  const plain = [
    'X: {{ proxy_x }}',
    'X: {{ configuration }}',
    'X: { config: a }',
    'Content-Type: {{ config: a }}',
    'X: {{ config: a'
  ]
  for (const line of plain) t.strictSame(splitHeaders(`${line}\r\n`), { lines: `${line}\r\n`, ready: [], waiting: [] })
  for (const body of ['a\r\nX-B: c', 'a\0']) {
    const transforms = bench.transforms({}, {}, 'X: {{ proxy | json: "$.request.body" }}\r\n')
    const error = await fault(transforms?.request?.({ fields: [], body: Buffer.from(body) }, []) ?? Promise.resolve())
    t.equal(error.code, 'ERR_EXPR_VALUE')
  }
})

t.test('without steps and header expressions there is nothing to do', async (t) => {
  t.equal(bench.transforms({}), null)
  t.equal(bench.transforms({ response_transforms: [text('x')] })?.request, null)
  t.equal(bench.transforms({ request_transforms: [text('x')] })?.response, null)
  t.ok(bench.transforms({ response_transforms: [text('{{ req.a }}')] })?.request, 'it draws upon the request')
})

async function count(): Promise<number> {
  const look = { caller, condition: null, permission: 'token:read', isExact: false } as const
  return (await vault.page(look, 1, 1, 'trace')).total
}

function rule(container: string) {
  return { description: '', priority: 1, container, transform: 'mask' as const, permissions: ['token:create'] }
}
