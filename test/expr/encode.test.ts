import t from 'tap'
import { encode } from '../../lib/expr/encode.ts'
import { parseExpression } from '../../lib/expr/expression.ts'
import type { Json } from '../../lib/json.ts'
import {
  PLACE_CSV,
  PLACE_CSV_QUOTED,
  PLACE_FORM,
  PLACE_HEADER,
  PLACE_JSON_STRING,
  PLACE_PART_HEADER,
  PLACE_TEXT,
  PLACE_URL_PATH,
  PLACE_URL_QUERY,
  PLACE_XML_ATTRIBUTE,
  PLACE_XML_CDATA,
  PLACE_XML_MARKUP,
  PLACE_XML_TEXT
} from '../../lib/scan/context.ts'
import { code, put } from './_eval.ts'

t.test('each place writes a value so that it means itself', async (t) => {
  for (const [place, value, expected] of [
    [PLACE_FORM, '(555) 687-5309', '(555)+687-5309'],
    [PLACE_FORM, 'a&b=c+d%é', 'a%26b%3Dc%2Bd%25%C3%A9'],
    [PLACE_FORM, "~'!*", '%7E%27!*'],
    [PLACE_FORM, '\ud800', '%EF%BF%BD'],
    [PLACE_FORM, { a: 1 }, '%7B%22a%22%3A1%7D'],
    [PLACE_FORM, null, ''],
    [PLACE_XML_TEXT, `<a b="c">&'\r\n`, '&lt;a b=&quot;c&quot;&gt;&amp;&apos;&#13;\n'],
    [PLACE_XML_ATTRIBUTE, `"'\t\r\n&<`, '&quot;&apos;&#9;&#13;&#10;&amp;&lt;'],
    [PLACE_XML_CDATA, 'a]]>b<&', 'a]]]]><![CDATA[>b<&'],
    [PLACE_XML_CDATA, 'a]', 'a]]]><![CDATA['],
    [PLACE_XML_CDATA, '>a', ']]><![CDATA[>a'],
    [PLACE_XML_CDATA, '', ']]><![CDATA['],
    [PLACE_XML_CDATA, 'a\rb', 'a]]>&#13;<![CDATA[b'],
    [PLACE_CSV, "O'Neil 42", "O'Neil 42"],
    [PLACE_CSV_QUOTED, 'a "b", c;', 'a ""b"", c;'],
    [PLACE_URL_PATH, "a b?#é:@'", 'a%20b%3F%23%C3%A9%3A%40%27'],
    [PLACE_URL_QUERY, 'a&b=/c', 'a%26b%3D%2Fc'],
    [PLACE_HEADER, 'Zoë\t☂', Buffer.from('Zoë\t☂').toString('latin1')],
    [PLACE_PART_HEADER, 'a"b.txt', 'a%22b.txt'],
    [PLACE_TEXT, 'a"<>&\n', 'a"<>&\n'],
    [PLACE_TEXT, 12.5, '12.5'],
    [PLACE_TEXT, [1, 'a"'], '[1,"a\\""]'],
    [PLACE_TEXT, true, 'true']
  ] as [number, Json, string][]) {
    t.equal(put('data', value, { place }), expected, `${place} ${JSON.stringify(value)}`)
  }
})

t.test('what cannot stand in a place is refused', async (t) => {
  for (const [place, value] of [
    [PLACE_XML_TEXT, 'a\u0000'],
    [PLACE_XML_TEXT, '\uffff'],
    [PLACE_XML_ATTRIBUTE, '\ud800'],
    [PLACE_XML_CDATA, '\u0001'],
    [PLACE_XML_MARKUP, 'a'],
    [PLACE_CSV, 'a\nb'],
    [PLACE_CSV, 'a\rb'],
    [PLACE_CSV, 'a,b'],
    [PLACE_CSV, 'a"b'],
    [PLACE_CSV, 'a;b'],
    [PLACE_CSV_QUOTED, 'a\nb'],
    [PLACE_URL_PATH, 'a/b'],
    [PLACE_URL_PATH, 'a\\b'],
    [PLACE_HEADER, 'a\r\nX: y'],
    [PLACE_HEADER, 'a\nb'],
    [PLACE_HEADER, 'a\u0000'],
    [PLACE_HEADER, '\u007f'],
    [PLACE_PART_HEADER, 'a\rb'],
    [PLACE_PART_HEADER, 'a\nb']
  ] as [number, string][]) {
    t.equal(
      code(() => put('data', value, { place })),
      'ERR_EXPR_VALUE',
      `${place} ${JSON.stringify(value)}`
    )
  }
  const bytes = Buffer.from(put('data', '\u010d\u010a', { place: PLACE_HEADER }), 'latin1')
  t.equal(bytes.toString(), '\u010d\u010a', 'no character of a header turns into a line end')
})

t.test('a boundary cannot come from a value', async (t) => {
  for (const place of [PLACE_TEXT, PLACE_JSON_STRING]) {
    t.equal(
      code(() => put('data', 'x--abc--', { place, boundaries: ['zz', 'abc'] })),
      'ERR_EXPR_VALUE'
    )
    t.equal(
      code(() => put('data | raw', 'x--abc--', { place, boundaries: ['zz', 'abc'] })),
      'ERR_EXPR_VALUE'
    )
    t.equal(put('data', 'x--ab', { place, boundaries: ['abc'] }), 'x--ab')
  }
})

t.test('where only ASCII can be written, nothing else is', async (t) => {
  for (const place of [PLACE_TEXT, PLACE_JSON_STRING, PLACE_XML_TEXT]) {
    t.equal(
      code(() => put('data', 'é', { place, ascii: true })),
      'ERR_EXPR_VALUE'
    )
    t.equal(put('data', 'e', { place, ascii: true }), 'e')
  }
})

t.test('raw switches escaping off, and not what keeps a message whole', async (t) => {
  t.equal(put('data | raw', '<b>&', { place: PLACE_XML_TEXT }), '<b>&')
  t.equal(put('data | raw', '<b>&', { place: PLACE_XML_ATTRIBUTE }), '<b>&')
  t.equal(put('data | raw', 'name', { place: PLACE_XML_MARKUP }), 'name')
  t.equal(put('data | raw', ']]>', { place: PLACE_XML_CDATA }), ']]>')
  t.equal(put('data | raw', 'a=1&b=2', { place: PLACE_FORM }), 'a=1&b=2')
  t.equal(put('data | raw', 'a\nb', { place: PLACE_CSV }), 'a\nb')
  t.equal(put('data | raw', 'a/b', { place: PLACE_URL_PATH }), 'a/b')
  t.equal(put('data | raw', 'a=1&b=2', { place: PLACE_URL_QUERY }), 'a=1&b=2')
  t.equal(put('data | raw', '"', { place: PLACE_PART_HEADER }), '"')
  for (const [place, value] of [
    [PLACE_HEADER, 'a\r\nb'],
    [PLACE_PART_HEADER, 'a\r\nb'],
    [PLACE_URL_PATH, 'a b'],
    [PLACE_URL_PATH, 'a?b'],
    [PLACE_URL_QUERY, 'a#b'],
    [PLACE_URL_QUERY, 'a\r\nb'],
    [PLACE_URL_QUERY, 'é']
  ] as [number, string][]) {
    t.equal(
      code(() => put('data | raw', value, { place })),
      'ERR_EXPR_VALUE',
      `${place} ${JSON.stringify(value)}`
    )
  }
})

t.test('a value that was evaluated elsewhere is encoded alike', async (t) => {
  const expression = parseExpression('x | to_number', 'liquid')
  t.equal(encode('a"b', expression, { place: PLACE_JSON_STRING }), 'a\\"b')
  t.equal(
    code(() => encode('a', expression, { place: 99 })),
    'ERR_INTERNAL'
  )
})
