import { Keyring, type SealName } from '../../lib/vault/keyring.ts'
import type { MasterKey } from '../../lib/vault/master-key.ts'
import { Restorer } from '../../lib/vault/restore.ts'
import type { Store } from '../../lib/vault/store.ts'
import type { TokenHeader } from '../../lib/vault/token.ts'
import { makeToken } from '../../lib/vault/token-draft.ts'
import type { NewToken } from '../../lib/vault/creates.ts'

/** An open store, and what its tokens are sealed with. */
export interface Filling {
  readonly store: Store
  readonly masterKeys: readonly MasterKey[]
  readonly seal: SealName
  readonly tenant: string
}

/**
 * Puts tokens into a store by what `sluice tokens import` writes with: sealed, indexed and on disk as if each had been
 * created, but for its row in the log of changes. It is quickest with ids in ascending order. A draft that comes again and
 * again, the same object, is worked out once.
 */
export async function fill(
  filling: Filling,
  tokens: Iterable<{ readonly id: string; readonly draft: NewToken }>
): Promise<void> {
  const { store, masterKeys, seal, tenant } = filling
  const keyring = await Keyring.open({ store, masterKeys, seal })
  const hmac = await keyring.tenantKey(tenant)
  const restorer = new Restorer({ store, keyring })
  const stamp = { createdAt: Date.now(), createdBy: 'bench', cvcTakenAt: 0 }
  const headers = new Map<NewToken, TokenHeader>()
  let count = 0
  for (const { id, draft } of tokens) {
    let header = headers.get(draft)
    if (header === undefined) {
      header = makeToken(draft, stamp, hmac).header
      if (headers.size < MOST_DRAFTS) headers.set(draft, header)
    }
    const added = restorer.add({ tenant, id, header, data: draft.data }, true)
    if (added instanceof Promise) await added
    count++
  }
  const { made } = await restorer.finish()
  if (made !== count) throw new Error(`made ${made} of ${count}`)
}

const MOST_DRAFTS = 100
