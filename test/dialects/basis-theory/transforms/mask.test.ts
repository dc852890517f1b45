import { RE2JS } from 're2js'
import t from 'tap'
import { compileMask, maskBody } from '../../../../lib/dialects/basis-theory/transforms/mask.ts'
import { maskSections } from '../../../../lib/dialects/basis-theory/transforms/mask-sections.ts'
import { MaskThread } from '../../../../lib/dialects/basis-theory/transforms/mask-thread.ts'
import { maskStratus } from '../../../../lib/dialects/basis-theory/transforms/stratus.ts'
import type { SluiceError } from '../../../../lib/errors.ts'

const thread = new MaskThread()
t.teardown(() => thread.close())

const masked = (expression: string, text: string, replacement = '*'): string | null =>
  maskSections(RE2JS.compile(expression), text, replacement, Number.POSITIVE_INFINITY)

const body = async (
  expression: string | null,
  bytes: Buffer | string,
  type = 'application/json',
  over = thread,
  tenant = 'acme'
): Promise<Buffer> =>
  maskBody(
    compileMask(expression, '*'),
    { side: 'response', fields: ['Content-Type', type], body: Buffer.from(bytes) },
    tenant,
    over
  )

async function codeOf(doing: Promise<unknown>): Promise<string> {
  return doing.then(
    () => 'nothing',
    (error: unknown) => (error as SluiceError).code
  )
}

t.test('within a section, every occurrence of what was captured is replaced, and nothing else', async (t) => {
  const vectors: [expression: string, text: string, made: string][] = [
    // The examples of `spec/basis-theory.md` B.4.
    ['"accountNumber":\\s*"(.*?)"', '{"accountNumber": "56834512","n":1}', '{"accountNumber": "********","n":1}'],
    ['^(aa).*?$', 'aabbccaabbccaa', '**bbcc**bbcc**'],
    ['(\\d)', 'a1b22', 'a*b**'],
    ['a(b)(c)?', 'ab abc b', 'a* a** b'],
    ['a(b)|c(d)', 'ab cd bd', 'a* c* bd'],
    ['(aa)a', 'aaa aaa', '**a **a'],
    ['(a+)', 'caaat', 'c***t'],
    ['(ab)(bc)?.*', 'abc bc ab', '**c bc **'],
    ['(ab).(bc).*', 'ab bc abc', '** ** ***'],
    ['(x*)y', 'y xy', 'y *y'],
    ['()', 'abc', 'abc'],
    ['(ü😀)', 'aü😀b', 'a***b'],
    ['(?i)(pan)', 'PAN pan', '*** ***'],
    ['(?s)<(.*)>', '<a\nb>', '<***>'],
    ['(q)', 'abc', 'abc']
  ]
  for (const [expression, text, made] of vectors) t.equal(masked(expression, text), made, expression)
})

t.test('the thread and the event loop make the same', async (t) => {
  const text = `{"accountNumber": "56834512"}${' '.repeat(10_000)}{"accountNumber":"1"}`
  const made = text.replace('56834512', '********').replace('"1"', '"*"')
  t.equal((await body('"accountNumber":\\s*"(.*?)"', text)).toString(), made)
  t.equal((await body('"accountNumber":\\s*"(.*?)"', text.slice(0, 100))).toString(), made.slice(0, 100))
  const many = await Promise.all(Array.from({ length: 20 }, (_, at) => body('(\\d+)', `${at}${' '.repeat(5000)}`)))
  t.strictSame(
    many.map((one) => one.toString().trim()),
    Array.from({ length: 20 }, (_, at) => (at < 10 ? '*' : '**'))
  )
})

t.test('bytes that are no UTF-8 stay as they are, and digits among them are seen', async (t) => {
  const bytes = Buffer.concat([Buffer.from([0xe9, 0x80]), Buffer.from('4242'), Buffer.from([0xff])])
  const made = Buffer.concat([Buffer.from([0xe9, 0x80]), Buffer.from('****'), Buffer.from([0xff])])
  t.strictSame(await body('(\\d+)', bytes, 'text/plain; charset=iso-8859-1'), made)
  t.strictSame(await body('(\\d+)', Buffer.alloc(0)), Buffer.alloc(0))
  t.equal((await body('(é+)', 'é4é')).toString(), '*4*')
})

t.test('what a mask cannot see through is refused', async (t) => {
  const wide = Buffer.from('4242', 'utf16le')
  t.equal(await codeOf(body('(\\d+)', wide)), 'ERR_TRANSFORM', 'UTF-16, whatever it is called')
  t.equal(await codeOf(body('(\\d+)', '4242', 'text/plain; charset="UTF-16"')), 'ERR_TRANSFORM')
  t.equal(await codeOf(body('(\\d+)', '4242', 'text/plain;charset=utf-32be')), 'ERR_TRANSFORM')
  t.equal(await codeOf(body(null, wide)), 'ERR_TRANSFORM', 'for the other matcher too')
  for (const magic of [
    [0x1f, 0x8b, 8],
    [0x78, 0x9c, 1],
    [0x28, 0xb5, 0x2f, 0xfd]
  ]) {
    t.equal(await codeOf(body('(\\d+)', Buffer.from(magic))), 'ERR_TRANSFORM', 'compressed, and not said so')
  }
})

t.test('an expression made to take long is given up, in time, and others go on', async (t) => {
  const short = new MaskThread(100)
  t.teardown(() => short.close())
  const bombs: [expression: string, text: string][] = [
    ['(a).*b|(a)', 'a'.repeat(100_000)],
    ['(x)(?:.*y)?', 'x'.repeat(60_000)],
    ['((?:a?){30}a{30}).*b|(a)', 'a'.repeat(60_000)]
  ]
  for (const [expression, text] of bombs) {
    const started = performance.now()
    const [code, quick] = await Promise.all([
      codeOf(body(expression, text, 'text/plain', short)),
      body('(\\d+)', `4242${' '.repeat(5000)}`, 'text/plain', short)
    ])
    t.equal(code, 'ERR_TRANSFORM', expression)
    t.equal(quick.toString().trim(), '****')
    t.ok(performance.now() - started < 10_000, 'in bounded time')
  }
})

t.test('too many that wait are refused, and a thread that is closed refuses all', async (t) => {
  const busy = new MaskThread()
  const text = `1${' '.repeat(5000)}`
  const all = Array.from({ length: 70 }, () => codeOf(body('(\\d)', text, 'text/plain', busy)))
  const codes = await Promise.all(all)
  t.equal(codes.filter((code) => code === 'nothing').length, 65, 'one that runs, 64 that wait')
  t.equal(codes.filter((code) => code === 'ERR_OVERLOAD').length, 5)
  const last = codeOf(body('(\\d)', text, 'text/plain', busy))
  await busy.close()
  t.equal(await last, 'ERR_OVERLOAD')
  t.equal(await codeOf(body('(\\d)', text, 'text/plain', busy)), 'ERR_OVERLOAD')
})

t.test('tenants take turns: one that waits for much holds no other up', async (t) => {
  const fair = new MaskThread()
  t.teardown(() => fair.close())
  const order: string[] = []
  const text = `1${' '.repeat(5000)}`
  const one = (tenant: string) => body('(\\d)', text, 'text/plain', fair, tenant).then(() => order.push(tenant))
  await Promise.all([...Array.from({ length: 10 }, () => one('busy')), one('other')])
  t.strictSame(order.slice(0, 2), ['busy', 'other'])
})

t.test('chase_stratus_pan: the account number of a detail record, and whatever passes for a card number', async (t) => {
  const record = (pan: string): string => `T74V${'1'.repeat(22)}100300101tst123AVM${pan.padEnd(19)}1230VI`
  const vectors: [text: string, made: string][] = [
    [record('4242424242424242'), record('x'.repeat(16))],
    [record('378282246310005'), record('x'.repeat(15))],
    [
      `${record('4242424242424242')}\n${record('5555555555554444')}`,
      `${record('x'.repeat(16))}\n${record('x'.repeat(16))}`
    ],
    [record('4242424242424241'), record('x'.repeat(16))],
    ['pan=4242424242424242;', `pan=${'x'.repeat(16)};`],
    ['VI4242424242424242   1230', `VI${'x'.repeat(16)}   1230`],
    ['4242424242424241', '4242424242424241'],
    ['000000001000', '000000001000'],
    [`9${'4242424242424242'}`, `9${'4242424242424242'}`],
    ['', '']
  ]
  for (const [text, made] of vectors) t.equal(maskStratus(text, 'x'), made, text.slice(0, 30))
  const nineteen = record('6304000000000000000'.slice(0, 19))
  t.equal(maskStratus(nineteen, 'x'), nineteen.slice(0, 44) + 'x'.repeat(19) + nineteen.slice(63), 'before the expiry')
})
