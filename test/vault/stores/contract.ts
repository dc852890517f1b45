/** What every store must hold. `openStore` makes an empty one, or with the same name opens the same one again. */
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { Associated } from '../../../lib/vault/associated.ts'
import type { RowKey, Store } from '../../../lib/vault/store.ts'

export interface StoreFactory {
  openStore(name: string): Store | Promise<Store>
  /** False: a store of the same name does not keep anything when it is closed. */
  readonly keeps: boolean
}

const bytes = (text: string) => Buffer.from(text)
/** Of `tenant:id`. */
function rowKey(key: string): RowKey {
  const colon = key.indexOf(':')
  const desk = new Associated()
  desk.begin(0, key.slice(0, colon), key.slice(colon + 1))
  return desk
}
const texts = (rows: readonly (Buffer | undefined)[]) => rows.map((row) => row?.toString())

export function storeContract(name: string, factory: StoreFactory): void {
  t.test(`${name}: loads a batch in the order asked for, with holes`, async (t) => {
    const store = await factory.openStore('order')
    t.equal(
      await store.write({
        changes: ['a', 'b', 'c'].map((key) => ({ table: 'tokens' as const, key: `t:${key}`, value: bytes(key) }))
      }),
      null
    )
    t.same(texts(await store.load('tokens', ['t:c', 't:x', 't:a', 't:c'])), ['c', undefined, 'a', 'c'])
    t.same(await store.load('tokens', []), [])
    t.same(texts(await store.load('index', ['t:a'])), [undefined], 'tables are apart')
    await store.close()
  })

  t.test(`${name}: reads a row into a place, when it reads at once`, async (t) => {
    const store = await factory.openStore('places')
    const rows: Record<string, string> = {
      't:a': 'first',
      't:b': 'another',
      [`t:${'k'.repeat(100)}`]: '',
      't:ü€😀': 'last'
    }
    const large = 'x'.repeat(100_000)
    const changes = Object.entries({ ...rows, 't:large': large }).map(([key, text]) => ({
      table: 'tokens' as const,
      key,
      value: bytes(text)
    }))
    t.equal(await store.write({ changes }), null)
    if (store.read === undefined) t.ok((await store.load('tokens', ['t:a'])) instanceof Array, 'it does not')
    else {
      const target = Buffer.alloc(20, '.')
      for (const [key, text] of [...Object.entries(rows), ...Object.entries(rows)]) {
        target.fill('.')
        t.equal(store.read('tokens', rowKey(key), target, 3), text.length)
        t.equal(target.toString(), `...${text}`.padEnd(20, '.'), 'and nothing around it')
      }
      target.fill('.')
      t.equal(store.read('tokens', rowKey('t:c'), target, 3), -1)
      t.equal(store.read('index', rowKey('t:a'), target, 3), -1, 'tables are apart')
      t.equal(store.read('tokens', rowKey('t:large'), target, 3), large.length)
      t.equal(store.read('tokens', rowKey('t:b'), target, 14), 7)
      t.equal(target.toString(), '.'.repeat(20), 'what there is no room for is not copied')
      t.equal(store.read('tokens', rowKey('t:b'), target, 13), 7)
      t.equal(target.toString(), '.............another')
      const room = Buffer.alloc(large.length)
      t.equal(store.read('tokens', rowKey('t:large'), room, 0), large.length)
      t.equal(room.toString(), large)
    }
    await store.close()
  })

  t.test(`${name}: rows are the caller's own`, async (t) => {
    const store = await factory.openStore('own')
    await store.write({ changes: [{ table: 'tokens', key: 'k', value: bytes('first') }] })
    const [row] = await store.load('tokens', ['k'])
    row?.fill(0)
    t.same(texts(await store.load('tokens', ['k'])), ['first'])
    await store.close()
  })

  t.test(`${name}: a batch is applied whole or not at all`, async (t) => {
    const store = await factory.openStore('atomic')
    await store.write({ changes: [{ table: 'tokens', key: 'here', value: bytes('1') }] })
    const refused = await store.write({
      changes: [
        { table: 'tokens', key: 'new', value: bytes('x') },
        { table: 'tokens', key: 'here', value: bytes('2'), expect: bytes('0') }
      ]
    })
    t.same(refused, { table: 'tokens', key: 'here' })
    t.same(texts(await store.load('tokens', ['new', 'here'])), [undefined, '1'])
    await store.close()
  })

  t.test(`${name}: every kind of condition`, async (t) => {
    const store = await factory.openStore('conditions')
    const put = (key: string, expect?: Buffer | null) => ({
      table: 'tokens' as const,
      key,
      value: bytes(key),
      ...(expect === undefined ? {} : { expect })
    })
    t.equal(await store.write({ changes: [put('a.b', null)] }), null, 'absent, expected absent')
    t.same(await store.write({ changes: [put('a.b', null)] }), { table: 'tokens', key: 'a.b' })
    t.equal(await store.write({ changes: [put('a.b', bytes('a.b'))] }), null, 'equal bytes')
    const absent = [{ table: 'tokens' as const, key: 'a.b' }]
    t.same(await store.write({ changes: [put('z')], absent }), { table: 'tokens', key: 'a.b' })
    t.same(await store.write({ changes: [put('z')], present: [{ table: 'tokens', key: 'q' }] }), {
      table: 'tokens',
      key: 'q'
    })
    t.equal(await store.write({ changes: [put('z')], present: absent }), null)
    t.same(await store.write({ changes: [put('y')], noneUnder: [{ table: 'tokens', prefix: 'a.' }] }), {
      table: 'tokens',
      key: 'a.b'
    })
    t.equal(await store.write({ changes: [put('y')], noneUnder: [{ table: 'tokens', prefix: 'a.b.' }] }), null)
    t.same(
      await store.write({ changes: [{ table: 'tokens', key: 'nothing', value: null, expect: bytes('x') }] }),
      { table: 'tokens', key: 'nothing' },
      'a deletion is conditional too'
    )
    t.equal(
      await store.write({ changes: [{ table: 'tokens', key: 'nothing', value: null }] }),
      null,
      'deleting nothing is no fault'
    )
    await store.close()
  })

  t.test(`${name}: one of many rivals wins`, async (t) => {
    const store = await factory.openStore('rivals')
    const rivals = Array.from({ length: 50 }, (_, index) =>
      store.write({
        changes: [
          { table: 'tokens', key: 'prize', value: bytes(String(index)), expect: null },
          { table: 'index', key: `won:${index}`, value: bytes('') }
        ]
      })
    )
    const outcomes = await Promise.all(rivals)
    t.equal(outcomes.filter((refusal) => refusal === null).length, 1)
    const winner = outcomes.indexOf(null)
    t.same(texts(await store.load('tokens', ['prize'])), [String(winner)])
    t.same(await store.keys('index', { prefix: 'won:', limit: 100 }), [`won:${winner}`])
    await store.close()
  })

  t.test(`${name}: conditions of every kind hold against batches of the same turn`, async (t) => {
    const store = await factory.openStore('turn')
    const put = (key: string) => ({ table: 'tokens' as const, key, value: bytes(key), expect: null })
    const outcomes = await Promise.all([
      store.write({ changes: [put('a.b')] }),
      store.write({ changes: [put('a')], noneUnder: [{ table: 'tokens', prefix: 'a.' }] }),
      store.write({ changes: [put('c')], noneUnder: [{ table: 'tokens', prefix: 'c.' }] }),
      store.write({ changes: [{ table: 'tokens', key: 'd', value: bytes('d') }] })
    ])
    t.same(outcomes, [null, { table: 'tokens', key: 'a.b' }, null, null])
    t.same(await store.keys('tokens', { prefix: '', limit: 10 }), ['a.b', 'c', 'd'])
    const each = await store.writeEach([
      { changes: [put('e')] },
      { changes: [put('d'), { table: 'index', key: 'of d', value: bytes('') }] },
      { changes: [put('e.f')], noneUnder: [{ table: 'tokens', prefix: 'a.' }] },
      { changes: [put('g'), put('h')] },
      { changes: [put('i'), put('e'), { table: 'index', key: 'of i', value: bytes('') }, put('j')] },
      { changes: [put('d'), put('k')] },
      { changes: [{ table: 'tokens', key: 'c', value: null }] }
    ])
    const refusals = ['d', 'a.b', 'e', 'd'].map((key) => ({ table: 'tokens', key }))
    t.same(each, [null, refusals[0], refusals[1], null, refusals[2], refusals[3], null])
    const many = Array.from({ length: 100 }, (_, n) => `many ${String(n).padStart(2, '0')}`)
    t.same(
      await store.writeEach(
        [many.slice(0, 30), many.slice(29, 70), many.slice(30)].map((keys) => ({ changes: keys.map(put) }))
      ),
      [null, { table: 'tokens', key: 'many 29' }, null]
    )
    t.same(await store.keys('tokens', { prefix: '', limit: 200 }), ['a.b', 'd', 'e', 'g', 'h', ...many])
    t.same(await store.keys('index', { prefix: '', limit: 10 }), [], 'of one that is refused nothing is there')
    await store.close()
  })

  t.test(`${name}: scans in the order of UTF-8 bytes, both ways, from a place on, within a prefix`, async (t) => {
    const store = await factory.openStore('scan')
    const keys = ['t:', 't:a', 't:a:1', 't:b', 't:é', 't:\uffee', 't:\u{1f600}', 't;z', 's:z', 't']
    await store.write({ changes: keys.map((key) => ({ table: 'index' as const, key, value: bytes(key) })) })
    const inside = ['t:', 't:a', 't:a:1', 't:b', 't:é', 't:\uffee', 't:\u{1f600}']
    const limit = 100
    t.same(await store.keys('index', { prefix: 't:', limit }), inside)
    t.same(await store.keys('index', { prefix: 't:', limit, reverse: true }), [...inside].reverse())
    t.same(await store.keys('index', { prefix: 't:', limit: 2, skip: 1 }), inside.slice(1, 3))
    t.same(await store.keys('index', { prefix: 't:', limit: 2, after: 't:a' }), inside.slice(2, 4))
    t.same(await store.keys('index', { prefix: 't:', limit: 2, after: 't:b', reverse: true }), ['t:a:1', 't:a'])
    t.same(await store.keys('index', { prefix: 't:', limit, after: 't:zz' }), ['t:é', 't:\uffee', 't:\u{1f600}'])
    t.same(await store.keys('index', { prefix: '', limit }), ['s:z', 't', ...inside, 't;z'])
    t.same(await store.keys('index', { prefix: 'none:', limit }), [])
    t.equal(await store.count('index', 't:'), 7)
    t.equal(await store.count('index', 't:', 3), 3, 'and no further than asked')
    t.equal(await store.count('index', 'none:'), 0)
    const rows = await store.scan('index', { prefix: 't:a', limit: 2 })
    t.same(
      rows.map(({ key, value }) => [key, value.toString()]),
      [
        ['t:a', 't:a'],
        ['t:a:1', 't:a:1']
      ]
    )
    await store.close()
  })

  t.test(`${name}: the generation is raised only by batches that were applied`, async (t) => {
    const store = await factory.openStore('generation')
    const before = await store.generation()
    await store.write({ changes: [{ table: 'keys', key: 'k', value: bytes('1') }], raise: true })
    t.equal(await settled(store, before + 1), before + 1)
    await store.write({ changes: [{ table: 'keys', key: 'k', value: bytes('2') }] })
    await store.write({ changes: [{ table: 'keys', key: 'k', value: bytes('3'), expect: null }], raise: true })
    t.equal(await settled(store, before + 1), before + 1)
    await store.close()
  })

  t.test(`${name}: a key of any characters is found again, and stands for no other`, async (t) => {
    const store = await factory.openStore('characters')
    const odd = ['\u0001', '\u0004', '\u001b', ' ', '"', '\\', '\u007f', 'é', '€', '\u{1f600}']
    const keys = ['t:', ...odd.flatMap((one) => [one, `t:${one}`, `t:${one}k`, `t:${one.repeat(40)}`])]
    const put = (key: string) => ({ table: 'tokens' as const, key, value: bytes(key), expect: null })
    for (const key of keys) t.equal(await store.write({ changes: [put(key)] }), null, JSON.stringify(key))
    t.same(texts(await store.load('tokens', keys)), keys)
    for (const key of keys) t.same(await store.write({ changes: [put(key)] }), { table: 'tokens', key })
    await store.close()
  })

  t.test(`${name}: long keys and large rows`, async (t) => {
    const store = await factory.openStore('large')
    const key = `tenant:${'ü'.repeat(400)}`
    const value = Buffer.alloc(1_000_000, 7)
    await store.write({ changes: [{ table: 'tokens', key, value }] })
    const [row] = await store.load('tokens', [key])
    t.ok(row?.equals(value))
    const put = (key: string) => store.write({ changes: [{ table: 'tokens', key, value: bytes('v') }] })
    const writes = await Promise.allSettled([put('a'), put('x'.repeat(2000)), put('b'), put('n\0'), put('c')])
    t.same(
      writes.map((write) => (write.status === 'fulfilled' ? null : (write.reason as { code: string }).code)),
      [null, 'ERR_INPUT', null, 'ERR_INPUT', null],
      'a key that no store takes fails by itself'
    )
    await store.close()
  })

  if (!factory.keeps) return
  t.test(`${name}: what was acknowledged is there when the store is opened again`, async (t) => {
    const store = await factory.openStore('keeps')
    const writes = Array.from({ length: 20 }, (_, n) =>
      store.write({ changes: [{ table: 'tokens', key: `k:${n}`, value: bytes('v') }] })
    )
    await Promise.all(writes)
    await store.close()
    const again = await factory.openStore('keeps')
    t.equal(await again.count('tokens', 'k:'), 20)
    await again.close()
    await t.rejects(again.write({ changes: [] }), { code: 'ERR_STORE_UNAVAILABLE' }, 'a closed store refuses')
  })
}

/** The generation, once it has come to `expected`; it may be seen an event-loop turn late. */
async function settled(store: Store, expected: number): Promise<number> {
  for (let turn = 0; turn < 100 && (await store.generation()) !== expected; turn++) await setTimeout(2)
  return store.generation()
}
