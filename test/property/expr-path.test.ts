import fc from 'fast-check'
import { jsonpath } from 'json-p3'
import { JSONPath } from 'jsonpath-plus'
import t from 'tap'
import { compilePath } from '../../lib/expr/path.ts'
import { compileQuery } from '../../lib/expr/query.ts'
import { Work } from '../../lib/expr/work.ts'
import type { Json } from '../../lib/json.ts'

const RUNS = 1500 * Number(process.env.SLUICE_FUZZ ?? 1)
const NAMES = ['a', 'b', 'c', 'ab', 'é']

const leaf = fc.oneof(
  fc.constantFrom<Json[]>(null, true, false, '', 'x', 'b', 0, 1, 2, -1, 2.5),
  fc.string({ maxLength: 3 })
)
const value: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom(...NAMES), tie('value'), { maxKeys: 4, noNullPrototype: true })
  )
})).value

const name = fc.constantFrom(...NAMES)
const index = fc.integer({ min: -4, max: 4 })
const bound = fc.option(index, { nil: '' })
const slice = fc
  .tuple(bound, bound, fc.constantFrom('', ':', ':1', ':2', ':-1', ':0'))
  .map(([a, b, step]) => `${a}:${b}${step}`)
const literal = fc.constantFrom('1', '2.5', "'x'", '"b"', 'true', 'null', '-1', '0')
const relative = fc
  .array(
    fc.oneof(
      name.map((n) => `.${n}`),
      index.map((i) => `[${i}]`)
    ),
    { maxLength: 2 }
  )
  .map((s) => s.join(''))
const comparable = fc.oneof(
  literal,
  relative.map((path) => `@${path}`),
  relative.map((path) => `$${path}`),
  relative.map((path) => `length(@${path})`),
  fc.constantFrom('count(@.*)', 'count(@..a)', 'value(@.a)', 'value(@..b)', 'count($..*)')
)
const comparison = fc
  .tuple(comparable, fc.constantFrom('==', '!=', '<', '>', '<=', '>='), comparable)
  .map(([a, operator, b]) => `${a} ${operator} ${b}`)
const basic = fc.oneof(
  comparison,
  relative.map((path) => `@${path}`),
  fc.constantFrom('@.*', '@..a', '!@.a', '$..b', '!@[0]')
)
const test = fc.oneof(
  basic,
  fc.tuple(basic, fc.constantFrom('&&', '||'), basic).map(([a, operator, b]) => `${a} ${operator} ${b}`),
  basic.map((inner) => `!(${inner})`),
  basic.map((inner) => `(${inner})`)
)
const selector = fc.oneof(
  name.map((n) => `'${n}'`),
  index.map(String),
  slice,
  fc.constant('*'),
  test.map((inner) => `?${inner}`)
)
const segment = fc.oneof(
  name.map((n) => `.${n}`),
  fc.constant('.*'),
  fc.array(selector, { minLength: 1, maxLength: 2 }).map((all) => `[${all.join(',')}]`),
  name.map((n) => `..${n}`),
  selector.map((one) => `..[${one}]`),
  fc.constant('..*')
)
const path = fc.array(segment, { maxLength: 4 }).map((all) => `$${all.join('')}`)

t.test('finds what json-p3 finds, in its order', async (t) => {
  let compared = 0
  fc.assert(
    fc.property(path, value, (source, json) => {
      const parsed = jsonpath.compile(source)
      const found: Json[] = []
      compileQuery(parsed)(json, json, new Work(), (node) => {
        found.push(node)
        return false
      })
      compared++
      return JSON.stringify(found) === JSON.stringify(parsed.query(json as never).values())
    }),
    { numRuns: RUNS }
  )
  t.ok(compared > RUNS / 2)
})

t.test('exactly one result, by the rule for each kind of path', async () => {
  fc.assert(
    fc.property(path, value, (source, json) => {
      const all = jsonpath.compile(source)
      const expected = all.query(json as never).values()
      let result: Json | undefined
      try {
        result = compilePath(source, 'json')(json, new Work())
      } catch {
        result = undefined
      }
      if (expected.length === 1) return JSON.stringify(result) === JSON.stringify(expected[0])
      return all.singularQuery() ? result === null : result === undefined
    }),
    { numRuns: RUNS }
  )
})

t.test('agrees with jsonpath-plus where both understand a path', async () => {
  // Its dialect: loose equality, no negative index, no selector list of names beside others, comparisons with parentheses.
  const plain = fc.oneof(
    fc.constantFrom('a', 'b', 'c', 'ab').map((n) => `.${n}`),
    fc.constantFrom('a', 'b').map((n) => `['${n}']`),
    fc.nat({ max: 3 }).map((i) => `[${i}]`)
  )
  const wide = fc.oneof(
    fc.constantFrom('.*', '[*]'),
    fc.constantFrom('a', 'b', 'c').map((n) => `..${n}`),
    fc.constantFrom('[0:2]', '[1:]', '[:1]', '[0,1]', "['a','b']"),
    fc.constantFrom('[?(@.a == 1)]', '[?(@.b == 2)]', '[?(@.a)]')
  )
  const shared = fc
    .tuple(fc.array(plain, { maxLength: 2 }), fc.option(wide, { nil: '' }), fc.array(plain, { maxLength: 1 }))
    .map(([head, middle, tail]) => `$${head.join('')}${middle}${tail.join('')}`)
  // Objects whose filtered properties are objects too: it throws on `@.a` of null, and indexes text.
  const row: fc.Arbitrary<Json> = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom<Json[]>(1, 2, 3), {
    maxKeys: 3,
    noNullPrototype: true
  })
  const document: fc.Arbitrary<Json> = fc.dictionary(
    fc.constantFrom('a', 'b', 'c', 'ab'),
    fc.oneof(row, fc.array(row, { maxLength: 3 })),
    { maxKeys: 4, noNullPrototype: true }
  )
  fc.assert(
    fc.property(shared, document, (source, json) => {
      const theirs = JSONPath({ path: source, json: json as object, wrap: true, eval: 'safe' }) as Json[]
      let result: Json | undefined
      try {
        result = compilePath(source, 'json')(json, new Work())
      } catch {
        result = undefined
      }
      if (theirs.length === 1) return JSON.stringify(result) === JSON.stringify(theirs[0])
      return theirs.length === 0 ? result === null || result === undefined : result === undefined
    }),
    { numRuns: RUNS }
  )
})
