/**
 * Processes are killed at random moments in a stream of creates, several at a time on one vault. Whatever they had told of
 * has to be there, and nothing may be there by half.
 */
import { setTimeout } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Caller } from '../../lib/vault/access.ts'
import { indexKey, termsOf } from '../../lib/vault/index-terms.ts'
import type { Row, Store, Table } from '../../lib/vault/store.ts'
import { TokenRecord } from '../../lib/vault/token.ts'
import { newKeyMemo, type Vault } from '../../lib/vault/vault.ts'
import { purpose, subject } from './vault.ts'
import { dataOf, openStoreAt, openVaultAt, VaultChild, type VaultPlace } from './vault-child.ts'

/** Kills 30 processes (times SLUICE_FUZZ) that create tokens in a vault, and looks at what they leave. */
export async function killInTheMiddle(t: Test, place: VaultPlace): Promise<void> {
  const vault = await openVaultAt(place)
  const { key } = await vault.createKey({ name: 'crash', permissions: ['*'], tenant: 'acme' })
  const caller = await vault.authenticate(key, newKeyMemo())
  const created: string[] = []
  let round = 0
  const killer = async (): Promise<void> => {
    while (round < ROUNDS) {
      const child = new VaultChild(place)
      const name = `r${round++}`
      t.equal(await child.authenticate(key), '')
      child.create(key, name, 8)
      await child.hasCreated(Math.floor(Math.random() * 40))
      await setTimeout(Math.random() * 10)
      await child.kill()
      t.equal(child.failed, null)
      created.push(...child.created)
      await check(vault, caller, child.created)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, killer))
  const store = await openStoreAt(place)
  const faults = await halves(store)
  t.strictSame(faults, [])
  const ids = await idsOf(store)
  await check(vault, caller, ids)
  t.ok(created.length >= ROUNDS, 'not all were killed before they began')
  t.comment(`${place.store}: ${ROUNDS} kills, ${created.length} tokens acknowledged, ${ids.length} there`)
  await store.close()
  await vault.close()
}

/** Throws ERR_TOKEN_UNKNOWN for one that is missing, ERR_INTERNAL for one that does not open. */
async function check(vault: Vault, caller: Caller, ids: readonly string[]): Promise<void> {
  for (let at = 0; at < ids.length; at += 500) {
    const some = ids.slice(at, at + 500)
    const found = await vault.reveal(
      caller,
      some.map((id) => subject(id)),
      purpose(),
      500
    )
    found.forEach((one, index) => {
      if (one.data.exposeText() !== dataOf(some[index] ?? '')) throw new Error(`${some[index]} is another`)
    })
  }
}

async function idsOf(store: Store): Promise<string[]> {
  return (await everyRow(store, 'tokens')).map(({ key }) => key.slice('acme:'.length))
}

/** Every token without one of its rows, and every row without its token. */
async function halves(store: Store): Promise<string[]> {
  const tokens = await everyRow(store, 'tokens')
  const index = new Set((await everyRow(store, 'index')).map(({ key }) => key))
  const faults: string[] = []
  for (const { key, value } of tokens) {
    const id = key.slice('acme:'.length)
    const { header } = new TokenRecord(value)
    for (const term of termsOf(header)) {
      if (!index.delete(indexKey('acme', term, header.createdAt, id))) faults.push(`${id} is not found by ${term}`)
    }
  }
  for (const key of index) faults.push(`${key} finds nothing`)
  const changes = (await everyRow(store, 'changes'))
    .map(({ value }) => JSON.parse(value.toString('utf8', 32)) as { entity: string; each: unknown[] })
    .filter(({ entity }) => entity === 'token')
    .flatMap(({ each }) => each)
  if (changes.length !== tokens.length) faults.push(`${tokens.length} tokens, but ${changes.length} changes`)
  return faults
}

async function everyRow(store: Store, table: Table): Promise<Row[]> {
  const rows: Row[] = []
  for (;;) {
    const after = rows.at(-1)?.key
    const page = await store.scan(table, { prefix: 'acme:', limit: 1000, ...(after === undefined ? {} : { after }) })
    if (page.length === 0) return rows
    rows.push(...page)
  }
}

const ROUNDS = 30 * Number(process.env['SLUICE_FUZZ'] ?? 1)
const AT_ONCE = 4
