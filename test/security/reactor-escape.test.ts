/*
 * Somebody may write code that runs beside everybody's cards. It tries to get out, to see what another tenant's code
 * left behind, and to keep the machine busy.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import t from 'tap'
import { newSandbox, reactorCode } from '../kit/reactor.ts'

const { sandbox, run, close } = newSandbox()
const hasty = newSandbox({ cpuMs: 250 })
t.teardown(async () => {
  await close()
  await hasty.close()
})

const over = (overrun: string) => ({ kind: 'over', overrun })
const raw = async (body: string) => ((await run(reactorCode(body))) as { value?: unknown }).value

t.test('there is no way to the world outside', async (t) => {
  const names = ['process', 'global', 'Worker', 'WebAssembly', 'XMLHttpRequest', 'Deno', 'std', 'os']
  t.strictSame(await raw(`return ${JSON.stringify(names)}.filter((name) => name in globalThis)`), [])
  for (const module of ['fs', 'node:fs', 'child_process', 'net', 'vm', 'worker_threads', '__proto__', 'constructor']) {
    t.match(await run(`const m = require('${module}')\n${reactorCode('return 1')}`), {
      kind: 'fault',
      errors: { error: [`Cannot find module '${module}'`] }
    })
  }
  t.match(await run(reactorCode('return await import("fs")')), { kind: 'fault' }, 'import()')
  t.match(await run('import fs from "fs"\nmodule.exports = () => fs'), { kind: 'syntax' }, 'import')
})

t.test('constructors lead to functions of the sandbox alone', async (t) => {
  const probe = 'typeof process + typeof require("buffer").process'
  const ways = [
    `fetch.constructor('return ${'typeof process'}')()`,
    `(async () => {}).constructor('return typeof process')()`,
    `req.constructor.constructor('return typeof process')()`,
    `require.constructor('return typeof process')()`,
    `console.log.constructor('return typeof process')()`,
    `(0, eval)('typeof process')`,
    `Object.getPrototypeOf(Object.getPrototypeOf(fetch)).constructor.constructor('return typeof process')()`,
    `new Proxy({}, {}).constructor.constructor('return typeof process')()`,
    `(() => { try { null.x } catch (e) { return e.constructor.constructor('return typeof process')() } })()`
  ]
  t.equal(await raw(`return ${probe}`), 'undefinedundefined')
  for (const way of ways) t.equal(await raw(`return await ${way}`), 'undefined', way)
})

t.test('an error of a host call is one of the sandbox', async (t) => {
  const body = `try { await fetch('https://x.example/') } catch (e) {
    return [e.constructor.constructor('return typeof process')(), e instanceof Error, Object.keys(e)] }`
  t.strictSame(await raw(body), ['undefined', true, ['name', 'status', 'code']])
})

t.test('prototypes that code changes are its own', async (t) => {
  const body = `
    Object.prototype.toJSON = () => 'mine'
    Array.prototype.push = () => { throw new Error('mine') }
    JSON.stringify = () => '{"kind":"value","value":"mine"}'
    Promise.prototype.then = function () { return this }
    return 'x'`
  await run(reactorCode(body))
  t.equal(await raw('return "x"'), 'x', 'the next run knows nothing of it')
  t.strictSame(({} as { toJSON?: unknown }).toJSON, undefined)
  await run(reactorCode('globalThis.left = "secret"; require("crypto").left = "secret"; return 1'))
  t.strictSame(await raw('return [typeof left, typeof require("crypto").left]'), ['undefined', 'undefined'])
})

t.test('code that closes the function around it does not parse', async (t) => {
  for (const code of [
    `})\nglobalThis.escaped = 1\n(function () {`,
    `/*`,
    'module.exports = `',
    'return 1',
    `module.exports = () => 1 }, function () {`
  ]) {
    t.match(await run(code), { kind: 'syntax' }, code)
  }
  const commented = await run(`${reactorCode('return 1')}\n//`)
  t.match(commented, { kind: 'value', value: 1 }, 'a comment at the end does not reach beyond it')
})

t.test('what is random is so in every run, though they begin alike', async (t) => {
  const body = 'return [Math.random(), Math.random(), require("crypto").randomUUID()]'
  const drawn = [await raw(body), await raw(body), await raw(body)].flat() as (number | string)[]
  t.equal(new Set(drawn).size, 9)
  for (const one of drawn) if (typeof one === 'number') t.ok(one >= 0 && one < 1)
})

t.test('a run that has taken much memory leaves none of it to the next', async (t) => {
  const large = 'globalThis.kept = []; for (let i = 0; i < 400; i++) kept.push("s".repeat(1e5) + i); return kept.length'
  t.equal(await raw(large), 400)
  t.equal(await raw('return typeof kept'), 'undefined')
  t.equal(await raw(large), 400)
})

t.test('a result that pretends to be something else is only a text', async (t) => {
  const results = ['{ toJSON: () => ({ kind: "syntax" }) }', '{ ["__proto__"]: { polluted: 1 } }', 'new Proxy([], {})']
  for (const result of results) await run(reactorCode(`return ${result}`))
  t.strictSame(({} as { polluted?: unknown }).polluted, undefined)
})

t.test('loops that never end are ended', async (t) => {
  const loops = {
    'a loop': 'for (;;);',
    'a loop that catches': 'for (;;) { try { for (;;); } catch {} }',
    'a loop that finally loops': 'try { for (;;); } finally { for (;;); }',
    'promises without end': 'const again = () => Promise.resolve().then(again); await again()',
    'an async generator': 'for await (const x of (async function* () { for (;;) yield 1 })());',
    'a slow expression': '/(a+)+$/.test("a".repeat(40) + "b")',
    'a getter that loops': 'return { get x() { for (;;); } }',
    'a toJSON that loops': 'return { toJSON() { for (;;); } }',
    'a then that loops': 'return { then() { for (;;); } }',
    'a step of the interpreter': 'Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)',
    'a sort': 'return Array.from({ length: 1e6 }, () => 1).sort(() => { for (;;); })'
  }
  for (const [name, body] of Object.entries(loops)) t.same(await hasty.run(reactorCode(body)), over('time'), name)
  t.same(await hasty.run('for (;;);'), over('time'), 'before the function is called')
  t.equal(await raw('return "still there"'), 'still there')
})

t.test('a promise that nobody can settle is not waited for', async (t) => {
  t.same(await run(reactorCode('await new Promise(() => {})')), { kind: 'stuck' })
})

t.test('a run that waits for too long is ended', async (t) => {
  const small = newSandbox({ wallMs: 200 })
  t.teardown(() => small.close())
  t.same(await small.run(reactorCode('await new Promise((r) => setTimeout(r, 1e9))')), over('time'))
  t.same(await small.run(reactorCode('await fetch("x")'), { host: () => new Promise(() => {}) }), over('time'))
})

t.test('memory is bounded', async (t) => {
  const bombed = newSandbox({ cpuMs: 1000 })
  t.teardown(() => bombed.close())
  const bombs = [
    'const a = []; for (;;) a.push(new Array(1e4).fill(a.length))',
    'let s = "x"; for (;;) s += s',
    'return "x".repeat(2 ** 29)',
    'return new Uint8Array(2 ** 30)',
    'const f = () => f() + 1; return f()',
    'let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a',
    'const m = new Map(); for (let i = 0; ; i++) m.set(i, {})',
    'return JSON.parse("[".repeat(1e5))'
  ]
  for (const body of bombs) {
    const result = (await bombed.run(reactorCode(body))) as { kind: string }
    t.ok(['over', 'fault'].includes(result.kind), body, { result })
  }
  t.equal(await raw('return "still there"'), 'still there')
})

t.test('texts and calls are bounded', async (t) => {
  t.same(await run(reactorCode('return "x".repeat(2 ** 21)')), over('output'))
  t.same(await run(reactorCode('await fetch("https://x.example/" + "x".repeat(2 ** 21))')), over('output'))
  t.same(await run(reactorCode('for (;;) setTimeout(() => {}, 1)')), over('calls'))
  t.match(await run(reactorCode('require("crypto").randomBytes(1e9)')), { kind: 'fault' })
  const host = async () => `"${'x'.repeat(2 ** 21)}"`
  t.match(await run(reactorCode('await fetch("https://x.example/")'), { host }), {
    kind: 'fault',
    errors: { error: ['The reply is too long'] }
  })
})

t.test('a run leaves no timer behind', async (t) => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  await run(reactorCode('for (let i = 0; i < 150; i++) setTimeout(() => {}, 29_000); return 1'))
  const before = timers()
  for (let at = 0; at < 5; at++) {
    t.equal(await raw('for (let i = 0; i < 150; i++) setTimeout(() => {}, 29_000); return 1'), 1)
  }
  t.ok(timers() <= before + 5)
  t.same(await run(reactorCode('for (let i = 0; i < 9; i++) fetch("x".repeat(1e6)); return 1')), over('calls'))
})

t.test('names that mean something to JavaScript are only names', async (t) => {
  const errors = `const errors = require('@basis-theory/basis-theory-reactor-formulas-sdk-js')\n`
  const thrown = await run(
    `${errors}${reactorCode('throw new errors.BadRequestError(JSON.parse(`{"__proto__":"a","constructor":"b"}`))')}`
  )
  t.strictSame(JSON.stringify((thrown as { errors: object }).errors), '{"__proto__":["a"],"constructor":["b"]}')
  t.strictSame(await raw('return [Object.keys(req.args), Object.getPrototypeOf(req.args) === Object.prototype]'), [
    [],
    true
  ])
  const args = JSON.parse('{"__proto__":{"polluted":1},"toString":"x"}') as unknown
  const seen = await run(reactorCode('return [Object.keys(req.args), typeof polluted, ({}).polluted === undefined]'), {
    args
  })
  t.strictSame(seen, { kind: 'value', value: [['__proto__', 'toString'], 'undefined', true] })
})

t.test('a thread never serves two tenants', async (t) => {
  const seen = new Set<string>()
  for (const tenant of ['one', 'two', 'one', 'three']) {
    const body = 'return 1'
    seen.add(JSON.stringify(await run(reactorCode(body), { tenant })))
  }
  t.equal(seen.size, 1)
  t.ok(sandbox.tenants.includes('one') && sandbox.tenants.includes('two'))
  t.equal(new Set(sandbox.tenants).size, sandbox.tenants.length, 'each has its own')
})

t.test('so many threads there are at most, whoever they worked for', async (t) => {
  const few = newSandbox({ threads: 2, threadsPerTenant: 2 })
  t.teardown(() => few.close())
  for (const tenant of ['one', 'two', 'three', 'four']) {
    await few.run(reactorCode('return 1'), { tenant })
    const { busy, idle } = few.sandbox.reading
    t.ok(busy + idle <= 2, tenant)
  }
  t.strictSame(few.sandbox.tenants, ['three', 'four'], 'the one that has rested longest gives way')
})

t.test('a tenant whose code loops leaves threads to others', async (t) => {
  const few = newSandbox({ threads: 2, threadsPerTenant: 1, cpuMs: 3000 })
  t.teardown(() => few.close())
  const done: string[] = []
  const looping = [1, 2].map(async () => {
    await few.run(reactorCode('for (;;);'), { tenant: 'looping' })
    done.push('looping')
  })
  await few.run(reactorCode('return 1'), { tenant: 'other' })
  done.push('other')
  await Promise.all(looping)
  t.strictSame(done, ['other', 'looping', 'looping'])
})

t.test('a loop in a sandbox does not hold up the main thread', async (t) => {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const looping = hasty.run(reactorCode('for (;;);'))
  await new Promise((resolve) => setTimeout(resolve, 50))
  delay.enable()
  await looping
  delay.disable()
  t.ok(delay.percentile(50) < 20e6, `median ${delay.percentile(50) / 1e6} ms`)
})
