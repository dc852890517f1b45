import { DOMParser } from '@xmldom/xmldom'
import fc from 'fast-check'
import t from 'tap'
import { formatJson, type Json } from '../../lib/json.ts'
import {
  PLACE_FORM,
  PLACE_JSON_KEY,
  PLACE_JSON_STRING,
  PLACE_JSON_VALUE,
  PLACE_JSON_WHOLE,
  PLACE_URL_PATH,
  PLACE_URL_QUERY,
  PLACE_XML_ATTRIBUTE,
  PLACE_XML_CDATA,
  PLACE_XML_TEXT,
  type Place
} from '../../lib/scan/context.ts'
import { put } from '../expr/_eval.ts'

const numRuns = 1000 * Number(process.env.SLUICE_FUZZ ?? 1)
const text = fc.string({ unit: 'grapheme', maxLength: 20 })
const ugly = fc.string({
  unit: fc.constantFrom(...Array.from('"\\]>[<&\'\r\n\t %+=;,{}/é😀\u0000\u2028ax')),
  maxLength: 12
})
const anyText = fc.oneof(text, ugly, fc.string({ unit: 'binary', maxLength: 8 }))
const anyJson = fc.oneof(
  anyText,
  fc.jsonValue({ maxDepth: 3 }).map((value) => value as Json)
)
/** What a value is among other text. */
const printed = (value: Json): string => (value === null ? '' : typeof value === 'string' ? value : formatJson(value))

const MARK = 'QqSLOTqQ'

/** A document with the mark somewhere, made by wrapping one that is the mark alone. */
const document: fc.Arbitrary<(inner: Json) => Json> = fc
  .array(
    fc.oneof(
      fc.tuple(fc.array(anyJson, { maxLength: 2 }), fc.array(anyJson, { maxLength: 2 })).map(
        ([before, after]) =>
          (inner: Json): Json => [...before, inner, ...after]
      ),
      fc.tuple(anyText, fc.dictionary(anyText, anyJson, { maxKeys: 3, noNullPrototype: true })).map(
        ([key, others]) =>
          (inner: Json): Json =>
            Object.fromEntries([...Object.entries(others), [key, inner]])
      )
    ),
    { maxLength: 4 }
  )
  .map((layers) => (inner: Json) => layers.reduce((value, wrap) => wrap(value), inner))

/** JSON.parse gives `__proto__` as a property of its own, and so compares by text. */
const same = (text: string, expected: Json): boolean => JSON.stringify(JSON.parse(text)) === JSON.stringify(expected)

t.test('JSON: the result parses and differs in its position alone', async (t) => {
  fc.assert(
    fc.property(document, anyJson, anyText, anyText, (wrap, value, head, tail) => {
      const text = JSON.stringify(wrap(MARK))
      const whole = text.replace(`"${MARK}"`, () => put('data', value, { place: PLACE_JSON_WHOLE }))
      const scalar = typeof value === 'number' || typeof value === 'boolean'
      if (!same(whole, wrap(scalar ? formatJson(value) : value))) return false
      const bare = text.replace(`"${MARK}"`, () => put('data', value, { place: PLACE_JSON_VALUE }))
      if (!same(bare, wrap(value))) return false
      const part = JSON.stringify(wrap(head + MARK + tail)).replace(MARK, () =>
        put('data', value, { place: PLACE_JSON_STRING })
      )
      if (!same(part, wrap(head + printed(value) + tail))) return false
      const key = JSON.stringify(wrap({ [head + MARK + tail]: 1 })).replace(MARK, () =>
        put('data', value, { place: PLACE_JSON_KEY })
      )
      return same(key, wrap(Object.fromEntries([[head + printed(value) + tail, 1]])))
    }),
    { numRuns }
  )
  t.pass('no counterexample')
})

t.test('form and URL: what was written is read back', async (t) => {
  const wellFormed = (value: string): string => value.replace(/\p{Cs}/gu, '\ufffd')
  fc.assert(
    fc.property(anyJson, (value) => {
      const expected = wellFormed(printed(value))
      const parameters = new URLSearchParams(`a=1&b=${put('data', value, { place: PLACE_FORM })}&c=2`)
      if (parameters.get('b') !== expected || [...parameters].length !== 3) return false
      const query = new URL(`https://x.example/p?a=${put('data', value, { place: PLACE_URL_QUERY })}&b=1`).searchParams
      if (query.get('a') !== expected || [...query].length !== 2) return false
      if (/[/\\]/.test(expected)) return true
      const path = put('data', value, { place: PLACE_URL_PATH })
      return /^[A-Za-z0-9\-._~%]*$/.test(path) && decodeURIComponent(path) === expected
    }),
    { numRuns }
  )
  t.pass('no counterexample')
})

t.test('XML: what was written is read back, and nothing else appears', async (t) => {
  const parser = new DOMParser({
    onError: (level, message) => {
      throw new Error(`${level}: ${message}`)
    }
  })
  const illegal = /[^\P{Cc}\t\n\r\u007f-\u009f]|[\ufffe\uffff]|\p{Cs}/u
  const around = fc.constantFrom('', 'x', ']', ']]', '>', ']>', ' ')
  const write = (value: Json, place: Place): string => put('data', value, { place })
  // The parser that reads it back keeps to XML 1.0 in all but these: two that it takes for line ends, and one it warns of.
  const newlines = /[\u0085\u2028\ufffd]/
  fc.assert(
    fc.property(anyJson, around, around, (value, head, tail) => {
      const expected = printed(value)
      fc.pre(!illegal.test(expected) && !newlines.test(expected))
      fc.pre(!(head + tail).includes(']]>'))
      const cdata = `<![CDATA[${head}${write(value, PLACE_XML_CDATA)}${tail}]]>`
      const text = `${head}${write(value, PLACE_XML_TEXT)}`
      const source = `<r a="${write(value, PLACE_XML_ATTRIBUTE)}" b='${write(value, PLACE_XML_ATTRIBUTE)}'><t>${text}</t><c>${cdata}</c></r>`
      const root = parser.parseFromString(source, 'text/xml').documentElement
      const [t1, c] = [root?.getElementsByTagName('t')[0], root?.getElementsByTagName('c')[0]]
      return (
        root?.getAttribute('a') === expected &&
        root.getAttribute('b') === expected &&
        root.getElementsByTagName('*').length === 2 &&
        t1?.textContent === head + expected &&
        c?.textContent === head + expected + tail
      )
    }),
    { numRuns }
  )
  t.pass('no counterexample')
})
