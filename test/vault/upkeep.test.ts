import {
  appendFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { Caller } from '../../lib/vault/access.ts'
import { newMasterKey, parseMasterKeys } from '../../lib/vault/master-key.ts'
import type { Revision } from '../../lib/vault/tokens.ts'
import type { Vault } from '../../lib/vault/vault.ts'
import { newVault, purpose, subject, type TestVault } from '../kit/vault.ts'

const card = (id: string, more: object = {}) => ({
  id,
  type: 'card',
  container: '/pci/high/',
  data: '{"number":"4242424242424242","cvc":"123"}',
  expiresAt: null,
  ...more
})

async function dataOf(vault: Vault, caller: Caller, id: string): Promise<string> {
  const [found] = await vault.reveal(caller, [subject(id)], purpose(), 1)
  return found?.data.exposeText() ?? ''
}

const made: TestVault[] = []
t.teardown(() => {
  for (const { directory } of made) rmSync(directory, { recursive: true, force: true })
})
async function open(options: Parameters<typeof newVault>[0] = {}): Promise<TestVault> {
  const vault = await newVault(options)
  made.push(vault)
  return vault
}

t.test('keys are rotated and tokens sealed anew while the vault is used', async (t) => {
  const one = await open()
  const caller = await one.caller()
  const old = Array.from({ length: 450 }, (_, n) => card(`old-${n}`))
  await one.vault.create(caller, old, 't')
  const before = (await one.vault.listRing()).filter(({ kind }) => kind === 'data')
  t.equal(before.length, 1)
  t.equal(await one.vault.rotate(), 1)
  await one.caller()
  await one.vault.create(caller, [card('newer')], 't')
  const after = (await one.vault.listRing()).filter(({ kind }) => kind === 'data')
  t.equal(after.length, 2)
  t.equal(after.filter(({ retired }) => retired !== null).length, 1)
  const seen: number[] = []
  const rewrapping = one.vault.rewrap(({ sealed }) => {
    seen.push(sealed)
  })
  const touch: Revision = ({ header, data }) => ({
    draft: { ...header, ...header.rest, data: JSON.stringify(data), mask: null },
    keepsData: false,
    isReading: false
  })
  await Promise.all(old.slice(0, 50).map(({ id }) => one.vault.update(caller, id, touch, 't')))
  const progress = await rewrapping
  t.ok(progress.sealed > 300 && progress.sealed <= 450, `${progress.sealed} sealed anew`)
  t.same(
    seen,
    [...seen].sort((a, b) => a - b),
    'progress'
  )
  t.equal((await one.vault.rewrap(() => {})).sealed, 0, 'nothing is left')
  t.equal(await dataOf(one.vault, caller, 'old-449'), '{"number":"4242424242424242","cvc":"123"}')
  await one.vault.close()
})

t.test('the master key is changed', async (t) => {
  const one = await open()
  const caller = await one.caller()
  await one.vault.create(caller, [card('kept')], 't')
  await one.vault.close()
  const next = newMasterKey()
  const both = await open({ directory: one.directory, masterKey: next + one.masterKey })
  t.ok((await both.vault.rewrap(() => {})).keys >= 2)
  await both.vault.close()
  const after = await open({ directory: one.directory, masterKey: next })
  const reader = await after.caller()
  t.equal(await dataOf(after.vault, reader, 'kept'), '{"number":"4242424242424242","cvc":"123"}')
  await after.vault.close()
  await t.rejects(
    newVault({ directory: one.directory, masterKey: one.masterKey }),
    { code: 'ERR_CONFIG' },
    'the old one is worth nothing now'
  )
})

t.test('two processes’ worth of vaults over one store hear of each other', async (t) => {
  const one = await open()
  const two = await open({ directory: one.directory, masterKey: one.masterKey })
  const caller = await one.caller()
  await two.vault.create(caller, [card('by-two')], 't')
  t.match(await dataOf(one.vault, caller, 'by-two'), '4242424242424242', 'a data key of the other is fetched')
  await one.vault.rotate()
  await setTimeout(5)
  await two.caller()
  await two.vault.create(caller, [card('by-two-again')], 't')
  const retired = new Set((await one.vault.listRing()).filter((entry) => entry.retired !== null).map(({ key }) => key))
  t.equal(retired.size, 1)
  await one.vault.rewrap(() => {})
  t.equal((await one.vault.rewrap(() => {})).sealed, 0)
  await one.vault.close()
  await two.vault.close()
})

t.test('what has expired, and a cvc whose time is over, is deleted', async (t) => {
  let now = Date.now()
  const one = await open({ now: () => now, cvcRetentionMs: 1000 })
  const caller = await one.caller()
  await one.vault.create(caller, [card('lasting'), card('short', { expiresAt: now + 500 })], 't')
  const rowsOf = async () => (await one.store.keys('index', { prefix: '', limit: 100 })).length
  const rows = await rowsOf()
  t.equal(await one.vault.purge(), 0, 'nothing yet')
  now += 600
  await one.vault.purge()
  t.same(await one.store.load('tokens', ['acme:short']), [undefined])
  t.ok((await rowsOf()) < rows, 'its rows in the index too')
  t.match(await dataOf(one.vault, caller, 'lasting'), '"cvc":"123"')
  now += 600
  t.equal(await dataOf(one.vault, caller, 'lasting'), '{"number":"4242424242424242","cvc":null}', 'null at once')
  const [before] = await one.store.load('tokens', ['acme:lasting'])
  await one.vault.purge()
  const [after] = await one.store.load('tokens', ['acme:lasting'])
  t.ok((after?.length ?? 0) < (before?.length ?? 0), 'and gone from the store')
  t.equal(await dataOf(one.vault, caller, 'lasting'), '{"number":"4242424242424242"}')
  t.equal(await one.vault.purge(), 0)
  await one.vault.create(caller, [card('short')], 't')
  await one.vault.close()
})

t.test('tokens move to another vault, without their cvc', async (t) => {
  const from = await open()
  const caller = await from.caller()
  const kept = await from.vault.create(caller, [card('moved', { metadata: { a: '1' } })], 't')
  const others = Array.from({ length: 250 }, (_, n) => ({
    type: 'token',
    container: '/general/high/',
    data: `"v${n}"`,
    expiresAt: null
  }))
  await from.vault.create(caller, others, 't')
  await from.vault.shelves.proxies.write(caller, 'p1', '{"key":"marked-key"}', null, 't')
  const [key] = parseMasterKeys(newMasterKey())
  if (key === undefined) throw new Error('no key')
  const pieces: Buffer[] = []
  t.equal(await from.vault.exportTo(key, async (piece) => void pieces.push(piece)), 251)
  const file = Buffer.concat(pieces)
  t.notMatch(file.toString('latin1'), '4242424242424242')
  async function* read(bytes: Buffer, step = 1000): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step)
  }

  t.test('whole', async (t) => {
    const to = await open()
    const reader = await to.caller()
    await to.vault.create(await to.caller({ tenant: 'else' }), [card('moved')], 't')
    t.same(await to.vault.importFrom(key, read(file)), { made: 251, existing: 0 })
    t.equal(await dataOf(to.vault, reader, 'moved'), '{"number":"4242424242424242"}')
    const view = await to.vault.read(reader, 'moved', purpose('read'))
    t.equal(view.rest.fingerprint, kept[0]?.rest.fingerprint, 'fingerprints stay')
    t.same([view.createdAt, view.rest.metadata], [kept[0]?.createdAt, { a: '1' }])
    const all = { caller: reader, condition: null, permission: 'token:read', isExact: false } as const
    t.equal((await to.vault.page(all, 1, 1, 't')).total, 251)
    t.match(await to.vault.shelves.proxies.find('marked-key'), { tenant: 'acme', volume: { id: 'p1' } })
    t.same(await to.vault.importFrom(key, read(file, 7)), { made: 0, existing: 251 }, 'again, in small pieces')
    await to.vault.close()
  })

  t.test('into a tenant that has a key of its own: fingerprints and search terms become its own', async (t) => {
    const to = await open()
    const writer = await to.caller()
    const [here] = await to.vault.create(writer, [card('here')], 't')
    t.same(await to.vault.importFrom(key, read(file)), { made: 251, existing: 0 })
    const moved = await to.vault.read(writer, 'moved', purpose('read'))
    t.equal(moved.rest.fingerprint, here?.rest.fingerprint)
    t.not(moved.rest.fingerprint, kept[0]?.rest.fingerprint)
    await to.vault.close()
  })

  t.test('not cut off, changed, or under another key', async (t) => {
    const to = await open()
    const changed = Buffer.from(file)
    changed[changed.length - 40] = (changed[changed.length - 40] ?? 0) ^ 1
    for (const bytes of [
      file.subarray(0, -1),
      file.subarray(0, 60),
      changed,
      Buffer.concat([file, file.subarray(-60)]),
      Buffer.from('x'.repeat(100)),
      Buffer.alloc(0)
    ]) {
      await t.rejects(to.vault.importFrom(key, read(bytes)), { code: 'ERR_INPUT' })
    }
    const [other] = parseMasterKeys(newMasterKey())
    await t.rejects(to.vault.importFrom(other ?? key, read(file)), { code: 'ERR_INPUT' })
    await to.vault.close()
  })
  await from.vault.close()
})

t.test('audit verify', async (t) => {
  const one = await open({ auditSyncMs: 20 })
  const caller = await one.caller()
  await one.vault.create(caller, [card('a-token')], 't')
  for (let n = 0; n < 5; n++) {
    const why = purpose()
    await one.vault.reveal(caller, [subject('a-token')], why, 1)
    await one.vault.released()
    if (n > 0) one.vault.outcome(why.intent, 'ok')
    await setTimeout(30)
  }
  await one.vault.close()
  const again = await open({ directory: one.directory, masterKey: one.masterKey })
  await again.vault.reveal(await again.caller(), [subject('a-token')], purpose(), 1)
  await again.vault.close()
  const { directory, masterKey } = one
  const { auditDirectory } = one
  const kept = join(directory, 'kept')
  cpSync(auditDirectory, kept, { recursive: true })
  const [first = '', second = ''] = readdirSync(auditDirectory).sort()
  const file = join(auditDirectory, first)
  const lines = readFileSync(file, 'utf8').split('\n')

  const verify = async () => {
    const vault = await open({ directory, masterKey })
    const reports = await vault.vault.verifyAudit()
    await vault.vault.close()
    return reports
  }
  const faults = async () => (await verify()).filter(({ fault }) => fault !== null).map(({ chain }) => chain)
  const tamper = async (name: string, how: () => void) => {
    how()
    t.ok((await faults()).includes(first.replace('.audit', '')), name)
    rmSync(auditDirectory, { recursive: true })
    cpSync(kept, auditDirectory, { recursive: true })
  }

  const reports = await verify()
  t.same(
    reports.map(({ fault }) => fault),
    [null, null]
  )
  t.match(reports[0], { intents: 6, outcomes: 5, unknown: 1, unsealed: 0 })
  t.ok((reports[0]?.seals ?? 0) >= 3)
  const without = (at: number) => [...lines.slice(0, at), ...lines.slice(at + 1)].join('\n')
  const intentAt = lines.findIndex((line) => line.includes('"door":"proxy"'))
  await tamper('a record removed', () => writeFileSync(file, without(intentAt)))
  await tamper('the first line removed', () => writeFileSync(file, without(0)))
  await tamper('a record changed', () => writeFileSync(file, lines.join('\n').replace('psp.example', 'psp.exampel')))
  await tamper('records moved', () => writeFileSync(file, [lines[0], lines[2], lines[1], ...lines.slice(3)].join('\n')))
  await tamper('the end cut off', () => truncateSync(file, Buffer.byteLength(lines.slice(0, -3).join('\n')) + 1))
  await tamper('all but the first seal cut off', () =>
    truncateSync(file, lines.slice(0, lines.findIndex((line) => line.startsWith('{"seal"')) + 1).join('\n').length + 1)
  )
  await tamper('a record added', () => appendFileSync(file, `${lines[intentAt]}\n`))
  await tamper('a seal forged', () => appendFileSync(file, `{"seal":99,"n":1,"bytes":1,"mac":"${'A'.repeat(43)}"}\n`))
  await tamper('the file removed', () => rmSync(file))
  await tamper('another chain in its place', () => renameSync(join(auditDirectory, second), file))

  t.test('a file removed together with its anchor', async (t) => {
    const vault = await open({ directory, masterKey })
    rmSync(file)
    await vault.store.write({ changes: [{ table: 'anchors', key: first.replace('.audit', ''), value: null }] })
    const reports = await vault.vault.verifyAudit()
    t.match(
      reports.filter(({ fault }) => fault !== null),
      [{ chain: first.replace('.audit', '') }],
      'the next chain knew of it'
    )
    await vault.vault.close()
  })
})

t.test('documents of the dialects are sealed, and follow the rotation of keys', async (t) => {
  const one = await open()
  const caller = await one.caller()
  const { proxies } = one.vault.shelves
  await proxies.write(caller, 'p1', '{"secret":"marked-secret"}', null, 't')
  await t.rejects(proxies.write(caller, 'p1', '{}', null, 't'), { code: 'ERR_CONFLICT' })
  const [row] = await one.store.load('proxies', ['acme:p1'])
  t.notMatch(row?.toString('latin1'), 'marked-secret')
  await one.vault.rotate()
  await one.caller()
  t.equal((await one.vault.rewrap(() => {})).sealed, 1)
  const volume = await proxies.read('acme', 'p1')
  t.equal(volume?.text, '{"secret":"marked-secret"}')
  t.equal(await proxies.read('other', 'p1'), null)
  if (volume === null) return
  await proxies.write(caller, 'p1', '{"b":1}', volume, 't')
  await t.rejects(proxies.remove(caller, volume, 't'), { code: 'ERR_CONFLICT' })
  t.match(await proxies.list('acme', 0, 10), { volumes: [{ id: 'p1', text: '{"b":1}' }], total: 1 })
  await one.vault.close()
})

t.test('a document is found by the key in it, which the store does not hold', async (t) => {
  const one = await open()
  const caller = await one.caller()
  const { proxies, reactors } = one.vault.shelves
  await proxies.write(caller, 'p1', '{"key":"marked-key-1"}', null, 't')
  t.match(await proxies.find('marked-key-1'), { tenant: 'acme', volume: { id: 'p1' } })
  t.equal(await proxies.find('marked-key-2'), null)
  t.equal(await reactors.find('marked-key-1'), null, 'on its own shelf alone')
  const rows = await one.store.scan('keys', { prefix: '', limit: 100 })
  t.notMatch(rows.map(({ key, value }) => key + value.toString('latin1')).join(), 'marked-key')
  const isOfProxy = ({ value }: { value: Buffer }) => value.includes('"proxies"')
  const before = rows.find(isOfProxy)
  const putBack = async () => {
    if (before !== undefined)
      await one.store.write({ changes: [{ table: 'keys', key: before.key, value: before.value }] })
  }
  const volume = await proxies.read('acme', 'p1')
  if (volume === null || before === undefined) throw new Error('no document')
  await proxies.write(caller, 'p1', '{"key":"marked-key-2"}', volume, 't')
  t.equal(await proxies.find('marked-key-1'), null, 'a key that was replaced')
  await putBack()
  t.equal(await proxies.find('marked-key-1'), null, 'nor when its row is put back')
  t.match(await proxies.find('marked-key-2'), { volume: { text: '{"key":"marked-key-2"}' } })
  const found = await proxies.find('marked-key-2')
  if (found !== null) await proxies.remove(caller, found.volume, 't')
  t.equal(await proxies.find('marked-key-2'), null)
  await putBack()
  t.equal(await proxies.find('marked-key-1'), null, 'of a document that is gone')
  await one.store.write({ changes: [{ table: 'keys', key: before.key, value: Buffer.from('{"shelf":"proxies"}') }] })
  await t.rejects(proxies.find('marked-key-1'), { code: 'ERR_INTERNAL' }, 'nor by a row that somebody else wrote')
  await one.vault.close()
})
