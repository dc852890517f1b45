import { createHmac } from 'node:crypto'
import t from 'tap'
import { newSandbox, reactorCode } from '../kit/reactor.ts'

const { sandbox, run, close } = newSandbox()
t.teardown(close)

const value = (raw: unknown) => ({ kind: 'value', value: raw })

t.test('a function in the shape of the vendor', async (t) => {
  const body = 'return { raw: req.args, tokenize: { key: req.configuration.KEY, bt: req.bt } }'
  t.strictSame(
    await run(reactorCode(body), { args: { a: 1 }, configuration: { KEY: 'k' } }),
    value({ raw: { a: 1 }, tokenize: { key: 'k', bt: null } })
  )
  t.strictSame(await run('module.exports = (req) => 7'), value(7), 'need not be asynchronous')
  t.strictSame(await run('exports.default = () => "d"'), value('d'), 'may be the default export')
  t.strictSame(await run(reactorCode('')), value(null), 'may return nothing')
  t.strictSame(await run(reactorCode('return req.bt === null')), value(true))
  t.strictSame(await run('module.exports = 3'), { kind: 'no-function' })
})

t.test('modules that there are', async (t) => {
  const digest = createHmac('sha256', 'secretKeyValue').update('4242424242424242').digest('hex')
  const code = `
    const crypto = require('crypto')
    const { Buffer } = require('node:buffer')
    const querystring = require('querystring')
    module.exports = async () => [
      crypto.createHmac('sha256', 'secretKeyValue').update('4242').update(Buffer.from('424242424242')).digest('hex'),
      crypto.createHash('sha-256').update('').digest('base64'),
      crypto.randomBytes(16).length,
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID()),
      crypto.timingSafeEqual(Buffer.from('a'), Buffer.from('a')),
      Buffer.from('Łódź €😀').toString('base64'),
      Buffer.from('xYHDs2TFuiDigqzwn5iA', 'base64').toString(),
      Buffer.concat([Buffer.from('00ff', 'hex'), Buffer.alloc(1, 7)]).toString('hex'),
      querystring.stringify({ a: 'x y', b: ['1', '2'] }),
      querystring.parse('a=x+y&b=1&b=2&c'),
      Buffer.from([0xe2, 0x82, 0x41]).toString()
    ]`
  t.strictSame(
    await run(code),
    value([
      digest,
      '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=',
      16,
      true,
      true,
      'xYHDs2TFuiDigqzwn5iA',
      'Łódź €😀',
      '00ff07',
      'a=x%20y&b=1&b=2',
      { a: 'x y', b: ['1', '2'], c: '' },
      '�A'
    ])
  )
})

t.test('what code throws', async (t) => {
  const names = `const { BadRequestError, CustomHttpResponseError, RateLimitError } =
    require('@basis-theory/basis-theory-reactor-formulas-sdk-js')\n`
  const thrown = (what: string) => run(names + reactorCode(`throw ${what}`))
  const fault = (name: string, errors: object) => ({ kind: 'fault', name, errors })
  t.strictSame(await thrown('new BadRequestError("no")'), fault('BadRequestError', { error: ['no'] }))
  t.strictSame(await thrown('new BadRequestError(["a", "b"])'), fault('BadRequestError', { error: ['a', 'b'] }))
  t.strictSame(
    await thrown('new RateLimitError({ a: ["x"], b: "y" })'),
    fault('RateLimitError', { a: ['x'], b: ['y'] })
  )
  t.strictSame(await thrown('new BadRequestError(new Error("e"))'), fault('BadRequestError', { error: ['e'] }))
  t.strictSame(await thrown('new Error("own")'), fault('ReactorRuntimeError', { error: ['own'] }))
  t.strictSame(await thrown('"text"'), fault('ReactorRuntimeError', { error: ['text'] }))
  t.strictSame(await thrown('new CustomHttpResponseError({ status: 418, headers: { a: "b" }, body: { c: 1 } })'), {
    kind: 'response',
    status: 418,
    headers: { a: 'b' },
    body: { c: 1 }
  })
  t.match(await run('throw new Error("at the top")'), { kind: 'fault', errors: { error: ['at the top'] } })
  t.match(await run(reactorCode('const a = {}; a.a = a; return a')), { kind: 'fault', name: 'ReactorRuntimeError' })
  t.match(await run(reactorCode('return 1n')), { kind: 'fault', name: 'ReactorRuntimeError' })
})

t.test('code that is only read says where it does not parse', async (t) => {
  const host = async () => 'null'
  const code = 'module.exports = async (req) => {\n  return ((;\n}'
  t.match(await sandbox.run({ tenant: 'acme', code, input: 'null', host }), { kind: 'syntax', line: 2, column: 12 })
  const fine = reactorCode('for (;;);')
  t.match(await sandbox.run({ tenant: 'acme', code: fine, input: 'null', host }), { kind: 'done' })
})

t.test('calls of the host cross as texts', async (t) => {
  const asked: string[] = []
  const host = async (name: string, text: string) => {
    asked.push(`${name} ${text}`)
    if (name === 'fetch')
      return JSON.stringify({ status: 201, statusText: 'Made', headers: [['a', 'b']], body: '{"x":1}' })
    return '{"id":"t1"}'
  }
  const body = `
    const answer = await fetch('https://psp.example/x', { method: 'POST', headers: { A: 1 }, body: 'b' })
    const [one, other] = await Promise.all([req.bt.tokens.retrieve('t1'), req.bt.tokenize({ a: 1 })])
    return [answer.status, answer.ok, answer.headers.get('A'), await answer.json(), one.id, other]`
  t.strictSame(
    await run(reactorCode(body), { host, hasBt: true }),
    value([201, true, 'b', { x: 1 }, 't1', { id: 't1' }])
  )
  t.strictSame(asked, [
    'fetch {"url":"https://psp.example/x","method":"POST","headers":[["A","1"]],"body":"b"}',
    'bt ["tokens.retrieve","t1"]',
    'bt ["tokenize",{"a":1}]'
  ])
  const refused = reactorCode(
    `try { await fetch('https://x.example/') } catch (e) { return [e.message, e.status, e.code] }`
  )
  t.strictSame(await run(refused), value(['An internal error occurred', 500, 'ERR_INTERNAL']))
})

t.test('time passes', async (t) => {
  const body = `
    let n = 0
    const stopped = setTimeout(() => { n += 10 }, 5)
    clearTimeout(stopped)
    await new Promise((resolve) => setTimeout(() => { n++; resolve() }, 10))
    return n`
  t.strictSame(await run(reactorCode(body)), value(1))
})

t.test('runs wait for a thread, up to a limit', async (t) => {
  const small = newSandbox({ threads: 1, waiting: 1 })
  t.teardown(() => small.close())
  const code = reactorCode('return 1')
  const [first, second, third] = await Promise.allSettled([small.run(code), small.run(code), small.run(code)])
  t.same([first?.status, second?.status], ['fulfilled', 'fulfilled'])
  t.match(third, { status: 'rejected', reason: { code: 'ERR_OVERLOAD' } })
})
