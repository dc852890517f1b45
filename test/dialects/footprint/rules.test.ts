import t from 'tap'
import type { SluiceError } from '../../../lib/errors.ts'
import { credentialOf } from '../../../lib/dialects/footprint/credential.ts'
import { identifierOf, issuerOf } from '../../../lib/dialects/footprint/identifiers.ts'
import { readRule, splitRules } from '../../../lib/dialects/footprint/rules.ts'
import type { CaptureType } from '../../../lib/proxy/capture.ts'

const A = 'fp_id_a.custom.a'
const B = 'fp_id_b.card.primary.number'

t.test('a header holds one rule or several, and commas that are no ends', async (t) => {
  const cases: [CaptureType, string[], string[]][] = [
    ['json', [`${A}=$.a`, `${B}=$.b`], [`${A}=$.a`, `${B}=$.b`]],
    ['json', [`${A}=$.a, ${B}=$.b`], [`${A}=$.a`, `${B}=$.b`]],
    ['json', [`${A}=$.a,${B}=$.b,custom.c=$.c`], [`${A}=$.a`, `${B}=$.b`, 'custom.c=$.c']],
    ['json', [`${A}=$.a | replace("-", ""), ${B} = $.b`], [`${A}=$.a | replace("-", "")`, `${B} = $.b`]],
    ['json', [`${A}=$['a','custom.b=1'], ${B}=$.b`], [`${A}=$['a','custom.b=1']`, `${B}=$.b`]],
    ['json', [`${A}=$.a | replace(", ${B}=", "x")`], [`${A}=$.a | replace(", ${B}=", "x")`]],
    ['json', [`${A}=$["it's, custom.b=x"], ${B}=$.b`], [`${A}=$["it's, custom.b=x"]`, `${B}=$.b`]],
    ['json', [`${A}=$.l[?@.k == 'v', 1]`], [`${A}=$.l[?@.k == 'v', 1]`]],
    ['json', [`${A}=$.a[?(@.x==1)], nothing`], [`${A}=$.a[?(@.x==1)], nothing`]],
    ['regex', [`${A}=it's "(\\d,+, ${B}=b`], [`${A}=it's "(\\d,+`, `${B}=b`]],
    ['xml', [`${A}=/a[contains(b, 'c')], ${B}=/b`], [`${A}=/a[contains(b, 'c')]`, `${B}=/b`]]
  ]
  for (const [type, values, rules] of cases) t.strictSame(splitRules(values, type), rules, values.join())
})

t.test('a rule is target, path and filters', async (t) => {
  const cases: [CaptureType, string, string, string, boolean][] = [
    ['json', '$.a', '$.a', '', false],
    ['json', ' $.a | prefix(2)|to_ascii ', '$.a', '| prefix(2)|to_ascii', false],
    ['json', "$[?(@.a || @.b)]['|'] | last", "$[?(@.a || @.b)]['|']", '', true],
    ['json', '$.a | suffix(4) | last', '$.a', '| suffix(4) ', true],
    ['json', '$.a | nosuch', '$.a', '| nosuch', false],
    ['xml', '/a/b | /c', '/a/b | /c', '', false],
    ['xml', '/a/b | to_uppercase', '/a/b', '| to_uppercase', false],
    ['regex', 'a|b(c|d)', 'a|b(c|d)', '', false],
    ['regex', '(a|b) | replace("|", "")', '(a|b)', '| replace("|", "")', false],
    ['form', 'card[number] | suffix(4)', 'card[number]', '| suffix(4)', false]
  ]
  for (const [type, text, path, filters, takesLast] of cases) {
    const rule = readRule(`${A} = ${text}`, type, null, 1)
    t.strictSame([rule.path, rule.filters, rule.takesLast], [path, filters, takesLast], text)
    t.strictSame([rule.target, rule.user, rule.container], [A, 'fp_id_a', '/general/fp/fp_id_a/'])
  }
  t.equal(readRule('card.x.number=$.a', 'json', 'fp_id_Z9', 1).container, '/pci/fp/fp_id_z9/')
  t.equal(readRule(`${A}=$.a`, 'json', 'fp_id_a', 1).target, A)
  for (const [text, user] of [
    ['', null],
    ['=$.a', null],
    [`${A}`, null],
    [`${A}=`, null],
    [`${A}= | prefix(1)`, null],
    ['custom.a=$.a', null],
    [`${A}=$.a`, 'fp_id_b'],
    ['fp_id_a.card.primary.number_last4=$.a', null],
    ['fp_id_a.nothing=$.a', null],
    ['fp_bid_a.id.dob=$.a', null],
    ['../custom.a=$.a', null]
  ] as const) {
    try {
      readRule(text, 'json', user, 7)
      t.fail(text)
    } catch (error) {
      const { code, message, offset } = error as SluiceError
      t.equal(code, 'ERR_INPUT')
      t.match(message, /^Ingress rule 7, position \d+: /)
      t.type(offset, 'number')
    }
  }
})

t.test('identifiers: which there are, and where they are kept', async (t) => {
  const known: [string, string][] = [
    ['id.ssn9', 'pii'],
    ['business.tin', 'pii'],
    ['investor_profile.occupation', 'pii'],
    ['document.passport.front.image', 'pii'],
    ['card.primary.number', 'pci'],
    ['card.my-card_2.billing_address.zip', 'pci'],
    ['bank.main.ach_account_number', 'bank'],
    ['custom.anything.goes-here', 'general']
  ]
  for (const [text, classification] of known) t.equal(identifierOf(text)?.classification, classification, text)
  for (const text of [
    '',
    'id',
    'id.nosuch',
    'id.ssn9.more',
    'card.number',
    'card.primary.',
    'card.a.b.number',
    'document.nosuch.x',
    'custom.',
    'custom.a b',
    'constructor.x',
    'id.constructor',
    `custom.${'x'.repeat(300)}`
  ]) {
    t.equal(identifierOf(text), null, text)
  }
  t.strictSame(
    ['4242424242424242', '5555555555554444', '378282246310005', '6011111111111117', '3530111333300000', '9'].map(
      issuerOf
    ),
    ['visa', 'mastercard', 'american_express', 'discover', 'jcb', 'unknown']
  )
})

t.test('credentials', async (t) => {
  const basic = (text: string) => ['Authorization', `Basic ${Buffer.from(text).toString('base64')}`]
  t.equal(credentialOf(basic('key_1:')), 'key_1')
  t.equal(credentialOf(['x-footprint-secret-key', ' key_1 ']), 'key_1')
  t.equal(credentialOf([...basic('key_1:'), 'X-Footprint-Secret-Key', 'key_1']), 'key_1')
  t.throws(() => credentialOf([...basic('key_1:'), 'X-Footprint-Secret-Key', 'key_2']), { code: 'ERR_HTTP_SYNTAX' })
  t.throws(() => credentialOf([]), { code: 'ERR_AUTH_MISSING' })
  t.throws(() => credentialOf(['X-Footprint-Secret-Key', '']), { code: 'ERR_AUTH_MISSING' })
  for (const text of ['key_1', 'key_1:secret', ':', 'a:b:']) {
    if (text === ':') t.throws(() => credentialOf(basic(text)), { code: 'ERR_AUTH_MISSING' })
    else t.throws(() => credentialOf(basic(text)), { code: 'ERR_AUTH_INVALID' }, text)
  }
})
