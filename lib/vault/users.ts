/**
 * Users and businesses of the Footprint dialect. Each is a MACed row of the table `users`, and its vault is made of
 * fields: tokens whose ids begin with the user's (fields.ts).
 *
 *     tenant : u : id → the user     tenant : e : kind : digest → the user of an external id
 *                                    tenant : i : kind : digest → the user that a request with this idempotency id made
 */
import { randomInt } from 'node:crypto'
import { SluiceError } from '../errors.ts'
import { evaluate } from '../expr/evaluate.ts'
import { parseExpression } from '../expr/expression.ts'
import { Work } from '../expr/work.ts'
import type { Json } from '../json.ts'
import type { Caller } from './access.ts'
import { Fields, type FieldWrite } from './fields.ts'
import { digestOf } from './keyring.ts'
import type { Purpose } from './purpose.ts'
import type { Change, MaybePromise } from './store.ts'
import { tokenKey } from './token.ts'
import type { TokensParts } from './tokens.ts'

export type UserKind = 'user' | 'business'

export interface User {
  readonly id: string
  readonly kind: UserKind
  /** The id that the customer's own systems know it by. */
  readonly externalId: string | null
  readonly createdAt: number
  readonly createdBy: string
}

export interface NewUser {
  readonly kind: UserKind
  /** Default: a new one. */
  readonly id?: string
  /** A user with this external id is answered instead of making another. */
  readonly externalId?: string
  /** So is the user that an earlier request with this id made. */
  readonly idempotencyId?: string
}

export class Users {
  readonly #parts: TokensParts
  readonly #fields: Fields

  constructor(parts: TokensParts) {
    this.#parts = parts
    this.#fields = new Fields(parts)
  }

  /** Makes a user with its first fields, all or nothing. Throws ERR_PERMISSION, ERR_CONFLICT. */
  async create(
    caller: Caller,
    given: NewUser,
    fieldsOf: (id: string) => readonly FieldWrite[],
    traceId: string
  ): Promise<User> {
    requireHeld(caller, 'token:create')
    const { store, records, now } = this.#parts
    const { kind, externalId, idempotencyId } = given
    const names: string[] = []
    if (externalId !== undefined) names.push(nameKey(caller.tenant, 'e', kind, externalId))
    if (idempotencyId !== undefined) names.push(nameKey(caller.tenant, 'i', kind, idempotencyId))
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      for (const [at, row] of (await store.load('users', names)).entries()) {
        if (row === undefined) continue
        const { id } = records.decode<{ id: string }>('users', names[at] as string, row)
        const known = await this.read(caller.tenant, id)
        if (known !== null) return known
      }
      const id = given.id ?? newUserId(kind)
      const user: User = {
        id,
        kind,
        externalId: externalId ?? null,
        createdAt: now(),
        createdBy: caller.application
      }
      const changes: Change[] = [
        records.put('users', userKey(caller.tenant, id), user, null),
        ...names.map((name) => records.put('users', name, { id }, null)),
        records.log(caller, kind, id, 'create', traceId, now())
      ]
      const refusal = await this.#fields.write(caller, fieldsOf(id), traceId, { changes, present: [] })
      if (refusal === null) return user
      if (given.id !== undefined && refusal.key === userKey(caller.tenant, id)) break
    }
    throw new SluiceError('ERR_CONFLICT', 'A user with this id exists')
  }

  /** null when there is none. Synchronous over a synchronous store. */
  read(tenant: string, id: string): MaybePromise<User | null> {
    if (!USER_ID.test(id)) return null
    const key = userKey(tenant, id)
    const rows = this.#parts.store.load('users', [key])
    return rows instanceof Promise ? rows.then(([row]) => this.#decode(key, row)) : this.#decode(key, rows[0])
  }

  #decode(key: string, row: Buffer | undefined): User | null {
    return row === undefined ? null : this.#parts.records.decode<User>('users', key, row)
  }

  async byExternalId(tenant: string, kind: UserKind, externalId: string): Promise<User | null> {
    const name = nameKey(tenant, 'e', kind, externalId)
    const [row] = await this.#parts.store.load('users', [name])
    if (row === undefined) return null
    return this.read(tenant, this.#parts.records.decode<{ id: string }>('users', name, row).id)
  }

  /** In the order of their ids, from the one after `after` on. */
  async list(tenant: string, kind: UserKind, after: string | null, limit: number): Promise<User[]> {
    const prefix = userKey(tenant, PREFIXES[kind])
    const from = after === null ? {} : { after: userKey(tenant, after) }
    const rows = await this.#parts.store.scan('users', { prefix, limit, ...from })
    return rows.map(({ key, value }) => this.#parts.records.decode<User>('users', key, value))
  }

  /** Gives a user another external id, or none. Throws ERR_NOT_FOUND, ERR_CONFLICT, ERR_PERMISSION. */
  async rename(caller: Caller, id: string, externalId: string | null, traceId: string): Promise<User> {
    requireHeld(caller, 'token:update')
    const { store, records, now } = this.#parts
    const key = userKey(caller.tenant, id)
    const [row] = await store.load('users', [key])
    const user = this.#decode(key, row)
    if (user === null || row === undefined) throw unknownUser(id)
    if (user.externalId === externalId) return user
    const renamed = { ...user, externalId }
    const changes: Change[] = [
      records.put('users', key, renamed, row),
      records.log(caller, user.kind, id, 'update', traceId, now())
    ]
    const name = (external: string) => nameKey(caller.tenant, 'e', user.kind, external)
    if (user.externalId !== null) changes.push({ table: 'users', key: name(user.externalId), value: null })
    if (externalId !== null) changes.push(records.put('users', name(externalId), { id }, null))
    if ((await store.write({ changes })) === null) return renamed
    throw new SluiceError('ERR_CONFLICT', 'Another user has this external id')
  }

  /**
   * Writes fields of one or more users in one batch, all or none. Throws ERR_NOT_FOUND when a user is not there,
   * ERR_PERMISSION.
   */
  async write(caller: Caller, users: readonly string[], fields: readonly FieldWrite[], traceId: string): Promise<void> {
    const present = users.map((id) => ({ table: 'users' as const, key: userKey(caller.tenant, id) }))
    const refusal = await this.#fields.write(caller, fields, traceId, { changes: [], present })
    if (refusal !== null) throw unknownUser(refusal.key.split(':').at(-1) ?? '')
  }

  /** Throws what `write` would throw as things stand. Synchronous over a synchronous store. */
  check(
    caller: Caller,
    users: readonly string[],
    fields: readonly Pick<FieldWrite, 'id' | 'container'>[]
  ): MaybePromise<void> {
    for (const id of users) if (!USER_ID.test(id)) throw unknownUser(id)
    const rows = this.#parts.store.load(
      'users',
      users.map((id) => userKey(caller.tenant, id))
    )
    const settle = (found: readonly (Buffer | undefined)[]): MaybePromise<void> => {
      const absent = found.indexOf(undefined)
      if (absent >= 0) throw unknownUser(users[absent] as string)
      return fields.length === 0 ? undefined : this.#fields.check(caller, fields)
    }
    return rows instanceof Promise ? rows.then(settle) : settle(rows)
  }

  /** The identifiers of the fields that a user has, in order. Checks nothing. */
  async identifiers(tenant: string, id: string): Promise<string[]> {
    const prefix = `${tokenKey(tenant, id)}.`
    const keys = await this.#parts.store.keys('tokens', { prefix, limit: MOST_FIELDS })
    return keys.map((key) => key.slice(prefix.length))
  }

  /** Removes those of the fields that are there. Throws ERR_PERMISSION. */
  remove(caller: Caller, ids: readonly string[], traceId: string): Promise<void> {
    return this.#fields.remove(caller, ids, traceId)
  }

  /**
   * The values of fields, each through the same filters; they may leave after `Vault.release`. Throws ERR_EXPR_*, and as
   * `Vault.reveal`.
   */
  async decrypt(
    caller: Caller,
    user: string,
    identifiers: readonly string[],
    filters: readonly string[],
    purpose: Purpose
  ): Promise<Json[]> {
    const work = new Work()
    const chain = filters.map((filter) => ` | ${filter}`).join('')
    const expressions = identifiers.map((identifier) =>
      parseExpression(`${identifier}${chain}`, 'footprint', { user, work })
    )
    const subjects = expressions.map(({ subject }) => subject)
    const found = await this.#parts.revealer.reveal(caller, subjects, purpose, MOST_FIELDS)
    return expressions.map((expression, at) => evaluate(expression, found[at] as (typeof found)[number], work))
  }
}

/** A new id: characters of which containers may be made, too. */
function newUserId(kind: UserKind): string {
  return PREFIXES[kind] + Array.from({ length: 22 }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')
}

const userKey = (tenant: string, id: string): string => `${tenant}:u:${id}`
const nameKey = (tenant: string, sort: 'e' | 'i', kind: UserKind, name: string): string =>
  `${tenant}:${sort}:${kind}:${digestOf(name)}`

function requireHeld(caller: Caller, permission: string): void {
  if (caller.holds(permission)) return
  throw new SluiceError('ERR_PERMISSION', `Missing permission: ${permission}`, { names: [permission] })
}

const unknownUser = (id: string) =>
  new SluiceError('ERR_NOT_FOUND', `There is no user ${USER_ID.test(id) ? id : 'of this id'}`)
const PREFIXES: Readonly<Record<UserKind, string>> = { user: 'fp_id_', business: 'fp_bid_' }
const USER_ID = /^fp_(?:id|bid)_[A-Za-z0-9_]{1,64}$/
const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyz'
const ATTEMPTS = 10
const MOST_FIELDS = 10_000
