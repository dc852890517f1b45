import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openLmdb } from '../../../lib/vault/stores/lmdb.ts'

/**
 * The file's first two pages hold three meta records: two that commits write by turns, at the pages' beginnings, and
 * between them, half a page on, the one that is written only when a sync has come back. In each the number of its
 * transaction stands at 176 (page header 24, magic to map size 24, two trees of 48, last page 8, and on).
 */
const COMMITTED = [0, 4096]
const SYNCED = 2048
const TRANSACTION = 24 + 24 + 2 * 48 + 8

t.test('lmdb answers a write when the transaction that holds it is synced, whichever way it is written', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-sync-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const store = openLmdb(directory)
  const transactions = () => {
    const file = readFileSync(join(directory, 'vault.mdb'))
    const at = (place: number) => Number(file.readBigUInt64LE(place + TRANSACTION))
    return { committed: Math.max(...COMMITTED.map(at)), synced: at(SYNCED) }
  }
  let before = transactions().committed
  const put = (key: string) => ({ table: 'tokens' as const, key, value: Buffer.alloc(3000, 1), expect: null })
  for (let round = 0; round < 10; round++) {
    const keys = Array.from({ length: 20 }, (_, n) => `${round}.${n}`)
    const ways = [
      () => store.write({ changes: [put(`plain ${round}`)] }),
      () => store.write({ changes: [{ table: 'index', key: `${round}`, value: Buffer.from('x') }] }),
      () => store.write({ changes: [put(`checked ${round}`)], noneUnder: [{ table: 'tokens', prefix: 'none.' }] }),
      () => store.writeEach(keys.map((key) => ({ changes: [put(key)] }))),
      () => store.write({ changes: keys.map((key) => put(`nested ${key}`)) }),
      () =>
        store.writeEach(
          [0, 10].map((from) => ({ changes: keys.slice(from, from + 10).map((key) => put(`two ${key}`)) }))
        ),
      () => Promise.all(keys.map((key) => store.write({ changes: [put(`all ${key}`)] })))
    ]
    for (const write of ways) {
      await write()
      const { committed, synced } = transactions()
      t.ok(committed > before, 'a transaction of its own')
      t.equal(synced, committed)
      before = committed
    }
  }
  await store.close()
})
