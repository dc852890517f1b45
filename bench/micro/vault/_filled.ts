import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Caller } from '../../../lib/vault/access.ts'
import type { SealName } from '../../../lib/vault/keyring.ts'
import { newMasterKey, parseMasterKeys } from '../../../lib/vault/master-key.ts'
import { openLmdb } from '../../../lib/vault/stores/lmdb.ts'
import type { NewToken } from '../../../lib/vault/creates.ts'
import { newKeyMemo, Vault } from '../../../lib/vault/vault.ts'
import { fill } from '../../kit/fill.ts'
import { quick } from '../../kit/options.ts'

export interface BenchVault {
  readonly vault: Vault
  readonly caller: Caller
  readonly key: string
  /** Closes the vault, and removes it when it lies in a temporary directory. */
  close(): Promise<void>
}

interface Filling {
  readonly seal?: SealName
  /** A directory that keeps the vault: when it holds one, that one is opened. */
  readonly kept?: string
  readonly count?: number
  readonly token?: (n: number) => NewToken
}

/**
 * A vault over LMDB and a caller who may do everything. It holds `count` tokens under the ids of `idAt`, put there by
 * `fill`.
 */
export async function benchVault(filling: Filling = {}): Promise<BenchVault> {
  const { seal = 'aes-256-gcm', kept, count = 0, token } = filling
  const directory = kept ?? mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  mkdirSync(directory, { recursive: true })
  const keyFile = join(directory, 'master.key')
  const isFilled = existsSync(join(directory, 'filled'))
  if (!existsSync(keyFile)) writeFileSync(keyFile, newMasterKey(), { mode: 0o600 })
  const masterKeys = parseMasterKeys(readFileSync(keyFile, 'utf8'))
  const store = openLmdb(join(directory, 'store'))
  if (token !== undefined && !isFilled) {
    const started = process.hrtime.bigint()
    await fill({ store, masterKeys, seal, tenant: TENANT }, tokens(count, token))
    const seconds = Number(process.hrtime.bigint() - started) / 1e9
    if (!quick) process.stdout.write(`  ${count} tokens written in ${seconds.toFixed(1)} s\n`)
    writeFileSync(join(directory, 'filled'), '')
  }
  const vault = await Vault.open({ store, masterKeys, seal, auditDirectory: join(directory, 'audit') })
  const { key } = await vault.createKey({ name: 'bench', permissions: ['*'], tenant: TENANT })
  const caller = await vault.authenticate(key, newKeyMemo())
  const close = async () => {
    await vault.close()
    if (kept === undefined) rmSync(directory, { recursive: true, force: true })
  }
  return { vault, caller, key, close }
}

function* tokens(count: number, draft: (n: number) => NewToken): Generator<{ id: string; draft: NewToken }> {
  for (let n = 0; n < count; n++) yield { id: idAt(n, count), draft: draft(n) }
}

/** The id of the nth of `count` tokens: a UUID, later than the one before as the ids of an export are. */
export function idAt(n: number, count: number): string {
  const first = Math.floor((n / count) * 2 ** 32)
  const more = createHash('sha1').update(String(n)).digest('hex')
  return `${first.toString(16).padStart(8, '0')}-${more.slice(0, 4)}-4${more.slice(4, 7)}-a${more.slice(7, 10)}-${more.slice(10, 22)}`
}

const TENANT = 'bench'
