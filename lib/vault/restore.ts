/** Tokens of another vault, put into this one. */
import type { Keyring } from './keyring.ts'
import type { DataKey } from './seal.ts'
import type { Change, MaybePromise, Store } from './store.ts'
import { encodeToken, type TokenHeader, tokenKey } from './token.ts'
import { makeToken } from './token-draft.ts'
import { rows } from './tokens.ts'

/** A token on its way from one vault to another, without a cvc. */
export interface MovedToken {
  readonly tenant: string
  readonly id: string
  readonly header: TokenHeader
  /** JSON text. */
  readonly data: string
}

/** Writes tokens in groups, each in one batch: one is prepared while the one before is on its way to the disk. */
export class Restorer {
  readonly #store: Store
  readonly #keyring: Keyring
  #group: Prepared[] = []
  #bytes = 0
  #writing: Promise<void> = Promise.resolve()
  #made = 0
  #existing = 0

  constructor({ store, keyring }: { readonly store: Store; readonly keyring: Keyring }) {
    this.#store = store
    this.#keyring = keyring
  }

  /**
   * Puts a token here, as old as it was; one whose id is taken stays as it is. `hasOurKey`: its tenant's key is the same
   * here, so that fingerprint and search terms are right as they are. A group that cannot be written is thrown with a later
   * call.
   */
  add({ tenant, id, header, data }: MovedToken, hasOurKey: boolean): MaybePromise<void> {
    const key = this.#keyring.current()
    if (hasOurKey && !(key instanceof Promise)) return this.#put(key, tenant, id, header, data)
    return this.#addAnew(tenant, id, header, data, hasOurKey)
  }

  async #addAnew(tenant: string, id: string, header: TokenHeader, data: string, hasOurKey: boolean): Promise<void> {
    const made = hasOurKey ? header : await this.#headerAnew(tenant, header, data)
    await this.#put(await this.#keyring.current(), tenant, id, made, data)
  }

  #put(key: DataKey, tenant: string, id: string, header: TokenHeader, data: string): MaybePromise<void> {
    const value = encodeToken(key, tenant, id, header, data, null)
    const put = { table: 'tokens' as const, key: tokenKey(tenant, id), value, expect: null }
    this.#group.push([put, ...rows(tenant, id, header, null)])
    this.#bytes += value.length
    if (this.#group.length >= GROUP || this.#bytes >= GROUP_BYTES) return this.#turn()
  }

  async #headerAnew(tenant: string, header: TokenHeader, data: string): Promise<TokenHeader> {
    const { type, container, createdAt, expiresAt, rest } = header
    const isCvc = rest.fingerprintExpression === undefined && data === 'null'
    const draft = { type, container, data, isCvc, expiresAt, mask: null, searchIndexes: [], ...rest }
    const stamp = { ...rest, createdAt, cvcTakenAt: 0 }
    return makeToken(draft, stamp, await this.#keyring.tenantKey(tenant)).header
  }

  /** Resolves when all are on disk. */
  async finish(): Promise<{ made: number; existing: number }> {
    await this.#turn()
    await this.#writing
    return { made: this.#made, existing: this.#existing }
  }

  async #turn(): Promise<void> {
    const group = this.#group
    this.#group = []
    this.#bytes = 0
    await this.#writing
    this.#writing = this.#write(group)
    // Awaited with the next group; until then a rejection is nobody's.
    this.#writing.catch(() => {})
  }

  async #write(group: readonly Prepared[]): Promise<void> {
    if (group.length === 0) return
    const known = await this.#store.load(
      'tokens',
      group.map(([token]) => token.key)
    )
    const fresh = group.filter((_, at) => known[at] === undefined)
    this.#existing += group.length - fresh.length
    if ((await this.#store.write({ changes: fresh.flat() })) === null) {
      this.#made += fresh.length
      return
    }
    // Some id came up meanwhile.
    for (const changes of fresh) {
      if ((await this.#store.write({ changes })) === null) this.#made++
      else this.#existing++
    }
  }
}

/** The changes that make a token, its row first. */
type Prepared = readonly [Change, ...Change[]]

/** How many tokens, or bytes of them, are written together. */
const GROUP = 500
const GROUP_BYTES = 4 * 1024 * 1024
