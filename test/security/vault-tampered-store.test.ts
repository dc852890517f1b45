/**
 * The attack: somebody can write to the store, through its backup, its disk or its database, and has no master key. They
 * hold a key of their own that may read some harmless container, and move what they want to see to where they may see
 * it: another id, another tenant, another container. Or they lift a token's bindings, its expiry, widen its mask, give
 * their application more rights, or put a revoked key back.
 */
import t from 'tap'
import type { SluiceError } from '../../lib/errors.ts'
import type { Change, Table } from '../../lib/vault/store.ts'
import { newKeyMemo } from '../../lib/vault/vault.ts'
import { newVault, purpose, subject } from '../kit/vault.ts'

const { vault, store, caller: newCaller, close } = await newVault()
t.teardown(close)
const owner = await newCaller()
const thief = await newCaller({ tenant: 'thief' })
const token = (id: string, more: object = {}) => ({
  id,
  type: 'token',
  container: '/pci/high/',
  data: `"marked ${id}"`,
  expiresAt: null,
  ...more
})
const card = (id: string, cvc: string) => ({
  ...token(id),
  type: 'card',
  data: `{"number":"4242424242424242","cvc":"${cvc}"}`
})
await vault.create(
  owner,
  [
    token('victim'),
    token('other-id'),
    token('bound', { destinations: ['psp.example'] }),
    token('masked', { mask: 'XX' })
  ],
  't'
)
await vault.create(
  owner,
  [token('mortal', { expiresAt: Date.now() + 3_600_000 }), card('card-1', '111'), card('card-2', '222')],
  't'
)
await vault.create(thief, [token('mine')], 't')

const row = async (table: Table, key: string) => (await store.load(table, [key]))[0] as Buffer
const put = (table: Table, key: string, value: Buffer): Promise<unknown> =>
  store.write({ changes: [{ table, key, value } satisfies Change] })

async function readFails(
  t: Tap,
  caller: Awaited<ReturnType<typeof newCaller>>,
  id: string,
  why: string
): Promise<void> {
  for (const door of ['proxy', 'detokenize'] as const) {
    try {
      const [found] = await vault.reveal(caller, [subject(id)], purpose(door), 1)
      t.fail(`${why}: ${door} gave ${found?.data.exposeText()}`)
    } catch (thrown) {
      const { code, message } = thrown as SluiceError
      t.equal(code, 'ERR_INTERNAL', why)
      t.notMatch(message, 'marked')
    }
  }
}
type Tap = Pick<typeof t, 'fail' | 'equal' | 'notMatch'>

t.test('a record does not open anywhere but where it was made', async (t) => {
  const victim = await row('tokens', 'acme:victim')
  await put('tokens', 'acme:moved', victim)
  await readFails(t, owner, 'moved', 'under another id')
  await put('tokens', 'thief:victim', victim)
  await readFails(t, thief, 'victim', 'in another tenant')
  await put('tokens', 'thief:mine', victim)
  await readFails(t, thief, 'mine', 'in place of another')
})

t.test('no byte of a record can be changed', async (t) => {
  const before = await row('tokens', 'acme:other-id')
  let opened = 0
  for (let at = 0; at < before.length; at++) {
    const changed = Buffer.from(before)
    changed[at] = (changed[at] ?? 0) ^ 0x01
    await put('tokens', 'acme:other-id', changed)
    try {
      await vault.reveal(owner, [subject('other-id')], purpose(), 1)
      opened++
    } catch {}
  }
  t.equal(opened, 0, `${before.length} bytes`)
})

t.test('container, binding, mask and expiry are part of the seal', async (t) => {
  const changes = [
    ['victim', '/pci/high/', '/pub/high/'],
    ['bound', 'psp.example', 'bad.example'],
    ['bound', '"destinations":', '"xestinations":'],
    ['masked', '"mask":"XX"', '"mask":"{}"']
  ] as const
  for (const [id, from, to] of changes) {
    const before = await row('tokens', `acme:${id}`)
    await put('tokens', `acme:${id}`, Buffer.from(before.toString('latin1').replace(from, to), 'latin1'))
    const destination = { host: id === 'bound' ? 'bad.example' : 'psp.example' }
    const error = await Promise.resolve()
      .then(() => vault.reveal(owner, [subject(id)], purpose('proxy', destination), 1))
      .then(
        () => null,
        (thrown: unknown) => thrown as SluiceError
      )
    t.ok(error !== null && ['ERR_INTERNAL', 'ERR_DESTINATION_FORBIDDEN'].includes(error.code), `${from} → ${to}`)
    await put('tokens', `acme:${id}`, before)
  }
  const mortal = await row('tokens', 'acme:mortal')
  const immortal = Buffer.from(mortal)
  immortal.fill(0, 8, 14)
  await put('tokens', 'acme:mortal', immortal)
  await readFails(t, owner, 'mortal', 'without its expiry')
})

t.test('a cvc does not pass to another card, and its day is part of its seal', async (t) => {
  const [one, two] = [await row('tokens', 'acme:card-1'), await row('tokens', 'acme:card-2')]
  t.equal(one.length, two.length)
  const tail = 7 + 5 + 12 + '"111"'.length + 16
  await put('tokens', 'acme:card-1', Buffer.concat([one.subarray(0, -tail), two.subarray(-tail)]))
  await readFails(t, owner, 'card-1', 'the cvc of another card')
  const later = Buffer.from(one)
  later.writeUIntBE(Date.now() + 1_000_000_000, later.length - tail + 1, 6)
  await put('tokens', 'acme:card-1', later)
  await readFails(t, owner, 'card-1', 'a later day')
})

t.test('an application cannot be given more, nor taken for another', async (t) => {
  const { key } = await vault.createKey({ name: 'weak', permissions: ['token:create'], tenant: 'acme' })
  const weak = (await vault.applications.list('acme')).find(({ name }) => name === 'weak')
  const strong = await row('applications', `acme:${owner.application}`)
  const before = await row('applications', `acme:${weak?.id}`)
  await put('applications', `acme:${weak?.id}`, strong)
  t.throws(() => vault.authenticate(key, newKeyMemo()), { code: 'ERR_INTERNAL' }, 'another application in its place')
  await put('applications', `acme:${weak?.id}`, before)
  const { id, key: second } = await vault.createKey({ name: 'second', permissions: ['token:read'], tenant: 'acme' })
  const digests = await store.scan('keys', { prefix: '', limit: 100 })
  const mine = digests.find(({ value }) => value.includes(id))
  const others = digests.find(({ value }) => value.includes(owner.keyId))
  await put('keys', mine?.key ?? '', others?.value ?? Buffer.alloc(0))
  t.throws(() => vault.authenticate(second, newKeyMemo()), { code: 'ERR_INTERNAL' }, 'another key’s row in its place')
})

t.test('a revoked key that is put back finds nobody', async (t) => {
  const { id, key } = await vault.createKey({ name: 'revoked', permissions: ['token:read'], tenant: 'acme' })
  const before = (await store.scan('keys', { prefix: '', limit: 100 })).find(({ value }) => value.includes(id))
  await vault.revokeKey(id)
  await put('keys', before?.key ?? '', before?.value ?? Buffer.alloc(0))
  t.throws(() => vault.authenticate(key, newKeyMemo()), { code: 'ERR_AUTH_INVALID' })
})

t.test('bindings of containers cannot be forged', async (t) => {
  await vault.tenants.bind(owner, '/forged/', ['psp.example'], 't')
  const before = await row('bindings', 'acme:/forged/')
  await put(
    'bindings',
    'acme:/forged/',
    Buffer.from(before.toString('latin1').replace('psp.example', 'bad.example'), 'latin1')
  )
  await t.rejects(vault.tenants.bindings('acme'), { code: 'ERR_INTERNAL' })
})

t.test('one spoiled application does not hide the others’ keys, nor keep them from being revoked', async (t) => {
  const { id, key } = await vault.createKey({ name: 'leaked', permissions: ['token:use'], tenant: 'acme' })
  const spoilt = (await vault.applications.list('acme')).find(({ name }) => name === 'second')
  const before = await row('applications', `acme:${spoilt?.id}`)
  await put('applications', `acme:${spoilt?.id}`, Buffer.from('not ours'))
  const told: string[] = []
  const listed = await vault.listKeys((application) => told.push(application))
  t.ok(listed.some((each) => each.id === id))
  t.same(told, [spoilt?.id], 'and is told of')
  await vault.revokeKey(id, (application) => told.push(application))
  t.throws(() => vault.authenticate(key, newKeyMemo()), { code: 'ERR_AUTH_INVALID' })
  t.equal(told.length, 2)
  await put('applications', `acme:${spoilt?.id}`, before)
})
