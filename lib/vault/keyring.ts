/**
 * Envelope encryption. A master key (outside the store) wraps the keys of the ring, which lie in the store's table
 * `keyring` as JSON:
 *
 *     root            the one secret from which the keys of MACs and of the audit log are derived
 *     data:<id>       seals texts; each process makes its own, and a new one before 2^30 seals
 *     tenant:<tenant> fingerprints and search terms; never rotated, since they must stay comparable
 *
 *     {"kind","format","master","wrapped","created","retired"}
 *     wrapped = base64( nonce (12) | AES-256-GCM ciphertext of 32 bytes | tag (16) ), associated data = row key
 */
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hash,
  hkdfSync,
  type KeyObject,
  randomBytes
} from 'node:crypto'
import { SluiceError } from '../errors.ts'
import type { MasterKey } from './master-key.ts'
import { write32, writeText } from './scratch.ts'
import { AES_256_GCM, DataKey, type SealFormat, sealKeyId, sodium, XCHACHA20_POLY1305 } from './seal.ts'
import type { Change, MaybePromise, Store } from './store.ts'

export type SealName = 'aes-256-gcm' | 'xchacha20-poly1305'

export interface KeyringOptions {
  readonly store: Store
  /** The first wraps, all unwrap. */
  readonly masterKeys: readonly MasterKey[]
  readonly seal: SealName
  readonly now?: () => number
  /** Seals before a process makes itself a new data key. Default 2^30. */
  readonly sealsPerKey?: number
}

/** A row of the table `keyring`. */
export interface WrappedKey {
  readonly kind: 'root' | 'data' | 'tenant'
  readonly format: SealFormat
  /** Id of the master key that wraps it. */
  readonly master: string
  readonly wrapped: string
  readonly created: number
  readonly retired: number | null
}

export class Keyring {
  readonly #store: Store
  readonly #masters: ReadonlyMap<string, MasterKey>
  readonly #first: MasterKey
  readonly #format: SealFormat
  readonly #now: () => number
  readonly #sealsPerKey: number
  readonly #data = new Map<number, DataKey>()
  readonly #tenants = new Map<string, KeyObject>()
  #root: Buffer = Buffer.alloc(0)
  #current: DataKey | null = null
  #lastOpener: DataKey | null = null
  #making: Promise<DataKey> | null = null

  private constructor(options: KeyringOptions, first: MasterKey) {
    this.#store = options.store
    this.#first = first
    this.#masters = new Map(options.masterKeys.map((key) => [key.id, key]))
    this.#format = options.seal === 'aes-256-gcm' ? AES_256_GCM : XCHACHA20_POLY1305
    this.#now = options.now ?? Date.now
    this.#sealsPerKey = options.sealsPerKey ?? 2 ** 30
    if (this.#format === XCHACHA20_POLY1305) sodium()
  }

  /**
   * Unwraps the ring of a store, or makes one in an empty store. Throws ERR_CONFIG, having changed nothing, when no
   * master key is given, none of them opens this ring, or the store holds data and no ring.
   */
  static async open(options: KeyringOptions): Promise<Keyring> {
    const first = options.masterKeys[0]
    if (first === undefined) throw wrongMaster('There is no master key')
    const ring = new Keyring(options, first)
    const rows = await options.store.scan('keyring', { prefix: '', limit: Number.MAX_SAFE_INTEGER })
    if (rows.length === 0) await ring.#begin()
    else ring.#unwrapAll(rows)
    return ring
  }

  async #begin(): Promise<void> {
    for (const table of ['tokens', 'applications'] as const) {
      const some = await this.#store.keys(table, { prefix: '', limit: 1 })
      if (some.length > 0) throw wrongMaster('The vault holds data but its keyring is gone')
    }
    const secret = randomBytes(32)
    const refusal = await this.#store.write({ changes: [this.#row('root', 'root', AES_256_GCM, secret)] })
    if (refusal === null) {
      this.#root = secret
      return
    }
    const rows = await this.#store.scan('keyring', { prefix: '', limit: Number.MAX_SAFE_INTEGER })
    this.#unwrapAll(rows)
  }

  #unwrapAll(rows: readonly { readonly key: string; readonly value: Buffer }[]): void {
    for (const { key, value } of rows) if (!key.startsWith('rewrap:')) this.#take(key, value)
    if (this.#root.length === 0) throw wrongMaster('The keyring of the vault has lost its root')
  }

  /** Unwraps one row into memory. */
  #take(key: string, value: Buffer): void {
    const row = JSON.parse(value.toString()) as WrappedKey
    const secret = this.unwrap(key, row)
    if (row.kind === 'root') this.#root = secret
    else if (row.kind === 'tenant') this.#tenants.set(key.slice('tenant:'.length), createSecretKey(secret))
    else {
      const id = Number.parseInt(key.slice('data:'.length), 16)
      if (!this.#data.has(id)) this.#data.set(id, new DataKey(id, row.format, secret))
    }
  }

  /** The 32 bytes of a wrapped key. Throws ERR_CONFIG when no master key at hand opens it. */
  unwrap(key: string, row: WrappedKey): Buffer {
    const master = this.#masters.get(row.master)
    if (master === undefined) {
      const held = [...this.#masters.keys()].join(', ')
      throw wrongMaster(`The vault is sealed under the master key ${row.master}; the file holds ${held}`)
    }
    const wrapped = Buffer.from(row.wrapped, 'base64')
    const decipher = createDecipheriv('aes-256-gcm', master.key, wrapped.subarray(0, 12), { authTagLength: 16 })
    decipher.setAAD(Buffer.from(`sluice keyring 1 ${row.kind} ${row.format} ${key}`))
    decipher.setAuthTag(wrapped.subarray(-16))
    try {
      return Buffer.concat([decipher.update(wrapped.subarray(12, -16)), decipher.final()])
    } catch {
      throw wrongMaster(`The key ${key} of the vault does not open under the master key ${row.master}`)
    }
  }

  /** The row that wraps a key under the first master key. */
  wrap(key: string, kind: WrappedKey['kind'], format: SealFormat, secret: Buffer, created = this.#now()): WrappedKey {
    const nonce = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', this.#first.key, nonce, { authTagLength: 16 })
    cipher.setAAD(Buffer.from(`sluice keyring 1 ${kind} ${format} ${key}`))
    const wrapped = Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()])
    return { kind, format, master: this.#first.id, wrapped: wrapped.toString('base64'), created, retired: null }
  }

  #row(key: string, kind: WrappedKey['kind'], format: SealFormat, secret: Buffer): Change {
    const value = Buffer.from(JSON.stringify(this.wrap(key, kind, format, secret)))
    return { table: 'keyring', key, value, expect: null }
  }

  /** The data key to seal with now: this process's own. A promise the first time, and when a new one is due. */
  current(): MaybePromise<DataKey> {
    const key = this.#current
    if (key !== null && key.seals < this.#sealsPerKey) return key
    this.#making ??= this.#make().finally(() => {
      this.#making = null
    })
    return this.#making
  }

  async #make(): Promise<DataKey> {
    for (;;) {
      const secret = randomBytes(32)
      const id = randomBytes(4).readUInt32BE()
      const name = dataRow(id)
      if ((await this.#store.write({ changes: [this.#row(name, 'data', this.#format, secret)] })) !== null) continue
      const key = new DataKey(id, this.#format, secret)
      this.#data.set(id, key)
      this.#current = key
      return key
    }
  }

  /** The id of the master key that wraps now. */
  get master(): string {
    return this.#first.id
  }

  /** Stops sealing under a key that was retired: the next `current()` makes a new one. For each new generation. */
  renew(): MaybePromise<void> {
    const key = this.#current
    if (key === null) return undefined
    const rows = this.#store.load('keyring', [dataRow(key.id)])
    const take = ([row]: readonly (Buffer | undefined)[]) => {
      const isRetired = row === undefined || (JSON.parse(row.toString()) as WrappedKey).retired !== null
      if (isRetired && this.#current === key) this.#current = null
    }
    return rows instanceof Promise ? rows.then(take) : take(rows)
  }

  /** The keys of all tenants, as base64. */
  async exportTenantKeys(): Promise<Record<string, string>> {
    const rows = await this.#store.scan('keyring', { prefix: 'tenant:', limit: Number.MAX_SAFE_INTEGER })
    const keys = rows.map(({ key, value }) => {
      const secret = this.unwrap(key, JSON.parse(value.toString()) as WrappedKey)
      return [key.slice('tenant:'.length), secret.toString('base64')]
    })
    return Object.fromEntries(keys) as Record<string, string>
  }

  /** Gives tenants that have no key yet the one they had elsewhere. Gives which of them have the same key now. */
  async importTenantKeys(keys: Readonly<Record<string, string>>): Promise<Set<string>> {
    const same = new Set<string>()
    for (const [tenant, text] of Object.entries(keys)) {
      const secret = Buffer.from(text, 'base64')
      await this.#store.write({ changes: [this.#row(`tenant:${tenant}`, 'tenant', AES_256_GCM, secret)] })
      const key = await this.tenantKey(tenant)
      if (key.equals(createSecretKey(secret))) same.add(tenant)
    }
    return same
  }

  /** The key that opens the seal at `bytes[at..]`; undefined when this process has not heard of it yet: `fetch` it. */
  opener(bytes: Buffer, at: number): DataKey | undefined {
    const id = sealKeyId(bytes, at)
    const last = this.#lastOpener
    if (last !== null && last.id === id) return last
    const key = this.#data.get(id)
    if (key !== undefined) this.#lastOpener = key
    return key
  }

  /** Reads a data key that another process has made. Throws ERR_INTERNAL when there is none. */
  fetch(bytes: Buffer, at: number): MaybePromise<DataKey> {
    const id = sealKeyId(bytes, at)
    const rows = this.#store.load('keyring', [dataRow(id)])
    return rows instanceof Promise ? rows.then((found) => this.#fetched(id, found[0])) : this.#fetched(id, rows[0])
  }

  #fetched(id: number, row: Buffer | undefined): DataKey {
    if (row === undefined) throw new SluiceError('ERR_INTERNAL', `The keyring of the vault has no key ${dataRow(id)}`)
    this.#take(dataRow(id), row)
    return this.#data.get(id) as DataKey
  }

  /** The key of a tenant's fingerprints and search terms; made when it is first asked for. */
  tenantKey(tenant: string): MaybePromise<KeyObject> {
    return this.#tenants.get(tenant) ?? this.#tenantKey(tenant)
  }

  async #tenantKey(tenant: string): Promise<KeyObject> {
    const name = `tenant:${tenant}`
    const [row] = await this.#store.load('keyring', [name])
    if (row !== undefined) this.#take(name, row)
    else {
      const secret = randomBytes(32)
      const refusal = await this.#store.write({ changes: [this.#row(name, 'tenant', AES_256_GCM, secret)] })
      if (refusal !== null) return this.#tenantKey(tenant)
      this.#tenants.set(tenant, createSecretKey(secret))
    }
    return this.#tenants.get(tenant) as KeyObject
  }

  /** A key for one use, derived from the root by HKDF-SHA-256. */
  derive(use: string): KeyObject {
    return createSecretKey(Buffer.from(hkdfSync('sha256', this.#root, Buffer.alloc(0), `sluice ${use}`, 32)))
  }
}

/**
 * HMAC-SHA-256 of length-prefixed parts, so that no two lists of parts give the same input. It is spelled out over two
 * one-shot hashes (RFC 2104), which cost two thirds of an Hmac object.
 */
export function macOf(key: KeyObject, parts: readonly (string | Uint8Array)[]): Buffer {
  let length = BLOCK
  for (const part of parts) length += 4 + (typeof part === 'string' ? part.length * 3 : part.length)
  if (length > macScratch.length) macScratch = Buffer.alloc(length * 2)
  let pads = padsOf.get(key)
  if (pads === undefined) padsOf.set(key, (pads = new Pads(key)))
  macScratch.set(pads.inner)
  let at = BLOCK
  for (const part of parts) {
    if (typeof part === 'string') length = writeText(part, macScratch, at + 4)
    else {
      macScratch.set(part, at + 4)
      length = part.length
    }
    write32(length, macScratch, at)
    at += 4 + length
  }
  // NOTE: as a string, since a hash's own buffer costs as much as the hash.
  pads.outer.write(hash('sha256', macScratch.subarray(0, at), 'binary'), BLOCK, 'latin1')
  // Search values and what fingerprints are made of do not stay here.
  macScratch.fill(0, BLOCK, at)
  return Buffer.from(hash('sha256', pads.outer, 'binary'), 'latin1')
}

/** The two blocks that a key of at most 64 bytes becomes, the outer one with room for the inner hash. */
class Pads {
  readonly inner = Buffer.alloc(BLOCK, 0x36)
  readonly outer = Buffer.alloc(BLOCK + 32, 0x5c)

  constructor(key: KeyObject) {
    const bytes = key.export()
    for (let at = 0; at < bytes.length; at++) {
      this.inner[at] = 0x36 ^ (bytes[at] as number)
      this.outer[at] = 0x5c ^ (bytes[at] as number)
    }
    bytes.fill(0)
  }
}

/** SHA-256 as base64url: the name under which a presented API key is found. */
export function digestOf(text: string): string {
  return hash('sha256', text, 'base64url')
}

const dataRow = (id: number): string => `data:${id.toString(16).padStart(8, '0')}`
const wrongMaster = (why: string) =>
  new SluiceError('ERR_CONFIG', `vault.masterKeyFile: ${why}`, { names: ['vault.masterKeyFile'] })
/** Of SHA-256. */
const BLOCK = 64
const padsOf = new WeakMap<KeyObject, Pads>()
let macScratch = Buffer.alloc(4096)
