/** The end of a tenant: its tokens, keys and all else that is its own. What it did stays in `/logs`. */
import type { Applications } from './applications.ts'
import type { Actor, Records } from './records.ts'
import type { Shelf } from './shelf.ts'
import { type Store, TABLES } from './store.ts'

export interface TenantEndParts {
  readonly store: Store
  readonly records: Records
  readonly applications: Applications
  /** Their keys are found by no tenant's name. */
  readonly proxies: Shelf
  readonly now: () => number
}

/**
 * Removes a tenant. First every other application goes, so that nobody adds to it; the caller's own goes last but for
 * what came meanwhile, so that a call that failed in between can be made again.
 */
export async function endTenant(parts: TenantEndParts, by: Actor, traceId: string): Promise<void> {
  const { store, records, applications, proxies, now } = parts
  for (const { id } of await applications.list(by.tenant, 0, MOST, () => {})) {
    if (id !== by.application) await applications.change(id, by, 'delete', traceId, () => null)
  }
  for (const volume of (await proxies.list(by.tenant, 0, MOST)).volumes) await proxies.remove(by, volume, traceId)
  await empty(store, by)
  const gone = records.log(by, 'tenant', by.tenant, 'delete', traceId, now())
  await store.write({ changes: [gone, { table: 'settings', key: by.tenant, value: null }] })
  await applications.change(by.application, by, 'delete', traceId, () => null)
  await empty(store, { ...by, application: '' })
}

/** All rows of the tenant but the application of whoever asks, and the log. */
async function empty(store: Store, by: Actor): Promise<void> {
  const own = `${by.tenant}:${by.application}`
  for (const table of TABLES) {
    if (KEPT.has(table)) continue
    for (;;) {
      const keys = await store.keys(table, { prefix: `${by.tenant}:`, limit: BATCH })
      const changes = keys
        .filter((key) => table !== 'applications' || key !== own)
        .map((key) => ({ table, key, value: null }))
      if (changes.length === 0) break
      await store.write({ changes, raise: true })
    }
  }
}

// Rows of `keyring` and `anchors` are of no tenant, those of `settings` and `keys` have other names.
const KEPT = new Set<string>(['changes', 'keyring', 'anchors', 'settings', 'keys'])
const MOST = 1_000_000
const BATCH = 1000
