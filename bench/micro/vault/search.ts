/**
 * Search by an index value in a large vault: one hit among a million tokens, of which five thousand have a value of their
 * own, by both languages. Budget: 1 ms.
 * `--tokens=n` sets how many.
 */
import type { NewToken } from '../../../lib/vault/creates.ts'
import { count, quick } from '../../kit/options.ts'
import { median, report, type Row } from '../../kit/report.ts'
import { benchVault } from './_filled.ts'

const tokens = count('tokens', 1_000_000, 2000)
const rounds = quick ? 20 : 500

const PEOPLE = 5000
const draft = (data: string): NewToken => {
  return { type: 'token', container: '/pii/high/', data, searchIndexes: ['{{ data }}'], expiresAt: null }
}
/** Of so many one is looked for; to work out the terms of all takes minutes. */
const nobody = draft('"nobody"')
const token = (n: number) => (n % Math.ceil(tokens / PEOPLE) === 0 ? draft(`"person ${n}"`) : nobody)
const { vault, caller, close } = await benchVault({ count: tokens, token })
const rows: Row[] = []
for (const isExact of [false, true]) {
  const times: number[] = []
  for (let round = 0; round < rounds; round++) {
    const condition = vault.parseQuery(
      `data:"person ${((round * 7919) % Math.min(PEOPLE, tokens)) * Math.ceil(tokens / PEOPLE)}"`,
      isExact
    )
    const look = { caller, condition, permission: 'token:search', isExact } as const
    const start = process.hrtime.bigint()
    const found = isExact ? await vault.cursorPage(look, null, 20, 'bench') : await vault.page(look, 1, 20, 'bench')
    times.push(Number(process.hrtime.bigint() - start) / 1e6)
    if (found.views.length !== 1) throw new Error(`found ${found.views.length}`)
  }
  const name = `one of ${tokens}, ${isExact ? 'v2' : 'v1'}`
  rows.push({ bench: 'micro/vault/search', case: name, subject: 'sluice', figures: { ms: median(times) } })
}
await close()
report(rows)
