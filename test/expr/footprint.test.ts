import {
  constants,
  createDecipheriv,
  createECDH,
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  privateDecrypt
} from 'node:crypto'
import t from 'tap'
import { evaluate } from '../../lib/expr/evaluate.ts'
import { narrow, parseExpression } from '../../lib/expr/expression.ts'
import { formatJson, type Json } from '../../lib/json.ts'
import { Secret } from '../../lib/secret.ts'
import { code } from './_eval.ts'

const USER = 'fp_id_tctecBEvGc98V7Vx4MhZU'

function run(chain: string, value: Json): Json {
  const expression = parseExpression(`${USER}.id.x ${chain}`, 'footprint')
  const data = new Secret(formatJson(value))
  return evaluate(expression, { candidate: 0, id: '', data, whole: () => data })
}

t.test('a reference names a field of a user, its own or the request’s', async (t) => {
  const ids = (source: string, user?: string) =>
    parseExpression(source, 'footprint', user === undefined ? {} : { user }).subject.candidates
  t.same(ids(` ${USER}.id.last_name `), [`${USER}.id.last_name`])
  t.same(ids('custom.credit_card', USER), [`${USER}.custom.credit_card`])
  t.same(ids('card.primary.number | suffix(4)', USER), [`${USER}.card.primary.number`])
  t.same(ids(`${USER}.id.ssn9`, USER), [`${USER}.id.ssn9`])
  for (const [source, user] of [
    ['id.ssn9', undefined],
    [`${USER}.id.ssn9`, 'fp_id_other'],
    ['foo', USER],
    ['', USER],
    ['id.', USER],
    [USER, USER],
    ['id.a b', USER],
    ['fp_id_x..number', undefined]
  ] as const) {
    t.equal(
      code(() => ids(source, user)),
      'ERR_EXPR_SYNTAX',
      source
    )
  }
})

t.test('published and standard examples', async (t) => {
  for (const [value, chain, expected] of [
    ['Doè', '| to_ascii | to_uppercase', 'DOE'],
    ['1988-12-30', '| date_format("%Y-%m-%d", "%A in %B of %y")', 'Friday in December of 88'],
    ['12-1212-1212', '| replace("-", "")', '1212121212'],
    [
      'Hi There',
      `| hmac_sha256("${'0b'.repeat(20)}")`,
      'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'
    ],
    [
      'what do ya want for nothing?',
      "|hmac_sha256('4a656665')",
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'
    ],
    ['2001-02-03', '| date_format("%Y-%m-%d","%m/%y")', '02/01'],
    ['2001-02-03', '| date_format("%Y-%m-%d","%A in %B")', 'Saturday in February'],
    ['Straße', '| to_uppercase', 'STRASSE'],
    ['a😀b', '| prefix(2)', 'a😀'],
    ['a😀b', '| suffix(2)', '😀b'],
    ['abc', '| prefix(9)', 'abc'],
    ['abc', '| suffix( 9 ) ', 'abc'],
    ['4242424242424242', '|suffix(4)', '4242'],
    ['aaa', '| replace("aa","b")', 'ba'],
    ['aba', '| replace("a", "$&")', '$&b$&'],
    ['a|b}}c', '| replace(\'|b}}\', "\\"\\,\\)\\n")', 'a",)\\nc'],
    ['Łódź, “Straße” – Ærø, Ђорђе, Ωμέγα €5 北京😀', '| to_ascii', 'Lodz, "Strasse" - Aero, Djordje, Omega EUR5 '],
    ['ABC', '| to_lowercase', 'abc'],
    [42, '| prefix(1)', '4'],
    [null, '| to_uppercase', null],
    [
      '31 December 1999 23:59:58.5 -0130',
      '| date_format("%d %B %Y %H:%M:%S.%f %z", "%FT%T %f %z %j %U %V %p")',
      '1999-12-31T23:59:58 500000 -0130 365 52 52 PM'
    ],
    [
      'fri 1-jan-16 12:05 am',
      '| date_format("%a %d-%b-%y %I:%M %p", "%e/%-m/%Y %k:%M %l %s")',
      ' 1/1/2016  0:05 12 1451606700'
    ]
  ] as const) {
    t.equal(run(chain, value), expected, `${String(value)} ${chain}`)
  }
})

t.test('a date that is none is an error', async (t) => {
  for (const text of [
    '1988-02-31',
    '2023-02-29',
    '1900-02-29',
    '1988-13-01',
    '1988-00-01',
    '1988-01-00',
    '1988-1',
    '1988-01-01 ',
    'x',
    '',
    '19880-01-01'
  ]) {
    t.equal(
      code(() => run('| date_format("%Y-%m-%d","%m")', text)),
      'ERR_EXPR_VALUE',
      text
    )
  }
  t.equal(run('| date_format("%Y-%m-%d","%d")', '2000-02-29'), '29')
  t.equal(run('| date_format("%Y-%j","%F")', '2024-366'), '2024-12-31')
  t.equal(
    code(() => run('| date_format("%Y-%j","%F")', '2023-366')),
    'ERR_EXPR_VALUE'
  )
  t.equal(
    code(() => run('| date_format("%A %F","%F")', 'Monday 1988-12-30')),
    'ERR_EXPR_VALUE',
    'the wrong weekday'
  )
  for (const formats of [
    '"%m","%d"',
    '"%Y-%m-%d","%Q"',
    '"%Q","%d"',
    '"%Y %U","%d"',
    '"%Y-%m-%d","%"',
    `"%F","${'x'.repeat(201)}"`
  ]) {
    t.equal(
      code(() => run(`| date_format(${formats})`, '')),
      'ERR_EXPR_ARGUMENT',
      formats
    )
  }
})

t.test('faulty chains', async (t) => {
  const codes: Record<string, string> = {
    '| nosuch': 'ERR_EXPR_FILTER',
    '| upcase': 'ERR_EXPR_FILTER',
    '| toString()': 'ERR_EXPR_FILTER',
    '|': 'ERR_EXPR_SYNTAX',
    '| prefix(2': 'ERR_EXPR_SYNTAX',
    '| prefix(2,)': 'ERR_EXPR_SYNTAX',
    '| prefix(2))': 'ERR_EXPR_SYNTAX',
    '| prefix(a)': 'ERR_EXPR_SYNTAX',
    '| prefix: 2': 'ERR_EXPR_SYNTAX',
    '| replace("a", "b)': 'ERR_EXPR_SYNTAX',
    '| raw | to_ascii': 'ERR_EXPR_SYNTAX',
    '| prefix': 'ERR_EXPR_ARGUMENT',
    '| prefix()': 'ERR_EXPR_ARGUMENT',
    '| prefix(0)': 'ERR_EXPR_ARGUMENT',
    '| prefix(-1)': 'ERR_EXPR_ARGUMENT',
    '| prefix("a")': 'ERR_EXPR_ARGUMENT',
    '| replace("", "b")': 'ERR_EXPR_ARGUMENT',
    '| hmac_sha256("")': 'ERR_EXPR_ARGUMENT',
    '| hmac_sha256("abc")': 'ERR_EXPR_ARGUMENT',
    '| encrypt("rsa", "00")': 'ERR_EXPR_ARGUMENT',
    '| encrypt("rsa_pkcs1v15", "00")': 'ERR_EXPR_ARGUMENT'
  }
  for (const [chain, expected] of Object.entries(codes)) {
    t.equal(
      code(() => parseExpression(`${USER}.id.x ${chain}`, 'footprint')),
      expected,
      chain
    )
  }
  t.equal(
    code(() => run('| to_uppercase', { a: 1 })),
    'ERR_EXPR_VALUE'
  )
})

t.test('what encrypt writes, the holder of the key reads', async (t) => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  for (const type of ['spki', 'pkcs1'] as const) {
    const der = rsa.publicKey.export({ format: 'der', type }).toString('hex')
    const out = Buffer.from(run(`| encrypt("rsa_pkcs1v15", "${der}")`, '4242 é') as string, 'hex')
    // Node 20 does not remove this padding: 00 02, at least eight bytes that are not zero, 00, text.
    const padded = privateDecrypt({ key: rsa.privateKey, padding: constants.RSA_NO_PADDING }, out)
    t.same([...padded.subarray(0, 2)], [0, 2])
    t.equal(padded.subarray(padded.indexOf(0, 2) + 1).toString(), '4242 é')
  }
  const long = rsa.publicKey.export({ format: 'der', type: 'spki' }).toString('hex')
  t.equal(
    code(() => run(`| encrypt("rsa_pkcs1v15", "${long}")`, 'x'.repeat(246))),
    'ERR_EXPR_VALUE',
    'too long for the key'
  )

  const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const { d = '' } = pair.privateKey.export({ format: 'jwk' })
  const ecdh = createECDH('prime256v1')
  ecdh.setPrivateKey(Buffer.from(d, 'base64url'))
  for (const der of [
    pair.publicKey.export({ format: 'der', type: 'spki' }).toString('hex'),
    ecdh.getPublicKey('hex')
  ]) {
    const encrypt = () =>
      Buffer.from(run(`| encrypt('ecies_p256_x963_sha256_aes_gcm', '${der}')`, 'secret ☂') as string, 'hex')
    const out = encrypt()
    t.not(out.toString('hex'), encrypt().toString('hex'), 'another ephemeral key each time')
    const point = out.subarray(0, 65)
    const derived = createHash('sha256')
      .update(ecdh.computeSecret(point))
      .update('00000001', 'hex')
      .update(point)
      .digest()
    const decipher = createDecipheriv('aes-128-gcm', derived.subarray(0, 16), derived.subarray(16))
    decipher.setAuthTag(out.subarray(-16))
    t.equal(Buffer.concat([decipher.update(out.subarray(65, -16)), decipher.final()]).toString(), 'secret ☂')
  }
  const other = generateKeyPairSync('ec', { namedCurve: 'secp384r1' })
  const curve = other.publicKey.export({ format: 'der', type: 'spki' }).toString('hex')
  const bad = [
    curve,
    long,
    `04${'11'.repeat(64)}`,
    createPrivateKey(pair.privateKey.export({ format: 'pem', type: 'pkcs8' }))
      .export({ format: 'der', type: 'pkcs8' })
      .toString('hex')
  ]
  for (const der of bad) {
    t.equal(
      code(() => parseExpression(`${USER}.id.x | encrypt("ecies_p256_x963_sha256_aes_gcm", "${der}")`, 'footprint')),
      'ERR_EXPR_ARGUMENT'
    )
  }
})

t.test('a request may narrow its subjects', async (t) => {
  const expression = parseExpression('a.b.c', 'liquid')
  t.equal(narrow(expression, new Set(['x'])), null)
  t.equal(narrow(expression, new Set(['a.b.c'])), expression)
  const narrowed = narrow(expression, new Set(['a', 'x']))
  t.same(narrowed?.subject.candidates, ['a'])
  t.same(narrowed?.paths, [['b', 'c']])
})
