import { BasisTheoryClient, type BasisTheoryError, BasisTheory as Api } from '@basis-theory/node-sdk'
import { BasisTheory } from '@basis-theory/basis-theory-js'
import t from 'tap'
import { newProxy } from '../kit/proxy.ts'

/**
 * The vendor's own SDKs as judges of a Sluice with these settings: every call of theirs on tokens, applications, keys,
 * permissions, tenants and logs.
 */
export async function judgeBySdks(settings: Record<string, object> = {}): Promise<void> {
  const proxy = await newProxy(settings)
  t.teardown(() => proxy.close())
  const url = `http://localhost:${proxy.port}`
  const node = new BasisTheoryClient({ apiKey: proxy.key, environment: url, maxRetries: 0 })
  const js = await new BasisTheory().init(proxy.key, { apiBaseUrl: url, disableTelemetry: true })
  const number = '4242424242424242'

  t.test('node-sdk: a token from its making to its end', async (t) => {
    const made = await node.tokens.create({
      type: 'card',
      data: { number, expiration_month: 12, expiration_year: 2030, cvc: '123' },
      metadata: { user: '7' },
      containers: ['/pci/sdk/'],
      expiresAt: '2090-01-01T00:00:00Z'
    })
    t.match(made, {
      type: 'card',
      tenantId: 'default',
      containers: ['/pci/sdk/'],
      metadata: { user: '7' },
      fingerprintExpression: '{{ data.number }}'
    })
    t.ok(made.createdAt instanceof Date && made.expiresAt instanceof Date)
    const id = made.id ?? ''
    t.match(await node.tokens.get(id), { id, data: { number } })
    t.match(await node.tokens.update(id, { data: { expiration_month: 1 }, metadata: { more: 'x' } }), {
      data: { number, expiration_month: 1, cvc: '123' },
      metadata: { user: '7', more: 'x' }
    })
    const odd = "a b'c:é@x.com"
    await node.tokens.create({ id: odd, data: 'x' })
    t.equal((await node.tokens.get(odd)).data, 'x', 'an id that must be encoded')
    await node.tokens.delete(id)
    t.equal((await failure(node.tokens.get(id))).statusCode, 404)
  })

  t.test('node-sdk: lists and searches, page after page', async (t) => {
    for (let n = 0; n < 5; n++)
      await node.tokens.create({
        type: 'social_security_number',
        data: `123-45-67${80 + n}`,
        metadata: { batch: 'sdk' }
      })
    const seen: string[] = []
    for await (const token of await node.tokens.listV2({ metadata: { batch: 'sdk' }, size: 2 }))
      seen.push(token.id ?? '')
    t.equal(new Set(seen).size, 5)
    const found: unknown[] = []
    for await (const token of await node.tokens.searchV2({ query: 'data:6782' })) found.push(token.data)
    t.same(found, ['123-45-6782'])
    const typed = await node.tokens.listV2({ type: 'social_security_number', container: '/pii/' })
    t.equal(typed.data.length, 5)
  })

  t.test('node-sdk: tokenize and detokenize', async (t) => {
    const made = (await node.tokens.tokenize({ name: 'John', card: { type: 'card', data: { number } } })) as {
      name: string
      card: { id: string; tenant_id: string }
    }
    t.equal(made.card.tenant_id, 'default', 'untouched')
    t.same(await node.tokens.detokenize({ who: `{{ ${made.name} }}`, n: `{{ ${made.card.id} | json: '$.number' }}` }), {
      who: 'John',
      n: number
    })
  })

  t.test('node-sdk: errors have their classes', async (t) => {
    const bad = await failure(node.tokens.create({ type: 'card', data: { number: '1' } }))
    t.ok(bad instanceof Api.BadRequestError)
    t.match(bad.body, { errors: { 'data.number': [String] }, status: 400 })
    t.ok((await failure(node.tokens.get('no-such-token'))) instanceof Api.NotFoundError)
    await node.tokens.create({ id: 'taken-id', data: 'x' })
    t.ok((await failure(node.tokens.create({ id: 'taken-id', data: 'x' }))) instanceof Api.ConflictError)
    const stranger = new BasisTheoryClient({ apiKey: 'wrong', environment: url, maxRetries: 0 })
    t.ok((await failure(stranger.tokens.get('x'))) instanceof Api.UnauthorizedError)
    const weak = new BasisTheoryClient({
      apiKey: await proxy.newKey(['token:create']),
      environment: url,
      maxRetries: 0
    })
    t.ok((await failure(weak.tokens.get('taken-id'))) instanceof Api.ForbiddenError)
    t.ok((await failure(node.tokens.searchV2({ query: 'nonsense' }))) instanceof Api.BadRequestError)
  })

  t.test('node-sdk: applications and keys', async (t) => {
    const made = await node.applications.create({
      name: 'sdk app',
      type: 'private',
      permissions: ['token:create', 'token:read']
    })
    const id = made.id ?? ''
    t.match(made.key, /^key_test_pvt_/)
    const own = new BasisTheoryClient({ apiKey: made.key ?? '', environment: url, maxRetries: 0 })
    t.equal((await own.applications.getByKey()).id, id)
    t.match(await node.applications.get(id), { name: 'sdk app', permissions: ['token:create', 'token:read'] })
    const rules = [
      { description: 'r', priority: 1, container: '/pci/', transform: 'reveal' as const, permissions: ['token:use'] }
    ]
    t.match(await node.applications.update(id, { name: 'renamed', rules }), { name: 'renamed', rules })
    const key = await node.applicationKeys.create(id)
    t.equal((await node.applicationKeys.list(id)).length, 2)
    t.equal((await node.applicationKeys.get(id, key.id ?? '')).id, key.id)
    await node.applicationKeys.delete(id, key.id ?? '')
    t.equal((await node.applicationKeys.list(id)).length, 1)
    const names: unknown[] = []
    for await (const application of await node.applications.list({ size: 1 })) names.push(application.name)
    t.ok(names.includes('renamed'), 'an iteration comes to its end')
    await node.applications.delete(id)
    t.ok((await failure(own.applications.getByKey())) instanceof Api.UnauthorizedError)
  })

  t.test('node-sdk: tenant, permissions, logs', async (t) => {
    t.equal((await node.tenants.self.get()).id, 'default')
    t.ok(((await node.tenants.self.getUsageReports()).totalTokens ?? 0) > 0)
    t.same((await node.tenants.members.list()).data, [])
    t.same((await node.tenants.invitations.list()).data, [])
    t.equal((await node.tenants.self.update({ name: 'Mine' })).name, 'Mine')
    const permissions = await node.permissions.list({ applicationType: 'public' })
    t.same(
      permissions.map(({ type }) => type),
      ['token:create', 'token:update']
    )
    const operations: unknown[] = []
    for await (const entry of await node.logs.list({ entityType: 'tenant' })) operations.push(entry.operation)
    t.same(operations, ['update'])
    t.ok((await node.logs.getEntityTypes()).length > 3)
  })

  t.test('basis-theory-js: tokens', async (t) => {
    const made = await js.tokens.create({
      type: 'token',
      data: { plain_Key: 1 },
      mask: { cardNumber: 'X' },
      metadata: { user_id: '34' },
      searchIndexes: ['{{ data.plain_Key }}']
    })
    t.match(made, { type: 'token', data: { plain_Key: 1 }, metadata: { user_id: '34' } })
    t.match(await js.tokens.retrieve(made.id), { id: made.id })
    t.match(await js.tokens.update(made.id, { data: { plain_Key: 2 } }), { data: { plain_Key: 2 } })
    const listed = await js.tokens.list({ metadata: { user_id: '34' }, page: 1, size: 5 })
    t.match(listed, {
      pagination: { totalItems: 1, pageNumber: 1, pageSize: 5, totalPages: 1 },
      data: [{ id: made.id }]
    })
    t.equal((await js.tokens.search({ query: 'metadata.user_id:34' })).data.length, 1)
    t.match(await js.tokenize({ a: 'b' }), { a: /^[0-9a-f-]{36}$/ })
    await js.tokens.delete(made.id)
    const error = await failure(js.tokens.retrieve(made.id))
    t.equal((error as unknown as { status: number }).status, 404)
  })

  t.test('basis-theory-js: applications, keys, tenant, permissions, logs', async (t) => {
    const made = await js.applications.create({ name: 'js app', type: 'private', permissions: ['token:read'] })
    t.match((await js.applications.regenerateKey(made.id)).keys?.[0]?.key, /^key_/)
    t.match(await js.applications.retrieve(made.id), { name: 'js app' })
    t.match(await js.applications.update(made.id, { name: 'js app 2', permissions: ['token:read'] }), {
      name: 'js app 2'
    })
    t.ok(((await js.applications.list()) as { data: unknown[] }).data.length > 0)
    const key = await js.applicationKeys.create(made.id)
    t.ok((await js.applicationKeys.get(made.id)).length > 0)
    t.equal((await js.applicationKeys.getById(made.id, key.id ?? '')).id, key.id)
    const own = await new BasisTheory().init(key.key ?? '', { apiBaseUrl: url, disableTelemetry: true })
    t.equal((await own.applications.retrieveByKey()).id, made.id)
    await js.applicationKeys.delete(made.id, key.id ?? '')
    t.equal(
      (await js.applicationKeys.get(made.id)).some(({ id }) => id === key.id),
      false
    )
    await js.applications.delete(made.id)
    t.equal((await js.tenants.retrieve()).id, 'default')
    t.equal((await js.tenants.update({ name: 'Theirs' })).name, 'Theirs')
    t.ok((await js.tenants.retrieveUsageReport()).totalTokens > 0)
    t.same((await js.tenants.listMembers()).data, [])
    t.same((await js.tenants.listInvitations()).data, [])
    t.ok((await js.permissions.list()).length > 10)
    t.ok(((await js.logs.list()) as { data: unknown[] }).data.length > 0)
  })

  t.test('both: a tenant and its end', async (t) => {
    for (const sdk of ['node-sdk', 'basis-theory-js']) {
      const tenant = `ends-${sdk}`
      const key = await proxy.newKey(['*'], { tenant })
      const client = new BasisTheoryClient({ apiKey: key, environment: url, maxRetries: 0 })
      await client.tokens.create({ id: 'of-this-tenant', data: 'x' })
      if (sdk === 'node-sdk') await client.tenants.self.delete()
      else await (await new BasisTheory().init(key, { apiBaseUrl: url, disableTelemetry: true })).tenants.delete()
      t.ok((await failure(client.tokens.get('of-this-tenant'))) instanceof Api.UnauthorizedError, sdk)
      const next = new BasisTheoryClient({
        apiKey: await proxy.newKey(['*'], { tenant }),
        environment: url,
        maxRetries: 0
      })
      t.ok((await failure(next.tokens.get('of-this-tenant'))) instanceof Api.NotFoundError, 'its tokens are gone')
    }
  })
}

async function failure(asked: Promise<unknown>): Promise<BasisTheoryError> {
  return asked.then(
    () => {
      throw new Error('not refused')
    },
    (error: unknown) => error as BasisTheoryError
  )
}
