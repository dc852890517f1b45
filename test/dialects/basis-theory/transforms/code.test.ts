import t from 'tap'
import { checkCode } from '../../../../lib/dialects/basis-theory/check-code.ts'
import type { ReactorPorts } from '../../../../lib/dialects/basis-theory/reactor-ports.ts'
import { Scrubber } from '../../../../lib/dialects/basis-theory/scrubber.ts'
import { type CodeMessage, type CodeRun, runCode } from '../../../../lib/dialects/basis-theory/transforms/code.ts'
import { Secret } from '../../../../lib/secret.ts'
import { newVault } from '../../../kit/vault.ts'
import { newSandbox, reactorCode } from '../../../kit/reactor.ts'

/* What code of a stored proxy sees of a message, and what becomes of what it returns. */

const { sandbox, close } = newSandbox()
const { vault, caller: newCaller, close: closeVault } = await newVault()
t.teardown(async () => {
  await close()
  await closeVault()
})

const ports: ReactorPorts = {
  vault,
  tokensPerRequest: 100,
  run: (job) => sandbox.run(job),
  readOutbound: () => t.fail('nothing is sent') as never,
  send: () => t.fail('nothing is sent') as never
}
const run: CodeRun = {
  caller: await newCaller(),
  traceId: 'trace',
  attached: null,
  subjects: [],
  scrubber: new Scrubber([new Secret('"4242424242424242"')]),
  configuration: { KEY: 'k' }
}
const request: CodeMessage = {
  fields: ['Content-Type', 'application/json', 'X-A', '1', 'x-a', '2'],
  body: { pan: '4242424242424242', n: 1 },
  method: 'POST',
  path: '/charges',
  query: '?a=b'
}
const response: CodeMessage = {
  fields: ['Date', 'today', 'Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', '__proto__', 'x'],
  body: 'text',
  status: 201
}

const ofRequest = (body: string, message = request) => runCode(ports, reactorCode(body), 'request', message, run)
const ofResponse = (body: string, message = response) => runCode(ports, reactorCode(body), 'response', message, run)
const stays = { kind: 'message', fields: null, status: null }

t.test('a request, as older and newer code of the vendor’s calls it', async (t) => {
  const seen = {
    method: 'POST',
    path: '/charges',
    query: '?a=b',
    headers: { 'Content-Type': 'application/json', 'X-A': '1, 2' },
    body: { pan: '4242424242424242', n: 1 }
  }
  t.strictSame(await ofRequest('return { body: req.args }'), { ...stays, body: seen })
  t.strictSame(await ofRequest('return { req: { body: req.req } }'), { ...stays, body: seen })
  t.strictSame(await ofRequest('return { body: [req.configuration, req.bt, typeof req.res] }'), {
    ...stays,
    body: [{ KEY: 'k' }, null, 'undefined']
  })
  t.strictSame(await ofRequest('return { body: "plain " + req.args.body.n }'), { ...stays, body: 'plain 1' })
})

t.test('a response', async (t) => {
  t.strictSame(await ofResponse('return { body: [req.args.body, req.res.statusCode, Object.keys(req.res.headers)] }'), {
    ...stays,
    body: ['text', 201, ['Date', 'Set-Cookie', '__proto__']]
  })
  t.strictSame(await ofResponse('return { headers: req.args.headers }'), {
    ...stays,
    fields: ['Date', 'today', 'Set-Cookie', 'a=1', 'Set-Cookie', 'b=2', '__proto__', 'x'],
    body: undefined
  })
  t.strictSame(await ofResponse('return { res: { statusCode: 202, body: null } }'), {
    ...stays,
    body: null,
    status: 202
  })
})

t.test('framing, the connection and what Sluice says are no code’s to set', async (t) => {
  const headers = `{ 'Content-Length': 3, Host: 'x', 'transfer-encoding': 'chunked', Connection: 'close', 'BT-API-KEY': 'k',
    'sluice-trace-id': 'x', 'X-N': 7, 'X-L': ['a', 'b'] }`
  t.strictSame(await ofRequest(`return { headers: ${headers} }`), {
    ...stays,
    fields: ['X-N', '7', 'X-L', 'a', 'X-L', 'b'],
    body: undefined
  })
  for (const bad of ['{ a: "b\\r\\nc: d" }', '{ "a b": "c" }', '{ a: {} }', '{ a: "Ł" }', '[]', '"x"']) {
    await t.rejects(ofRequest(`return { headers: ${bad} }`), { code: 'ERR_CODE_RUNTIME' }, bad)
  }
})

t.test('a request is answered in the destination’s stead', async (t) => {
  t.strictSame(await ofRequest('return { res: { statusCode: 418, headers: { A: "b" }, body: { c: 1 } } }'), {
    kind: 'answer',
    answer: { status: 418, fields: ['A', 'b'], body: { c: 1 } }
  })
  t.strictSame(await ofRequest('return { res: {} }'), {
    kind: 'answer',
    answer: { status: 200, fields: [], body: undefined }
  })
  await t.rejects(ofRequest('return { res: { statusCode: 101 } }'), { code: 'ERR_CODE_RUNTIME' })
})

t.test('what returns no message does not pass for one that is left alone', async (t) => {
  for (const value of ['undefined', '7', '[]', '{}', '{ raw: 1 }', '{ req: {} }']) {
    await t.rejects(ofRequest(`return ${value}`), { code: 'ERR_CODE_RUNTIME' }, value)
  }
  await t.rejects(ofResponse('return { req: { body: 1 } }'), { code: 'ERR_CODE_RUNTIME' }, 'the wrong side')
})

t.test('errors have the status of their class, and hold no value of the call', async (t) => {
  const errors = `const errors = require('@basis-theory/basis-theory-reactor-formulas-sdk-js')\n`
  const thrown = (what: string) => runCode(ports, `${errors}${reactorCode(`throw ${what}`)}`, 'request', request, run)
  await t.rejects(thrown('new errors.InvalidPaymentMethodError("no " + req.args.body.pan)'), {
    code: 'ERR_CODE_ERROR',
    status: 402,
    message: 'Invalid Payment Method',
    fields: { error: ['no «redacted»'] }
  })
  await t.rejects(thrown('new Error("no " + req.args.body.pan)'), {
    code: 'ERR_CODE_RUNTIME',
    status: 500,
    fields: { error: ['no «redacted»'] }
  })
  t.strictSame(
    await thrown(
      'new errors.CustomHttpResponseError({ status: 409, headers: { A: req.args.body.pan }, body: req.args })'
    ),
    {
      kind: 'answer',
      answer: {
        status: 409,
        fields: ['A', '«redacted»'],
        body: {
          method: 'POST',
          path: '/charges',
          query: '?a=b',
          headers: { 'Content-Type': 'application/json', 'X-A': '1, 2' },
          body: { pan: '«redacted»', n: 1 }
        }
      }
    }
  )
  const hasty = newSandbox({ cpuMs: 250 })
  t.teardown(() => hasty.close())
  await t.rejects(
    runCode({ ...ports, run: (job) => hasty.sandbox.run(job) }, reactorCode('for (;;);'), 'request', request, run),
    { code: 'ERR_CODE_TIMEOUT', status: 408 }
  )
  await t.rejects(ofRequest('await new Promise(() => {})'), { code: 'ERR_CODE_RUNTIME' })
})

t.test('a body that is too long for code', async (t) => {
  const body = 'x'.repeat(1024 * 1024 + 1)
  await t.rejects(ofRequest('return { body: 1 }', { ...request, body }), { code: 'ERR_BODY_SIZE' })
  await t.rejects(ofResponse('return { body: 1 }', { ...response, body }), { code: 'ERR_CODE_RUNTIME' })
  const largest = { ...request, body: body.slice(1) }
  t.match(await ofRequest('return { body: req.args.body }', largest), { body: largest.body })
})

t.test('code is read where it is written, and its faults named by the field', async (t) => {
  await checkCode(ports, 'acme', reactorCode('return 1'), 'request_transform.code')
  await t.rejects(checkCode(ports, 'acme', 'module.exports = (', 'request_transform.code'), {
    code: 'ERR_CODE',
    fields: { 'request_transform.code': [/^Line 1, column \d+: /] }
  })
})
