import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { newMasterKey } from '../../../lib/vault/master-key.ts'
import { openPostgres } from '../../../lib/vault/stores/postgres.ts'
import { newKeyMemo } from '../../../lib/vault/vault.ts'
import { certificates, newCertificates } from '../../kit/certificates.ts'
import { runCommand, startCommand } from '../../kit/command.ts'
import { postgresIsMissing, startPostgres } from '../../kit/postgres.ts'
import { openVaultAt, VaultChild, type VaultPlace } from '../../kit/vault-child.ts'
import { purpose, subject } from '../../kit/vault.ts'
import { storeContract } from './contract.ts'

const missing = postgresIsMissing()
if (missing === null) await withServer()
else t.fail(missing)

async function withServer(): Promise<void> {
  const { ca, server: pair } = await certificates()
  const server = await startPostgres({ tls: pair })
  t.teardown(() => server.stop())
  const url = server.url('postgres')
  const empty = () => server.empty('postgres')
  const sql = (text: string) => server.run(text, 'postgres')
  const put = (key: string, value = key) => ({ table: 'tokens' as const, key, value: Buffer.from(value) })
  const codeOf = async (asked: unknown): Promise<string> => {
    try {
      await asked
      return ''
    } catch (thrown) {
      return (thrown as { code: string }).code
    }
  }
  /** Asks until it is no longer refused. */
  const healed = async (ask: () => unknown): Promise<void> => {
    const giveUpAt = performance.now() + 20_000
    for (;;) {
      const code = await codeOf(ask())
      if (code === '') return
      if (code !== 'ERR_STORE_UNAVAILABLE' || performance.now() > giveUpAt) throw new Error(code)
      await setTimeout(10)
    }
  }

  let last = ''
  storeContract('postgres', {
    openStore: async (name) => {
      if (name !== last) await empty()
      last = name
      return openPostgres({ url })
    },
    keeps: true
  })

  t.test('the loads of one turn share a statement, and no buffer', async (t) => {
    await empty()
    const store = await openPostgres({ url, connections: 3 })
    const keys = Array.from({ length: 3000 }, (_, n) => `k${n}`)
    t.equal(await store.write({ changes: keys.map((key) => put(key)) }), null)
    const rows = await Promise.all([...keys, 'k0', 'no', 'k\0'].map(async (key) => store.load('tokens', [key])))
    t.same(
      rows.map(([row]) => row?.toString()),
      [...keys, 'k0', undefined, undefined]
    )
    rows[0]?.[0]?.fill(0)
    t.equal(rows[3000]?.[0]?.toString(), 'k0')
    t.same((await store.load('tokens', keys)).length, 3000)
    await store.close()
  })

  t.test('writes keep their order, whatever they touch', async (t) => {
    await empty()
    const stores = await Promise.all([openPostgres({ url }), openPostgres({ url })])
    const [one, two] = stores
    const writes = [
      one.write({ changes: [put('a', '1')] }),
      one.write({ changes: [put('a', '2'), put('a', '3')] }),
      one.write({ changes: [put('b')], present: [{ table: 'tokens', key: 'a' }] }),
      one.write({ changes: [put('p.q')], noneUnder: [{ table: 'tokens', prefix: 'p.' }] }),
      one.write({ changes: [put('p.r')], noneUnder: [{ table: 'tokens', prefix: 'p.' }] }),
      one.write({ changes: [{ table: 'tokens', key: 'a', value: null, expect: Buffer.from('3') }] }),
      one.write({ changes: [put('a', '4')], absent: [{ table: 'tokens', key: 'a' }] })
    ]
    t.strictSame(await Promise.all(writes), [null, null, null, null, { table: 'tokens', key: 'p.q' }, null, null])
    const rows = await two.load('tokens', ['a', 'b', 'p.q', 'p.r'])
    t.same(
      rows.map((row) => row?.toString()),
      ['4', 'b', 'p.q', undefined],
      'seen by another process at once'
    )
    const rivals = Array.from({ length: 60 }, (_, n) =>
      (n % 2 === 0 ? one : two).write({
        changes: [
          { ...put(`w${n}`), expect: null },
          { ...put('prize'), expect: null }
        ]
      })
    )
    t.equal((await Promise.all(rivals)).filter((refusal) => refusal === null).length, 1, 'one of many rivals wins')
    t.equal(await one.count('tokens', 'w'), 1)
    await Promise.all(stores.map((store) => store.close()))
  })

  t.test('statements that were planned over a small table go by the key in a large one', async (t) => {
    await empty()
    const store = await openPostgres({ url, connections: 3 })
    const work = async (n: number): Promise<void> => {
      const row = { table: 'tokens' as const, key: `t:${n}` }
      await store.load('tokens', [`t:${n}`, `t:${n}x`])
      await store.scan('tokens', { prefix: 't:', limit: 3 })
      await store.keys('tokens', { prefix: 't:', limit: 3, reverse: true })
      await store.count('tokens', 't:', 3)
      await store.write({
        changes: [put(`t:${n}`)],
        absent: [{ ...row, key: 'q' }],
        noneUnder: [{ table: 'tokens', prefix: 'q:' }]
      })
      await store.write({ changes: [put(`t:${n}`)], present: [row] })
      await store.write({ changes: [{ ...row, value: null, expect: Buffer.from(row.key) }] })
    }
    // NOTE: with one row, not none: an empty table that was never analyzed counts as ten pages.
    await store.write({ changes: [put('t:1')] })
    await work(1)
    const rows = Array.from({ length: 5000 }, (_, n) => put(`t:${n}`))
    for (let at = 0; at < rows.length; at += 500) await store.write({ changes: rows.slice(at, at + 500) })
    for (let n = 0; n < 20; n++) await work(n)
    await store.close()
    // What a connection has read is told when it ends.
    await setTimeout(100)
    const [[read] = []] = await sql(
      `select idx_tup_read::int from pg_stat_user_indexes where indexrelname = 'rows_pkey'`
    )
    t.ok(Number(read) < 2000, `${String(read)} rows read`)
  })

  t.test('several processes serve one vault', async (t) => {
    await empty()
    const place: VaultPlace = { store: 'postgres', at: url, directory: t.testdir(), masterKey: newMasterKey() }
    const vault = await openVaultAt(place)
    const children = [new VaultChild(place), new VaultChild(place)]
    t.teardown(() => Promise.all(children.map((child) => child.kill())))
    const newKey = () => vault.createKey({ name: 'k', permissions: ['*'], tenant: 'acme' })
    const all = (ask: (child: VaultChild) => Promise<string>) => Promise.all(children.map(ask))
    const keys = [await newKey(), await newKey(), await newKey()] as const
    const caller = await vault.authenticate(keys[2].key, newKeyMemo())
    const made = { id: 'shared', type: 'token', container: '/general/high/', data: '"x"', expiresAt: null }
    await vault.create(caller, [made], 'trace')

    /** Asks each child until it refuses; how long after the beginning it was last asked in vain. */
    const refusedWithin = async (ask: (child: VaultChild) => Promise<string>): Promise<number> => {
      const begin = performance.now()
      let late = 0
      await all(async (child) => {
        for (;;) {
          const asked = performance.now()
          const answer = await ask(child)
          if (answer.startsWith('ERR_')) return answer
          late = Math.max(late, asked - begin)
          if (late > 10_000) throw new Error('it is not refused')
        }
      })
      return late
    }

    // What a child has let in once it remembers, so that refusing it takes hearing of the change.
    const letIn = async (key: string) => t.same(await all((child) => child.authenticate(key)), ['', ''])
    t.same(await all((child) => child.reveal(keys[2].key, 'shared')), ['"x"', '"x"'])

    await letIn(keys[0].key)
    await vault.revokeKey(keys[0].id)
    const heard = await refusedWithin((child) => child.authenticate(keys[0].key))
    t.ok(heard < 1000, `a revoked key is refused everywhere after ${heard.toFixed(0)} ms`)
    t.same(await all((child) => child.authenticate(keys[0].key)), ['ERR_AUTH_INVALID', 'ERR_AUTH_INVALID'])

    const feeds = await sql(`select pid from pg_stat_activity
      where application_name = 'sluice' and query like '%sluice.generation'`)
    t.equal(feeds.length, 3)
    const pids = feeds.map(([pid]) => Number(pid))
    await letIn(keys[1].key)
    for (const pid of pids) process.kill(pid, 'SIGSTOP')
    await vault.revokeKey(keys[1].id)
    const leased = await refusedWithin((child) => child.authenticate(keys[1].key))
    for (const pid of pids) process.kill(pid, 'SIGCONT')
    t.ok(leased < 1000, `and where the feed hangs, after ${leased.toFixed(0)} ms`)

    await vault.delete(caller, 'shared', 'trace')
    const deleted = await refusedWithin((child) => child.reveal(keys[2].key, 'shared'))
    t.ok(deleted < 1000, `a deleted token is refused everywhere after ${deleted.toFixed(0)} ms`)
    t.comment(`refused after: revoked ${heard | 0} ms, feed hangs ${leased | 0} ms, deleted ${deleted | 0} ms`)
    await vault.close()
  })

  t.test('cut connections come back, and until then the store is unavailable', async (t) => {
    await empty()
    const store = await openPostgres({ url })
    await store.write({ changes: [put('k')], raise: true })
    const outcomes = new Map<string, number>()
    let cutting = true
    const count = (code: string) => outcomes.set(code, (outcomes.get(code) ?? 0) + 1)
    const reading = async () => {
      while (cutting) count(await codeOf(store.load('tokens', ['k'])))
    }
    const writing = async () => {
      while (cutting) count(await codeOf(store.write({ changes: [put('w')] })))
    }
    const all = [reading(), reading(), writing()]
    for (let round = 0; round < 4; round++) {
      await setTimeout(20)
      t.ok((await server.cutAll('postgres')) > 0)
    }
    cutting = false
    await Promise.all(all)
    outcomes.delete('')
    outcomes.delete('ERR_STORE_UNAVAILABLE')
    t.same([...outcomes], [], 'no other code')
    await healed(() => store.load('tokens', ['k']))
    await healed(() => store.write({ changes: [put('k')] }))
    t.equal(await store.generation(), 1)
    await store.close()
  })

  t.test('a crash of the server: unavailable, and all that was acknowledged when it is back', async (t) => {
    await empty()
    const store = await openPostgres({ url })
    const acknowledged: string[] = []
    let n = 0
    const writing = Array.from({ length: 8 }, async () => {
      for (;;) {
        const key = `k${n++}`
        if ((await codeOf(store.write({ changes: [put(key)] }))) !== '') return
        acknowledged.push(key)
      }
    })
    await setTimeout(50)
    await server.crash()
    await Promise.all(writing)
    t.equal(await codeOf(store.load('tokens', ['k0'])), 'ERR_STORE_UNAVAILABLE')
    t.equal(await codeOf(store.write({ changes: [put('x')] })), 'ERR_STORE_UNAVAILABLE')
    t.equal(await codeOf(store.generation()), 'ERR_STORE_UNAVAILABLE', 'caches are off')
    t.equal(await codeOf(openPostgres({ url })), 'ERR_STORE_UNAVAILABLE')
    await server.start()
    await healed(() => store.load('tokens', ['k0']))
    await healed(() => store.write({ changes: [put('x')], raise: true }))
    t.ok(acknowledged.length > 0)
    t.notOk((await store.load('tokens', acknowledged)).includes(undefined), `${acknowledged.length} acknowledged`)
    const giveUpAt = performance.now() + 20_000
    while (store.generation() instanceof Promise && performance.now() < giveUpAt) await setTimeout(10)
    t.equal(store.generation(), 1, 'the feed is back')
    await store.close()
  })

  t.test('a full disk: what the server refuses fails by itself, the rest and reading go on', async (t) => {
    await empty()
    const store = await openPostgres({ url })
    await store.write({ changes: [put('k')] })
    await sql(`create function refuse() returns trigger language plpgsql as $$ begin
      if new.key like 'big%' then raise exception 'could not extend file' using errcode = '53100'; end if;
      return new;
    end $$`)
    await sql('create trigger refuse before insert on sluice.rows for each row execute function refuse()')
    const group = ['a', 'big', 'b'].map((key) => codeOf(store.write({ changes: [put(key)] })))
    t.same(await Promise.all(group), ['', 'ERR_STORE_UNAVAILABLE', ''])
    t.same(await store.keys('tokens', { prefix: '', limit: 9 }), ['a', 'b', 'k'])
    await sql('drop trigger refuse on sluice.rows')
    t.equal(await store.write({ changes: [put('big')] }), null)
    await store.close()
    await sql('drop function refuse')
  })

  t.test('the tables are made once, and not by an older Sluice', async (t) => {
    await empty()
    const stores = await Promise.all(Array.from({ length: 4 }, () => openPostgres({ url, connections: 3 })))
    t.same(await sql('select version from sluice.migrations'), [[1]], 'by one of several processes')
    await Promise.all(stores.map((store) => store.close()))
    await sql('insert into sluice.migrations values (1000, now())')
    t.equal(await codeOf(openPostgres({ url })), 'ERR_CONFIG')
    await empty()
    await sql(`create database latin encoding 'LATIN1' template template0`)
    t.equal(await codeOf(openPostgres({ url: server.url('latin') })), 'ERR_CONFIG')
    t.equal(await codeOf(openPostgres({ url: server.url('nowhere') })), 'ERR_STORE_UNAVAILABLE')
  })

  t.test('TLS: the server has to show a certificate that is trusted', async (t) => {
    const trusted = join(t.testdir(), 'ca.pem')
    const others = join(t.testdirName, 'others.pem')
    writeFileSync(trusted, ca)
    writeFileSync(others, (await newCertificates()).ca)
    const tls = (file: string) => `${server.tcpUrl('postgres')}?sslmode=verify-full&sslrootcert=${file}`
    const store = await openPostgres({ url: tls(trusted) })
    await store.write({ changes: [put('k')] })
    const ssl = await sql(`select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid)
      where application_name = 'sluice' and client_addr is not null`)
    t.same(ssl, [[true]])
    await store.close()
    t.equal(await codeOf(openPostgres({ url: tls(others) })), 'ERR_STORE_UNAVAILABLE')
    const wrong = server.tcpUrl('postgres').replace(/:[^:@]+@/, ':wrong@')
    const error: unknown = await openPostgres({ url: wrong }).catch((thrown: unknown) => thrown)
    t.match(error, { code: 'ERR_STORE_UNAVAILABLE', message: /^vault\.url: .*28P01/ })
  })

  t.test(
    'serve: 503 with Retry-After while the database is away, and 401 for a revoked key in every worker',
    async (t) => {
      await empty()
      const masterKey = newMasterKey()
      const settings = {
        listen: { http: { port: 0 } },
        admin: { port: 0 },
        workers: 2,
        vault: { store: 'postgres', url }
      }
      const folder = t.testdir({ 's.yaml': JSON.stringify(settings), 'master.key': masterKey })
      chmodSync(join(folder, 'master.key'), 0o600)
      const vault = await openVaultAt({ store: 'postgres', at: url, directory: folder, masterKey })
      const { id, key } = await vault.createKey({ name: 'k', permissions: ['*'], tenant: 'default' })
      const serve = startCommand(['serve', '--config', 's.yaml'], { cwd: folder })
      t.teardown(() => serve.kill('SIGKILL'))
      const port = await serve.port('listen.http')
      await serve.prints(/"msg":"started"/)
      const ask = async (path: string, body?: object) => {
        const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
          headers: { 'BT-API-KEY': key, 'Content-Type': 'application/json', Connection: 'close' },
          ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) })
        })
        await answer.arrayBuffer()
        return { status: answer.status, retryAfter: answer.headers.get('retry-after') }
      }
      /** The statuses of several requests at once, which go to both workers. */
      const many = async () => {
        const answers = await Promise.all(Array.from({ length: 8 }, () => ask('/tokens/kept')))
        return [...new Set(answers.map(({ status }) => status))]
      }
      const become = async (status: number): Promise<number> => {
        const begin = performance.now()
        while ((await many()).some((seen) => seen !== status)) {
          if (performance.now() - begin > 20_000) throw new Error(`not ${status} everywhere`)
        }
        return performance.now() - begin
      }
      t.match(await ask('/tokens', { id: 'kept', type: 'token', data: 'x' }), { status: 201 })
      t.same(await many(), [200])
      await server.crash()
      t.same(await ask('/tokens/kept'), { status: 503, retryAfter: '1' })
      t.same(await ask('/tokens', { type: 'token', data: 'x' }), { status: 503, retryAfter: '1' })
      t.same(await ask('/detokenize', { a: '{{ kept }}' }), { status: 503, retryAfter: '1' })
      await server.start()
      const healing = await become(200)
      await healed(() => vault.revokeKey(id))
      const refusing = await become(401)
      t.comment(`served again after ${healing | 0} ms, refused after ${refusing | 0} ms`)
      serve.kill('SIGTERM')
      t.match(await serve.exited, { code: 0 })
      await vault.close()
    }
  )

  t.test('a vault moves from LMDB to PostgreSQL and back', async (t) => {
    await empty()
    const keys = { a: newMasterKey(), b: newMasterKey() }
    const settings = (vault: object) => JSON.stringify({ listen: { http: { port: 0 } }, vault })
    const folder = t.testdir({
      'transfer.key': newMasterKey(),
      'a.key': keys.a,
      'b.key': keys.b,
      'lmdb.yaml': settings({ path: 'first', masterKeyFile: 'a.key' }),
      'postgres.yaml': settings({ store: 'postgres', url, masterKeyFile: 'b.key' }),
      'back.yaml': settings({ path: 'second', masterKeyFile: 'a.key' })
    })
    const sluice = async (action: string, file: string, config: string) => {
      const argv = ['tokens', action, file, '--key-file', 'transfer.key', '--config', config]
      const result = await runCommand(argv, { cwd: folder })
      t.match(result, { code: 0, stderr: '' })
      return result.stdout
    }
    const at = (store: 'lmdb' | 'postgres', at: string, masterKey: string): VaultPlace => ({
      store,
      at,
      masterKey,
      directory: folder
    })
    const first = await openVaultAt(at('lmdb', join(folder, 'first'), keys.a))
    const ids = Array.from({ length: 130 }, (_, n) => `token-${n}`)
    const { key } = await first.createKey({ name: 'mover', permissions: ['*'], tenant: 'acme' })
    const caller = await first.authenticate(key, newKeyMemo())
    const actor = { tenant: 'acme', application: 'a', keyId: 'k' }
    await first.shelves.proxies.write(actor, 'p1', '{"secret":1}', null, 'trace')
    await first.tenants.bind(actor, '/pci/', ['psp.example'], 'trace')
    const user = await first.users.create(caller, { kind: 'user', externalId: 'e1' }, () => [], 'trace')
    const token = (id: string) => ({
      id,
      type: 'token',
      container: '/general/high/',
      data: `"of ${id}"`,
      expiresAt: null
    })
    await first.create(caller, ids.map(token), 'trace')
    await first.close()
    t.match(await sluice('export', 'one.file', 'lmdb.yaml'), /^130 tokens/)
    t.match(await sluice('import', 'one.file', 'postgres.yaml'), /^130 tokens made, 0 were/)
    t.match(await sluice('import', 'one.file', 'postgres.yaml'), /^0 tokens made, 130 were/, 'again: nothing')
    t.match(await sluice('export', 'two.file', 'postgres.yaml'), /^130 tokens/)
    t.match(await sluice('import', 'two.file', 'back.yaml'), /^130 tokens made/)
    const places = [at('postgres', url, keys.b), at('lmdb', join(folder, 'second'), keys.a)]
    for (const place of places) {
      const vault = await openVaultAt(place)
      const mover = await vault.authenticate(key, newKeyMemo())
      const subjects = ids.map((id) => subject(id))
      const found = await vault.reveal(mover, subjects, purpose(), 1000)
      t.same(
        found.map(({ data }) => data.exposeText()),
        ids.map((id) => `"of ${id}"`),
        place.store
      )
      t.equal((await vault.shelves.proxies.read('acme', 'p1'))?.text, '{"secret":1}')
      t.equal((await vault.tenants.bindings('acme')).length, 1)
      t.same(await vault.users.read('acme', user.id), user)
      await vault.close()
    }
  })

  t.test('no connection is left over', async (t) => {
    const giveUpAt = performance.now() + 20_000
    let left: unknown
    do {
      await setTimeout(20)
      left = (await sql(`select count(*)::int from pg_stat_activity where application_name = 'sluice'`))[0]?.[0]
    } while (left !== 0 && performance.now() < giveUpAt)
    t.equal(left, 0)
  })
}
