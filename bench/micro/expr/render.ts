/**
 * One expression: parsed from what stands between the delimiters, evaluated for a token that was just opened (so its
 * JSON text has not been parsed yet) and written for its place. Budgets: a bare token and `json: '$.number'` at most
 * 1 µs each once the chain is compiled, `split | last | upcase` at most 3 µs. Beside them what the same costs when
 * liquidjs renders it, and when jsonpath-plus follows the path.
 */
import { JSONPath } from 'jsonpath-plus'
import { Liquid } from 'liquidjs'
import { render } from '../../../lib/expr/encode.ts'
import type { Found } from '../../../lib/expr/evaluate.ts'
import { parseExpression } from '../../../lib/expr/expression.ts'
import {
  PLACE_FORM,
  PLACE_JSON_STRING,
  PLACE_JSON_WHOLE,
  PLACE_XML_TEXT,
  type Place
} from '../../../lib/scan/context.ts'
import { Secret } from '../../../lib/secret.ts'
import { type MicroCase, micro } from '../../kit/micro.ts'

const ID = '26818785-547b-4b28-b0fa-531377e99f4e'
const CARD = JSON.stringify({ number: '4242424242424242', expiration_month: 12, expiration_year: 2027, cvc: '123' })
const NAME = JSON.stringify('John O’Neil Doe')
const BOOKS = JSON.stringify({
  books: [
    { price: 8.99, title: 'Moby Dick' },
    { price: 22.99, title: 'The Ring' }
  ]
})

const FIELDS = ['number', 'expiration_month', 'expiration_year', 'cvc'].map((field) => ` ${ID} | json: '$.${field}' `)
const WHOLE = { place: PLACE_JSON_WHOLE }

function found(json: string): Found {
  const data = new Secret(json)
  return { candidate: 0, id: ID, data, whole: () => data }
}

/** Parse, evaluate and encode, with a token that is fresh each time. */
function whole(name: string, source: string, json: string, place: Place, expected: string): MicroCase {
  const spot = { place }
  const run = (): string => render(parseExpression(source, 'liquid'), found(json), spot)
  return { name, run, check: () => expect(name, run(), expected) }
}

/** Evaluate and encode alone, with the token's JSON parsed once. */
function evaluated(name: string, source: string, json: string, expected: string): MicroCase {
  const spot = { place: PLACE_JSON_WHOLE }
  const expression = parseExpression(source, 'liquid')
  const token = found(json)
  const run = (): string => render(expression, token, spot)
  return { name, run, check: () => expect(name, run(), expected) }
}

function parsed(name: string, source: string): MicroCase {
  return { name, run: () => parseExpression(source, 'liquid') }
}

/** What a request with a card does: the token is opened once for all its expressions. */
function fields(): string {
  const token = found(CARD)
  let out = ''
  for (const source of FIELDS) out += render(parseExpression(source, 'liquid'), token, WHOLE)
  return out
}

function expect(name: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`${name}: ${String(actual)}`)
}

const liquid = new Liquid({ ownPropertyOnly: true })
const template = liquid.parse("{{ data | split: ' ' | last | upcase }}")
const names = { data: JSON.parse(NAME) as string }
const card = JSON.parse(CARD) as object

micro('micro/expr/render', [
  whole('{{ id }}, in a string', ` ${ID} `, JSON.stringify('4242424242424242'), PLACE_JSON_STRING, '4242424242424242'),
  whole('{{ id }}, a whole string', ID, NAME, PLACE_JSON_WHOLE, NAME),
  whole('{{ id }}, an object', ID, CARD, PLACE_JSON_WHOLE, CARD),
  whole('{{ id }}, in a form', ID, NAME, PLACE_FORM, 'John+O%E2%80%99Neil+Doe'),
  whole('{{ id }}, in XML', ID, NAME, PLACE_XML_TEXT, 'John O’Neil Doe'),
  whole("json: '$.number', alone", ` ${ID} | json: '$.number' `, CARD, PLACE_JSON_WHOLE, '"4242424242424242"'),
  {
    name: "json: '$.number' and three more of one card",
    run: fields,
    operations: 4,
    check: () => expect('fields', fields(), '"4242424242424242""12""2027""123"')
  },
  whole('split | last | upcase', `${ID} | split: ' ' | last | upcase`, NAME, PLACE_JSON_WHOLE, '"DOE"'),
  whole(
    "json: '$.books[?…].title'",
    `${ID} | json: '$.books[?(@.price < 10)].title'`,
    BOOKS,
    PLACE_JSON_WHOLE,
    '"Moby Dick"'
  ),
  evaluated("json: '$.number', evaluated", `${ID} | json: '$.number'`, CARD, '"4242424242424242"'),
  evaluated('split | last | upcase, evaluated', `${ID} | split: ' ' | last | upcase`, NAME, '"DOE"'),
  parsed('parse of a bare token', ` ${ID} `),
  parsed('parse with a compiled chain', ` ${ID} | json: '$.number' | last4 `),
  {
    name: 'liquidjs renders split | last | upcase',
    run: () => liquid.renderSync(template, names) as string,
    check: () => expect('liquidjs', liquid.renderSync(template, names), 'DOE')
  },
  {
    name: 'jsonpath-plus follows $.number',
    run: () => JSONPath({ path: '$.number', json: card, wrap: false, eval: false }),
    check: () =>
      expect('jsonpath-plus', JSONPath({ path: '$.number', json: card, wrap: false, eval: false }), '4242424242424242')
  }
])
