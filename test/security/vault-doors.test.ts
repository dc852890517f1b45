/**
 * The attack: a key has leaked, and whoever holds it tries every door of both dialects in turn: the proxies, stored ones
 * too, reflect, detokenize, decrypt, reading, updating, rules for responses. Or they make tokens under names that other people's
 * requests already use, so that the next request sends what they planted. What one door refuses no other may give, and a
 * destination that is not to hear of a token hears nothing at all.
 */
import t from 'tap'
import { answering, newDestination } from '../kit/destination.ts'
import { footprint, newUser } from '../kit/footprint.ts'
import { newProxy, proxyRequest } from '../kit/proxy.ts'
import { reactorCode } from '../kit/reactor.ts'
import { call, invoke, newApplication, newStoredProxy } from '../kit/stored-proxy.ts'
import { newVault, purpose, subject } from '../kit/vault.ts'

const NUMBER = '4242424242424242'
const proxy = await newProxy()
const destination = await newDestination({
  script: answering(() => Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a":"b"}'))
})
t.teardown(() => Promise.all([proxy.close(), destination.close()]))
const jane = await newUser(proxy, { 'card.primary.number': NUMBER })
const field = `${jane}.card.primary.number`
await proxy.token(NUMBER, { id: 'victim' })

const api = (key: string, method: string, path: string, json?: object) => call(proxy, method, path, json, key)

/** Connections and requests that the destination has seen. */
const heard = (): number => destination.attempts + destination.requests.length

/** Makes a reactor that sends what it is given. */
async function newReactor(more: object): Promise<string> {
  const code = reactorCode(`
    try { return { raw: (await fetch(req.args.url, { method: 'POST', body: req.args.value })).status } }
    catch (error) { return { raw: error.code } }`)
  return String((await api(proxy.key, 'POST', '/reactors', { name: 'door', code, ...more })).body['id'])
}

type Headers = [string, string][]
const jit = (key: string, body: string, headers: Headers = []) =>
  footprint(proxy, '/vault_proxy/jit', { key, body, headers: [['x-fp-proxy-target-url', destination.url], ...headers] })
const reflect = (key: string, body: string) => footprint(proxy, '/vault_proxy/reflect', { key, body })
const decrypt = (key: string) =>
  footprint(proxy, `/users/${jane}/vault/decrypt`, { key, body: { fields: ['card.primary.number'], reason: 'r' } })
const send = (key: string, body: string) => proxy.request(proxyRequest(key, destination.url, body))

t.test('nobody plants a token under a field of a user, or under a part of another’s id', async (t) => {
  await proxy.token('x', { id: 'john' })
  await proxy.token('x', { id: 'a.b.c' })
  const ids = [
    `${jane}.card.primary.number`,
    `${jane}.custom.new`,
    'fp_id_nobody',
    'john.number',
    'a',
    'a.b',
    'john[0]'
  ]
  for (const id of ids) {
    for (const [path, json] of [
      ['/tokens', { id, data: 'planted' }],
      ['/tokenize', { deep: [{ id, type: 'token', data: 'planted' }] }]
    ] as const)
      t.match(await api(proxy.key, 'POST', path, json), { status: 400, text: /errors/ }, `${path} ${id}`)
  }
  const made = await api(proxy.key, 'POST', '/tokens', { id: "{{ data | prepend: 'fp_id_' }}", data: 'planted' })
  t.equal(made.status, 400, 'nor by an expression')
  t.equal((await send(proxy.key, `"{{ ${field} }}"`)).status, 200)
  t.equal(destination.requests.at(-1)?.body.toString(), `"${NUMBER}"`, 'the name still means what it meant')
})

t.test('token:use sends to destinations, by both dialects, and nothing else', async (t) => {
  const user = await proxy.newKey(['token:use'])
  for (const id of ['victim', field]) {
    t.equal((await send(user, `"{{ ${id} }}"`)).status, 200, id)
    t.match(await api(user, 'POST', '/detokenize', { a: `{{ ${id} }}` }), { status: 403 }, id)
    t.match(await api(user, 'GET', `/tokens/${id}`), { status: 403 }, id)
  }
  t.equal((await jit(user, `{{ ${field} }}`)).status, 200)
  for (const answer of [await reflect(user, `{{ ${field} }}`), await decrypt(user)]) {
    t.equal(answer.status, 403)
    t.notMatch(answer.body.toString(), NUMBER)
  }
  t.match(await api(user, 'PATCH', '/tokens/victim', { mask: '{{ data }}' }), { status: 403 })
  t.match(await api(user, 'POST', '/v2/tokens/search', { query: 'type:token' }), { status: 403 })
})

t.test('reading, even in plain, is not sending, and a masked read is not a plain one', async (t) => {
  const rule = (transform: string) => ({
    rules: [{ description: '', priority: 1, container: '/', transform, permissions: ['token:read'] }]
  })
  const before = heard()
  const reader = await proxy.newKey([], rule('reveal'))
  t.equal((await reflect(reader, `{{ ${field} }}`)).status, 200)
  for (const answer of [await send(reader, '"{{ victim }}"'), await jit(reader, `{{ ${field} }}`)])
    t.equal(answer.status, 403)
  const masked = await proxy.newKey([], rule('mask'))
  for (const answer of [await reflect(masked, `{{ ${field} }}`), await decrypt(masked)]) {
    t.equal(answer.status, 403)
    t.notMatch(answer.body.toString(), NUMBER)
  }
  t.match(await api(masked, 'POST', '/detokenize', { a: '{{ victim }}' }), { status: 403 })
  t.notMatch((await api(masked, 'GET', '/tokens/victim')).text, NUMBER)
  t.equal(heard(), before, 'no destination heard of it')
})

t.test('a stored proxy asks for a right to send, and reading or creating is none', async (t) => {
  const { key } = await newStoredProxy(proxy, destination.url)
  const before = heard()
  for (const permission of ['token:read', 'token:create', 'proxy:read']) {
    const apiKey = await proxy.newKey([permission])
    t.equal((await invoke(proxy, key, { apiKey, body: '"{{ victim }}"' })).status, 403, permission)
  }
  t.equal(heard(), before)
})

t.test('a rule for the response needs its right before the destination is called', async (t) => {
  const before = heard()
  const user = await proxy.newKey(['token:use'])
  const rule = (target: string): Headers => [
    ['x-fp-proxy-ingress-content-type', 'json'],
    ['x-fp-proxy-ingress-rule', `${jane}.${target}=$.a`]
  ]
  for (const target of ['custom.new', 'card.primary.number'])
    t.equal((await jit(user, 'ping', rule(target))).status, 403, target)
  const creator = await proxy.newKey(['token:use', 'token:create'])
  t.equal((await jit(creator, 'ping', rule('card.primary.number'))).status, 403, 'creating is not overwriting')
  t.equal(heard(), before)
  t.equal((await jit(creator, 'ping', rule('custom.new'))).status, 200)
})

t.test('what is bound goes nowhere else: by application, by container, by token, by both dialects', async (t) => {
  const by = { tenant: 'default', application: '', keyId: '' }
  await proxy.token(NUMBER, { id: 'in-container', containers: ['/bound/deep/'] })
  await proxy.token(NUMBER, { id: 'bound-token', destinations: ['psp.example'] })
  await proxy.vault.tenants.bind(by, '/bound/', ['psp.example'], 't')
  await proxy.vault.tenants.bind(by, '/pci/', ['psp.example'], 't')
  const leaked = await proxy.newKey(['token:use'], { destinations: ['psp.example'] })
  const application = await newApplication(proxy, { destinations: [`localhost:${destination.port}`] })
  const attached = { application: { id: application } }
  const asked = await newStoredProxy(proxy, destination.url, attached)
  const open = await newStoredProxy(proxy, destination.url, { ...attached, require_auth: false })
  const narrow = await newApplication(proxy, { destinations: ['psp.example'] })
  const reactors = {
    reactor: await newReactor(attached),
    'narrow reactor': await newReactor({ application: { id: narrow } })
  }
  const fetchedBy = async (by: keyof typeof reactors, key: string, id: string) => {
    const args = { value: `{{ ${id} }}`, url: destination.url }
    const answer = await api(key, 'POST', `/reactors/${reactors[by]}/react`, { args })
    return answer.body['raw']
  }
  const before = heard()
  for (const id of ['in-container', 'bound-token', field]) {
    const body = `"{{ ${id} }}"`
    t.equal((await send(proxy.key, body)).status, 403, id)
    t.equal((await invoke(proxy, asked.key, { body })).status, 403, `${id} by a stored proxy`)
    t.equal((await invoke(proxy, open.key, { body, apiKey: null })).status, 403, `${id} by one that asks for no key`)
  }
  t.equal((await jit(proxy.key, `{{ ${field} }}`)).status, 403)
  t.equal((await send(leaked, '"{{ victim }}"')).status, 403)
  t.equal((await jit(leaked, 'ping')).status, 403)
  for (const body of ['"{{ victim }}"', '"ping"'])
    t.equal((await invoke(proxy, asked.key, { body, apiKey: leaked })).status, 403, 'nor the caller by a stored proxy')
  for (const [key, id] of [
    [proxy.key, 'in-container'],
    [proxy.key, 'bound-token'],
    [proxy.key, field],
    [leaked, 'victim']
  ] as const) {
    t.equal(await fetchedBy('reactor', key, id), 'ERR_DESTINATION_FORBIDDEN', `${id} by the fetch of a reactor`)
  }
  t.equal(await fetchedBy('narrow reactor', proxy.key, 'victim'), 'ERR_DESTINATION_FORBIDDEN', 'nor its application')
  t.equal(heard(), before, 'the destination never heard of it')
  t.equal(await fetchedBy('reactor', proxy.key, 'victim'), 200)
  t.equal((await send(proxy.key, '"{{ victim }}"')).status, 200, 'what is not bound goes')
  t.equal((await invoke(proxy, asked.key, { body: '"{{ victim }}"' })).status, 200)
  t.equal((await invoke(proxy, open.key, { body: '"{{ victim }}"', apiKey: null })).status, 200)
  await proxy.vault.tenants.bind(by, '/pci/', null, 't')
})

t.test('a binding holds however many there are', async (t) => {
  const { vault, caller, close } = await newVault()
  t.teardown(close)
  const by = { tenant: 'default', application: '', keyId: '' }
  const binds = Array.from({ length: 10_000 }, (_, at) => vault.tenants.bind(by, `/a${at}/`, ['psp.example'], 't'))
  await Promise.all([...binds, vault.tenants.bind(by, '/last/', ['psp.example'], 't')])
  const owner = await caller({ tenant: 'default' })
  await vault.create(owner, [{ type: 'token', container: '/last/', data: '1', expiresAt: null, id: 'bound-0001' }], 't')
  const elsewhere = purpose('proxy', { host: 'evil.example' })
  await t.rejects(async () => vault.reveal(owner, [subject('bound-0001')], elsewhere, 10), {
    code: 'ERR_DESTINATION_FORBIDDEN'
  })
})

t.test('a cvc is gone when its time is over', async (t) => {
  let now = Date.now()
  const { vault, caller: newCaller, close } = await newVault({ now: () => now, cvcRetentionMs: 1000 })
  t.teardown(close)
  const owner = await newCaller()
  const data = `{"number":"${NUMBER}","cvc":"987"}`
  await vault.create(owner, [{ id: 'card-1', type: 'card', container: '/pci/high/', data, expiresAt: null }], 't')
  const shown = async () => (await vault.read(owner, 'card-1', purpose('read'))).shown?.exposeText() ?? ''
  t.match(await shown(), '"cvc":"987"')
  now += 1000
  t.match(await shown(), '"cvc":null')
})
