import fc from 'fast-check'
import t from 'tap'
import { BufferBudget } from '../../lib/proxy/buffer-budget.ts'
import { Capture } from '../../lib/proxy/capture.ts'
import { HeldResponse } from '../../lib/proxy/held-response.ts'
import { applyRules, type ResponseRules } from '../../lib/proxy/response-rules.ts'
import { type Plaintext, Scrubber } from '../../lib/proxy/scrub.ts'
import { Secret } from '../../lib/secret.ts'

const NUMBER = '4242424242424242'
const secret = (value: string, id = 'ID'): Plaintext => ({ id, data: new Secret(JSON.stringify(value)), text: '' })
const scrubbed = (value: string, text: string): string =>
  new Scrubber([secret(value)]).body(Buffer.from(text)).toString()

t.test('a number as destinations print it', async (t) => {
  const cases: Readonly<Record<string, string>> = {
    'as it is': NUMBER,
    'in groups': '4242 4242 4242 4242',
    'with hyphens': '4242-4242-4242-4242',
    'in groups of a form': '4242+4242+4242+4242',
    'in groups of a URL': '4242%204242%204242%204242',
    'every digit an escape of JSON': NUMBER.split('')
      .map((digit) => `\\u003${digit}`)
      .join(''),
    'capitals and small letters in escapes': NUMBER.replaceAll('2', '\\u0032')
      .replace('4', '\\U0034')
      .replace('\\U', '\\u'),
    'every digit percent-encoded': NUMBER.split('')
      .map((digit) => `%3${digit}`)
      .join(''),
    'entities in decimal': NUMBER.split('')
      .map((digit) => `&#${48 + Number(digit)};`)
      .join(''),
    'entities in hexadecimal': NUMBER.split('')
      .map((digit) => `&#x3${digit};`)
      .join(''),
    'all of that at once': `4\\u0032%34&#50;&#x34;2${NUMBER.slice(6)}`,
    hexadecimal: Buffer.from(NUMBER).toString('hex')
  }
  for (const [name, text] of Object.entries(cases)) {
    t.equal(scrubbed(NUMBER, `{"echo":"<${text}>"}`), '{"echo":"<ID>"}', name)
  }
  t.equal(scrubbed('4242 4242 4242 4242', `<${NUMBER}>`), '<ID>', 'a number that was kept in groups')
  t.equal(scrubbed(NUMBER, `100%${NUMBER} \\${NUMBER}`), '100%ID \\ID', 'behind what begins an escape')
  t.equal(scrubbed('nancy', 'CORP\\nancy'), 'CORP\\ID')
  const other = '{"at":"2026-11-28 17:58:23","n":[42, 4242, 424242424242424]}'
  t.equal(scrubbed(NUMBER, other), other, 'less than all of it is something else')
})

t.test('base64, with anything before and behind it', async (t) => {
  for (let before = 0; before < 6; before++) {
    for (let behind = 0; behind < 6; behind++) {
      const plain = `${'{"n":"'.slice(0, before)}${NUMBER}${'"},,x'.slice(0, behind)}`
      for (const coding of ['base64', 'base64url'] as const) {
        const text = Buffer.from(plain).toString(coding)
        const left = scrubbed(NUMBER, `"${text}"`)
        t.match(left, 'ID')
        // What is left holds at most what stood around the value.
        const pieces = left.slice(1, -1).split('ID')
        t.ok(pieces.join('').replaceAll('=', '').length <= Math.ceil(((before + behind) * 4) / 3), `${text}: ${left}`)
      }
    }
  }
  const folded = Buffer.from(`{"card":"${NUMBER}","more":"${'x'.repeat(90)}"}`).toString('base64')
  for (let width = 4; width < 60; width++) {
    for (const newline of ['\n', '\r\n', '\\n', '\\r\\n']) {
      const text = folded.replace(new RegExp(`.{${width}}`, 'g'), `$&${newline}`)
      t.match(scrubbed(NUMBER, text), 'ID', `lines of ${width}`)
    }
  }
  const slashes = 'subjects???>>>~~~'
  for (const lead of ['', 'a', 'ab']) {
    const text = Buffer.from(lead + slashes).toString('base64')
    t.match(scrubbed(slashes, JSON.stringify(text).replaceAll('/', '\\/')), 'ID', 'PHP escapes its solidus')
    t.match(scrubbed(slashes, encodeURIComponent(text)), 'ID')
  }
})

t.test('short values in base64 by themselves alone', async (t) => {
  t.equal(scrubbed('123', '{"cvc":"MTIz"}'), '{"cvc":"ID"}')
  t.equal(scrubbed('1234', '{"cvc":"MTIzNA=="}'), '{"cvc":"ID=="}')
  const other = '{"picture":"aMTIzb"}'
  t.equal(scrubbed('123', other), other)
})

t.test('any value in any mixture of spellings is gone, and nothing else is', async () => {
  const value = fc
    .string({ unit: 'grapheme', minLength: 6, maxLength: 24 })
    .filter((text) => !/\p{Surrogate}/u.test(text))
  const spell = [
    (unit: string) => unit,
    (unit: string) => JSON.stringify(unit).slice(1, -1),
    (unit: string) =>
      unit
        .split('')
        .map((one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
        .join(''),
    (unit: string) =>
      [...Buffer.from(unit)].map((byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`).join(''),
    (unit: string) => Array.from(unit, (one) => `&#${one.codePointAt(0) ?? 0};`).join(''),
    (unit: string) => Array.from(unit, (one) => `&#x${(one.codePointAt(0) ?? 0).toString(16)};`).join('')
  ]
  fc.assert(
    fc.property(value, fc.infiniteStream(fc.nat(5)), (text, choices) => {
      // A reading that undoes what stands in the value itself is another value.
      fc.pre(!/[\\%&]/.test(text))
      let spelled = ''
      for (const character of text) spelled += spell[choices.next().value as number]?.(character) ?? ''
      return scrubbed(text, `<${spelled}>`) === '<ID>'
    }),
    { numRuns: 2000 }
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.string({ minLength: 8, maxLength: 12 }), (noise, text) => {
      const bytes = Buffer.from(noise)
      fc.pre(!bytes.toString('latin1').includes(text.slice(0, 3)))
      const scrubber = new Scrubber([secret(text)])
      return scrubber.body(bytes).equals(bytes) && scrubber.count === 0
    }),
    { numRuns: 1000 }
  )
})

t.test('a response that is no success is clean however its body came', async (t) => {
  const base64 = Buffer.from(`n=${NUMBER}`).toString('base64')
  const escaped = NUMBER.split('').map((digit) => `\\u003${digit}`)
  const body = Buffer.from(`{"a":"${NUMBER}","b":"${escaped.join('')}","c":"${base64}","d":"4242 4242 4242 4242"}`)
  const rules: ResponseRules = { capture: new Capture('json', []), users: [], writesFor: () => [] }
  const cleaned = (chunks: readonly Buffer[]): Promise<string> =>
    new Promise((resolve, reject) => {
      const held = new HeldResponse({
        status: 402,
        reason: 'No',
        fields: ['Content-Type', 'application/json'],
        limits: { tokensPerRequest: 1, expressionBytes: 64, wholeBodyBytes: 1000, decodedBytes: 1000 },
        buffers: new BufferBudget(1000),
        work: (message) => applyRules(rules, message, [secret(NUMBER)], () => Promise.reject(new Error('no success'))),
        resume: () => {},
        ready: (response) => resolve(`${response.scrubbed} ${response.body.toString()}`),
        failed: reject
      })
      for (const chunk of chunks) held.write(chunk)
      held.end()
    })
  const expected = `4 {"a":"ID","b":"ID","c":"${base64.slice(0, 2)}ID","d":"ID"}`
  for (let at = 0; at <= body.length; at++) {
    t.equal(await cleaned([body.subarray(0, at), body.subarray(at)]), expected, `split at ${at}`)
  }
  t.equal(await cleaned(Array.from(body, (byte) => Buffer.from([byte]))), expected, 'byte by byte')
})

t.test('places that overlap are one, and each token is named', async (t) => {
  const scrubber = new Scrubber([secret('aaaa-bbbb', 'ONE'), secret('bbbb-cccc', 'TWO'), secret('dddd', 'THREE')])
  t.equal(scrubber.body(Buffer.from('aaaa-bbbb-cccc dddd bbbb-cccc')).toString(), 'ONE THREE TWO')
  t.equal(scrubber.count, 3)
  t.equal(scrubber.text('x-dddd\u00ff'), 'x-THREE\u00ff', 'a header is bytes')
})

t.test('a body that holds nothing comes back as it is, however many are looked for', async (t) => {
  const many = Array.from({ length: 100 }, (_, at) => secret(String(4_000_000_000_000_000 + at), `T${at}`))
  const body = Buffer.from('{"message":"declined \\u00e9 100%","code":42},'.repeat(23_000))
  t.equal(new Scrubber(many).body(body), body)
})
