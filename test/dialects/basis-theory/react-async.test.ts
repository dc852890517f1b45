import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { AsyncRuns } from '../../../lib/dialects/basis-theory/react-async.ts'
import type { ApiCall } from '../../../lib/listen/api.ts'
import { newProxy, type TestProxy } from '../../kit/proxy.ts'
import { reactorCode } from '../../kit/reactor.ts'
import { newVault } from '../../kit/vault.ts'

/* Calls of reactors that nobody waits for. */

const proxy = await newProxy({ listen: { drainMs: 100 } })
t.teardown(() => proxy.close())

interface Answer {
  readonly status: number
  readonly json: Record<string, unknown>
}

async function ask(
  method: string,
  path: string,
  body?: unknown,
  key = proxy.key,
  of: TestProxy = proxy
): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${of.port}${path}`, {
    method,
    headers: { 'BT-API-KEY': key, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) })
  })
  const text = await response.text()
  return { status: response.status, json: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) }
}

async function newReactor(body: string, of: TestProxy = proxy): Promise<string> {
  const made = await ask('POST', '/reactors', { name: 'R', code: reactorCode(body) }, of.key, of)
  t.equal(made.status, 201)
  return made.json['id'] as string
}

async function begin(id: string, args: unknown, of: TestProxy = proxy): Promise<string> {
  const accepted = await ask('POST', `/reactors/${id}/react-async`, { args }, of.key, of)
  t.match(accepted, { status: 202, json: { asyncReactorRequestId: String } })
  t.strictSame(Object.keys(accepted.json), ['asyncReactorRequestId'])
  return accepted.json['asyncReactorRequestId'] as string
}

async function resultOf(id: string, request: string): Promise<Answer> {
  for (let tries = 0; tries < 400; tries++) {
    const answer = await ask('GET', `/reactors/${id}/results/${request}`)
    if (answer.status !== 404) return answer
    await sleep(25)
  }
  throw new Error('there is no result')
}

t.test('the result is what the reactor answers, once it is over', async (t) => {
  const id = await newReactor(
    'await new Promise((r) => setTimeout(r, 300)); return { raw: req.args, tokenize: { made: "x" } }'
  )
  const token = await proxy.token('4242424242424242')
  const request = await begin(id, { pan: `{{ ${token} }}` })
  t.match(await ask('GET', `/reactors/${id}/results/${request}`), { status: 404, json: { code: 'ERR_NOT_FOUND' } })
  const done = { status: 200, json: { raw: { pan: '4242424242424242' }, tokens: { made: String } } }
  t.match(await resultOf(id, request), done)
  t.match(await resultOf(id, request), done, 'and may be asked for again')
  t.notMatch(proxy.logged(), '4242424242424242')
})

t.test('a call that fails has a result that says so', async (t) => {
  const errors = `require('@basis-theory/basis-theory-reactor-formulas-sdk-js')`
  const token = await proxy.token('4242424242424242')
  const id = await newReactor(`throw new (${errors}[req.args.name] ?? Error)("it was " + req.args.pan)`)
  const failed = async (name: string) => resultOf(id, await begin(id, { name, pan: `{{ ${token} }}` }))
  t.match(await failed('Error'), {
    status: 500,
    json: { code: 'ERR_CODE_RUNTIME', errors: { error: ['it was «redacted»'] } }
  })
  t.match(await failed('InvalidPaymentMethodError'), { status: 402, json: { detail: 'Invalid Payment Method' } })
})

t.test('what is wrong with a call is said at once', async (t) => {
  const id = await newReactor('return { raw: 1 }')
  const refused = async (body: object, key?: string) => ask('POST', `/reactors/${id}/react-async`, body, key)
  t.match(await refused({ args: { a: '{{ nosuch }}' } }), { status: 400, json: { code: 'ERR_TOKEN_UNKNOWN' } })
  t.match(await refused({ args: {}, callback_url: 'https://x.example/' }), {
    status: 400,
    json: { errors: { callback_url: [/not supported/] } }
  })
  t.match(await ask('POST', `/reactors/${id}/react`, { args: {}, callbackUrl: 'https://x.example/' }), { status: 400 })
  t.match(await refused({ args: {} }, await proxy.newKey(['token:read'])), { status: 403 })
  t.match(await ask('POST', `/reactors/${crypto.randomUUID()}/react-async`, { args: {} }), { status: 404 })
  const declared = await ask('POST', '/reactor-formulas', {
    name: 'F',
    code: reactorCode('return { raw: 1 }'),
    request_parameters: [{ name: 'n', type: 'number' }]
  })
  const made = await ask('POST', '/reactors', { name: 'R', formula: { id: declared.json['id'] } })
  t.match(await ask('POST', `/reactors/${String(made.json['id'])}/react-async`, { args: { n: 'x' } }), {
    status: 400,
    json: { errors: { 'args.n': [String] } }
  })
})

t.test('nobody else is given a result', async (t) => {
  const id = await newReactor('return { raw: "mine" }')
  const other = await newReactor('return { raw: 1 }')
  const request = await begin(id, {})
  t.match(await resultOf(id, request), { status: 200 })
  const path = `/reactors/${id}/results/${request}`
  t.equal((await ask('GET', path, undefined, await proxy.newKey(['token:use']))).status, 404, 'another application')
  t.equal((await ask('GET', path, undefined, await proxy.newKey(['*'], { tenant: 'other' }))).status, 404)
  t.equal((await ask('GET', path, undefined, await proxy.newKey(['token:read']))).status, 403)
  t.equal((await ask('GET', `/reactors/${other}/results/${request}`)).status, 404, 'of another reactor')
  t.equal((await ask('GET', `/reactors/${id}/results/${crypto.randomUUID()}`)).status, 404)
  t.equal((await ask('GET', `/reactors/${id}/results/x`)).status, 404)
})

t.test('a call that was cut short by the end of Sluice has failed', async (t) => {
  const ended = await newProxy({ listen: { drainMs: 50 } })
  t.teardown(() => ended.vault.close())
  const id = await newReactor('await new Promise((r) => setTimeout(r, 60000)); return { raw: 1 }', ended)
  const requests = [await begin(id, {}, ended), await begin(id, {}, ended), await begin(id, {}, ended)]
  await ended.app.close()
  const texts = await Promise.all(requests.map(async (one) => (await ended.vault.results.read('default', one))?.text))
  t.match(texts[0], /"status":500.*Sluice was stopped while the code ran/)
  t.match(texts[1], /"status":500.*Sluice was stopped while the code ran/)
  t.match(texts[2], /"status":503/, 'one that had not begun')
})

t.test('a call that a crash took is lost, and says so when its time is over', async (t) => {
  let time = 1_800_000_000_000
  const { vault, caller: newCaller, close } = await newVault({ now: () => time })
  t.teardown(close)
  const caller = await newCaller()
  const runs = new AsyncRuns(vault, () => {})
  const call: ApiCall = {
    caller,
    params: {},
    query: new URLSearchParams(),
    body: null,
    contentType: undefined,
    traceId: 'trace',
    header: () => undefined
  }
  const begun = { reactor: 'r', application: caller.application, answer: null }
  const id = await vault.results.begin(caller.tenant, JSON.stringify(begun))
  time += 300_000
  await t.rejects(runs.result(call, 'r', id), { code: 'ERR_NOT_FOUND' })
  time += 11_000
  await t.rejects(runs.result(call, 'r', id), { code: 'ERR_CODE_RUNTIME', fields: { error: [/lost/] } })
  time += 3_600_000
  await t.rejects(runs.result(call, 'r', id), { code: 'ERR_NOT_FOUND' })
})

t.test('so many may be under way, and no more', async (t) => {
  const id = await newReactor('await new Promise((r) => setTimeout(r, 60000)); return { raw: 1 }')
  const statuses: number[] = []
  for (let at = 0; at < 101; at++) statuses.push((await ask('POST', `/reactors/${id}/react-async`, {})).status)
  t.strictSame([statuses.filter((one) => one === 202).length, statuses.at(-1)], [100, 503])
  const quick = await newReactor('return { raw: "quick" }')
  t.match(await ask('POST', `/reactors/${quick}/react`, {}), { json: { raw: 'quick' } }, 'somebody who waits is served')
})
