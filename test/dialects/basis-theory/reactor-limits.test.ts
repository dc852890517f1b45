import t from 'tap'
import { newDestination } from '../../kit/destination.ts'
import { newProxy } from '../../kit/proxy.ts'
import { reactorCode } from '../../kit/reactor.ts'
import { call, invoke, newStoredProxy, proxyError } from '../../kit/stored-proxy.ts'

/* Code that crosses a limit, by the API and by a stored proxy; and what a run leaves behind: nothing. */

const proxy = await newProxy({}, { sandbox: { cpuMs: 3000, wallMs: 6000 } })
/** Takes a request and never answers it. */
const silent = await newDestination({
  script: async (connection) => {
    await connection.request()
    await connection.closed
  }
})
t.teardown(() => Promise.all([proxy.close(), silent.close()]))

async function newReactor(body: string): Promise<string> {
  const made = await call(proxy, 'POST', '/reactors', { name: 'R', code: reactorCode(body) })
  t.equal(made.status, 201, made.text)
  return String(made.body['id'])
}

const react = async (body: string, args: unknown = {}) =>
  call(proxy, 'POST', `/reactors/${await newReactor(body)}/react`, { args })

t.test('a reactor that crosses a limit', async (t) => {
  t.match(await react('for (;;);'), { status: 408, body: { code: 'ERR_CODE_TIMEOUT' } }, 'its own time')
  const waiting = 'await new Promise((resolve) => setTimeout(resolve, 60_000))'
  t.match(await react(waiting), { status: 408, body: { code: 'ERR_CODE_TIMEOUT' } }, 'the time that it waits')
  t.match(await react('return { raw: "x".repeat(2 ** 29) }'), { status: 500 }, 'memory')
  t.match(
    await react('return { raw: "x".repeat(2 ** 22) }'),
    { status: 500, body: { errors: { error: ['A result or call of the code is too long'] } } },
    'the length of its result'
  )
  t.match(await react('await new Promise(() => {})'), { status: 500, body: { code: 'ERR_CODE_RUNTIME' } })
  t.match(await react('return { raw: 1 }', 'x'.repeat(1024 * 1024)), { status: 413, body: { code: 'ERR_BODY_SIZE' } })
  t.match(await react('return { raw: req.args.length }', 'x'.repeat(1000 * 1024)), { body: { raw: 1000 * 1024 } })
  t.match(await react('return { raw: "still there" }'), { status: 200, body: { raw: 'still there' } })
})

t.test('code of a stored proxy that crosses a limit: the destination never hears of it', async (t) => {
  const errors = `require('@basis-theory/basis-theory-reactor-formulas-sdk-js')`
  for (const [body, status, code] of [
    ['for (;;);', 408, 'ERR_CODE_TIMEOUT'],
    ['await new Promise(() => {})', 500, 'ERR_CODE_RUNTIME'],
    [`throw new (${errors}.InvalidPaymentMethodError)('declined')`, 402, 'ERR_CODE_ERROR'],
    [`throw new (${errors}.RateLimitError)('slowly')`, 429, 'ERR_CODE_ERROR']
  ] as const) {
    const { key } = await newStoredProxy(proxy, silent.url, { request_transform: { code: reactorCode(body) } })
    const answer = await invoke(proxy, key)
    t.equal(answer.status, status, body)
    t.match(proxyError(answer), { code, status, forwarded: 'no' }, body)
  }
  const { key } = await newStoredProxy(proxy, silent.url, {
    request_transform: {
      code: reactorCode(`throw new (${errors}.CustomHttpResponseError)({ status: 418, body: 'own' })`)
    }
  })
  const answer = await invoke(proxy, key)
  t.same([answer.status, answer.body.toString()], [418, 'own'])
  t.equal(silent.attempts, 0)
})

t.test('a fetch that is under way is cut when its run is over', async (t) => {
  const waited = await react('await fetch(req.args.url)', { url: silent.url })
  t.match(waited, { status: 408, body: { code: 'ERR_CODE_TIMEOUT' } })
  await (await silent.connection(0)).closed
  const began = performance.now()
  const left = await react(
    'fetch(req.args.url); await new Promise((r) => setTimeout(r, 300)); return { raw: "left" }',
    {
      url: silent.url
    }
  )
  t.match(left, { status: 200, body: { raw: 'left' } })
  await (await silent.connection(1)).closed
  t.ok(performance.now() - began < 6000, 'not when its own time is over')
})

t.test('what code says to its console is heard nowhere', async (t) => {
  const written: string[] = []
  const [out, err] = [process.stdout.write, process.stderr.write]
  const hear = (text: unknown): boolean => written.push(String(text)) > 0
  process.stdout.write = hear
  process.stderr.write = hear
  try {
    const token = await proxy.token('4000056655665556')
    const names = ['log', 'info', 'warn', 'error', 'debug', 'trace', 'dir']
    const body = `for (const name of ${JSON.stringify(names)}) console[name]('marked-by-console', req.args.pan); return { raw: 1 }`
    await react(body, { pan: `{{ ${token} }}` })
  } finally {
    process.stdout.write = out
    process.stderr.write = err
  }
  for (const text of [written.join(''), proxy.logged()]) t.notMatch(text, /marked-by-console|4000056655665556/)
})

t.test('runs are counted', async (t) => {
  const metrics = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text()
  for (const outcome of ['done', 'time', 'output', 'stuck']) {
    t.match(metrics, new RegExp(`sluice_sandbox_runs_total\\{outcome="${outcome}"\\} [1-9]`))
  }
  t.match(metrics, /sluice_sandbox_run_seconds_count\{start="warm"\} [1-9]/)
  t.match(metrics, /sluice_sandbox_threads\{state="busy"\} 0/)
})
