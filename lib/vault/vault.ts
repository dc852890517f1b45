/**
 * The only door to the vault: every method takes a caller, checks, writes the audit record, and then touches the
 * store. What is behind it: store.ts (bytes), keyring.ts and seal.ts (secrecy), access.ts (who may), audit.ts.
 */
import { SluiceError } from '../errors.ts'
import { internalized, type Json } from '../json.ts'
import type { Caller } from './access.ts'
import { looksLikeApiKey } from './api-key.ts'
import { Applications } from './applications.ts'
import { Audit, quoted, type Release } from './audit.ts'
import { type ChainReport, verifyAudit } from './audit-verify.ts'
import { Creates, type NewToken } from './creates.ts'
import type { DestinationRule } from './destinations.ts'
import { type Detokenized, detokenize } from './detokenize.ts'
import type { FieldWrite } from './fields.ts'
import { digestOf, Keyring, type SealName } from './keyring.ts'
import type { MasterKey } from './master-key.ts'
import { ALL_PERMISSIONS, ALL_RULES, type ApplicationType, type Rule } from './permissions.ts'
import { type Condition, parseQuery, parseSimpleQuery } from './query.ts'
import { Records } from './records.ts'
import { Results } from './results.ts'
import type { Purpose, RevealSubject } from './purpose.ts'
import { type FoundToken, Revealer } from './reveal.ts'
import { listRing, type Progress, rewrap, type RingEntry, rotate } from './rewrap.ts'
import { type Look, Search } from './search.ts'
import { Shelf, type ShelfTable } from './shelf.ts'
import type { MaybePromise, Store } from './store.ts'
import { endTenant } from './tenant-end.ts'
import { Tenants } from './tenants.ts'
import { type Revision, Tokens } from './tokens.ts'
import type { TokenView } from './token-view.ts'
import { exportVault, importVault } from './transfer.ts'
import type { RowParts } from './transfer-rows.ts'
import { Users } from './users.ts'

export interface VaultOptions {
  /** Closed with the vault. */
  readonly store: Store
  readonly masterKeys: readonly MasterKey[]
  readonly seal: SealName
  readonly auditDirectory: string
  readonly auditSyncMs?: number
  /** Default one hour. */
  readonly cvcRetentionMs?: number
  /** Default Date.now. */
  readonly now?: () => number
}

/** What a connection remembers of the key it last presented. Made by `newKeyMemo`, filled by the vault. */
export interface KeyMemo {
  presented: string
  caller: Caller | null
  generation: number
}

export function newKeyMemo(): KeyMemo {
  return { presented: '', caller: null, generation: -1 }
}

export interface KeyRequest {
  readonly name: string
  /** `['*']`: every permission but `token:use:head`, and one rule that reveals every token. */
  readonly permissions: readonly string[]
  readonly tenant: string
  readonly type?: ApplicationType
  readonly rules?: readonly Rule[]
  readonly destinations?: readonly DestinationRule[] | null
}

export class Vault {
  readonly #store: Store
  readonly #audit: Audit
  readonly #revealer: Revealer
  readonly #tokens: Tokens
  readonly #creates: Creates
  readonly #search: Search
  readonly #keyring: Keyring
  readonly #records: Records
  readonly #now: () => number
  readonly #cvcRetentionMs: number
  readonly #auditDirectory: string
  #upkeep: NodeJS.Timeout | undefined
  /** Applications and their keys, for the API and the command line. */
  readonly applications: Applications
  /** Sealed documents of the dialects. */
  readonly shelves: Readonly<Record<ShelfTable, Shelf>>
  /** What became of calls that nobody waits for. */
  readonly results: Results
  /** Settings, bound containers and logs of tenants. */
  readonly tenants: Tenants
  /** Users and businesses of the Footprint dialect, and their fields. */
  readonly users: Users
  // :: SHA-256 of a presented key → its caller, for the generation `#callersOf`
  #callers = new Map<string, Caller>()
  #callersOf = -1
  #generation = -1
  #generationIsFresh = false

  private constructor(options: VaultOptions, keyring: Keyring) {
    const { store, now = Date.now, cvcRetentionMs = 3_600_000 } = options
    const records = new Records(keyring.derive('records'))
    this.#store = store
    this.#records = records
    this.#now = now
    this.#cvcRetentionMs = cvcRetentionMs
    this.#auditDirectory = options.auditDirectory
    const parts = { store, keyring, records, now }
    this.shelves = {
      proxies: new Shelf('proxies', 'proxy', parts, keyInDocument),
      reactors: new Shelf('reactors', 'reactor', parts),
      configs: new Shelf('configs', 'config', parts)
    }
    this.results = new Results(parts)
    this.#keyring = keyring
    this.#search = new Search(store, now)
    this.applications = new Applications(store, records, now)
    this.#audit = new Audit({
      directory: options.auditDirectory,
      key: keyring.derive('audit'),
      store,
      records,
      now,
      ...(options.auditSyncMs === undefined ? {} : { syncMs: options.auditSyncMs })
    })
    this.tenants = new Tenants(store, records, now)
    this.#revealer = new Revealer({ store, keyring, audit: this.#audit, bindings: this.tenants, now, cvcRetentionMs })
    const tokenParts = { store, keyring, records, audit: this.#audit, revealer: this.#revealer, now }
    this.#tokens = new Tokens(tokenParts)
    this.#creates = new Creates(tokenParts, this.#tokens)
    this.users = new Users(tokenParts)
  }

  /** Throws ERR_CONFIG, having changed nothing, when the master key is not the store's. */
  static async open(options: VaultOptions): Promise<Vault> {
    const { store, masterKeys, seal, now } = options
    const keyring = await Keyring.open({ store, masterKeys, seal, ...(now === undefined ? {} : { now }) })
    return new Vault(options, keyring)
  }

  /** Closes the audit chain and the store. */
  async close(): Promise<void> {
    clearInterval(this.#upkeep)
    await this.#audit.close()
    await this.#store.close()
  }

  /** The caller whose API key this is. Throws ERR_AUTH_INVALID. */
  authenticate(presentedKey: string, memo: KeyMemo): MaybePromise<Caller> {
    const generation = this.#currentGeneration()
    if (generation instanceof Promise) return generation.then((known) => this.#authenticate(presentedKey, memo, known))
    return this.#authenticate(presentedKey, memo, generation)
  }

  #authenticate(presentedKey: string, memo: KeyMemo, generation: number): MaybePromise<Caller> {
    if (memo.caller !== null && memo.generation === generation && memo.presented === presentedKey) return memo.caller
    if (!looksLikeApiKey(presentedKey)) throw invalidKey()
    if (this.#callersOf !== generation || this.#callers.size > CALLERS) {
      this.#callers = new Map()
      this.#callersOf = generation
    }
    const digest = digestOf(presentedKey)
    const known = this.#callers.get(digest)
    if (known !== undefined) return remember(memo, presentedKey, known, generation)
    const found = this.applications.find(presentedKey)
    if (found instanceof Promise)
      return found.then((caller) => this.#take(memo, presentedKey, digest, caller, generation))
    return this.#take(memo, presentedKey, digest, found, generation)
  }

  #take(memo: KeyMemo, presentedKey: string, digest: string, caller: Caller | null, generation: number): Caller {
    if (caller === null) throw invalidKey()
    if (this.#callersOf === generation) this.#callers.set(digest, caller)
    return remember(memo, presentedKey, caller, generation)
  }

  /** Read once per event-loop turn. */
  #currentGeneration(): MaybePromise<number> {
    if (this.#generationIsFresh) return this.#generation
    const read = this.#store.generation()
    if (read instanceof Promise) {
      return read.then((known) => {
        this.#heed(known)
        return known
      })
    }
    this.#heed(read)
    this.#generationIsFresh = true
    setImmediate(this.#endTurn)
    return read
  }

  #heed(generation: number): void {
    if (generation === this.#generation) return
    this.#generation = generation
    const renewed = this.#keyring.renew()
    if (renewed instanceof Promise)
      renewed.catch(() => {
        this.#generation = -1
      })
  }

  readonly #endTurn = (): void => {
    this.#generationIsFresh = false
  }

  /** What is made of the vault's records holds while this number stays: every change of a key, rule or document raises it. */
  generation(): MaybePromise<number> {
    return this.#currentGeneration()
  }

  /** True when the text has the form and checksum of our keys; says nothing about whether there is such a key. */
  looksLikeOurs(key: string): boolean {
    return looksLikeApiKey(key)
  }

  /**
   * Reveals a batch of subjects, found in the same order, and appends the audit intent; nothing may leave before
   * `release` calls back. `limit` is on distinct tokens. Throws or rejects, in this order: ERR_DESTINATION_FORBIDDEN
   * (the caller's binding), ERR_TOKEN_LIMIT, ERR_TOKEN_UNKNOWN (all named), ERR_TOKEN_FORBIDDEN (all named),
   * ERR_DESTINATION_FORBIDDEN (a container's or token's binding). Another tenant's token is unknown.
   */
  reveal(
    caller: Caller,
    subjects: readonly RevealSubject[],
    purpose: Purpose,
    limit: number
  ): MaybePromise<FoundToken[]> {
    const bound = purpose.destination === null ? undefined : this.#refreshBindings(caller.tenant)
    if (bound instanceof Promise) return bound.then(() => this.#revealer.reveal(caller, subjects, purpose, limit))
    return this.#revealer.reveal(caller, subjects, purpose, limit)
  }

  /**
   * Appends the audit intent of a call of a stored proxy or a reactor, by its id: nothing of it may leave before `release`
   * calls back.
   */
  invoke(caller: Caller, purpose: Purpose, id: string): void {
    this.#revealer.invoke(caller, purpose, id)
  }

  #refreshBindings(tenant: string): void | Promise<void> {
    const generation = this.#currentGeneration()
    if (generation instanceof Promise) return generation.then((known) => this.tenants.refresh(tenant, known))
    return this.tenants.refresh(tenant, generation)
  }

  /** A JSON structure with its expressions evaluated; it may leave after `release`. Throws ERR_EXPR_*, and as `reveal`. */
  detokenize(caller: Caller, structure: Json, purpose: Purpose, limit: number): Promise<Detokenized> {
    return detokenize(this.#revealer, caller, structure, purpose, limit)
  }

  /** The vault's clock: milliseconds since 1970. */
  now(): number {
    return this.#now()
  }

  /** Calls back after the audit records of this event-loop turn are with the kernel, or could not be written. */
  release(go: Release): void {
    this.#audit.release(go)
  }

  /** Writes what became of an intent: `purpose.intent`. */
  outcome(intent: number, outcome: string): void {
    this.#audit.outcome(intent, outcome)
  }

  /** Resolves once the audit records so far are with the kernel. Rejects with ERR_AUDIT_UNAVAILABLE. */
  released(): Promise<void> {
    return this.#audit.written()
  }

  /** Makes tokens, all or none. Throws ERR_PERMISSION, ERR_CONFLICT. */
  create(caller: Caller, tokens: readonly NewToken[], traceId: string): Promise<TokenView[]> {
    return this.#creates.create(caller, tokens, traceId)
  }

  /** A token as the caller may see it. Throws ERR_NOT_FOUND, ERR_PERMISSION. */
  read(caller: Caller, id: string, purpose: Purpose): Promise<TokenView> {
    return this.#tokens.read(caller, id, purpose)
  }

  /**
   * Changes a token. What could show its data to somebody who may not read it needs `token:read` with transform reveal.
   * Throws ERR_NOT_FOUND, ERR_PERMISSION, ERR_INPUT.
   */
  update(caller: Caller, id: string, revise: Revision, traceId: string): Promise<TokenView> {
    return this.#tokens.update(caller, id, revise, traceId)
  }

  /** The condition that a query stands for; `simple`: of the v2 language. Throws ERR_INPUT with the position. */
  parseQuery(text: string, simple: boolean): Condition {
    return simple ? parseSimpleQuery(text) : parseQuery(text)
  }

  /** A page of tokens by number, as the caller may see them, and how many there are. */
  async page(look: Look, page: number, size: number, traceId: string): Promise<{ views: TokenView[]; total: number }> {
    const key = await this.#keyring.tenantKey(look.caller.tenant)
    const { hits, total } = await this.#search.page(look, key, page, size)
    return { views: await this.#tokens.views(look.caller, hits, look.permission, traceId), total }
  }

  /** A page of tokens from a cursor on, as the caller may see them, and the next cursor. */
  async cursorPage(
    look: Look,
    start: string | null,
    size: number,
    traceId: string
  ): Promise<{ views: TokenView[]; next: string | null }> {
    const key = await this.#keyring.tenantKey(look.caller.tenant)
    const { hits, next } = await this.#search.cursorPage(look, key, start, size)
    return { views: await this.#tokens.views(look.caller, hits, look.permission, traceId), next }
  }

  /** Writes fields of users in one batch, all or none. Throws ERR_NOT_FOUND, ERR_PERMISSION. */
  writeFields(caller: Caller, users: readonly string[], fields: readonly FieldWrite[], traceId: string): Promise<void> {
    return this.users.write(caller, users, fields, traceId)
  }

  /** Throws ERR_NOT_FOUND, ERR_PERMISSION. */
  delete(caller: Caller, id: string, traceId: string): Promise<void> {
    return this.#tokens.delete(caller, id, traceId)
  }

  /** Removes the caller's tenant, with every token and key of it; a call that failed can be made again. */
  async endTenant(caller: Caller, traceId: string): Promise<void> {
    const intent = this.#audit.intent(`"door":"end tenant",${caller.auditText}"trace":${JSON.stringify(traceId)},`)
    await this.released()
    const { applications, shelves } = this
    const parts = {
      store: this.#store,
      records: this.#records,
      applications,
      proxies: shelves.proxies,
      now: this.#now
    }
    await endTenant(parts, caller, traceId)
    this.#audit.outcome(intent, 'deleted')
  }

  /** Makes an application with one key, which is shown only here. `id` is the key's. Throws ERR_INPUT. */
  async createKey(request: KeyRequest): Promise<{ id: string; key: string }> {
    const everything = request.permissions.length === 1 && request.permissions[0] === '*'
    const { application, key } = await this.applications.create(
      {
        tenant: request.tenant,
        name: request.name,
        type: request.type ?? 'private',
        permissions: everything ? ALL_PERMISSIONS : request.permissions,
        rules: request.rules ?? (everything ? ALL_RULES : []),
        destinations: request.destinations ?? null
      },
      { ...COMMAND_LINE, tenant: request.tenant },
      ''
    )
    return { id: application.keys[0]?.id ?? '', key: key ?? '' }
  }

  /** Every key of every tenant, without its secret. `spoiled` hears of each application that somebody else has changed. */
  async listKeys(spoiled: (application: string) => void = () => {}): Promise<KeyListing[]> {
    const applications = await this.applications.list('', 0, Number.MAX_SAFE_INTEGER, spoiled)
    return applications.flatMap((application) =>
      application.keys.map(({ id, createdAt }) => {
        const { tenant, name, type, permissions, rules, destinations } = application
        return { id, createdAt, tenant, application: application.id, name, type, permissions, rules, destinations }
      })
    )
  }

  /**
   * Revokes a key, at once in every process. Throws ERR_NOT_FOUND. `spoiled` hears of each application that somebody else
   * has changed: no key of it is let in.
   */
  async revokeKey(id: string, spoiled: (application: string) => void = () => {}): Promise<void> {
    const all = await this.applications.list('', 0, Number.MAX_SAFE_INTEGER, spoiled)
    for (const { tenant, id: application, keys } of all) {
      if (!keys.some((key) => key.id === id)) continue
      if (await this.applications.revokeKey(application, id, { ...COMMAND_LINE, tenant }, '')) return
    }
    throw new SluiceError('ERR_NOT_FOUND', 'There is no such key')
  }

  /** Every key of the ring, without its secret. */
  listRing(): Promise<RingEntry[]> {
    return listRing(this.#store)
  }

  /** Retires the data keys in use. Gives how many. */
  rotate(): Promise<number> {
    return rotate(this.#store, this.#now())
  }

  /** Wraps all keys under the first master key and seals anew what lies under retired ones. */
  rewrap(report: (progress: Progress) => void): Promise<Progress> {
    return rewrap(this.#store, this.#keyring, this.#revealer, report)
  }

  /** Looks for records of the audit log that were removed, changed, moved or cut off. */
  verifyAudit(): Promise<ChainReport[]> {
    return verifyAudit(this.#auditDirectory, this.#keyring.derive('audit'), this.#store, this.#records)
  }

  /**
   * Writes the vault into a file sealed under `transferKey`, once that is in the audit log. Gives how many tokens. Rejects
   * with ERR_AUDIT_UNAVAILABLE.
   */
  async exportTo(transferKey: MasterKey, write: (piece: Buffer) => Promise<void>): Promise<number> {
    const intent = this.#audit.intent(`"door":"export","application":"${COMMAND_LINE.application}",`)
    await this.#audit.written()
    const parts = { ...this.#rowParts, revealer: this.#revealer }
    let outcome = 'failed'
    try {
      const count = await exportVault(parts, transferKey.key, this.#now(), write)
      outcome = `exported ${count}`
      return count
    } finally {
      this.#audit.outcome(intent, outcome)
    }
  }

  /** Writes down that the kept result of a call is shown; resolves once it may be. Rejects with ERR_AUDIT_UNAVAILABLE. */
  async showResult(caller: Caller, reactor: string, result: string, traceId: string): Promise<void> {
    const what = `"reactor":${quoted(reactor)},"result":${quoted(result)},"trace":${quoted(traceId)},`
    const intent = this.#audit.intent(`"door":"result",${caller.auditText}${what}`)
    await this.#audit.written()
    this.#audit.outcome(intent, 'shown')
  }

  /** Puts such a file into this vault. Throws ERR_INPUT when it is not whole. */
  importFrom(transferKey: MasterKey, file: AsyncIterable<Buffer>): Promise<{ made: number; existing: number }> {
    return importVault(this.#rowParts, transferKey.key, file)
  }

  get #rowParts(): RowParts {
    return { store: this.#store, keyring: this.#keyring, records: this.#records }
  }

  /** Deletes what has expired and cvcs whose time is over: once now, then every minute until the vault is closed. */
  startUpkeep(): void {
    const purge = () => {
      this.purge().catch(() => {})
    }
    purge()
    this.#upkeep = setInterval(purge, 60_000)
    this.#upkeep.unref()
  }

  /** One round of that. Gives how many rows it looked at. */
  async purge(): Promise<number> {
    const results = await this.results.purge(PURGED_AT_ONCE)
    return results + (await this.#tokens.purge(this.#cvcRetentionMs, PURGED_AT_ONCE))
  }

  /** Counters for /metrics. */
  get counters(): { revealed: number; auditRecords: number } {
    return { revealed: this.#revealer.revealed, auditRecords: this.#audit.records }
  }
}

export interface KeyListing {
  readonly id: string
  readonly createdAt: number
  readonly tenant: string
  readonly application: string
  readonly name: string
  readonly type: ApplicationType
  readonly permissions: readonly string[]
  readonly rules: readonly Rule[]
  readonly destinations: readonly DestinationRule[] | null
}

function remember(memo: KeyMemo, presented: string, caller: Caller, generation: number): Caller {
  memo.presented = internalized(presented)
  memo.caller = caller
  memo.generation = generation
  return caller
}

/** The member `key` of a JSON object. */
function keyInDocument(text: string): string | null {
  const { key } = JSON.parse(text) as { key?: unknown }
  return typeof key === 'string' ? key : null
}

const invalidKey = () => new SluiceError('ERR_AUTH_INVALID', 'The API key is not valid')
const COMMAND_LINE = { application: 'command line', keyId: '' }
const CALLERS = 10_000
const PURGED_AT_ONCE = 1000
