import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { SluiceError } from '../../lib/errors.ts'
import type { Caller } from '../../lib/vault/access.ts'
import { looksLikeApiKey, newApiKey, randomText } from '../../lib/vault/api-key.ts'
import { createMasterKeyFile, newMasterKey, parseMasterKeys, readMasterKeys } from '../../lib/vault/master-key.ts'
import { openLmdb } from '../../lib/vault/stores/lmdb.ts'
import { newKeyMemo, Vault } from '../../lib/vault/vault.ts'
import { newVault, purpose, subject } from '../kit/vault.ts'

const token = (data: string, more: Record<string, unknown> = {}) => ({
  type: 'token',
  container: '/general/high/',
  data,
  expiresAt: null,
  ...more
})

async function codeOf(action: () => unknown): Promise<SluiceError> {
  try {
    await action()
  } catch (thrown) {
    return thrown as SluiceError
  }
  throw new Error('nothing was thrown')
}

const codeIn = (thrown: unknown): string => (thrown as SluiceError).code

for (const seal of ['aes-256-gcm', 'xchacha20-poly1305'] as const) {
  t.test(`${seal}: reveals what was made, in the order asked for, any JSON digit for digit`, async (t) => {
    const { vault, caller: newCaller, close } = await newVault({ seal })
    const caller = await newCaller()
    const datas = ['"plain"', '{"a":[1,2.50,null]}', '12345678901234567890.10', 'true', '"ü€😀"', '""']
    const made = await vault.create(
      caller,
      datas.map((data) => token(data)),
      'trace'
    )
    const why = purpose()
    const ids = made.map(({ id }) => id)
    const found = await vault.reveal(
      caller,
      [...ids, ids[0] as string].map((id) => subject(id)),
      why,
      100
    )
    t.same(
      found.map((one) => one.data.exposeText()),
      [...datas, '"plain"']
    )
    t.same(
      found.map((one) => one.id),
      [...ids, ids[0]]
    )
    t.ok(why.intent > 0)
    t.notMatch(JSON.stringify(found) + String(found[0]?.data), 'plain')
    await close()
  })
}

t.test('creates of one turn: each has its own outcome, and a random id that is taken is drawn again', async (t) => {
  const { vault, caller: newCaller, close } = await newVault()
  t.teardown(close)
  const caller = await newCaller()
  const other = await newCaller({ tenant: 'other' })
  const weak = await newCaller({ permissions: ['token:read'] })
  const [taken] = await vault.create(caller, [token('"first"')], 'trace')
  const draw = crypto.randomUUID
  let draws = 0
  crypto.randomUUID = () => (draws++ === 1 ? (taken?.id as ReturnType<typeof draw>) : draw.call(crypto))
  t.teardown(() => {
    crypto.randomUUID = draw
  })
  const outcomes = await Promise.allSettled([
    vault.create(caller, [token('"a"')], 'trace'),
    vault.create(caller, [token('"b"'), token('"c"')], 'trace'),
    vault.create(weak, [token('"d"')], 'trace'),
    vault.create(other, [token('"e"')], 'trace'),
    vault.create(caller, [token('"f"', { id: 'given' })], 'trace'),
    vault.create(caller, [], 'trace')
  ])
  t.same(
    outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value.length : codeIn(outcome.reason))),
    [1, 2, 'ERR_PERMISSION', 1, 1, 0]
  )
  const made = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []))
  t.equal(new Set([taken?.id, ...made.map(({ id }) => id)]).size, 6)
  for (const { id, tenant, shown } of made) {
    const [found] = await vault.reveal(tenant === 'other' ? other : caller, [subject(id)], purpose(), 1)
    t.equal(found?.data.exposeText(), shown?.exposeText())
  }
  const [first] = await vault.reveal(caller, [subject(taken?.id ?? '')], purpose(), 1)
  t.equal(first?.data.exposeText(), '"first"')
})

t.test('the log shows each create of a turn by itself, newest first', async (t) => {
  const { vault, store, caller: newCaller, close } = await newVault()
  t.teardown(close)
  const [one, two] = [await newCaller(), await newCaller()]
  const create = async (caller: Caller, n: number) => {
    const views = await vault.create(caller, [token('"a"'), token('"b"')].slice(0, 1 + (n % 2)), `trace ${n}`)
    return views.map(({ id }) => ({ id, application: caller.application, traceId: `trace ${n}` }))
  }
  const first = await create(one, 0)
  const before = await store.count('changes', 'acme:')
  const made = await Promise.all(Array.from({ length: 60 }, (_, n) => create(n < 10 ? one : two, n)))
  const expected = [...first, ...made.flat()].reverse()
  t.ok((await store.count('changes', 'acme:')) - before < 15, 'in few rows')
  const log = async (filter: { id?: string }, skip: number, limit: number) => {
    const { entries, total } = await vault.tenants.log('acme', { entity: 'token', ...filter }, skip, limit)
    return { total, entries: entries.map(({ id, application, traceId }) => ({ id, application, traceId })) }
  }
  t.same(await log({}, 0, 100), { total: 91, entries: expected })
  t.same(await log({}, 20, 5), { total: 91, entries: expected.slice(20, 25) })
  const wanted = expected[40] as { id: string }
  t.same(await log({ id: wanted.id }, 0, 9), { total: 1, entries: [wanted] })
  const { entries } = await vault.tenants.log('acme', { id: wanted.id }, 0, 1)
  t.match(entries, [{ entity: 'token', operation: 'create', key: two.keyId, at: Number }])
})

t.test('reveal', async (t) => {
  const { vault, caller: newCaller, close } = await newVault()
  t.teardown(close)
  const caller = await newCaller()
  const other = await newCaller({ tenant: 'other' })
  const user = await newCaller({ permissions: ['token:use', 'token:create'] })
  const reader = await newCaller({ permissions: ['token:read'] })
  await vault.create(caller, [token('"data-one"', { id: 'one' }), token('{"b":2}', { id: 'two' })], 'trace')
  await vault.create(caller, [token('"data-card"', { id: 'card', container: '/pci/high/' })], 'trace')
  await vault.create(caller, [token('"dotted"', { id: 'john@x.com' })], 'trace')

  t.test('the whole subject is tried before its leading parts', async (t) => {
    const found = await vault.reveal(caller, [subject('john@x.com'), subject('two.b')], purpose(), 100)
    t.same(
      found.map(({ id, candidate }) => [id, candidate]),
      [
        ['john@x.com', 0],
        ['two', 1]
      ]
    )
  })

  t.test('all unknown tokens are named at once, another tenant’s among them', async (t) => {
    const error = await codeOf(() =>
      vault.reveal(other, [subject('one'), subject('no-such'), subject('one')], purpose(), 100)
    )
    t.equal(error.code, 'ERR_TOKEN_UNKNOWN')
    t.equal(error.message, 'Failed to detokenize some tokens: one, no-such. Tokens were not found.')
  })

  t.test('unknown comes before forbidden, and forbidden names all', async (t) => {
    const ruled = await newCaller({
      rules: [{ description: '', priority: 1, container: '/pci/', transform: 'reveal', permissions: ['token:use'] }]
    })
    t.equal(
      (await codeOf(() => vault.reveal(ruled, [subject('one'), subject('none')], purpose(), 100))).code,
      'ERR_TOKEN_UNKNOWN'
    )
    const error = await codeOf(() =>
      vault.reveal(ruled, [subject('one'), subject('card'), subject('two')], purpose(), 100)
    )
    t.equal(error.code, 'ERR_TOKEN_FORBIDDEN')
    t.same(error.names, ['one', 'two'])
    t.equal((await vault.reveal(ruled, [subject('card')], purpose(), 100)).length, 1)
  })

  t.test('use is not read, and a plain read is masked', async (t) => {
    t.equal((await vault.reveal(user, [subject('one')], purpose('proxy'), 1)).length, 1)
    for (const door of ['reflect', 'detokenize', 'decrypt'] as const) {
      t.equal(
        (await codeOf(() => vault.reveal(user, [subject('one')], purpose(door), 1))).code,
        'ERR_TOKEN_FORBIDDEN',
        door
      )
      t.equal(
        (await codeOf(() => vault.reveal(reader, [subject('one')], purpose(door), 1))).code,
        'ERR_TOKEN_FORBIDDEN',
        door
      )
    }
    t.equal(
      (await codeOf(() => vault.reveal(reader, [subject('one')], purpose('proxy'), 1))).code,
      'ERR_TOKEN_FORBIDDEN'
    )
  })

  t.test('the limit is on distinct tokens', async (t) => {
    const twice = [subject('two.b'), subject('two'), subject('two')]
    t.equal((await vault.reveal(caller, twice, purpose(), 1)).length, 3)
    t.equal(
      (await codeOf(() => vault.reveal(caller, [subject('one'), subject('two')], purpose(), 1))).code,
      'ERR_TOKEN_LIMIT'
    )
    t.equal(
      (await codeOf(() => vault.reveal(caller, [subject('x'), subject('y')], purpose(), 1))).code,
      'ERR_TOKEN_LIMIT'
    )
  })

  t.test('a bound application reaches its destinations only', async (t) => {
    const bound = await newCaller({ destinations: ['api.psp.example', '*.bank.example'] })
    const to = (host: string) => vault.reveal(bound, [subject('one')], purpose('proxy', { host }), 1)
    t.equal((await to('api.psp.example')).length, 1)
    t.equal((await to('a.b.bank.example')).length, 1)
    for (const host of ['psp.example', 'bank.example', 'evilbank.example', 'api.psp.example.evil.example']) {
      t.equal((await codeOf(() => to(host))).code, 'ERR_DESTINATION_FORBIDDEN', host)
    }
    t.same([bound.mayReach({ host: 'x.bank.example', port: 443, method: 'GET', path: '/' })], [true])
  })

  t.test('a bound token goes to its destinations only', async (t) => {
    const rule = { host: 'psp.example', methods: ['POST'], pathPrefix: '/v1' }
    await vault.create(caller, [token('"x"', { id: 'bound', destinations: [rule] })], 'trace')
    t.equal((await vault.reveal(caller, [subject('bound')], purpose('proxy', { path: '/v1/charges' }), 1)).length, 1)
    for (const to of [{ path: '/v10' }, { path: '/v1', method: 'GET' }, { path: '/v1', host: 'evil.example' }]) {
      const error = await codeOf(() =>
        vault.reveal(caller, [subject('one'), subject('bound')], purpose('proxy', to), 9)
      )
      t.equal(error.code, 'ERR_DESTINATION_FORBIDDEN')
    }
  })

  t.test('the whole token object', async (t) => {
    const [found] = await vault.reveal(caller, [subject('two', 'token')], purpose(), 1)
    t.match(JSON.parse(found?.whole().exposeText() ?? ''), {
      id: 'two',
      tenant_id: 'acme',
      data: { b: 2 },
      containers: ['/general/high/']
    })
  })
})

for (const seal of ['aes-256-gcm', 'xchacha20-poly1305'] as const) {
  t.test(`${seal}: batches of every size, of rows and ids of every kind`, async (t) => {
    const { vault, caller: newCaller, close } = await newVault({ seal })
    t.teardown(close)
    const callers = [await newCaller(), await newCaller({ tenant: 'an-other-tenant' })]
    const made = (id: string, data: string, more = {}) => ({ ...token(data, more), id })
    const kinds = [
      (n: number) => made(`short-${n}`, `"short ${n}"`),
      (n: number) => made(`jösé-${n}@x`, `"wide € ${n}"`, { container: '/pii/low/' }),
      (n: number) => made(`say "${n}"`, `"quoted ${n}"`),
      (n: number) => made(`long-${n}`, `"${'long '.repeat(2000)}${n}"`),
      (n: number) => made(`noted-${n}`, `"noted ${n}"`, { metadata: { note: 'n'.repeat(5000) } }),
      (n: number) => made(`card-${n}`, `{"number":"4242424242424242","cvc":"${100 + n}"}`, { type: 'card' }),
      (n: number) => made('i'.repeat(300) + n, `"${n}"`, { destinations: ['psp.example'] })
    ]
    for (const caller of callers) {
      for (let n = 0; n < 3; n++) {
        await vault.create(
          caller,
          kinds.map((kind) => kind(n)),
          't'
        )
      }
    }
    const all = kinds.flatMap((kind) => [kind(0), kind(1), kind(2)])
    let earlier: { object: () => string; text: string } | undefined
    for (let size = 1; size <= all.length; size++) {
      const caller = callers[size % 2] as Caller
      const asked = Array.from({ length: size }, (_, at) => all[(at * 5 + size) % all.length] as (typeof all)[0])
      const subjects = asked.map(({ id }, at) => subject(id, at % 3 === 0 ? 'token' : 'data'))
      const found = await vault.reveal(caller, subjects, purpose('proxy', { host: 'psp.example' }), 100)
      t.same(
        found.map(({ data }) => JSON.parse(data.exposeText())),
        asked.map(({ data }) => JSON.parse(data))
      )
      t.equal(earlier?.object(), earlier?.text, 'what the batch before found is still the same')
      const object = () => found[0]?.whole().exposeText() ?? ''
      earlier = { object, text: object() }
      t.match(JSON.parse(earlier.text), { id: asked[0]?.id, tenant_id: caller.tenant })
      if (size > 1) t.throws(() => found[1]?.whole(), { code: 'ERR_INTERNAL' }, 'of which only the data was asked for')
    }
  })
}

t.test('an expired token is unknown everywhere', async (t) => {
  let now = Date.now()
  const { vault, caller: newCaller, close } = await newVault({ now: () => now })
  const caller = await newCaller()
  await vault.create(caller, [token('"x"', { id: 'short', expiresAt: now + 1000 })], 'trace')
  t.equal((await vault.reveal(caller, [subject('short')], purpose(), 1)).length, 1)
  now += 1000
  t.equal((await codeOf(() => vault.reveal(caller, [subject('short')], purpose(), 1))).code, 'ERR_TOKEN_UNKNOWN')
  t.equal((await codeOf(() => vault.read(caller, 'short', purpose('read')))).code, 'ERR_NOT_FOUND')
  t.equal((await codeOf(() => vault.delete(caller, 'short', 'trace'))).code, 'ERR_NOT_FOUND')
  await close()
})

t.test('keys', async (t) => {
  const { vault, store, caller: newCaller, close } = await newVault()
  t.teardown(close)

  t.test('a key authenticates until it is revoked, kept connections included', async (t) => {
    const { id, key } = await vault.createKey({ name: 'till', permissions: ['token:use'], tenant: 'acme' })
    const memo = newKeyMemo()
    const caller = await vault.authenticate(key, memo)
    t.match(caller, { tenant: 'acme', keyId: id, type: 'private', name: 'till', live: false })
    t.equal(vault.authenticate(key, memo), caller, 'remembered, at once')
    t.match(await vault.listKeys(), [{ id, name: 'till', permissions: ['token:use'] }])
    await vault.revokeKey(id)
    await setTimeout(5)
    t.equal((await codeOf(() => vault.authenticate(key, memo))).code, 'ERR_AUTH_INVALID')
    t.equal((await codeOf(() => vault.authenticate(key, newKeyMemo()))).code, 'ERR_AUTH_INVALID')
    t.equal((await codeOf(() => vault.revokeKey(id))).code, 'ERR_NOT_FOUND')
  })

  t.test('a wrong key on a connection that knew a right one', async (t) => {
    const { key } = await vault.createKey({ name: 'a', permissions: ['token:use'], tenant: 'acme' })
    const memo = newKeyMemo()
    await vault.authenticate(key, memo)
    for (const wrong of ['', 'x', `${key}x`, key.slice(0, -1), newApiKey(randomText(16), 'private', false)]) {
      t.equal((await codeOf(() => vault.authenticate(wrong, memo))).code, 'ERR_AUTH_INVALID')
    }
    t.ok(await vault.authenticate(key, memo))
  })

  t.test('only a right checksum makes a key ours', (t) => {
    for (const type of ['private', 'public', 'management'] as const) {
      const key = newApiKey(randomText(16), type, true)
      t.match(key, /^key_live_(pvt|pub|mgt)_\w{16}\.\w{49}$/)
      t.ok(looksLikeApiKey(key))
      const at = 12 + Math.floor(Math.random() * (key.length - 12))
      const swapped = key.slice(0, at) + (key[at] === 'A' ? 'B' : 'A') + key.slice(at + 1)
      t.notOk(looksLikeApiKey(swapped), 'one character off')
    }
    t.notOk(vault.looksLikeOurs('sk_live_4242'))
    t.end()
  })

  t.test('everything but the head: *', async (t) => {
    const caller = await newCaller()
    t.equal(caller.allows('token:read', '/pci/high/'), 'reveal')
    t.notOk(caller.holds('token:use:head'))
    t.ok(caller.holds('proxy:invoke'))
  })

  t.test('older spellings are rules', async (t) => {
    const caller = await newCaller({ permissions: ['token:pci:read:low', 'token:bank:use:proxy', 'card:use'] })
    t.equal(caller.allows('token:read', '/pci/low/'), 'reveal')
    t.equal(caller.allows('token:read', '/pci/high/'), 'mask')
    t.equal(caller.allows('token:read', '/bank/high/'), null)
    t.equal(caller.allows('token:use', '/bank/high/'), 'reveal')
    t.equal(caller.allows('token:use', '/pci/high/'), 'reveal')
    t.equal(caller.allows('token:use', '/pii/high/'), null)
  })

  t.test('the first rule that matches, by priority', async (t) => {
    const rule = (priority: number, container: string, transform: 'reveal' | 'mask') => ({
      description: '',
      priority,
      container,
      transform,
      permissions: ['token:read']
    })
    const caller = await newCaller({
      rules: [rule(2, '/', 'mask'), rule(1, '/pci/', 'reveal')],
      permissions: ['token:use', 'proxy:invoke']
    })
    t.equal(caller.allows('token:read', '/pci/high/'), 'reveal')
    t.equal(caller.allows('token:read', '/pcix/'), 'mask')
    t.equal(caller.allows('token:use', '/pci/'), null, 'with rules, they alone decide about tokens')
    t.notOk(caller.holds('token:use'))
    t.ok(caller.holds('proxy:invoke'))
  })

  t.test('grants that are not acceptable are named by field', async (t) => {
    const error = await codeOf(() =>
      vault.createKey({ name: '', permissions: ['token:everything'], tenant: 'acme', destinations: ['10.0.0.1:99999'] })
    )
    t.equal(error.code, 'ERR_INPUT')
    t.same(Object.keys(error.fields ?? {}).sort(), ['destinations[0]', 'name', 'permissions'])
  })

  t.test('the store holds no key, and a changed row is refused', async (t) => {
    const { key } = await vault.createKey({ name: 'mac', permissions: ['token:read'], tenant: 'acme' })
    for (const table of ['keys', 'applications'] as const) {
      for (const row of await store.scan(table, { prefix: '', limit: 1000 })) {
        t.notMatch(row.value.toString('latin1') + row.key, key.slice(-49))
      }
    }
    const mac = (await vault.applications.list('acme')).find((application) => application.name === 'mac')
    const name = `acme:${mac?.id}`
    const [row] = await store.load('applications', [name])
    const forged = Buffer.from((row as Buffer).toString('latin1').replace('token:read', 'token:use '), 'latin1')
    await store.write({ changes: [{ table: 'applications', key: name, value: forged }] })
    t.equal((await codeOf(() => vault.authenticate(key, newKeyMemo()))).code, 'ERR_INTERNAL')
  })
})

t.test('the master key', async (t) => {
  const first = await newVault()
  const caller = await first.caller()
  await first.vault.create(caller, [token('"x"', { id: 'kept' })], 'trace')
  const { directory, masterKey } = first
  await first.vault.close()
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))

  t.test('a wrong one stops, and changes nothing', async (t) => {
    const store = openLmdb(join(directory, 'store'))
    const before = await store.scan('keyring', { prefix: '', limit: 100 })
    const auditDirectory = join(directory, 'audit')
    const masterKeys = parseMasterKeys(newMasterKey())
    const error = await codeOf(() => Vault.open({ store, masterKeys, seal: 'aes-256-gcm', auditDirectory }))
    t.equal(error.code, 'ERR_CONFIG')
    t.match(error.message, /master key/)
    t.same(await store.scan('keyring', { prefix: '', limit: 100 }), before)
    await store.close()
  })

  t.test('further lines of the file unwrap, the first wraps', async (t) => {
    const again = await newVault({ directory, masterKey: newMasterKey() + masterKey })
    const reader = await again.caller()
    const [found] = await again.vault.reveal(reader, [subject('kept')], purpose(), 1)
    t.equal(found?.data.exposeText(), '"x"')
    await again.vault.close()
  })

  t.test('a keyring that is gone is not made anew over data', async (t) => {
    const store = openLmdb(join(directory, 'store'))
    const rows = await store.scan('keyring', { prefix: '', limit: 100 })
    await store.write({ changes: rows.map(({ key }) => ({ table: 'keyring' as const, key, value: null })) })
    const masterKeys = parseMasterKeys(masterKey)
    const error = await codeOf(() => Vault.open({ store, masterKeys, seal: 'aes-256-gcm', auditDirectory: directory }))
    t.equal(error.code, 'ERR_CONFIG')
    t.equal(await store.count('keyring', ''), 0)
    await store.close()
  })

  t.test('its file', async (t) => {
    const path = join(directory, 'master.key')
    t.throws(() => readMasterKeys(path), { code: 'ERR_CONFIG' })
    createMasterKeyFile(path)
    t.equal(readMasterKeys(path).length, 1)
    t.throws(() => createMasterKeyFile(path), { code: 'ERR_CONFIG' }, 'never overwritten')
    writeFileSync(path, '# old\n\nc2hvcnQ=\n')
    t.throws(() => readMasterKeys(path), { code: 'ERR_CONFIG', message: /Line 3/ })
    t.throws(() => parseMasterKeys(''), { code: 'ERR_CONFIG' })
  })
})

t.test('audit', async (t) => {
  const { vault, auditDirectory, store, caller: newCaller, close } = await newVault()
  t.teardown(close)
  const caller: Caller = await newCaller()
  await vault.create(caller, [token('"secret-value"', { id: 'audited' })], 'trace')
  const lines = () =>
    readdirSync(auditDirectory).flatMap((name) => readFileSync(join(auditDirectory, name), 'utf8').trim().split('\n'))

  t.test('the intent is with the kernel before anything is released, and one write takes a whole turn', async (t) => {
    const reason = { ...purpose(), reason: 'chargeback for 4242 4242 4242 4242' }
    await vault.reveal(caller, [subject('audited')], reason, 1)
    let seen = ''
    await new Promise<void>((resolve, reject) => {
      vault.release({
        released: () => {
          seen = lines().join('\n')
          resolve()
        },
        refused: reject
      })
    })
    t.match(seen, '"door":"proxy"')
    t.match(seen, '"tokens":["audited"]')
    t.match(seen, '"to":"psp.example:443"')
    t.match(seen, '"trace":"trace-1"')
    t.match(seen, 'chargeback for «number»')
    t.notMatch(seen, 'secret-value')
    vault.outcome(reason.intent, 'answered 200')
    await vault.released()
    t.match(lines().at(-1) ?? '', `{"of":${reason.intent},`)
    for (const line of lines()) t.ok(JSON.parse(line))
  })

  t.test('what was refused is written too', async (t) => {
    const user = await newCaller({ permissions: ['token:read'] })
    await codeOf(() => vault.reveal(user, [subject('audited')], purpose(), 1))
    await vault.released()
    t.match(lines().at(-1) ?? '', '"refused":"ERR_TOKEN_FORBIDDEN"')
  })

  t.test('closing seals and anchors the chain', async (t) => {
    const other = await newVault()
    const reader = await other.caller()
    await other.vault.create(reader, [token('"x"', { id: 'aaa' })], 'trace')
    await other.vault.reveal(reader, [subject('aaa')], purpose(), 1)
    await other.vault.close()
    const [name = ''] = readdirSync(other.auditDirectory)
    t.match(
      readFileSync(join(other.auditDirectory, name), 'utf8'),
      /\{"seal":1,"n":2,"bytes":\d+,"mac":"[\w-]{43}"\}\n$/
    )
    const reopened = openLmdb(join(other.directory, 'store'))
    t.equal(await reopened.count('anchors', ''), 1)
    await reopened.close()
    rmSync(other.directory, { recursive: true })
  })

  t.test('when it cannot be written nothing is released', async (t) => {
    const blocked = await newVault()
    const reader = await blocked.caller()
    await blocked.vault.create(reader, [token('"x"', { id: 'aaa' })], 'trace')
    const again = { directory: blocked.directory, masterKey: blocked.masterKey }
    await blocked.vault.close()
    rmSync(blocked.auditDirectory, { recursive: true })
    writeFileSync(blocked.auditDirectory, 'a file where the directory should be')
    const { vault: mute, close: shut } = await newVault(again)
    await mute.reveal(reader, [subject('aaa')], purpose(), 1)
    await t.rejects(mute.released(), { code: 'ERR_AUDIT_UNAVAILABLE' })
    await t.rejects(mute.create(reader, [token('"y"')], 'trace'), { code: 'ERR_AUDIT_UNAVAILABLE' })
    rmSync(blocked.auditDirectory)
    await mute.reveal(reader, [subject('aaa')], purpose(), 1)
    await mute.released()
    t.equal(readdirSync(blocked.auditDirectory).length, 1, 'and it heals')
    await shut()
    rmSync(blocked.directory, { recursive: true })
  })

  t.equal(await store.count('changes', 'acme:'), 2, 'a change is a row of the store')
})
