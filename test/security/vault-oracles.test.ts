/**
 * The attack: somebody holds a key that may not read, and asks questions whose answers depend on what they may not see.
 * Is this id a token of another tenant? Is this card in the vault already? What does a mask of my own say about a token
 * that I may only update? What does a search find? Each answer must be the same whatever the hidden fact is.
 */
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { SluiceError } from '../../lib/errors.ts'
import { tokenText } from '../../lib/vault/token-view.ts'
import type { RowKey, Store } from '../../lib/vault/store.ts'
import { openLmdb } from '../../lib/vault/stores/lmdb.ts'
import { readRevision } from '../../lib/dialects/basis-theory/token-input.ts'
import { newVault, purpose, subject } from '../kit/vault.ts'

const asked: string[] = []
/** Writes down what the store is asked. */
function watched(directory: string): Store {
  const store = openLmdb(directory)
  return Object.assign(Object.create(store) as Store, {
    load: (table: never, keys: readonly string[]) => {
      asked.push(`load ${keys.length}`)
      return store.load(table, keys)
    },
    read: (table: never, key: RowKey, target: Buffer, at: number) => {
      asked.push('load 1')
      return store.read?.(table, key, target, at)
    },
    write: (batch: Parameters<Store['write']>[0]) => {
      asked.push('write')
      return store.write(batch)
    },
    writeEach: (batches: Parameters<Store['writeEach']>[0]) => {
      for (const _ of batches) asked.push('write')
      return store.writeEach(batches)
    },
    keys: store.keys.bind(store),
    scan: store.scan.bind(store),
    count: store.count.bind(store),
    generation: store.generation.bind(store),
    close: store.close.bind(store)
  })
}

const { vault, caller: newCaller, close } = await newVault({ openStore: watched })
t.teardown(close)
const owner = await newCaller()
const card = { type: 'card', container: '/pci/high/', data: '{"number":"4242424242424242"}', expiresAt: null }

async function errorOf(action: () => unknown): Promise<SluiceError> {
  try {
    await action()
  } catch (thrown) {
    return thrown as SluiceError
  }
  throw new Error('nothing was thrown')
}

t.test('another tenant’s token and none at all: the same words, and the same work', async (t) => {
  await vault.create(owner, [{ ...card, id: 'theirs-0001' }], 't')
  const spy = await newCaller({ tenant: 'spy' })
  const doors = ['proxy', 'reflect', 'detokenize', 'decrypt'] as const
  for (const door of doors) {
    const answers = []
    for (const id of ['theirs-0001', 'nobody-0001']) {
      asked.length = 0
      const error = await errorOf(() => vault.reveal(spy, [subject(id)], purpose(door), 9))
      answers.push([error.code, error.message.replace(id, 'ID'), [...asked]])
    }
    t.same(answers[0], answers[1], door)
  }
  for (const id of ['theirs-0001', 'nobody-0001']) {
    t.match(await errorOf(() => vault.read(spy, id, purpose('read'))), {
      code: 'ERR_NOT_FOUND',
      message: 'The token was not found'
    })
    t.match(await errorOf(() => vault.delete(spy, id, 't')), { code: 'ERR_NOT_FOUND' })
    t.match(await errorOf(() => vault.update(spy, id, readRevision({}), 't')), { code: 'ERR_NOT_FOUND' })
  }
  t.equal(
    (await vault.create(spy, [{ ...card, id: 'theirs-0001' }], 't'))[0]?.id,
    'theirs-0001',
    'the id is free in another tenant'
  )
})

t.test('a key that may only create cannot ask whether a card is there', async (t) => {
  const creator = await newCaller({ permissions: ['token:create'] })
  const shape = (text: string) => JSON.stringify(Object.keys(JSON.parse(text) as object))
  const wanted = { ...card, deduplicate: true }
  const unknown = { ...wanted, data: '{"number":"5555555555554444"}' }
  await vault.create(owner, [{ ...card, metadata: { customer: '7' } }], 't')
  const answers: string[] = []
  const work: string[][] = []
  for (const each of [wanted, unknown]) {
    asked.length = 0
    const [view] = await vault.create(creator, [each], 't')
    if (view !== undefined) answers.push(tokenText(view))
    work.push(asked.filter((what) => what === 'write'))
  }
  t.equal(shape(answers[0] ?? ''), shape(answers[1] ?? ''), 'the same members')
  for (const hidden of ['fingerprint', '_extras', 'created_at', 'metadata', '4242']) t.notMatch(answers.join(), hidden)
  t.same(work[0], work[1], 'each costs one durable write')
  const given = { ...wanted, id: 'my-own-id' }
  t.equal((await vault.create(creator, [given], 't'))[0]?.id, 'my-own-id', 'a given id is kept, there or not')
  const elsewhere = await newCaller({ permissions: ['token:create'] })
  const [other] = await vault.create(elsewhere, [{ ...wanted, container: '/pci/low/' }], 't')
  t.equal(other?.container, '/pci/low/', 'nor in which container')
  t.equal(
    (await vault.create(elsewhere, [{ ...wanted, container: '/pci/low/' }], 't'))[0]?.id,
    other?.id,
    'and it still deduplicates'
  )
})

t.test('update is not read', async (t) => {
  await vault.create(owner, [{ ...card, id: 'target-01' }], 't')
  const updater = await newCaller({ permissions: ['token:update', 'token:read', 'token:search'] })
  const attempts = [
    { mask: '{{ data }}' },
    { mask: null },
    { fingerprint_expression: '{{ data.number | slice: 0, 1 }}' },
    { search_indexes: ['{{ data.number }}'] },
    { containers: ['/general/low/'] },
    { container: '/general/low/' },
    { privacy: { restriction_policy: 'mask' } },
    { destinations: ['evil.example'] },
    { data: { expiration_month: 1 }, mask: '{{ data }}' },
    { data: {}, search_indexes: ['{{ data.number }}'] }
  ]
  for (const attempt of attempts) {
    const error = await errorOf(() => vault.update(updater, 'target-01', readRevision(attempt), 't'))
    t.equal(error.code, 'ERR_PERMISSION', JSON.stringify(attempt))
  }
  const fine = await vault.update(
    updater,
    'target-01',
    readRevision({ metadata: { a: '1' }, data: { expiration_month: 5 } }),
    't'
  )
  t.notMatch(tokenText(fine), '4242424242424242')
  const revealed = await vault.update(owner, 'target-01', readRevision({ mask: 'none of your business' }), 't')
  t.equal(revealed.rest.mask, 'none of your business', 'whoever may read may')
})

t.test('use is not read', async (t) => {
  await vault.create(owner, [{ ...card, id: 'used-01' }], 't')
  const user = await newCaller({ permissions: ['token:use'] })
  t.equal((await vault.reveal(user, [subject('used-01')], purpose('proxy'), 1)).length, 1)
  for (const door of ['reflect', 'detokenize', 'decrypt', 'read'] as const) {
    t.equal(
      (await errorOf(() => vault.reveal(user, [subject('used-01')], purpose(door), 1))).code,
      'ERR_TOKEN_FORBIDDEN',
      door
    )
  }
  t.equal((await errorOf(() => vault.read(user, 'used-01', purpose('read')))).code, 'ERR_PERMISSION')
})

t.test('guessing at data by searching finds nothing for whoever may not read it', async (t) => {
  const ssn = {
    id: 'ssn-01',
    type: 'social_security_number',
    container: '/pii/high/',
    data: '"123-45-6789"',
    expiresAt: null
  }
  await vault.create(owner, [ssn], 't')
  const masked = await newCaller({ permissions: ['token:search', 'token:read'] })
  const works: string[][] = []
  for (const guess of ['123-45-6789', '999-99-9999']) {
    asked.length = 0
    const look = {
      caller: masked,
      condition: vault.parseQuery(`data:${guess}`, false),
      permission: 'token:search',
      isExact: false
    } as const
    t.same((await vault.page(look, 1, 10, 't')).total, 0)
    works.push([...asked])
  }
  t.same(works[0], works[1], 'with the same work')
})

t.test('nobody plants a token under somebody else’s name', async (t) => {
  await vault.create(
    owner,
    [
      { ...card, id: 'john' },
      { ...card, id: 'a.b.c' }
    ],
    't'
  )
  const planter = await newCaller({ permissions: ['token:create'] })
  // A request that says {{ john.number }} means the number of john: no token of that name may come before it.
  for (const id of ['john.number', 'john.a.b', 'a.b', 'a', 'a.b.c.d']) {
    t.match(await errorOf(() => vault.create(planter, [{ ...card, id }], 't')), { code: 'ERR_INPUT' }, id)
  }
  t.match(
    await errorOf(() =>
      vault.create(
        planter,
        [
          { ...card, id: 'new' },
          { ...card, id: 'new.number' }
        ],
        't'
      )
    ),
    { code: 'ERR_INPUT' },
    'within one call'
  )
  t.match(
    await errorOf(() =>
      vault.create(
        planter,
        [
          { ...card, id: 'twin' },
          { ...card, id: 'twin' }
        ],
        't'
      )
    ),
    { code: 'ERR_CONFLICT' }
  )
  t.ok(
    await vault.create(
      planter,
      [
        { ...card, id: 'johnny' },
        { ...card, id: 'a.bb' }
      ],
      't'
    ),
    'names that are merely alike'
  )
  const rivals = await Promise.allSettled([
    ...Array.from({ length: 10 }, () => vault.create(planter, [{ ...card, id: 'race.part' }], 't')),
    ...Array.from({ length: 10 }, () => vault.create(planter, [{ ...card, id: 'race' }], 't'))
  ])
  t.equal(rivals.filter(({ status }) => status === 'fulfilled').length, 1, 'of twenty at once one wins')
})

t.test('half a surrogate pair is not the character that stands in for it', async (t) => {
  await vault.create(owner, [{ ...card, id: 'smile-\ufffd' }], 't')
  t.equal((await errorOf(() => vault.reveal(owner, [subject('smile-\ud83d')], purpose(), 1))).code, 'ERR_TOKEN_UNKNOWN')
  t.equal((await errorOf(() => vault.read(owner, 'smile-\ud83d', purpose('read')))).code, 'ERR_NOT_FOUND')
})

t.test('a leaked key that is bound sends nothing elsewhere', async (t) => {
  await vault.create(owner, [{ ...card, id: 'bound-01' }], 't')
  const leaked = await newCaller({
    permissions: ['token:use'],
    destinations: [{ host: 'psp.example', methods: ['POST'], pathPrefix: '/v1/' }]
  })
  const to = (destination: object) =>
    Promise.resolve().then(() => vault.reveal(leaked, [subject('bound-01')], purpose('proxy', destination), 1))
  t.equal((await to({ path: '/v1/charges' })).length, 1)
  for (const destination of [
    { host: 'evil.example', path: '/v1/charges' },
    { host: 'psp.example.evil.example', path: '/v1/charges' },
    { host: 'xpsp.example', path: '/v1/charges' },
    { path: '/v2/charges' },
    { path: '/v1/charges', method: 'PUT' },
    { path: '/%76%31/charges' }
  ]) {
    asked.length = 0
    t.equal((await errorOf(() => to(destination))).code, 'ERR_DESTINATION_FORBIDDEN', JSON.stringify(destination))
    t.notOk(asked.includes('load 1'), 'and no token was looked for')
  }
  await setTimeout(0)
})

t.test('a cvc is in no mask, fingerprint, index or search', async (t) => {
  const withCvc = {
    ...card,
    id: 'cvc-01',
    data: '{"number":"4242424242424242","cvc":"987"}',
    mask: { all: '{{ data }}', cvc: '{{ data.cvc }}' },
    fingerprintExpression: '{{ data.number }}-{{ data.cvc }}',
    searchIndexes: ['x{{ data.cvc }}']
  }
  const [made] = await vault.create(owner, [withCvc], 't')
  const [other] = await vault.create(
    owner,
    [{ ...withCvc, id: 'cvc-02', data: '{"number":"4242424242424242","cvc":"123"}' }],
    't'
  )
  t.equal(made?.rest.fingerprint, other?.rest.fingerprint)
  const masked = await newCaller({ permissions: ['token:read'] })
  t.notMatch(tokenText(await vault.read(masked, 'cvc-01', purpose('read'))), '987')
  const look = {
    caller: owner,
    condition: vault.parseQuery('data:x987', false),
    permission: 'token:search',
    isExact: false
  } as const
  t.equal((await vault.page(look, 1, 10, 't')).total, 0)
})
