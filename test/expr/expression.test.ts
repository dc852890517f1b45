import t from 'tap'
import { render } from '../../lib/expr/encode.ts'
import { parseExpression, parseWord } from '../../lib/expr/expression.ts'
import {
  PLACE_FORM,
  PLACE_JSON_KEY,
  PLACE_JSON_STRING,
  PLACE_JSON_VALUE,
  PLACE_JSON_WHOLE,
  PLACE_TEXT
} from '../../lib/scan/context.ts'
import { TURN_UNITS, Work } from '../../lib/expr/work.ts'
import { code, put, run, runText, token } from './_eval.ts'

const CARD = { number: '4242424242424242', expiration_month: 3, cvc: null, owner: { first: 'John', last: 'O"Neil' } }

t.test('a subject is a token id, then a path into a token', async (t) => {
  const candidates = (source: string) => parseExpression(source, 'liquid').subject.candidates
  t.same(candidates(' 26818785-547b-4b28-b0fa-531377e99f4e '), ['26818785-547b-4b28-b0fa-531377e99f4e'])
  t.same(candidates('9273610263384242'), ['9273610263384242'])
  t.same(candidates('true'), ['true'])
  t.same(candidates('john doe@example.com'), ['john doe@example.com', 'john doe@example'])
  t.same(candidates('a.b.c'), ['a.b.c', 'a', 'a.b'])
  t.same(candidates('a.books[0].title'), ['a', 'a.books'], 'an id holds no bracket')
  t.same(candidates("a['x y'].z"), ['a'])
  t.same(candidates('x'.repeat(400)), ['x'.repeat(400)])
  const token = parseExpression("token: abc | json: '$.data'", 'liquid').subject
  t.same([token.form, token.text, token.candidates], ['token', 'abc', ['abc']])
  t.same(parseExpression('tokens', 'liquid').subject.form, 'data')
  for (const bad of ['', '   ', '| upcase', 'token:', 'x'.repeat(401), '/x', 'a/b', '[0]', '{a']) {
    t.equal(
      code(() => parseExpression(bad, 'liquid')),
      'ERR_EXPR_SYNTAX',
      JSON.stringify(bad)
    )
  }
})

t.test('a word is a token id, as the whole grammar reads it', async (t) => {
  for (const word of ['26818785-547b-4b28-b0fa-531377e99f4e', 'token', 'token_x', '0', 'a-b', '-', 'x'.repeat(400)]) {
    t.same(parseWord(word), parseExpression(word, 'liquid'), word)
  }
  const long = 'x'.repeat(401)
  t.equal(
    code(() => parseWord(long)),
    code(() => parseExpression(long, 'liquid'))
  )
})

t.test('paths see own properties alone', async (t) => {
  t.equal(run('data.owner.first', CARD), 'John')
  t.equal(run('data[\'owner\']["first"]', CARD), 'John')
  for (const path of [
    'constructor',
    '__proto__',
    'toString',
    'owner.constructor',
    'number.constructor',
    'number.length'
  ]) {
    t.equal(run(`data.${path}`, CARD), null, path)
    t.equal(run(`data | json: '$.${path}'`, CARD), null, path)
  }
  t.equal(runText('data.__proto__', '{"__proto__":1}'), 1, 'a property of that name is one')
  t.equal(run('data.list.size', { list: [1, 2] }), 2)
  t.equal(run('data.list[-1]', { list: [1, 2] }), 2)
  t.equal(run('data.list.first', { list: [1, 2] }), 1)
  t.equal(runText('token: data | json: $.data.n', '{"n":7}'), 7)
})

t.test('json takes its path with and without quotes', async (t) => {
  for (const path of [
    "'$.owner.first'",
    '"$.owner.first"',
    '$.owner.first',
    "$['owner'].first",
    'owner.first',
    '$..first'
  ]) {
    t.equal(run(`data|json:${path}`, CARD), 'John', path)
    t.equal(run(`data | json: ${path} | upcase`, CARD), 'JOHN', path)
  }
})

t.test('a faulty chain is refused before any value is seen', async (t) => {
  const codes: Record<string, string> = {
    '| nosuch': 'ERR_EXPR_FILTER',
    '| constructor': 'ERR_EXPR_FILTER',
    '| __proto__': 'ERR_EXPR_FILTER',
    '| where_exp: "a", "b"': 'ERR_EXPR_FILTER',
    '| sample': 'ERR_EXPR_FILTER',
    '| inspect': 'ERR_EXPR_FILTER',
    '|': 'ERR_EXPR_SYNTAX',
    '| |': 'ERR_EXPR_SYNTAX',
    '| upcase |': 'ERR_EXPR_SYNTAX',
    '| upcase x': 'ERR_EXPR_SYNTAX',
    "| append: 'x": 'ERR_EXPR_SYNTAX',
    '| raw | upcase': 'ERR_EXPR_SYNTAX',
    '| append': 'ERR_EXPR_ARGUMENT',
    "| append: 'a', 'b'": 'ERR_EXPR_ARGUMENT',
    '| append: data': 'ERR_EXPR_ARGUMENT',
    '| pad_left: 2': 'ERR_EXPR_ARGUMENT',
    "| pad_left: 'x', '0'": 'ERR_EXPR_ARGUMENT',
    "| pad_left: 2, 'ab'": 'ERR_EXPR_ARGUMENT',
    "| hmac: 'md5', 'k'": 'ERR_EXPR_ARGUMENT',
    "| hmac: 'sha-256', 'k'": 'ERR_EXPR_ARGUMENT',
    "| hmac: 'sha-256', 'k' | upcase": 'ERR_EXPR_ARGUMENT',
    '| upcase: allow_false: true': 'ERR_EXPR_ARGUMENT',
    "| json: '$.a['": 'ERR_EXPR_PATH',
    "| json: '@.a'": 'ERR_EXPR_PATH',
    '| json: \'$..a[?match(@, "a")]\'': 'ERR_EXPR_PATH',
    [`${'| upcase '.repeat(65)}`]: 'ERR_EXPR_LIMIT'
  }
  for (const [chain, expected] of Object.entries(codes)) {
    t.equal(
      code(() => parseExpression(`id ${chain}`, 'liquid')),
      expected,
      chain
    )
  }
})

t.test('a failure that depends on the value has one code and one text', async (t) => {
  const texts = new Set<string>()
  for (const [source, value] of [
    ['data | to_number', 'abc'],
    ['data | upcase', {}],
    ['data | plus: 1', 'x'],
    ["data | json: '$..a'", { a: 1, b: { a: 2 } }],
    ["data | json: '$..a'", {}],
    ['data | to_string', [1]],
    ["data | replace: 'a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'", 'a'.repeat(100_000)]
  ] as const) {
    try {
      run(source, value as never)
      t.fail(source)
    } catch (thrown) {
      t.equal((thrown as { code: string }).code, 'ERR_EXPR_VALUE', source)
      texts.add((thrown as Error).message)
    }
  }
  t.equal(texts.size, 1)
})

t.test('JSON: a value cannot change what stands around it', async (t) => {
  const string = { place: PLACE_JSON_STRING }
  const whole = { place: PLACE_JSON_WHOLE }
  const key = { place: PLACE_JSON_KEY }
  const bare = { place: PLACE_JSON_VALUE }
  t.equal(put('data', 'a"b\\\n\u0000', string), 'a\\"b\\\\\\n\\u0000')
  t.equal(put('data', 'a"b', whole), '"a\\"b"')
  t.equal(put('data | upcase', 'a"b', whole), '"A\\"B"')
  t.equal(put('data.owner', CARD, whole), '{"first":"John","last":"O\\"Neil"}')
  t.equal(put('data.owner', CARD, string), '{\\"first\\":\\"John\\",\\"last\\":\\"O\\\\\\"Neil\\"}')
  t.equal(put('data.expiration_month', CARD, whole), '"3"')
  t.equal(put('data.expiration_month', CARD, bare), '3')
  t.equal(put('data.expiration_month | to_number', CARD, whole), '3')
  t.equal(put('data.expiration_month | to_number', CARD, string), '3')
  t.equal(put('data | to_boolean', 'true', whole), 'true')
  t.equal(put('data', true, whole), '"true"')
  t.equal(put('data.cvc', CARD, whole), 'null')
  t.equal(put('data.cvc', CARD, string), '')
  t.equal(put('data.cvc', CARD, bare), 'null')
  t.equal(put('data', 'a"b', key), 'a\\"b')
  t.equal(put('data', 'a"b', bare), '"a\\"b"')
  t.equal(put('data | raw', '{"a":1}', bare), '{"a":1}')
  t.equal(put('data | raw', '\\"', string), '\\"')
  t.equal(put('data', 'a"b\n', { place: PLACE_TEXT }), 'a"b\n')
})

t.test('numbers keep their digits', async (t) => {
  const whole = { place: PLACE_JSON_WHOLE }
  t.equal(put('data', JSON.parse('1') as number, whole), '"1"')
  t.same(runText("data | json: '$.n' | append: ''", '{"n":12345678901234567890}'), '12345678901234567890')
  t.same(runText('data.n | slice: -2, 2', '{"n":1.10}'), '10')
  t.equal(
    code(() => runText('data | plus: 1', '12345678901234567890')),
    'ERR_EXPR_VALUE'
  )
  t.equal(
    code(() => runText('data | plus: 1', '1.10')),
    'ERR_EXPR_VALUE'
  )
  t.equal(runText('data | plus: 1', '1.25'), 2.25)
})

t.test('compiling counts, and so do paths with many parts', async (t) => {
  const parse = (chain: string, work: Work) => parseExpression(`id ${chain}`, 'liquid', { work })
  const work = new Work()
  let compiled = 0
  const many = code(() => {
    for (; compiled < 100_000; compiled++) parse(`| append: 'never before ${compiled}'`, work)
  })
  t.equal(many, 'ERR_EXPR_LIMIT')
  t.ok(compiled > 1000 && compiled < 10_000, `${compiled} different chains`)
  const again = new Work()
  for (let at = 0; at < 100_000; at++) parse("| append: 'never before 1'", again)
  t.pass('the same chain is compiled once')
  const { subject, paths } = parseExpression('a.'.repeat(190) + 'z', 'liquid')
  t.equal(subject.candidates.length, 33)
  t.same(paths[1]?.length, 190)
})

t.test('what is evaluated in one turn is bounded, and large documents still pass', async (t) => {
  const where = parseExpression("data | where: 'a', 'x'", 'liquid')
  const list = token(JSON.stringify(Array.from({ length: 5000 }, (_, at) => ({ a: String(at) }))), where)
  const work = new Work(TURN_UNITS)
  let done = 0
  const many = code(() => {
    for (; done < 1000; done++) render(where, list, { place: PLACE_TEXT }, work)
  })
  t.equal(many, 'ERR_EXPR_VALUE')
  t.ok(done > 5 && done < 20, `${done} times five thousand items`)
  const bare = parseExpression('data', 'liquid')
  const length = 10 * 1024 * 1024
  const document = token(JSON.stringify('x'.repeat(length)), bare)
  const more = new Work(TURN_UNITS)
  for (const place of [PLACE_JSON_STRING, PLACE_TEXT, PLACE_FORM]) {
    t.equal(render(bare, document, { place }, more).length, length)
  }
})
