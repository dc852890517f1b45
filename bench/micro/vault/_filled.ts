import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Caller } from '../../../lib/vault/access.ts'
import { newMasterKey, parseMasterKeys } from '../../../lib/vault/master-key.ts'
import { openLmdb } from '../../../lib/vault/stores/lmdb.ts'
import type { NewToken } from '../../../lib/vault/tokens.ts'
import { newKeyMemo, Vault } from '../../../lib/vault/vault.ts'

/** A vault over LMDB in a temporary directory, and a caller who may do everything. */
export async function benchVault(): Promise<{ vault: Vault; caller: Caller; close: () => Promise<void> }> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  const vault = await Vault.open({
    store: openLmdb(join(directory, 'store')),
    masterKeys: parseMasterKeys(newMasterKey()),
    seal: 'aes-256-gcm',
    auditDirectory: join(directory, 'audit')
  })
  const { key } = await vault.createKey({ name: 'bench', permissions: ['*'], tenant: 'bench' })
  const caller = await vault.authenticate(key, newKeyMemo())
  const close = async () => {
    await vault.close()
    rmSync(directory, { recursive: true, force: true })
  }
  return { vault, caller, close }
}

/** Makes `count` tokens, a thousand at a time. */
export async function fill(vault: Vault, caller: Caller, count: number, token: (n: number) => NewToken): Promise<void> {
  for (let n = 0; n < count; n += 1000) {
    const batch = Array.from({ length: Math.min(1000, count - n) }, (_, at) => token(n + at))
    await vault.create(caller, batch, 'bench')
  }
}
