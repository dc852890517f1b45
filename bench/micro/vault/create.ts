/**
 * Durable creates by 64 callers at once in one process: each is acknowledged when it is on disk, and all that wait go
 * in one transaction. Budget: 20 000 a second. Where the disk's fsync costs nearly nothing this flatters; the CPU time
 * per create (lmdb's writing thread included) says more.
 */
import { count, quick } from '../../kit/options.ts'
import { median, report } from '../../kit/report.ts'
import { benchVault } from './_filled.ts'

const CALLERS = 64
const creates = count('creates', 20_000, 500)
const rounds = quick ? 1 : 5
const token = { type: 'card_number', container: '/pci/high/', data: '"4242424242424242"', expiresAt: null }

const { vault, caller, close } = await benchVault()
const perSecond: number[] = []
const cpu: number[] = []
for (let round = 0; round < rounds; round++) {
  let left = creates
  const one = async (): Promise<void> => {
    while (left-- > 0) await vault.create(caller, [token], 'bench')
  }
  const before = process.cpuUsage()
  const start = process.hrtime.bigint()
  await Promise.all(Array.from({ length: CALLERS }, one))
  const seconds = Number(process.hrtime.bigint() - start) / 1e9
  const { user, system } = process.cpuUsage(before)
  perSecond.push(creates / seconds)
  cpu.push((user + system) / creates)
}
await close()
const figures = { 'creates/s': median(perSecond), 'CPU µs each': median(cpu) }
report([{ bench: 'micro/vault/create', case: `${CALLERS} callers`, subject: 'sluice', figures }])
