import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { newMasterKey } from '../../lib/vault/master-key.ts'
import { newKeyMemo } from '../../lib/vault/vault.ts'
import { dataOf, openVaultAt, VaultChild, type VaultPlace } from '../kit/vault-child.ts'
import { purpose, subject } from '../kit/vault.ts'

t.test('lmdb on a full disk: creating is refused, revealing goes on, nothing acknowledged is lost', async (t) => {
  const directory = t.testdir()
  const place: VaultPlace = { store: 'lmdb', at: join(directory, 'store'), directory, masterKey: newMasterKey() }
  const before = await openVaultAt(place)
  const { key } = await before.createKey({ name: 'full', permissions: ['*'], tenant: 'acme' })
  await before.close()

  const child = new VaultChild(place, 2_000_000)
  t.teardown(() => child.kill())
  child.create(key, 'a', 32)
  await child.hasCreated(Number.POSITIVE_INFINITY)
  t.equal(child.failed, 'ERR_STORE_UNAVAILABLE')
  const [first = '', last = ''] = [child.created[0], child.created.at(-1)]
  for (const id of [first, last]) t.equal(await child.reveal(key, id), dataOf(id))
  child.create(key, 'b', 1)
  await child.hasCreated(Number.POSITIVE_INFINITY)
  t.equal(child.failed, 'ERR_STORE_UNAVAILABLE', 'as long as it is full')
  t.equal(await child.reveal(key, last), dataOf(last))
  if (process.platform === 'linux') {
    execFileSync('prlimit', ['--pid', String(child.pid), '--fsize=unlimited'])
    const had = child.created.length
    child.create(key, 'c', 4)
    await child.hasCreated(had + 20)
    t.equal(child.failed, null, 'and when it no longer is, without a new start')
  }
  await child.kill()

  const after = await openVaultAt(place)
  const caller = await after.authenticate(key, newKeyMemo())
  const subjects = child.created.map((id) => subject(id))
  const found = await after.reveal(caller, subjects, purpose(), subjects.length)
  t.same(
    found.map(({ data }) => data.exposeText()),
    child.created.map(dataOf)
  )
  t.comment(`${child.created.length} tokens acknowledged`)
  await after.close()
})
