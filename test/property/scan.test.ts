import fc from 'fast-check'
import t from 'tap'
import { SluiceError } from '../../lib/errors.ts'
import { cut, type Outcome, random, scanChunks, scanWhole } from '../scan/run.ts'
import { type FlatKind, reference } from './scan-reference.ts'

const FUZZ = Number(process.env.SLUICE_FUZZ ?? 1)
const RUNS = 200 * FUZZ
if (FUZZ > 1) t.setTimeout(0)

// biome-ignore format: lists of fragments
const COMMON = [
  '{', '{{', '{{', '}', '}}', '}}', '<', '<<', '<<', '>', '>>', '>>', '{{a}}', '<<b>>', '{{ c | d: "', '|', "'", '"',
  '\\', ' ', 'a', 'id', '/', '[', '\n', '{{tok_1-Z9', '{{ 0123456789ab', 'cdef', '@', '.'
]
const RARE = ['\0', '\x7f', '\xc3\xa9', '\xff', '\xf0\x9f\x98\x80', 'long enough to pass a small limit']

// :: kind → fragments that bodies of it are made of
// biome-ignore format: lists of fragments
const FRAGMENTS: Record<FlatKind, string[]> = {
  text: ['{{', '}}', 'text '],
  json: [
    '"', '"', ':', ',', '\\"', '\\\\', '\\u007b', '\\u007B', '\\u003c', '\\u003e', '\\u007d', '\\u00', '\\u0022',
    '\\u0027', '\\ud83d', '\\ude00', '\\n', '\\b', ']', '"{{a}}"', '"{{', '}}"', `" ${' '.repeat(254)}`
  ],
  form: ['%7B', '%7b', '%3C', '%3e', '%7D', '%7C', '%27', '%', '%2', '+', '&', '=', '%00', '%C3', '%A9'],
  xml: [
    '&lt;', '&gt;', '&#60;', '&#123;', '&#x7d;', '&quot;', '&apos;', '&amp;', '&', '&#0;', '<!--', '-->', '--', '-',
    '<![CDATA[', '<![CD', 'ATA[', ']]>', ']', '<?', '?>', '?', '<!', '<!D', '<a x=', '</a>', '!'
  ],
  csv: ['""', '"', '"', ',', ';', '\t', '\r\n', ',"', '",']
}

/** Long enough for the fast gear's words, at every alignment. */
const LONG = [
  'x'.repeat(173),
  '{"k":"v","n":1}'.repeat(20),
  `"${'abc","def'.repeat(30)}`,
  `"\\n${'x'.repeat(190)}\\"${'y'.repeat(170)}`
]

const splits = fc.record({ seed: fc.nat(), most: fc.constantFrom(1, 2, 5, 40, 400) })

const limits = fc.constantFrom(24, 30, 50, 16384)
const pairs = fc.integer({ min: 1, max: 3 })

for (const kind of Object.keys(FRAGMENTS) as FlatKind[]) {
  t.test(`${kind}: the scanner finds what a naive reading finds, however the body is cut`, async (t) => {
    let [found, literal] = [0, 0]
    fc.assert(
      fc.property(bodies(kind, 40), limits, pairs, splits, (body, expressionBytes, delimiters, { seed, most }) => {
        const options = { delimiters, expressionBytes }
        const outcome = reference(body, kind, delimiters, expressionBytes)
        if (outcome.pieces.some((piece) => typeof piece === 'object')) found++
        if (outcome.literals > 0) literal++
        const expected = show(outcome)
        same(show(scanWhole(body, { kind }, options)), expected)
        same(show(scanChunks([body], { kind }, options)), expected)
        same(show(scanChunks(cut(body, random(seed), most), { kind }, options)), expected)
      }),
      { numRuns: RUNS }
    )
    t.ok(found > RUNS / 4 && literal > RUNS / 4, `${RUNS} bodies, ${found} with expressions, ${literal} with literals`)
  })
}

// :: Content-Type of a part → how it is read
const PARTS: Record<string, FlatKind | 'pass'> = {
  'text/plain': 'text',
  'application/json': 'json',
  'application/x-www-form-urlencoded': 'form',
  'application/xml': 'xml',
  'text/csv': 'csv',
  'image/png': 'pass'
}

/** A NUL at the very beginning would make it UTF-16. */
const SPACES = Buffer.from('  ')

t.test('multipart: every part is read as if it stood alone', async (t) => {
  const part = fc.constantFrom(...Object.keys(PARTS)).chain((type) => {
    const kind = PARTS[type] as FlatKind | 'pass'
    return bodies(kind === 'pass' ? 'text' : kind, 12).map((tail) => ({
      type,
      kind,
      body: Buffer.concat([SPACES, tail])
    }))
  })
  fc.assert(
    fc.property(fc.array(part, { maxLength: 5 }), splits, (parts, { seed, most }) => {
      const pieces: Outcome['pieces'] = []
      const chunks: Buffer[] = []
      let [literals, size] = [0, 0]
      const pass = (bytes: Buffer): void => {
        pieces.push(bytes.toString('latin1'))
        chunks.push(bytes)
        size += bytes.length
      }
      for (const { type, kind, body } of parts) {
        pass(Buffer.from(`--b\r\nContent-Type: ${type}\r\n\r\n`))
        if (kind === 'pass') pass(body)
        else {
          const outcome = reference(body, kind, 3, 16384)
          literals += outcome.literals
          for (const piece of outcome.pieces) {
            pieces.push(typeof piece === 'string' ? piece : { ...piece, offset: piece.offset + size })
          }
          chunks.push(body)
          size += body.length
        }
        pass(Buffer.from('\r\n'))
      }
      pass(Buffer.from('--b--\r\n'))
      const expected = show({ pieces: joined(pieces), literals })
      const body = Buffer.concat(chunks)
      const context = { kind: 'multipart', boundary: 'b' } as const
      same(show(scanWhole(body, context)), expected)
      same(show(scanChunks(cut(body, random(seed), most), context)), expected)
    }),
    { numRuns: RUNS }
  )
  t.pass(`${RUNS} bodies`)
})

t.test('multipart: what is found does not depend on the cuts, however malformed', async (t) => {
  // biome-ignore format: a list of fragments
  const fragment = fc.constantFrom(
    '--b', '--b\r\n', '\r\n--b\r\n', '\n--b\n', '\r\n--b--', '--b--', '\r', '\n', '\r\n', '\r\n\r\n', '-', '--', ' ', '\t', 'b',
    'Content-Type: application/json', 'Content-Type: multipart/mixed; boundary=c', 'content-type:image/gif', '--c',
    '\r\n--c\r\n', '{"a":"{{p}}"}', '{{q}}', '{{', '}}', '<<', '>>', '"', 'x'.repeat(300)
  )
  fc.assert(
    fc.property(fc.array(fragment, { maxLength: 40, size: 'max' }), splits, (fragments, { seed, most }) => {
      const body = Buffer.from(fragments.join(''))
      const context = { kind: 'multipart', boundary: 'b' } as const
      const expected = attempt(() => scanWhole(body, context))
      same(
        attempt(() => scanChunks([body], context)),
        expected
      )
      same(
        attempt(() => scanChunks(cut(body, random(seed), most), context)),
        expected
      )
    }),
    { numRuns: 2 * RUNS }
  )
  t.pass(`${2 * RUNS} bodies`)
})

function bodies(kind: FlatKind, maxLength: number): fc.Arbitrary<Buffer> {
  const fragment = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...COMMON) },
    { weight: 8, arbitrary: fc.constantFrom(...FRAGMENTS[kind]) },
    { weight: 1, arbitrary: fc.constantFrom(...RARE) },
    { weight: kind === 'json' ? 1 : 0, arbitrary: fc.constantFrom(...LONG) }
  )
  return fc.array(fragment, { maxLength, size: 'max' }).map((parts) => Buffer.from(parts.join(''), 'latin1'))
}

function joined(pieces: Outcome['pieces']): Outcome['pieces'] {
  const all: Outcome['pieces'] = []
  for (const piece of pieces) {
    const last = all.at(-1)
    if (typeof piece === 'string' && typeof last === 'string') all[all.length - 1] = last + piece
    else if (piece !== '') all.push(piece)
  }
  return all
}

function attempt(scan: () => Outcome): string {
  try {
    return show(scan())
  } catch (thrown) {
    if (thrown instanceof SluiceError) return thrown.code
    throw thrown
  }
}

function show(outcome: Outcome): string {
  return JSON.stringify(outcome)
}

function same(found: string, expected: string): void {
  if (found !== expected) throw new Error(`found    ${found}\nexpected ${expected}`)
}
