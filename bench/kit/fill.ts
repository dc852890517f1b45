import { Keyring, type SealName } from '../../lib/vault/keyring.ts'
import type { MasterKey } from '../../lib/vault/master-key.ts'
import type { Change, Store } from '../../lib/vault/store.ts'
import { encodeToken, type TokenHeader, tokenKey } from '../../lib/vault/token.ts'
import { makeToken } from '../../lib/vault/token-draft.ts'
import { rows } from '../../lib/vault/tokens.ts'
import type { NewToken } from '../../lib/vault/creates.ts'

/** An open store, and what its tokens are sealed with. */
export interface Filling {
  readonly store: Store
  readonly masterKeys: readonly MasterKey[]
  readonly seal: SealName
  readonly tenant: string
}

/**
 * Puts tokens into a store where none of their ids is taken: each sealed, indexed and on disk as if it had been created,
 * but for its row in the log of changes. Since nothing has to be looked up, the store's own thread writes a group while the
 * next one is sealed; it is quickest with ids in ascending order. A draft that comes again and again, the same object, is
 * worked out once.
 */
export async function fill(
  filling: Filling,
  tokens: Iterable<{ readonly id: string; readonly draft: NewToken }>
): Promise<void> {
  const { store, masterKeys, seal, tenant } = filling
  const keyring = await Keyring.open({ store, masterKeys, seal })
  const hmac = await keyring.tenantKey(tenant)
  const stamp = { createdAt: Date.now(), createdBy: 'bench', cvcTakenAt: 0 }
  const headers = new Map<NewToken, TokenHeader>()
  let key = await keyring.current()
  let group: Change[] = []
  let size = 0
  let written: Promise<unknown> = Promise.resolve()
  for (const { id, draft } of tokens) {
    let header = headers.get(draft)
    if (header === undefined) {
      header = makeToken(draft, stamp, hmac).header
      if (headers.size < MOST_DRAFTS) headers.set(draft, header)
    }
    const value = encodeToken(key, tenant, id, header, draft.data, null)
    group.push({ table: 'tokens', key: tokenKey(tenant, id), value }, ...rows(tenant, id, header, null))
    if (++size < GROUP) continue
    await written
    written = store.write({ changes: group })
    group = []
    size = 0
    key = await keyring.current()
  }
  await written
  await store.write({ changes: group })
}

const GROUP = 1000
const MOST_DRAFTS = 100
