import t from 'tap'
import { LosslessNumber, parseJson } from '../../lib/json.ts'
import { Scratch } from '../../lib/vault/scratch.ts'
import { RestText, type TokenRest } from '../../lib/vault/token-rest.ts'

const mask = { number: '{{ data.number | reveal_last: 4 }}', é: '\u{1f600}"' }
const first: TokenRest = { createdBy: 'a', terms: [], mask, fingerprintExpression: '{{ data }}', fingerprint: 'F1' }

/** Each in the order in which they are written, so that what is kept of one could show in another. */
const RESTS: readonly TokenRest[] = [
  first,
  { ...first, fingerprint: 'F2' },
  { ...first, fingerprint: 'F3', terms: ['s:abc', 'i:"\\'] },
  { ...first, fingerprint: '"}\\é' },
  { ...first, fingerprint: '' },
  { ...first, createdBy: 'b' },
  { ...first, mask: { ...mask } },
  { ...first, mask: { number: new LosslessNumber('1.00') } },
  { ...first, mask: '{{ data | reveal_last: 4 }}' },
  { createdBy: 'b', terms: [], fingerprintExpression: '{{ data }}', fingerprint: 'F4' },
  { createdBy: 'b', terms: [], fingerprint: 'F4' },
  { createdBy: 'b', terms: ['m:1'] },
  { ...first, fingerprintExpression: '{{ data.number }}' },
  { ...first, searchIndexes: ['{{ data }}'], terms: ['s:1'] },
  { ...first, metadata: { a: 'b' } },
  { ...first, modifiedBy: 'c', modifiedAt: 5 },
  { ...first, privacy: { restriction_policy: 'redact' } },
  { ...first, destinations: [] },
  first
]

t.test('what is written of a token is read again, whatever was written before', (t) => {
  const texts = new RestText()
  for (const [n, rest] of [...RESTS, ...RESTS.toReversed(), ...RESTS.flatMap((rest) => [first, rest])].entries()) {
    const desk = new Scratch()
    desk.bytes.fill(0x2e)
    const at = n % 2 === 0 ? 20 : 4090
    const length = texts.write(rest, desk, at)
    t.same(parseJson(desk.bytes.toString('utf8', at, at + length)), rest)
  }
  t.end()
})
