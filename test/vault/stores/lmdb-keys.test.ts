import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from 'lmdb'
import t, { type Test } from 'tap'
import { Associated } from '../../../lib/vault/associated.ts'
import { openLmdb } from '../../../lib/vault/stores/lmdb.ts'

/** Tenants and ids, in the order of the UTF-8 bytes of their keys. */
const KEYS = [
  ['a-longer-tenant', 'b'],
  ['a', ''],
  ['a', ' '],
  ['a', '"quoted" and \\ escaped'],
  ['a', '0'],
  ['a', '0:1'],
  ['a', 'b'.repeat(61)],
  ['a', 'b'.repeat(62)],
  ['a', 'b'.repeat(1800)],
  ['a', 'c0ffee00-0000-4000-8000-000000000000'],
  ['a', 'c0ffee00-0000-4000-8000-000000000001'],
  ['a', 'c0ffee00-0000-4000-8000-00000000000é'],
  ['a', '\u007f'],
  ['a', 'é'.repeat(100)],
  ['a', '€'],
  ['a', '😀'],
  ['ünï', 'c0ffee00-0000-4000-8000-000000000000']
] as const

const keys = KEYS.map(([tenant, id]) => `${tenant}:${id}`)

/** The same tables as anybody opens them who knows nothing of us. */
function openPlainly(directory: string) {
  const root = open<Buffer, string>({ path: join(directory, 'vault.mdb'), maxDbs: 32, encoding: 'binary' })
  return { root, tokens: root.openDB<Buffer, string>({ name: 'tokens', encoding: 'binary' }) }
}

function newDirectory(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-keys-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

t.test('rows under the keys that lmdb itself writes are found, each way of asking, in their order', async (t) => {
  const directory = newDirectory(t)
  const { root, tokens } = openPlainly(directory)
  for (const key of keys) await tokens.put(key, Buffer.from(`row of ${key}`))
  await root.close()

  const store = openLmdb(directory)
  const desk = new Associated()
  const target = Buffer.alloc(4096)
  for (const [nth, [tenant, id]] of KEYS.entries()) {
    desk.begin(0, tenant, id)
    const length = store.read?.('tokens', desk, target, 0) ?? -1
    t.equal(target.toString('utf8', 0, length), `row of ${keys[nth]}`)
    t.equal(String((await store.load('tokens', [keys[nth] as string]))[0]), `row of ${keys[nth]}`)
    desk.begin(0, tenant, `${id}x`)
    t.equal(store.read?.('tokens', desk, target, 0), -1, 'a longer id is another')
  }
  t.same(await store.keys('tokens', { prefix: '', limit: 100 }), keys)
  t.same(
    await store.keys('tokens', { prefix: 'a:', limit: 100, reverse: true }),
    keys.filter((key) => key.startsWith('a:')).reverse()
  )
  await store.close()
})

t.test('rows that the store writes are found by lmdb itself, in their order', async (t) => {
  const directory = newDirectory(t)
  const store = openLmdb(directory)
  const changes = keys.map((key) => ({ table: 'tokens' as const, key, value: Buffer.from(`row of ${key}`) }))
  const desk = new Associated()
  const target = Buffer.alloc(4096)
  // A key that was asked for does not stay in the way of those that are written after it.
  desk.begin(0, 'a', 'z'.repeat(40))
  t.equal(store.read?.('tokens', desk, target, 0), -1)
  t.equal(await store.write({ changes: [...changes].reverse().slice(3) }), null)
  t.equal(await store.write({ changes: changes, raise: true }), null)
  await store.close()

  const { root, tokens } = openPlainly(directory)
  t.same([...tokens.getKeys()], keys)
  for (const key of keys) t.equal(String(tokens.getBinary(key)), `row of ${key}`)
  await root.close()
})
