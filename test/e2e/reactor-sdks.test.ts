import { BasisTheory as Js } from '@basis-theory/basis-theory-js'
import { BasisTheory as Api, BasisTheoryClient } from '@basis-theory/node-sdk'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { newProxy } from '../kit/proxy.ts'
import { reactorCode } from '../kit/reactor.ts'

/* The vendor's own SDKs as judges of reactors. */

const proxy = await newProxy()
t.teardown(() => proxy.close())
const url = `http://localhost:${proxy.port}`
const node = new BasisTheoryClient({ apiKey: proxy.key, environment: url, maxRetries: 0 })
const js = await new Js().init(proxy.key, { apiBaseUrl: url, disableTelemetry: true })
const code = reactorCode('return { raw: { args: req.args, key: req.configuration.KEY }, tokenize: { made: 1 } }')

t.test('node-sdk: a reactor from its making to its end', async (t) => {
  const application = await node.applications.create({ name: 'a', type: 'private', permissions: ['token:create'] })
  const made = await node.reactors.create({
    name: 'sdk',
    code,
    configuration: { KEY: 'kkk' },
    application: { id: application.id ?? '' }
  })
  const id = made.id ?? ''
  t.match(made, { name: 'sdk', tenantId: 'default', code, application: { id: application.id } })
  t.match(await node.reactors.get(id), { id, name: 'sdk' })
  const token = await proxy.token('4242424242424242')
  const answer = await node.reactors.react(id, { args: { pan: `{{ ${token} }}` } })
  t.match(answer, { raw: { args: { pan: '4242424242424242' }, key: 'kkk' }, tokens: { made: String } })
  const accepted = await node.reactors.reactAsync(id, { args: { pan: `{{ ${token} }}` } })
  let result: unknown
  for (let tries = 0; tries < 400 && result === undefined; tries++) {
    result = await node.reactors.results.get(id, accepted.asyncReactorRequestId ?? '').catch((error: unknown) => {
      if (!(error instanceof Api.NotFoundError)) throw error
    })
    if (result === undefined) await sleep(25)
  }
  t.match(result, { raw: { args: { pan: '4242424242424242' }, key: 'kkk' }, tokens: { made: String } })
  await node.reactors.patch(id, { configuration: { KEY: 'lll' } })
  t.match((await node.reactors.react(id, { args: {} })).raw, { key: 'lll' })
  t.match(await node.reactors.update(id, { name: 'new', code, configuration: {} }), { name: 'new' })
  const names: (string | null | undefined)[] = []
  for await (const reactor of await node.reactors.list({ size: 1 })) names.push(reactor.name)
  t.same(names, ['new'])
  const failed = await node.reactors.create({ name: 'x', code: 'module.exports = 1' }).catch((error: unknown) => error)
  t.match(failed, { statusCode: 422 })
  await node.reactors.delete(id)
  t.ok((await node.reactors.get(id).catch((error: unknown) => error)) instanceof Api.NotFoundError)
})

t.test('basis-theory-js: a formula and a reactor of it', async (t) => {
  const formula = await js.reactorFormulas.create({
    type: 'private',
    name: 'js formula',
    description: 'd',
    code,
    configuration: [{ name: 'KEY', description: 'k', type: 'string' }],
    requestParameters: [{ name: 'n', description: 'n', type: 'number' }]
  })
  t.match(formula, { name: 'js formula', requestParameters: [{ name: 'n', type: 'number', optional: false }] })
  t.match(await js.reactorFormulas.retrieve(formula.id), { id: formula.id })
  t.equal((await js.reactorFormulas.list()).data.length, 1)
  const wanted = { name: 'js', configuration: { KEY: 'kkk' }, formula: { id: formula.id } }
  const made = await js.reactors.create(wanted)
  t.match(await js.reactors.retrieve(made.id), { name: 'js', formula: { id: formula.id } })
  t.match(await js.reactors.react(made.id, { args: { n: '7' } }), { raw: { args: { n: 7 }, key: 'kkk' } })
  const refused = await js.reactors.react(made.id, { args: { n: 'x' } }).catch((error: unknown) => error)
  t.match(refused, { status: 400 })
  t.equal((await js.reactors.list()).data.length, 1)
  await js.reactors.delete(made.id)
  await js.reactorFormulas.delete(formula.id)
})
