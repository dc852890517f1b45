import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { applicationRoutes } from '../../../lib/dialects/basis-theory/applications.ts'
import { tenantRoutes } from '../../../lib/dialects/basis-theory/tenants.ts'
import type { SluiceError } from '../../../lib/errors.ts'
import type { ApiAnswer } from '../../../lib/listen/api.ts'
import type { Caller } from '../../../lib/vault/access.ts'
import { newKeyMemo } from '../../../lib/vault/vault.ts'
import { apiCall, newVault, purpose, subject } from '../../kit/vault.ts'

const { vault, store, caller: newCaller, close } = await newVault()
t.teardown(close)
const routes = [...applicationRoutes(vault), ...tenantRoutes(vault)]
const all = await newCaller()

async function ask(
  method: string,
  path: string,
  given: Parameters<typeof apiCall>[1] = {},
  caller: Caller = all
): Promise<ApiAnswer> {
  const route = routes.find((one) => one.method === method && one.path === path)
  if (route === undefined) throw new Error(`no route ${method} ${path}`)
  return route.handler(apiCall(caller, given))
}

async function fault(asked: Promise<ApiAnswer>): Promise<SluiceError> {
  return asked.then(
    () => {
      throw new Error('not refused')
    },
    (error: unknown) => error as SluiceError
  )
}

interface Shown {
  readonly id: string
  readonly key: string
  readonly keys: { id: string; key?: string }[]
  readonly name: string
}

const body = (answer: ApiAnswer) => JSON.parse(answer.body ?? 'null') as Shown
const rule = { description: 'r', priority: 1, container: '/pci/', transform: 'reveal', permissions: ['token:use'] }

t.test('an application from its making to its end', async (t) => {
  const made = body(
    await ask('POST', '/applications', {
      json: { name: 'My App', type: 'private', rules: [rule], destinations: ['psp.example'] }
    })
  )
  t.match(made, {
    name: 'My App',
    type: 'private',
    permissions: [],
    rules: [rule],
    tenant_id: 'acme',
    destinations: ['psp.example']
  })
  t.equal(made.keys[0]?.key, made.key)
  const caller = await vault.authenticate(made.key, newKeyMemo())
  t.equal(caller.allows('token:use', '/pci/high/'), 'reveal')
  const params = { id: made.id }
  const seen = await ask('GET', '/applications/{id}', { params })
  t.notMatch(seen.body, made.key, 'a key is shown once')
  t.equal(body(await ask('GET', '/applications/key', {}, caller)).id, made.id)

  const changed = await ask('PUT', '/applications/{id}', {
    params,
    json: { name: 'Other', permissions: ['token:create'] }
  })
  t.match(JSON.parse(changed.body ?? ''), {
    name: 'Other',
    permissions: ['token:create'],
    rules: [],
    destinations: ['psp.example']
  })
  await setTimeout(5)
  const again = await vault.authenticate(made.key, newKeyMemo())
  t.equal(again.allows('token:use', '/pci/high/'), null, 'a change holds at once')

  const second = body(await ask('POST', '/applications/{id}/keys', { params }))
  t.ok(await vault.authenticate(second.key, newKeyMemo()))
  t.equal((JSON.parse((await ask('GET', '/applications/{id}/keys', { params })).body ?? '') as unknown[]).length, 2)
  t.equal(
    body(await ask('GET', '/applications/{id}/keys/{keyId}', { params: { ...params, keyId: second.id } })).id,
    second.id
  )
  t.equal(
    (await ask('DELETE', '/applications/{id}/keys/{keyId}', { params: { ...params, keyId: second.id } })).status,
    204
  )
  await setTimeout(5)
  t.throws(() => vault.authenticate(second.key, newKeyMemo()), { code: 'ERR_AUTH_INVALID' })
  t.equal(
    (await fault(ask('DELETE', '/applications/{id}/keys/{keyId}', { params: { ...params, keyId: second.id } }))).status,
    404
  )

  const renewed = body(await ask('POST', '/applications/{id}/regenerate', { params }))
  await setTimeout(5)
  t.throws(() => vault.authenticate(made.key, newKeyMemo()), { code: 'ERR_AUTH_INVALID' })
  t.ok(await vault.authenticate(renewed.key, newKeyMemo()))
  t.equal((await ask('DELETE', '/applications/{id}', { params })).status, 204)
  await setTimeout(5)
  t.throws(() => vault.authenticate(renewed.key, newKeyMemo()), { code: 'ERR_AUTH_INVALID' })
  t.equal((await fault(ask('GET', '/applications/{id}', { params }))).status, 404)

  const log = JSON.parse(
    (await ask('GET', '/logs', { query: new URLSearchParams({ entity_id: made.id }) })).body ?? ''
  ) as { data: { operation: string }[] }
  t.same(
    log.data.map(({ operation }) => operation),
    ['delete', 'regenerate', 'revoke key', 'create key', 'update', 'create']
  )
})

t.test('applications of other tenants are not there', async (t) => {
  const made = body(
    await ask('POST', '/applications', { json: { name: 'mine', type: 'public', permissions: ['token:create'] } })
  )
  const stranger = await newCaller({ tenant: 'stranger' })
  const params = { id: made.id }
  for (const [method, path] of [
    ['GET', '/applications/{id}'],
    ['DELETE', '/applications/{id}'],
    ['POST', '/applications/{id}/keys'],
    ['POST', '/applications/{id}/regenerate']
  ] as const) {
    t.equal((await fault(ask(method, path, { params }, stranger))).status, 404)
  }
  t.notMatch((await ask('GET', '/applications', {}, stranger)).body, made.id)
  t.match((await ask('GET', '/applications', {})).body, made.id)
  t.same(
    (
      JSON.parse((await ask('GET', '/applications', { query: new URLSearchParams({ page: '9' }) })).body ?? '') as {
        data: []
      }
    ).data,
    []
  )
})

t.test('faults are named by field', async (t) => {
  const faults = async (json: unknown) =>
    Object.keys((await fault(ask('POST', '/applications', { json }))).fields ?? {}).sort()
  t.same(await faults({}), ['type'])
  t.same(await faults({ type: 'private' }), ['name'])
  t.same(await faults({ name: 'x', type: 'private', permissions: ['token:everything'] }), ['permissions'])
  t.same(await faults({ name: 'x', type: 'public', permissions: ['token:read'] }), ['permissions'])
  t.same(await faults({ name: 'x', type: 'management', rules: [rule] }), ['permissions'])
  t.same(await faults({ name: 'x', type: 'private', rules: [{}] }), [
    'rules[0].permissions',
    'rules[0].priority',
    'rules[0].transform'
  ])
  t.same(await faults({ name: 'x', type: 'private', destinations: [{ host: 'a.example', methods: 'POST' }] }), [
    'destinations[0]'
  ])
  t.same(await faults({ name: 'x', type: 'private', destinations: ['https://a.example'] }), ['destinations[0]'])
})

t.test('each needs its permission', async (t) => {
  const none = await newCaller({ permissions: ['token:read'] })
  for (const { method, path } of routes) {
    if (path === '/permissions' || path === '/applications/key') continue
    t.equal((await fault(ask(method, path, { json: {} }, none))).status, 403, `${method} ${path}`)
  }
})

t.test('permissions, tenant', async (t) => {
  const listed = JSON.parse(
    (await ask('GET', '/permissions', { query: new URLSearchParams({ application_type: 'public' }) })).body ?? ''
  ) as { type: string }[]
  t.same(
    listed.map(({ type }) => type),
    ['token:create', 'token:update']
  )
  t.match(body(await ask('GET', '/tenants/self')), { id: 'acme', name: 'acme' })
  t.match(body(await ask('PUT', '/tenants/self', { json: { name: 'Acme Inc', settings: { a: 'b' } } })), {
    name: 'Acme Inc',
    settings: { a: 'b' }
  })
  t.match(body(await ask('GET', '/tenants/self')), { name: 'Acme Inc' })
})

t.test('a bound container, and all below it, goes to its destinations only', async (t) => {
  await vault.create(
    all,
    [{ type: 'token', container: '/bound/deep/', data: '"x"', id: 'in-bound', expiresAt: null }],
    't'
  )
  const to = (host: string) => vault.reveal(all, [subject('in-bound')], purpose('proxy', { host }), 1)
  t.ok(await to('anywhere.example'))
  const params = { container: '/bound/' }
  t.equal(
    (await ask('PUT', '/containers/{container}', { params, json: { destinations: ['psp.example'] } })).status,
    200
  )
  await setTimeout(5)
  t.ok(await to('psp.example'))
  t.throws(() => to('anywhere.example'), { code: 'ERR_DESTINATION_FORBIDDEN' })
  t.same(JSON.parse((await ask('GET', '/containers')).body ?? ''), [
    { container: '/bound/', destinations: ['psp.example'] }
  ])
  t.equal((await ask('DELETE', '/containers/{container}', { params })).status, 204)
  await setTimeout(5)
  t.ok(await to('anywhere.example'))
})

t.test('conditions are refused, not passed over', async (t) => {
  const conditions = [{ attribute: 'id', operator: 'equals', value: 'x' }]
  const wanted = (given: unknown) => ({
    name: 'c',
    type: 'private',
    rules: [{ ...rule, conditions: given }]
  })
  const error = await fault(ask('POST', '/applications', { json: wanted(conditions) }))
  t.match(error.fields, { 'rules[0].conditions': [String] })
  t.equal((await ask('POST', '/applications', { json: wanted([]) })).status, 201)
})

t.test('a tenant has no people', async (t) => {
  for (const path of ['/tenants/self/members', '/tenants/self/invitations'])
    t.match(JSON.parse((await ask('GET', path)).body ?? ''), { data: [], pagination: { total_items: 0 } })
  t.match(await fault(ask('POST', '/tenants/self/invitations', { json: { email: 'a@b.example' } })), {
    code: 'ERR_INPUT',
    fields: { email: [String] }
  })
  for (const [method, path] of [
    ['DELETE', '/tenants/self/members/{id}'],
    ['GET', '/tenants/self/invitations/{id}'],
    ['DELETE', '/tenants/self/invitations/{id}'],
    ['POST', '/tenants/self/invitations/{id}/resend']
  ] as const)
    t.equal((await fault(ask(method, path))).code, 'ERR_NOT_FOUND')
})

t.test('the end of a tenant takes all that is its own, and nothing of others', async (t) => {
  const last = await newCaller({ tenant: 'ending' })
  const other = await newCaller({ tenant: 'ending' })
  const neighbour = await newCaller({ tenant: 'ending-2' })
  const token = { type: 'token', container: '/general/high/', data: '"x"', id: 'of-tenant', expiresAt: null }
  for (const caller of [last, neighbour]) await vault.create(caller, [token], 't')
  await vault.tenants.bind(last, '/bound/', ['psp.example'], 't')
  for (const caller of [last, neighbour])
    await vault.shelves.proxies.write(caller, 'p1', `{"key":"of-${caller.tenant}"}`, null, 't')
  const reader = await newCaller({ tenant: 'ending', permissions: ['token:read'] })
  t.equal((await fault(ask('DELETE', '/tenants/self', {}, reader))).code, 'ERR_PERMISSION')
  t.match(JSON.parse((await ask('GET', '/tenants/self/reports/usage', {}, last)).body ?? ''), { total_tokens: 1 })
  t.equal((await ask('DELETE', '/tenants/self', {}, last)).status, 204)
  for (const table of ['tokens', 'index', 'applications', 'bindings', 'settings', 'proxies'] as const)
    t.same(await store.keys(table, { prefix: 'ending:', limit: 9 }), [], table)
  const rows = await store.scan('keys', { prefix: '', limit: 1000 })
  t.notOk(
    rows.some(({ value }) => value.includes('"tenant":"ending"')),
    'nor a row by which a proxy is found'
  )
  t.equal(await vault.shelves.proxies.find('of-ending'), null)
  t.match(await vault.shelves.proxies.find('of-ending-2'), { tenant: 'ending-2' })
  for (const { application } of [last, other, reader]) t.notOk(rows.some(({ value }) => value.includes(application)))
  t.equal((await vault.read(neighbour, 'of-tenant', purpose('read'))).id, 'of-tenant')
  const { entries } = await vault.tenants.log('ending', { entity: 'tenant' }, 0, 9)
  t.match(entries, [{ operation: 'delete', application: last.application }], 'the log stays')
})
