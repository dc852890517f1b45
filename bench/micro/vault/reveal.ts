/**
 * Reveal of four cold tokens: authenticate on a kept connection, find in LMDB, check, write the audit intent, open.
 * Each round takes four tokens that no round before took, out of a large population. Goal: at most 20 µs sealed with
 * AES-256-GCM, 15 µs with XChaCha20-Poly1305; a population of ten million at most 1.5 × one of ten thousand.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Caller } from '../../../lib/vault/access.ts'
import type { SealName } from '../../../lib/vault/keyring.ts'
import { newMasterKey, parseMasterKeys } from '../../../lib/vault/master-key.ts'
import { openLmdb } from '../../../lib/vault/stores/lmdb.ts'
import { newKeyMemo, Vault } from '../../../lib/vault/vault.ts'
import { count, quick } from '../../kit/options.ts'
import { type Row, report } from '../../kit/report.ts'

interface RevealFigures {
  readonly seal: SealName
  readonly population: number
  readonly microseconds: number
}

/** Median over event-loop turns of ten reveals each; a round is a hundred turns. */
async function measureReveal(seal: SealName, population: number, rounds: number): Promise<RevealFigures> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  const vault = await Vault.open({
    store: openLmdb(join(directory, 'store')),
    masterKeys: parseMasterKeys(newMasterKey()),
    seal,
    auditDirectory: join(directory, 'audit')
  })
  const { key } = await vault.createKey({ name: 'bench', permissions: ['*'], tenant: 'bench' })
  const memo = newKeyMemo()
  const caller = await vault.authenticate(key, memo)
  const ids = await fill(vault, caller, population)
  const times: number[] = []
  let at = 0
  for (let turn = 0; turn < rounds * 100; turn++) {
    const started = process.hrtime.bigint()
    for (let request = 0; request < 10; request++) at = reveal(vault, key, memo, ids, at)
    times.push(Number(process.hrtime.bigint() - started) / 10_000)
    await vault.released()
  }
  await vault.close()
  rmSync(directory, { recursive: true, force: true })
  times.sort((a, b) => a - b)
  return { seal, population, microseconds: times[times.length >> 1] as number }
}

function reveal(
  vault: Vault,
  key: string,
  memo: ReturnType<typeof newKeyMemo>,
  ids: readonly string[],
  from: number
): number {
  const caller = vault.authenticate(key, memo) as Caller
  const subjects = []
  let at = from
  for (let n = 0; n < 4; n++) {
    const id = ids[at] as string
    subjects.push({ text: id, form: 'data' as const, candidates: [id] })
    at = (at + 7919) % ids.length
  }
  const purpose = { door: 'proxy' as const, destination: DESTINATION, traceId: 'bench', reason: null, intent: 0 }
  const found = vault.reveal(caller, subjects, purpose, 100)
  if (found instanceof Promise || found.length !== 4 || found[0]?.data.exposeText() !== DATA)
    throw new Error('wrong reveal')
  vault.outcome(purpose.intent, 'ok')
  return at
}

async function fill(vault: Vault, caller: Caller, population: number): Promise<string[]> {
  const ids: string[] = []
  const token = { type: 'card_number', container: '/pci/high/', data: DATA, expiresAt: null }
  const batch = Array.from({ length: 1000 }, () => token)
  while (ids.length < population) {
    for (const { id } of await vault.create(caller, batch, 'bench')) ids.push(id)
  }
  return ids
}

const DATA = '"4242424242424242"'
const DESTINATION = { host: 'psp.example', port: 443, method: 'POST', path: '/v1/charges' }

const population = count('tokens', Number(process.env['SLUICE_POPULATION'] ?? 100_000), 2000)
const rows: Row[] = []
for (const seal of ['aes-256-gcm', 'xchacha20-poly1305'] as const) {
  const { microseconds } = await measureReveal(seal, population, quick ? 2 : 40)
  const name = `four of ${population} tokens, ${seal}`
  rows.push({ bench: 'micro/vault/reveal', case: name, subject: 'sluice', figures: { µs: microseconds } })
}
report(rows)
