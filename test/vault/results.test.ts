import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Store } from '../../lib/vault/store.ts'
import { openLmdb } from '../../lib/vault/stores/lmdb.ts'
import { openPostgres } from '../../lib/vault/stores/postgres.ts'
import { postgresIsMissing, startPostgres } from '../kit/postgres.ts'
import { newVault } from '../kit/vault.ts'

/* Results of calls that nobody waits for: two processes' vaults over one store, and a clock of our own. */

const HOUR = 3_600_000
const SECRET = 'result-of-4242424242424242'

async function judge(t: Test, openStore: (directory: string) => Store | Promise<Store>): Promise<void> {
  let time = 1_800_000_000_000
  const now = () => time
  const one = await newVault({ openStore, now })
  const other = await newVault({ openStore, now, directory: one.directory, masterKey: one.masterKey })
  t.teardown(async () => {
    await other.vault.close()
    await one.close()
  })
  const id = await one.vault.results.begin('acme', '"begun"')
  t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.strictSame(
    await other.vault.results.read('acme', id),
    { text: '"begun"', beganAt: time },
    'another process sees it'
  )
  t.equal(await one.vault.results.read('evil', id), null, 'another tenant does not')
  await one.vault.results.settle('acme', id, JSON.stringify(SECRET))
  t.match(await other.vault.results.read('acme', id), { text: JSON.stringify(SECRET) })
  const [row] = await one.store.load('results', [`acme:${id}`])
  t.notOk(row?.includes('4242424242424242'), 'it is sealed')
  await one.store.write({ changes: [{ table: 'results', key: `evil:${id}`, value: row ?? null }] })
  await t.rejects(other.vault.results.read('evil', id), 'a row that was moved does not open')
  for (const odd of ['', 'x', crypto.randomUUID()]) t.equal(await one.vault.results.read('acme', odd), null)

  time += HOUR - 1
  const later = await one.vault.results.begin('acme', '1')
  t.ok(await other.vault.results.read('acme', id))
  time += 2
  t.equal(await other.vault.results.read('acme', id), null, 'its time is over')
  t.equal(await one.vault.results.purge(100), 2)
  t.equal(await one.store.count('results', ''), 1)
  await one.vault.results.settle('acme', id, '2')
  t.equal(await one.store.count('results', ''), 1, 'what has gone is not made again')
  t.match(await one.vault.results.read('acme', later), { text: '1' })
}

t.test('over LMDB', async (t) => judge(t, openLmdb))

t.test('over PostgreSQL', async (t) => {
  const missing = postgresIsMissing()
  if (missing !== null) {
    t.fail(missing)
    return
  }
  const server = await startPostgres()
  t.teardown(() => server.stop())
  await judge(t, () => openPostgres({ url: server.url('postgres') }))
})

t.test('nothing of a result lies in the files of the store', async (t) => {
  const one = await newVault()
  t.teardown(() => one.close())
  await one.vault.results.settle('acme', await one.vault.results.begin('acme', '0'), JSON.stringify(SECRET))
  const folder = join(one.directory, 'store')
  for (const name of readdirSync(folder)) t.notOk(readFileSync(join(folder, name)).includes(SECRET), name)
})
