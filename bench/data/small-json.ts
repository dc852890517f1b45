/** The bodies of the small-request benchmarks: one payment of exactly 1024 bytes with four places for tokens. */

const BODY_BYTES = 1024
const CARDS = [
  '4242424242424242',
  '4000056655665556',
  '5555555555554444',
  '5200828282828210',
  '6011111111111117',
  '3566002020360505',
  '4111111111111111',
  '5105105105105100'
]

/** Bytes of a token id as generated here: a UUID's 36. */
export const ID_BYTES = 36

/** Tokens in a body. */
export const TOKENS = 4

/** What stands around the four ids on the way in, delimiters included: five texts. */
export const requestTexts: readonly string[] = delimited('{{ ', ' }}')

/** The same 1024 bytes without an expression. */
export const plainBody: string = delimited('', '').join('x'.repeat(ID_BYTES + '{{  }}'.length))

/** What the destination must get for these values. */
export function expectedBody(values: readonly string[]): string {
  return weave(delimited('', ''), values)
}

/** What is sent for these ids. */
export function requestBody(ids: readonly string[]): string {
  return weave(requestTexts, ids)
}

/** The id of the `index`-th token of the generated population: a UUID, the same in every run. */
export function tokenId(index: number): string {
  const mixed = (Math.imul(index + 1, MIX) >>> 0).toString(16).padStart(8, '0')
  const tail = index.toString(16).padStart(12, '0')
  return `${mixed}-${tail.slice(8)}-4${mixed.slice(1, 4)}-8${mixed.slice(5)}-${tail}`
}

/** The indices of so many tokens, in the order of their ids. */
export function* indicesInOrder(tokens: number): Generator<number> {
  const mixed = Uint32Array.from({ length: tokens }, (_, at) => Math.imul(at + 1, MIX)).sort()
  for (const one of mixed) yield (Math.imul(one, UNMIX) >>> 0) - 1
}

/** What the `index`-th token holds: a public test card number of 16 digits. */
export function tokenValue(index: number): string {
  return CARDS[index % CARDS.length] as string
}

/** The value of the token with this id. */
export function valueOfId(id: string): string {
  return tokenValue(Number.parseInt(id.slice(-12), 16))
}

/** The first tokens of the population as lines `ID VALUE`. */
export function tokenTable(tokens: number): string {
  return Array.from({ length: tokens }, (_, at) => `${tokenId(at)} ${tokenValue(at)}\n`).join('')
}

function weave(texts: readonly string[], values: readonly string[]): string {
  return texts.map((text, at) => text + (values[at] ?? '')).join('')
}

function delimited(open: string, close: string): string[] {
  const frame = [
    '{"reference":"order-2026-000184","amount":129900,"currency":"EUR","capture":true,"card":{"number":"',
    '","brand":"visa","expiry":{"month":11,"year":2031},"fallback":"',
    '","kind":"network"},"payer":{"locale":"nl-NL","address":{"street":"Keizersgracht 1","city":"Amsterdam"},"account":"',
    '","email":"buyer@example.com"},"lines":[{"sku":"A-1001","quantity":2,"unit":49950},{"sku":"B-2002","quantity":1,"unit":30000}],"payee":{"account":"',
    '","name":"Example Trading BV"},"note":"'
  ]
  const used = frame.join('').length + TOKENS * (ID_BYTES + '{{  }}'.length)
  const note = 'delivered to the front desk; '.repeat(40).slice(0, BODY_BYTES - used - '"}'.length)
  frame[TOKENS] += `${note}"}`
  return frame.map((text, at) => (at === 0 ? '' : close) + text + (at === TOKENS ? '' : open))
}

/** Multiplied modulo 2^32, one undoes the other. */
const MIX = 0x9e3779b1
const UNMIX = 0xe8b2f51
