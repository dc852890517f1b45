/**
 * Applications and their API keys, as MACed rows. An application lists its keys, and a key's row names its
 * application: a row that was put back after a revocation is not in the list, and finds nobody.
 */
import { SluiceError } from '../errors.ts'
import { Caller, type Grants } from './access.ts'
import { looksLikeApiKey, newApiKey, randomText } from './api-key.ts'
import { DestinationList, type DestinationRule } from './destinations.ts'
import { digestOf } from './keyring.ts'
import { type ApplicationType, isPermission, type Rule, RULE_PERMISSIONS } from './permissions.ts'
import type { Actor, Records } from './records.ts'
import type { MaybePromise, Store } from './store.ts'
import { CONTAINER } from './token-types.ts'

export interface ApplicationKey {
  readonly id: string
  readonly digest: string
  readonly createdAt: number
  readonly createdBy: string
}

export interface Application extends Grants {
  readonly id: string
  readonly tenant: string
  readonly name: string
  readonly type: ApplicationType
  readonly live: boolean
  readonly createdAt: number
  readonly createdBy: string
  readonly modifiedAt: number | null
  readonly modifiedBy: string | null
  readonly keys: readonly ApplicationKey[]
}

/** A row of the table `keys`, found by the SHA-256 of the key that is presented. */
interface KeyRow {
  readonly id: string
  readonly tenant: string
  readonly application: string
}

export interface NewApplication extends Grants {
  readonly tenant: string
  readonly name: string
  readonly type: ApplicationType
  readonly live?: boolean
}

export class Applications {
  readonly #store: Store
  readonly #records: Records
  readonly #now: () => number

  constructor(store: Store, records: Records, now: () => number) {
    this.#store = store
    this.#records = records
    this.#now = now
  }

  /** The caller that a key belongs to; null when there is none. */
  find(presented: string): MaybePromise<Caller | null> {
    if (!looksLikeApiKey(presented)) return null
    const digest = digestOf(presented)
    const rows = this.#store.load('keys', [digest])
    return rows instanceof Promise ? rows.then(([row]) => this.#found(digest, row)) : this.#found(digest, rows[0])
  }

  #found(digest: string, row: Buffer | undefined): MaybePromise<Caller | null> {
    if (row === undefined) return null
    const key = this.#records.decode<KeyRow>('keys', digest, row)
    const application = this.read(key.tenant, key.application)
    if (application instanceof Promise) return application.then((found) => callerOf(found, key, digest))
    return callerOf(application, key, digest)
  }

  /** An application as a caller without a key: for code and proxies that act for it. null when there is none. */
  async attached(tenant: string, id: string): Promise<Caller | null> {
    const application = await this.read(tenant, id)
    if (application === null) return null
    const { type, name, live } = application
    return new Caller({ tenant, application: id, keyId: '', type, name, live }, application)
  }

  read(tenant: string, id: string): MaybePromise<Application | null> {
    const name = rowKey(tenant, id)
    const rows = this.#store.load('applications', [name])
    return rows instanceof Promise ? rows.then(([row]) => this.#decode(name, row)) : this.#decode(name, rows[0])
  }

  #decode(name: string, row: Buffer | undefined): Application | null {
    return row === undefined ? null : this.#records.decode<Application>('applications', name, row)
  }

  /**
   * Applications of a tenant in the order of their ids, or with an empty tenant of all. Throws ERR_INTERNAL when somebody
   * else has changed one, unless `spoiled` takes its id: it is then left out.
   */
  async list(
    tenant = '',
    skip = 0,
    limit = Number.MAX_SAFE_INTEGER,
    spoiled?: (id: string) => void
  ): Promise<Application[]> {
    const rows = await this.#store.scan('applications', { prefix: tenant === '' ? '' : `${tenant}:`, skip, limit })
    return rows.flatMap(({ key, value }) => {
      try {
        return [this.#records.decode<Application>('applications', key, value)]
      } catch (thrown) {
        if (spoiled === undefined) throw thrown
        spoiled(key.slice(key.indexOf(':') + 1))
        return []
      }
    })
  }

  count(tenant: string): MaybePromise<number> {
    return this.#store.count('applications', `${tenant}:`)
  }

  /** Makes an application with one key (or none). Throws ERR_INPUT for grants that are not acceptable. */
  async create(
    given: NewApplication,
    by: Actor,
    traceId: string,
    withKey = true
  ): Promise<{ application: Application; key: string | null }> {
    checkGrants(given)
    if (!TENANT.test(given.tenant))
      throw new SluiceError('ERR_INPUT', 'The tenant is not a name of 1 to 64 of [A-Za-z0-9_-]')
    const now = this.#now()
    const { tenant, name, type, live = false, permissions, rules, destinations } = given
    const made = withKey ? this.#newKey(type, live, by.application, now) : null
    const application: Application = {
      id: crypto.randomUUID(),
      tenant,
      name,
      type,
      live,
      permissions,
      rules,
      destinations,
      createdAt: now,
      createdBy: by.application,
      modifiedAt: null,
      modifiedBy: null,
      keys: made === null ? [] : [made.row]
    }
    const changes = [this.#records.put('applications', rowKey(tenant, application.id), application, null)]
    if (made !== null) changes.push(this.#keyChange(application, made.row))
    changes.push(this.#records.log(by, 'application', application.id, 'create', traceId, now))
    await this.#store.write({ changes, raise: true })
    return { application, key: made?.key ?? null }
  }

  #newKey(
    type: ApplicationType,
    live: boolean,
    createdBy: string,
    createdAt: number
  ): { row: ApplicationKey; key: string } {
    const id = randomText(16)
    const key = newApiKey(id, type, live)
    return { key, row: { id, digest: digestOf(key), createdAt, createdBy } }
  }

  #keyChange(application: Application, key: ApplicationKey) {
    const row: KeyRow = { id: key.id, tenant: application.tenant, application: application.id }
    return this.#records.put('keys', key.digest, row, null)
  }

  /**
   * Changes an application by a function of what it is; null deletes it and all its keys. Keys that the changed one no
   * longer lists are revoked with the same write. Tries again when another process was faster. Resolves with the
   * application as it was; null when there is none. The same application given back changes nothing.
   */
  async change(
    id: string,
    by: Actor,
    operation: string,
    traceId: string,
    change: (was: Application) => Application | null
  ): Promise<Application | null> {
    const name = rowKey(by.tenant, id)
    for (;;) {
      const [row] = await this.#store.load('applications', [name])
      const was = this.#decode(name, row)
      if (was === null || row === undefined) return null
      const changed = change(was)
      if (changed === was) return was
      if (changed !== null) checkGrants(changed)
      const becomes = changed === null ? null : { ...changed, modifiedAt: this.#now(), modifiedBy: by.application }
      const kept = new Set((becomes?.keys ?? []).map((key) => key.digest))
      const changes = was.keys
        .filter((key) => !kept.has(key.digest))
        .map((key) => ({ table: 'keys' as const, key: key.digest, value: null }))
      const added = (becomes?.keys ?? []).filter((key) => !was.keys.some((old) => old.digest === key.digest))
      const main =
        becomes === null
          ? { table: 'applications' as const, key: name, value: null, expect: row }
          : this.#records.put('applications', name, becomes, row)
      const log = this.#records.log(by, 'application', id, operation, traceId, this.#now())
      const all = [
        log,
        main,
        ...changes,
        ...(becomes === null ? [] : added.map((key) => this.#keyChange(becomes, key)))
      ]
      if ((await this.#store.write({ changes: all, raise: true })) === null) return was
    }
  }

  /** Adds a key to an application; the key is shown only here. null when there is no such application. */
  async addKey(id: string, by: Actor, traceId: string): Promise<ShownKey | null> {
    let made: { row: ApplicationKey; key: string } | undefined
    const was = await this.change(id, by, 'create key', traceId, (application) => {
      made = this.#newKey(application.type, application.live, by.application, this.#now())
      return { ...application, keys: [...application.keys, made.row] }
    })
    return was === null || made === undefined ? null : { ...made.row, key: made.key }
  }

  /** The same in place of all keys that there are. */
  async replaceKeys(id: string, by: Actor, traceId: string): Promise<ShownKey | null> {
    let made: { row: ApplicationKey; key: string } | undefined
    const was = await this.change(id, by, 'regenerate', traceId, (application) => {
      made = this.#newKey(application.type, application.live, by.application, this.#now())
      return { ...application, keys: [made.row] }
    })
    return was === null || made === undefined ? null : { ...made.row, key: made.key }
  }

  /** Revokes a key by its id. False when there is none. */
  async revokeKey(id: string, keyId: string, by: Actor, traceId: string): Promise<boolean> {
    const was = await this.change(id, by, 'revoke key', traceId, (application) => {
      const keys = application.keys.filter((key) => key.id !== keyId)
      return keys.length === application.keys.length ? application : { ...application, keys }
    })
    return was?.keys.some((key) => key.id === keyId) ?? false
  }
}

/** A key while it is shown. */
export interface ShownKey extends ApplicationKey {
  readonly key: string
}

function callerOf(application: Application | null, key: KeyRow, digest: string): Caller | null {
  if (application === null || !application.keys.some((listed) => listed.digest === digest)) return null
  const { tenant, id, type, name, live } = application
  return new Caller({ tenant, application: id, keyId: key.id, type, name, live }, application)
}

/** Throws ERR_INPUT with the faults of each field. */
function checkGrants(grants: Grants & { readonly name: string }): void {
  const fields: Record<string, string[]> = {}
  const fault = (field: string, why: string) => {
    fields[field] = [...(fields[field] ?? []), why]
  }
  if (grants.name === '' || grants.name.length > 200) fault('name', 'The name must have 1 to 200 characters')
  for (const permission of grants.permissions) {
    if (!isPermission(permission)) fault('permissions', `Unknown permission: ${permission.slice(0, 60)}`)
  }
  grants.rules.forEach((rule, index) => {
    checkRule(rule, (name, why) => fault(`rules[${index}].${name}`, why))
  })
  checkDestinations(grants.destinations, fault)
  const names = Object.keys(fields)
  if (names.length > 0)
    throw new SluiceError('ERR_INPUT', `The application is not valid: ${names.join(', ')}`, { fields })
}

function checkDestinations(
  destinations: readonly DestinationRule[] | null,
  fault: (field: string, why: string) => void
): void {
  if (destinations === null) return
  try {
    new DestinationList(destinations)
  } catch (thrown) {
    if (!(thrown instanceof SluiceError) || thrown.fields === undefined) throw thrown
    for (const [field, whys] of Object.entries(thrown.fields)) for (const why of whys) fault(field, why)
  }
}

function checkRule(rule: Rule, fault: (name: string, why: string) => void): void {
  if (!Number.isInteger(rule.priority) || rule.priority < 1)
    fault('priority', 'The priority must be a whole number from 1')
  if (!CONTAINER.test(rule.container)) fault('container', 'The container must be a path that ends in a slash')
  if (!['reveal', 'mask', 'redact'].includes(rule.transform))
    fault('transform', 'The transform must be reveal, mask or redact')
  if (rule.permissions.length === 0) fault('permissions', 'A rule needs a permission')
  for (const permission of rule.permissions) {
    if (!RULE_PERMISSIONS.includes(permission))
      fault('permissions', `Not a permission of rules: ${permission.slice(0, 60)}`)
  }
}

const rowKey = (tenant: string, id: string): string => `${tenant}:${id}`
const TENANT = /^[A-Za-z0-9_-]{1,64}$/
