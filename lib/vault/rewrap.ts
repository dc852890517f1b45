/**
 * Changing keys while servers run. `rotate` retires the data keys in use: every process makes itself a new one as soon
 * as it sees the raised generation. `rewrap` wraps every key under the first master key and seals anew what lies under
 * retired data keys, row by row, each only if it has not changed meanwhile. It can be stopped and goes on where it was.
 *
 * To change the master key: put a new first line into its file, restart the servers, `rewrap`, take out the old line.
 */
import type { Keyring, WrappedKey } from './keyring.ts'
import { open, PURPOSE_ROW, seal, sealKeyId } from './seal.ts'
import type { Change, Row, Store, Table } from './store.ts'
import { resealToken, TokenRecord } from './token.ts'
import type { Revealer } from './reveal.ts'

export interface RingEntry extends Omit<WrappedKey, 'wrapped'> {
  /** The row's key: `root`, `data:<id>`, `tenant:<tenant>`. */
  readonly key: string
}

export interface Progress {
  /** Keys wrapped under another master key than before. */
  readonly keys: number
  /** Rows looked at, and of these sealed anew. */
  readonly seen: number
  readonly sealed: number
}

/** Every key of the ring, without its secret. */
export async function listRing(store: Store): Promise<RingEntry[]> {
  const rows = await store.scan('keyring', { prefix: '', limit: Number.MAX_SAFE_INTEGER })
  const keys = rows.filter(({ key }) => !key.startsWith('rewrap:'))
  return keys.map(({ key, value }) => {
    const { kind, format, master, created, retired } = JSON.parse(value.toString()) as WrappedKey
    return { key, kind, format, master, created, retired }
  })
}

/** Retires every data key. Gives how many. */
export async function rotate(store: Store, now: number): Promise<number> {
  let retired = 0
  for (const { key, value } of await store.scan('keyring', { prefix: 'data:', limit: Number.MAX_SAFE_INTEGER })) {
    const row = JSON.parse(value.toString()) as WrappedKey
    if (row.retired !== null) continue
    const changed = Buffer.from(JSON.stringify({ ...row, retired: now }))
    const refusal = await store.write({
      changes: [{ table: 'keyring', key, value: changed, expect: value }],
      raise: true
    })
    if (refusal === null) retired++
  }
  return retired
}

/** Throws ERR_CONFIG when a key does not open under the master keys at hand. */
export async function rewrap(
  store: Store,
  keyring: Keyring,
  revealer: Revealer,
  report: (progress: Progress) => void
): Promise<Progress> {
  const keys = await wrapAll(store, keyring)
  const retired = await retiredIds(store)
  let progress: Progress = { keys, seen: 0, sealed: 0 }
  if (retired.size === 0) return progress
  for (const table of SEALED) {
    const place = `rewrap:${table}`
    const [kept] = await store.load('keyring', [place])
    let after = kept?.toString() ?? ''
    for (;;) {
      const rows = await store.scan(table, { prefix: '', limit: BATCH, ...(after === '' ? {} : { after }) })
      const done = await Promise.all(rows.map((row) => sealAnew(table, row, retired, store, keyring, revealer)))
      const sealed = done.filter(Boolean).length
      progress = { keys, seen: progress.seen + rows.length, sealed: progress.sealed + sealed }
      after = rows.at(-1)?.key ?? ''
      const isDone = rows.length < BATCH
      await store.write({ changes: [{ table: 'keyring', key: place, value: isDone ? null : Buffer.from(after) }] })
      report(progress)
      if (isDone) break
    }
  }
  return progress
}

async function wrapAll(store: Store, keyring: Keyring): Promise<number> {
  let keys = 0
  for (;;) {
    const changes: Change[] = []
    for (const { key, value } of await store.scan('keyring', { prefix: '', limit: Number.MAX_SAFE_INTEGER })) {
      if (key.startsWith('rewrap:')) continue
      const row = JSON.parse(value.toString()) as WrappedKey
      if (row.master === keyring.master) continue
      const wrapped = keyring.wrap(key, row.kind, row.format, keyring.unwrap(key, row), row.created)
      changes.push({
        table: 'keyring',
        key,
        value: Buffer.from(JSON.stringify({ ...wrapped, retired: row.retired })),
        expect: value
      })
    }
    if (changes.length === 0) return keys
    if ((await store.write({ changes })) === null) keys += changes.length
  }
}

async function retiredIds(store: Store): Promise<Set<number>> {
  const ring = await listRing(store)
  const retired = ring.filter((entry) => entry.kind === 'data' && entry.retired !== null)
  return new Set(retired.map(({ key }) => Number.parseInt(key.slice('data:'.length), 16)))
}

/** True when the row was sealed anew. A row that changes meanwhile is tried again. */
async function sealAnew(
  table: Table,
  given: Row,
  retired: ReadonlySet<number>,
  store: Store,
  keyring: Keyring,
  revealer: Revealer
): Promise<boolean> {
  const { key } = given
  const colon = key.indexOf(':')
  const [tenant, id] = [key.slice(0, colon), key.slice(colon + 1)]
  for (let row: Buffer | undefined = given.value; row !== undefined; [row] = await store.load(table, [key])) {
    const current = await keyring.current()
    let value: Buffer
    if (table === 'tokens') {
      const record = new TokenRecord(row)
      if (!retired.has(sealKeyId(row, record.sealAt))) return false
      await revealer.fetchKeys(record)
      value = resealToken(
        current,
        tenant,
        id,
        record,
        revealer.data(tenant, id, record),
        revealer.cvc(tenant, id, record)
      )
    } else {
      if (!retired.has(sealKeyId(row, 0))) return false
      const place = { purpose: PURPOSE_ROW, tenant, id: `${table}/${id}`, header: NOTHING, start: 0, end: 0 }
      const old = keyring.opener(row, 0) ?? (await keyring.fetch(row, 0))
      value = seal(current, open(old, row, 0, row.length, place), place)
    }
    if ((await store.write({ changes: [{ table, key, value, expect: row }] })) === null) return true
  }
  return false
}

/** The tables whose rows are sealed. */
const SEALED: readonly Table[] = ['tokens', 'proxies', 'reactors', 'configs', 'results']
const NOTHING = Buffer.alloc(0)
const BATCH = 200
