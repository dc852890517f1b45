import t from 'tap'
import { SluiceError } from '../../lib/errors.ts'
import { encode } from '../../lib/expr/encode.ts'
import { evaluate } from '../../lib/expr/evaluate.ts'
import { FILTERS } from '../../lib/expr/filters/basis-theory.ts'
import { FOOTPRINT_FILTERS } from '../../lib/expr/filters/footprint.ts'
import { type Grammar, parseExpression } from '../../lib/expr/expression.ts'
import { compileTemplate } from '../../lib/expr/template.ts'
import { Secret } from '../../lib/secret.ts'
import { cpuMs } from '../expr/_eval.ts'

/**
 * Expressions made of the language's own pieces, most of them nearly right, evaluated for values of every kind. Nothing
 * but the typed errors may come out, and nothing may take long. SLUICE_FUZZ multiplies how many.
 */
const COUNT = 10_000 * Number(process.env.SLUICE_FUZZ ?? 1)
const SEED = Number(process.env.SLUICE_SEED ?? (Math.random() * 2 ** 31) | 0)
/** No expression may take more of the processor: an order over what the counted limits allow on an idle machine. */
const LIMIT_MS = 2000

const next = random(SEED)
const below = (limit: number): number => Math.floor(next() * limit)
const one = <T>(all: readonly T[]): T => all[below(all.length)] as T

const VALUES = [
  'null',
  'true',
  '0',
  '-1.5',
  '12345678901234567890',
  '1.10',
  '1e400',
  '""',
  '"x"',
  '"John Doe"',
  '"4242-4242-4242-4242"',
  '"1988-12-30"',
  '"2024-02-29T10:00:00Z"',
  '"<b>&\\"\\u0000\\ud800é😀"',
  `"${'ab '.repeat(20_000)}"`,
  '[]',
  '[1,2,"3",null,[4]]',
  '{"a":{"b":[1,2,{"c":"x"}]},"number":"4242424242424242","expiration_month":3,"expiration_year":2025}',
  `[${'{"a":1,"b":"x"},'.repeat(2000)}{}]`,
  '"aHR0cA=="',
  '"%41%zz"',
  '{"__proto__":{"x":1},"constructor":2}'
].map((json) => new Secret(json))

const SUBJECTS = [
  'data',
  ' data ',
  'data.a',
  'data[0]',
  "data['a b']",
  'token: data',
  'data.a.b[0]',
  '5c20-x.y',
  '9273610263384242',
  'a@b.c',
  ''
]
const REFERENCES = ['fp_id_x1.id.ssn9', ' fp_bid_x.custom.a-b ', 'id.dob', 'card.primary.number', 'fp_id_', '.', '']
const PATHS = [
  '$',
  '$.a',
  '$.a.b[2].c',
  '$..c',
  '$..*',
  '$[*]',
  '$[?(@.a == 1)]',
  '$[?count(@.*) > 1].b',
  '$[0,1]',
  '$[1:2]',
  '$..[?@.a]',
  'a.b',
  '$.a[',
  '$[?(@',
  '@',
  '$.a-b.0',
  "$['a']",
  '$[(@.length-1)]',
  '$..[?match(@,"(a+)+$")]'
]
const TEXTS = [
  '',
  'x',
  ' ',
  ',',
  'a',
  '0',
  'MM/YY',
  '%Y-%m-%d',
  '%A %e %999d',
  'sha-256',
  'true',
  '$&',
  '(a+)+$',
  '}}',
  '{{',
  '|',
  '\\',
  '\\u0041',
  'x'.repeat(300),
  'rsa_pkcs1v15',
  'ecies_p256_x963_sha256_aes_gcm',
  '0b0b',
  ...PATHS
]
const SOUP = [
  '|',
  '||',
  ':',
  ',',
  '(',
  ')',
  '[',
  ']',
  '{',
  '}',
  '"',
  "'",
  '\\',
  '.',
  '..',
  '$',
  '@',
  '-',
  '=',
  '<',
  '>',
  '?',
  '*',
  ' ',
  '\t',
  '\n',
  'nil',
  'true',
  'empty',
  'x',
  '0',
  '9e9',
  '1..2',
  '&',
  '#',
  '%',
  'é',
  '😀',
  '\u0000',
  '\ud800',
  '\u2028',
  'constructor',
  '__proto__',
  'json:',
  'token:',
  'raw'
]
const NUMBERS = ['0', '1', '-1', '2.5', '7.0', '99999999', '1048576', '9999999999999999999999', '-0']

function text(): string {
  const quote = one(['"', "'"])
  return next() < 0.05
    ? `${quote}${one(TEXTS)}`
    : `${quote}${one(TEXTS).replaceAll(next() < 0.1 ? '#' : quote, '')}${quote}`
}

function argument(): string {
  const kind = next()
  return kind < 0.55
    ? text()
    : kind < 0.85
      ? one(NUMBERS)
      : kind < 0.95
        ? one(['true', 'false', 'nil', 'data', 'empty', '(1..9)'])
        : one(SOUP)
}

function liquid(): string {
  let out = one(SUBJECTS)
  for (let filters = below(5); filters > 0; filters--) {
    const name = next() < 0.05 ? one(SOUP) : one([...FILTERS.keys()])
    const row = FILTERS.get(name)
    const args = next() < 0.8 && row !== undefined ? row.least + below(row.most - row.least + 1) : below(4)
    const list = Array.from(
      { length: args },
      name === 'json' ? () => one([text, () => `'${one(PATHS)}'`, () => one(PATHS)])() : argument
    )
    out += `|${one(['', ' '])}${name}${list.length > 0 ? `: ${list.join(', ')}` : ''}`
  }
  return spoilt(out)
}

function footprint(): string {
  let out = one(REFERENCES)
  for (let filters = below(5); filters > 0; filters--) {
    const name = next() < 0.05 ? one(SOUP) : one([...FOOTPRINT_FILTERS.keys()])
    const row = FOOTPRINT_FILTERS.get(name)
    const args = next() < 0.8 && row !== undefined ? row.least : below(4)
    const list = Array.from({ length: args }, () => (next() < 0.7 ? text() : one(NUMBERS)))
    out += `|${one(['', ' '])}${name}${list.length > 0 || next() < 0.2 ? `(${list.join(one([',', ', ']))})` : ''}`
  }
  return spoilt(out)
}

/** Now and then something is put in, taken out or repeated. */
function spoilt(source: string): string {
  let out = source
  while (next() < 0.15) {
    const at = below(out.length + 1)
    const kind = next()
    if (kind < 0.5) out = out.slice(0, at) + one(SOUP) + out.slice(at)
    else if (kind < 0.8) out = out.slice(0, at) + out.slice(at + 1 + below(4))
    else if (out.length < 4000) out += out.slice(at) + one(SOUP).repeat(below(200))
  }
  return out
}

function template(): string {
  const pieces = Array.from({ length: below(6) }, () =>
    one([
      () => `{{ ${liquid()} }}`,
      () => one(['text', '{', '}}', ' ']),
      () => `{% if ${argument()} ${one(['==', 'contains', '>', 'and', 'x'])} ${argument()} %}`,
      () => one(['{% endif %}', '{% else %}', '{% endfor %}', '{% case data %}', '{% when 1 %}', '{% endcase %}']),
      () =>
        `{% for i in ${one(['data', '(1..9)', '(1..999999999)', 'x'])} ${one(['', 'limit: 2', 'reversed'])} %}{{ i }}{% endfor %}`,
      () => `{% assign data = ${liquid()} %}`
    ])()
  )
  return spoilt(pieces.join(''))
}

/** Runs one and says what was wrong with how it ended, if anything. */
function attempt(run: () => unknown): string | null {
  let fault: string | null = null
  const ms = cpuMs(() => {
    try {
      run()
    } catch (thrown) {
      if (!(thrown instanceof SluiceError)) fault = `threw ${String(thrown)}`
      else if (!thrown.code.startsWith('ERR_EXPR_')) fault = `threw ${thrown.code}`
    }
  })
  slowest = Math.max(slowest, ms)
  return ms > LIMIT_MS ? `took ${ms} ms` : fault
}

let slowest = 0

function fuzz(make: () => string, run: (source: string, secret: Secret) => void): string[] {
  const faults: string[] = []
  for (let at = 0; at < COUNT; at++) {
    const source = make()
    const secret = one(VALUES)
    const fault = attempt(() => run(source, secret))
    if (fault !== null && faults.length < 5)
      faults.push(`${fault}: ${JSON.stringify(source)} on ${secret.exposeText().slice(0, 60)}`)
  }
  return faults
}

function express(grammar: Grammar) {
  return (source: string, data: Secret): void => {
    const expression = parseExpression(source, grammar, { user: 'fp_id_x1' })
    const found = { candidate: below(expression.subject.candidates.length), id: '', data, whole: () => data }
    encode(evaluate(expression, found), expression, { place: 1 + below(16) })
  }
}

t.setTimeout(30_000 * Math.max(1, COUNT / 10_000))

t.test(`expressions of the Liquid grammar (seed ${SEED})`, async (t) => {
  t.same(fuzz(liquid, express('liquid')), [])
})

t.test(`expressions of the Footprint grammar (seed ${SEED})`, async (t) => {
  t.same(fuzz(footprint, express('footprint')), [])
})

t.test(`templates (seed ${SEED})`, async (t) => {
  t.same(
    fuzz(template, (source, data) => void compileTemplate(source).render({ data: data.expose() })),
    []
  )
  t.comment(`${COUNT} each; the slowest took ${slowest.toFixed(1)} ms`)
})

/** Mulberry32. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
