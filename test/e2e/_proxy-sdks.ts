import { BasisTheory as Js } from '@basis-theory/basis-theory-js'
import { BasisTheory as Api, BasisTheoryClient } from '@basis-theory/node-sdk'
import t from 'tap'
import { echoing, newDestination } from '../kit/destination.ts'
import { newProxy } from '../kit/proxy.ts'

/** The vendor's own SDKs as judges of stored proxies: every method of theirs on `proxies`, and calls by their keys. */
export async function judgeProxiesBySdks(settings: Record<string, object> = {}): Promise<void> {
  const proxy = await newProxy(settings)
  const destination = await newDestination({ script: echoing })
  t.teardown(() => Promise.all([proxy.close(), destination.close()]))
  const url = `http://localhost:${proxy.port}`
  const node = new BasisTheoryClient({ apiKey: proxy.key, environment: url, maxRetries: 0 })
  const js = await new Js().init(proxy.key, { apiBaseUrl: url, disableTelemetry: true })
  const code = 'module.exports = async function (req) { return { headers: req.args.headers, body: req.args.body } }'
  const number = '4242424242424242'

  t.test('node-sdk: a proxy from its making to its end', async (t) => {
    const application = await node.applications.create({ name: 'a', type: 'private', permissions: ['token:use'] })
    const made = await node.proxies.create({
      name: 'sdk',
      destinationUrl: `${destination.url}/api`,
      requestTransform: { code },
      responseTransforms: [
        { type: 'mask', matcher: 'regex', expression: '"pan":"(.*?)"', replacement: '*' },
        { type: 'append_header', options: { value: '1', location: 'X-Done' } }
      ],
      configuration: { SERVICE_API_KEY: 'key_abcd1234' },
      application: { id: application.id ?? '' },
      requireAuth: true,
      disableDetokenization: false
    })
    const id = made.id ?? ''
    t.match(made, {
      name: 'sdk',
      tenantId: 'default',
      destinationUrl: `${destination.url}/api`,
      requestTransform: { code },
      responseTransforms: [{ matcher: 'regex' }, { type: 'append_header', options: { location: 'X-Done' } }],
      applicationId: application.id,
      requireAuth: true,
      disableDetokenization: false
    })
    t.match(made.key, /^[1-9A-HJ-NP-Za-km-z]{22}$/)
    t.ok(made.createdAt instanceof Date)
    t.strictSame(Object.keys(made.configuration ?? {}), ['SERVICE_API_KEY'])
    t.notMatch(JSON.stringify(made), 'key_abcd1234')
    t.match(await node.proxies.get(id), { id, key: made.key, name: 'sdk' })
    t.equal(await node.proxies.patch(id, { name: 'patched', configuration: { MORE: 'x' } }), undefined)
    const patched = await node.proxies.get(id)
    t.match(patched, { name: 'patched', requestTransform: { code }, applicationId: application.id })
    t.strictSame(Object.keys(patched.configuration ?? {}), ['SERVICE_API_KEY', 'MORE'])
    t.ok(patched.modifiedAt instanceof Date)
    const updated = await node.proxies.update(id, { name: 'updated', destinationUrl: destination.url })
    t.match(updated, { id, key: made.key, name: 'updated', destinationUrl: destination.url })
    t.equal(updated.requestTransform, undefined)
    t.equal(updated.applicationId, undefined)
    await node.proxies.create({ name: 'second', destinationUrl: destination.url })
    const names: (string | undefined)[] = []
    for await (const one of await node.proxies.list({ size: 1 })) names.push(one.name)
    t.strictSame(new Set(names), new Set(['second', 'updated']), 'an iteration comes to its end')
    t.equal(names.length, 2)
    t.equal((await node.proxies.list({ id: [id, 'x'] })).data.length, 1)
    t.equal((await node.proxies.list({ name: 'UPD*' })).data.length, 1)
    await node.proxies.delete(id)
    t.ok((await failure(node.proxies.get(id))) instanceof Api.NotFoundError)
    t.ok((await failure(node.proxies.delete(id))) instanceof Api.NotFoundError)
  })

  t.test('node-sdk: errors have their classes', async (t) => {
    const bad = await failure(node.proxies.create({ name: '', destinationUrl: 'http://x' }))
    t.ok(bad instanceof Api.BadRequestError)
    t.match(bad, { body: { errors: { name: [String], destination_url: [String] }, status: 400 } })
    const weak = new BasisTheoryClient({ apiKey: await proxy.newKey(['token:use']), environment: url, maxRetries: 0 })
    t.ok((await failure(weak.proxies.list())) instanceof Api.ForbiddenError)
    const stranger = new BasisTheoryClient({ apiKey: 'wrong', environment: url, maxRetries: 0 })
    t.ok((await failure(stranger.proxies.list())) instanceof Api.UnauthorizedError)
  })

  t.test('basis-theory-js: a proxy from its making to its end, and calls of it', async (t) => {
    const made = await js.proxies.create({
      name: 'js',
      destinationUrl: `${destination.url}/base`,
      configuration: { Some_Key: 'v' },
      requireAuth: true
    })
    t.match(made, { name: 'js', configuration: { Some_Key: null }, requireAuth: true })
    const token = await js.tokens.create({ type: 'token', data: number })
    const asked = await js.proxy.post({
      path: '/charges',
      query: { a: 'b' },
      headers: { 'BT-PROXY-KEY': made.key },
      body: { pan_Number: `{{ ${token.id} }}` }
    })
    t.strictSame(asked, { pan_Number: number })
    t.equal(destination.requests.at(-1)?.startLine, 'POST /base/charges?a=b HTTP/1.1')
    t.strictSame(await js.proxy.put({ query: { 'bt-proxy-key': made.key }, body: { x: 1 } }), { x: 1 })
    t.equal(destination.requests.at(-1)?.startLine, 'PUT /base HTTP/1.1')
    await js.proxy.get({ headers: { 'BT-PROXY-KEY': made.key } })
    t.equal(destination.requests.at(-1)?.startLine, 'GET /base/ HTTP/1.1', 'as this SDK writes it')
    const refused = await js.proxy
      .post({ headers: { 'BT-PROXY-KEY': 'unknown' }, body: {} })
      .catch((error: unknown) => error)
    t.match(refused, { status: 404, data: { proxy_error: { code: 'ERR_NOT_FOUND', forwarded: 'no' } } })
    t.match(await js.proxies.retrieve(made.id), { id: made.id, key: made.key })
    await js.proxies.patch(made.id, { name: 'patched', configuration: { Some_Key: null } })
    const patched = await js.proxies.retrieve(made.id)
    t.equal(patched.name, 'patched')
    t.strictSame(patched.configuration, {}, 'null takes a value out')
    t.match(await js.proxies.update(made.id, { name: 'updated', destinationUrl: destination.url }), { name: 'updated' })
    const listed = await js.proxies.list({ name: 'updated', page: 1, size: 5 })
    t.match(listed, { pagination: { totalItems: 1 }, data: [{ id: made.id }] })
    await js.proxies.delete(made.id)
    t.match(await js.proxies.retrieve(made.id).catch((error: unknown) => error), { status: 404 })
  })

  t.test('with no API key, where the proxy asks for none', async (t) => {
    const made = await node.applications.create({ name: 'a', type: 'private', permissions: ['token:use'] })
    const application = made.id ?? ''
    await proxy.vault.applications.change(application, ACTOR, 'update', 't', (was) => ({
      ...was,
      destinations: ['localhost']
    }))
    const stored = await node.proxies.create({
      name: 'open',
      destinationUrl: destination.url,
      requireAuth: false,
      application: { id: application }
    })
    const token = await proxy.token(number)
    const answer = await fetch(`${url}/proxy/x?bt-proxy-key=${stored.key}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ pan: `{{ ${token} }}` })
    })
    t.strictSame(await answer.json(), { pan: number })
    t.equal(destination.requests.at(-1)?.startLine, 'POST /x HTTP/1.1')
    await proxy.vault.applications.change(application, ACTOR, 'delete', 't', () => null)
    const later = await fetch(`${url}/proxy?bt-proxy-key=${stored.key}`)
    t.equal(later.status, 409, 'its application is gone: so is what it may do')
  })
}

async function failure(asked: Promise<unknown>): Promise<unknown> {
  return asked.then(
    () => {
      throw new Error('not refused')
    },
    (error: unknown) => error
  )
}

const ACTOR = { tenant: 'default', application: '', keyId: '' }
