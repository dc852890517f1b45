/** What belongs to a tenant beside its tokens: its name and settings, the bindings of its containers, its log. */
import { DestinationList, type DestinationName, type DestinationRule } from './destinations.ts'
import type { Actor, LogEntry, Records } from './records.ts'
import type { ContainerBindings } from './reveal.ts'
import type { MaybePromise, Store } from './store.ts'

export interface TenantSettings {
  readonly name: string
  readonly settings: Readonly<Record<string, string>>
  readonly modifiedAt: number | null
}

export interface LogFilter {
  readonly entity?: string
  readonly id?: string
  /** Milliseconds. */
  readonly from?: number
  readonly to?: number
}

interface BoundContainer {
  readonly container: string
  readonly list: DestinationList
}

export class Tenants implements ContainerBindings {
  readonly #store: Store
  readonly #records: Records
  readonly #now: () => number
  // :: tenant → its bound containers, and of which generation they are
  readonly #bound = new Map<string, { generation: number; lists: readonly BoundContainer[] }>()

  constructor(store: Store, records: Records, now: () => number) {
    this.#store = store
    this.#records = records
    this.#now = now
  }

  async settings(tenant: string): Promise<TenantSettings> {
    const [row] = await this.#store.load('settings', [tenant])
    if (row === undefined) return { name: tenant, settings: {}, modifiedAt: null }
    return this.#records.decode<TenantSettings>('settings', tenant, row)
  }

  async changeSettings(
    by: Actor,
    name: string,
    settings: Readonly<Record<string, string>>,
    traceId: string
  ): Promise<TenantSettings> {
    const changed = { name, settings, modifiedAt: this.#now() }
    const log = this.#records.log(by, 'tenant', by.tenant, 'update', traceId, this.#now())
    await this.#store.write({ changes: [this.#records.put('settings', by.tenant, changed), log] })
    return changed
  }

  /** How many tokens a tenant has. */
  countTokens(tenant: string): MaybePromise<number> {
    return this.#store.count('tokens', `${tenant}:`)
  }

  /** The bound containers of a tenant. */
  async bindings(tenant: string): Promise<{ container: string; destinations: readonly DestinationRule[] }[]> {
    const prefix = `${tenant}:`
    const rows = await this.#store.scan('bindings', { prefix, limit: Number.MAX_SAFE_INTEGER })
    return rows.map(({ key, value }) => ({
      container: key.slice(prefix.length),
      destinations: this.#records.decode<readonly DestinationRule[]>('bindings', key, value)
    }))
  }

  /** Binds a container and all below it to destinations; null frees it. Throws ERR_INPUT. */
  async bind(
    by: Actor,
    container: string,
    destinations: readonly DestinationRule[] | null,
    traceId: string
  ): Promise<void> {
    if (destinations !== null) new DestinationList(destinations)
    const key = `${by.tenant}:${container}`
    const change =
      destinations === null
        ? { table: 'bindings' as const, key, value: null }
        : this.#records.put('bindings', key, destinations)
    const log = this.#records.log(
      by,
      'container',
      container,
      destinations === null ? 'free' : 'bind',
      traceId,
      this.#now()
    )
    await this.#store.write({ changes: [change, log], raise: true })
  }

  /**
   * Makes sure that the bindings of a tenant are those of a generation. Synchronous over a synchronous store; over another
   * one the bindings before stay until the new ones are there, for those who are between this and `admit`.
   */
  refresh(tenant: string, generation: number): void | Promise<void> {
    if (this.#bound.get(tenant)?.generation === generation) return undefined
    const prefix = `${tenant}:`
    const rows = this.#store.scan('bindings', { prefix, limit: Number.MAX_SAFE_INTEGER })
    const take = (found: Awaited<typeof rows>) => {
      const lists = found.map(({ key, value }) => ({
        container: key.slice(prefix.length),
        list: new DestinationList(this.#records.decode<readonly DestinationRule[]>('bindings', key, value))
      }))
      this.#bound.set(tenant, { generation, lists })
    }
    return rows instanceof Promise ? rows.then(take) : take(rows)
  }

  admit(tenant: string, container: string, destination: DestinationName): boolean {
    const bound = this.#bound.get(tenant)
    // Unknown is not free: `refresh` comes before.
    if (bound === undefined) return false
    for (const { container: above, list } of bound.lists)
      if (container.startsWith(above) && !list.admits(destination)) return false
    return true
  }

  /** Newest first. `limit` entries after the first `skip` that match, and how many match (counted up to COUNTED). */
  async log(
    tenant: string,
    filter: LogFilter,
    skip: number,
    limit: number
  ): Promise<{ entries: LogEntry[]; total: number }> {
    const prefix = `${tenant}:`
    const entries: LogEntry[] = []
    let total = 0
    let after = filter.to === undefined ? undefined : `${prefix}${String(filter.to).padStart(14, '0')};`
    for (;;) {
      const rows = await this.#store.scan('changes', {
        prefix,
        reverse: true,
        limit: BATCH,
        ...(after === undefined ? {} : { after })
      })
      for (const { key, value } of rows) {
        for (const entry of this.#records.entriesOf(key, value).reverse()) {
          if (filter.from !== undefined && entry.at < filter.from) return { entries, total }
          if (filter.entity !== undefined && entry.entity !== filter.entity) continue
          if (filter.id !== undefined && entry.id !== filter.id) continue
          if (total >= skip && entries.length < limit) entries.push(entry)
          if (++total >= COUNTED && entries.length >= limit) return { entries, total }
        }
      }
      if (rows.length < BATCH) return { entries, total }
      after = rows.at(-1)?.key
    }
  }
}

const BATCH = 500
const COUNTED = 10_000
