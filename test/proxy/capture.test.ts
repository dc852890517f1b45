import fc from 'fast-check'
import t from 'tap'
import { formatJson, type Json, parseJson } from '../../lib/json.ts'
import { Capture, type CaptureType } from '../../lib/proxy/capture.ts'
import { readPlacedJson } from '../../lib/proxy/placed-json.ts'
import { Scrubber } from '../../lib/proxy/scrub.ts'
import { Secret } from '../../lib/secret.ts'

const X = 'fp_id_a.custom.x'
const Y = 'fp_id_a.custom.y'

type RuleText = readonly [target: string, path: string, filters?: string, takesLast?: boolean]

function apply(type: CaptureType, rules: readonly RuleText[], body: string, contentType?: string) {
  const capture = new Capture(
    type,
    rules.map(([target, path, filters = '', takesLast = false]) => ({ target, path, filters, takesLast }))
  )
  const { values, unmatched, text } = capture.apply(Buffer.from(body), contentType)
  return { values: Object.fromEntries(values), unmatched, text }
}

t.test('JSON: only what is named changes', async (t) => {
  t.strictSame(apply('json', [[X, '$.a.b']], ' { "a" : {"b" :\t"1\\u0041" , "c":1.10} }\n'), {
    values: { [X]: '1A' },
    unmatched: 0,
    text: ` { "a" : {"b" :\t"${X}" , "c":1.10} }\n`
  })
  t.strictSame(apply('json', [[X, '$']], '"all"').text, `"${X}"`)
  t.strictSame(apply('json', [[X, '$.l[-1]']], '{"l":[1,2]}').text, `{"l":[1,"${X}"]}`)
  t.strictSame(apply('json', [[X, '$.l[?@.k == 2].v']], '{"l":[{"k":1,"v":"n"},{"k":2,"v":"y"}]}').values, { [X]: 'y' })
  t.strictSame(apply('json', [[X, '$.l.length']], '{"l":[1]}').unmatched, 1, 'what stands nowhere')
  t.strictSame(apply('json', [[X, '$.__proto__']], '{"__proto__":"p","a":{}}').text, `{"__proto__":"${X}","a":{}}`)
  t.strictSame(apply('json', [[X, '$.constructor']], '{}').unmatched, 1)
  const both = apply(
    'json',
    [
      [X, '$.a'],
      [Y, '$..a', ' | suffix(1)']
    ],
    '{"a":"12"}'
  )
  t.strictSame(
    both,
    { values: { [X]: '12', [Y]: '2' }, unmatched: 0, text: `{"a":"${X}"}` },
    'of two rules for one place the first stands there'
  )
  t.throws(
    () =>
      apply(
        'json',
        [
          [X, '$.a'],
          [X, '$.b']
        ],
        '{"a":"1","b":"2"}'
      ),
    { code: 'ERR_DESTINATION_RESPONSE' }
  )
  t.throws(() => apply('json', [[X, '$.a']], `${'['.repeat(600)}${']'.repeat(600)}`), {
    code: 'ERR_DESTINATION_RESPONSE'
  })
  t.throws(
    () =>
      apply(
        'json',
        Array.from({ length: 65 }, () => [X, '$.a'] as const),
        '{}'
      ),
    { code: 'ERR_EXPR_LIMIT' }
  )
})

t.test('overlapping matches leave nothing behind', async (t) => {
  const { text } = apply(
    'regex',
    [
      [X, '4242 42'],
      [Y, '42 4242']
    ],
    'a 4242 4242 b'
  )
  t.equal(text, `a ${X} b`)
})

t.test('property: a placed value is the parsed value, and each place holds its own text', async () => {
  const space = fc.constantFrom('', ' ', '\n\t', '  ')
  const written = (value: fc.JsonValue, blank: string): string => {
    if (Array.isArray(value))
      return `[${blank}${value.map((item) => written(item, blank)).join(`${blank},${blank}`)}${blank}]`
    if (value === null || typeof value !== 'object') return JSON.stringify(value)
    const members = Object.entries(value).map(
      ([key, item]) => `${JSON.stringify(key)}${blank}:${blank}${written(item as fc.JsonValue, blank)}`
    )
    return `{${blank}${members.join(`${blank},${blank}`)}${blank}}`
  }
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), space, (value, blank) => {
      const text = `${blank}${written(value, blank)}${blank}`
      const placed = readPlacedJson(text, 0, text.length)
      if (formatJson(placed.value) !== formatJson(parseJson(text))) return false
      const walk = (node: Json): boolean => {
        if (node === null || typeof node !== 'object' || !('constructor' in node)) return true
        return Object.entries(node).every(([key, child]) => {
          const [span] = placed.spansOf(child, node, key)
          if (span === undefined) return false
          return (
            formatJson(parseJson(text.slice(span.start, span.end))) === formatJson(child as Json) && walk(child as Json)
          )
        })
      }
      return walk(placed.value)
    }),
    { numRuns: 300 }
  )
})

t.test('property: text that is no JSON is refused, as JSON.parse does', async () => {
  const agree = (text: string) => {
    let ours = true
    let theirs = true
    try {
      readPlacedJson(text, 0, text.length)
    } catch {
      ours = false
    }
    try {
      JSON.parse(text)
    } catch {
      theirs = false
    }
    return ours === theirs
  }
  const pieces = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '"a"',
    '1',
    '-',
    '01',
    '1.',
    '1e5',
    'true',
    'nul',
    ' ',
    '\u00a0',
    '\\',
    '\t',
    '"\t"'
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => agree(parts.join(''))),
    { numRuns: 3000 }
  )
})

t.test('scrubbing finds every spelling, bytes stay bytes', async (t) => {
  const value = 'très "secret" & <x>/y'
  const scrub = () =>
    new Scrubber([{ id: 'ID', data: new Secret(JSON.stringify({ a: value, n: 12345, s: 'ab' })), text: '"other"' }])
  for (const spelling of [
    value,
    JSON.stringify(value).slice(1, -1),
    JSON.stringify(value).slice(1, -1).replaceAll('/', '\\/'),
    'tr\\u00e8s \\"secret\\" & <x>/y',
    encodeURIComponent(value),
    encodeURIComponent(value).replaceAll('%20', '+'),
    encodeURIComponent(value).replace(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase()),
    'très &quot;secret&quot; &amp; &lt;x&gt;/y'
  ]) {
    const scrubber = scrub()
    t.equal(scrubber.body(Buffer.from(`<${spelling}>`)).toString(), '<ID>', spelling)
    t.equal(scrubber.count, 1)
  }
  const bytes = Buffer.concat([Buffer.from([0xff, 0x00, 0xfe]), Buffer.from('12345'), Buffer.from([0x80])])
  t.strictSame(
    scrub().body(bytes),
    Buffer.concat([Buffer.from([0xff, 0x00, 0xfe]), Buffer.from('ID'), Buffer.from([0x80])])
  )
  t.equal(scrub().text('x other ab'), 'x ID ab', 'two characters are not looked for')
  t.equal(new Scrubber([]).text('as it is'), 'as it is')
})
