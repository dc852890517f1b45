/**
 * What became of calls that nobody waits for, sealed, until their time is over. A result's id begins with the moment of
 * its call (a UUID of version 7, RFC 9562), so that every process knows how old it is without opening it.
 */
import { randomUUID } from 'node:crypto'
import { SluiceError } from '../errors.ts'
import type { Keyring } from './keyring.ts'
import { open, seal } from './seal.ts'
import { shelfPlace } from './shelf.ts'
import type { Store } from './store.ts'

export interface KeptResult {
  /** JSON text: what `begin` or `settle` was given last. */
  readonly text: string
  /** When the call began, in milliseconds since 1970. */
  readonly beganAt: number
}

export interface ResultParts {
  readonly store: Store
  readonly keyring: Keyring
  readonly now: () => number
}

export class Results {
  readonly #parts: ResultParts

  constructor(parts: ResultParts) {
    this.#parts = parts
  }

  /** Keeps what is known at the beginning, and gives the id. Throws ERR_OVERLOAD when the tenant has too many. */
  async begin(tenant: string, text: string): Promise<string> {
    const { store, now } = this.#parts
    if ((await store.count('results', `${tenant}:`, MOST + 1)) >= MOST) {
      throw new SluiceError('ERR_OVERLOAD', `The tenant has ${MOST} results already`)
    }
    const id = newId(now())
    await store.write({
      changes: [{ table: 'results', key: `${tenant}:${id}`, value: await this.#seal(tenant, id, text) }]
    })
    return id
  }

  /** Puts the end in the beginning's stead; nothing when that has gone. */
  async settle(tenant: string, id: string, text: string): Promise<void> {
    const key = `${tenant}:${id}`
    const value = await this.#seal(tenant, id, text)
    await this.#parts.store.write({
      changes: [{ table: 'results', key, value }],
      present: [{ table: 'results', key }]
    })
  }

  /** null when there is none, or its time is over. */
  async read(tenant: string, id: string): Promise<KeptResult | null> {
    const beganAt = momentOf(id)
    const { store, keyring, now } = this.#parts
    if (beganAt === null || beganAt + KEPT_MS < now()) return null
    const [row] = await store.load('results', [`${tenant}:${id}`])
    if (row === undefined) return null
    const key = keyring.opener(row, 0) ?? (await keyring.fetch(row, 0))
    return { text: open(key, row, 0, row.length, shelfPlace('results', tenant, id)), beganAt }
  }

  /** Deletes those whose time is over, at most `limit`. Gives how many. */
  async purge(limit: number): Promise<number> {
    const { store, now } = this.#parts
    const keys: string[] = []
    for (let after: string | undefined; keys.length < limit; ) {
      const page = await store.keys('results', { prefix: '', limit: PAGE, ...(after === undefined ? {} : { after }) })
      for (const key of page) {
        const beganAt = momentOf(key.slice(key.indexOf(':') + 1))
        if (beganAt === null || beganAt + KEPT_MS < now()) keys.push(key)
      }
      after = page.at(-1)
      if (page.length < PAGE) break
    }
    const changes = keys.slice(0, limit).map((key) => ({ table: 'results' as const, key, value: null }))
    if (changes.length > 0) await store.write({ changes })
    return changes.length
  }

  async #seal(tenant: string, id: string, text: string): Promise<Buffer> {
    return seal(await this.#parts.keyring.current(), text, shelfPlace('results', tenant, id))
  }
}

function newId(now: number): string {
  const time = Math.floor(now).toString(16).padStart(12, '0')
  const rest = randomUUID()
  return `${time.slice(0, 8)}-${time.slice(8)}-7${rest.slice(15)}`
}

function momentOf(id: string): number | null {
  return ID.test(id) ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : null
}

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/
const KEPT_MS = 3_600_000
/** Of one tenant. */
const MOST = 10_000
const PAGE = 1000
