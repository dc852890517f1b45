import { readFileSync } from 'node:fs'
import { MASTER_KEY } from '../config/faults.ts'
import type { Config } from '../config/schema.ts'
import { SluiceError } from '../errors.ts'
import { parseMasterKeys } from '../vault/master-key.ts'
import type { Store } from '../vault/store.ts'
import { Vault } from '../vault/vault.ts'

/**
 * The text of the master key: from the environment, which forgets it by this, or from its file. Throws ERR_CONFIG when
 * there is none.
 */
export function takeMasterKey(config: Config): string {
  const text = process.env[MASTER_KEY]
  delete process.env[MASTER_KEY]
  if (text !== undefined) return text
  const file = config.vault.masterKeyFile
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const why = `vault.masterKeyFile: ${file} cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown reason'})`
    throw new SluiceError('ERR_CONFIG', why, { names: ['vault.masterKeyFile'] })
  }
}

/** Opens the store of a configuration. Throws ERR_STORE_UNAVAILABLE, ERR_CONFIG. */
async function openStore(config: Config): Promise<Store> {
  const { store, path, url, connections } = config.vault
  if (store === 'lmdb') return (await import('../vault/stores/lmdb.ts')).openLmdb(path)
  const { openPostgres } = await import('../vault/stores/postgres.ts')
  return openPostgres({ url: url ?? '', connections })
}

/** Opens the vault of a configuration. Throws ERR_CONFIG when the master key does not open it. */
export async function openVault(config: Config, masterKey: string): Promise<Vault> {
  const masterKeys = parseMasterKeys(masterKey)
  const { seal, cvcRetentionMs } = config.vault
  const store = await openStore(config)
  try {
    return await Vault.open({
      store,
      masterKeys,
      seal,
      auditDirectory: config.audit.path,
      auditSyncMs: config.audit.syncMs,
      cvcRetentionMs
    })
  } catch (error) {
    await store.close()
    throw error
  }
}
