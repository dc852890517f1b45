/**
 * Hot: per token. Bench: bench/micro/vault/reveal.ts.
 *
 * Sealing: one text under one data key.
 *
 *      0        1                5             5+n                 -16       end
 *      +--------+----------------+-------------+-------------------+---------+
 *      | format | data key id    | nonce       | ciphertext        | tag     |
 *      | 1 byte | 4, big endian  | 12 or 24    | as long as plain  | 16      |
 *      +--------+----------------+-------------+-------------------+---------+
 *      format 1: AES-256-GCM, nonce of 12 bytes; format 2: XChaCha20-Poly1305, nonce of 24 bytes
 *
 * Associated data binds a seal to its place: associated.ts.
 *
 * `header` is the clear part of the record, byte for byte: of a token its type, container, expiry, and all the rest
 * that is kept in clear, length-prefixed in itself (token.ts).
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomFillSync } from 'node:crypto'
import { createRequire } from 'node:module'
import { SluiceError } from '../errors.ts'
import { Associated } from './associated.ts'
import { PART_NONCE, PART_TAG, PART_TEXT, read32, readText, Scratch, write32, writeText } from './scratch.ts'

export type SealFormat = 1 | 2
export const AES_256_GCM = 1
export const XCHACHA20_POLY1305 = 2

/** What the seal protects; a seal of one purpose never opens as another. */
export const PURPOSE_DATA = 0
export const PURPOSE_CVC = 1
export const PURPOSE_ROW = 2

/** A key that seals texts. `raw` is kept only for XChaCha20-Poly1305, whose library takes bytes. */
export class DataKey {
  readonly id: number
  readonly format: SealFormat
  readonly key: KeyObject
  readonly raw: Buffer | null
  /** How many texts this process has sealed under it. */
  seals = 0

  constructor(id: number, format: SealFormat, bytes: Buffer) {
    if (bytes.length !== 32) throw broken()
    this.id = id
    this.format = format
    this.key = createSecretKey(bytes)
    this.raw = format === XCHACHA20_POLY1305 ? Buffer.from(bytes) : null
  }
}

/** Where a seal belongs. `header[start..end)` is read during the call and not kept. */
export interface SealPlace {
  readonly purpose: number
  readonly tenant: string
  readonly id: string
  readonly header: Uint8Array
  readonly start: number
  readonly end: number
}

/** Seals `text` (as UTF-8) under a fresh nonce. */
export function seal(key: DataKey, text: string, place: SealPlace): Buffer {
  const sealed = Buffer.allocUnsafe(sealedBytes(key, text))
  writeStart(key, sealed, 0)
  sealText(key, text, sealed, 0, sealed.length, associate(sealed, 0, place))
  return sealed
}

/** The length of the seal of a text. */
export function sealedBytes(key: DataKey, text: string): number {
  return 5 + (key.format === AES_256_GCM ? 12 : 24) + Buffer.byteLength(text) + 16
}

/** Seals `text` into `target[at..end)`, as long as `sealedBytes` says, for the header that stands in `desk[start..headerEnd)`. */
export function sealWith(
  key: DataKey,
  text: string,
  target: Buffer,
  at: number,
  end: number,
  desk: Associated,
  start: number,
  headerEnd: number
): void {
  writeStart(key, target, at)
  sealText(key, text, target, at, end, desk.complete(start, headerEnd, target, at))
}

function writeStart({ format, id }: DataKey, target: Buffer, at: number): void {
  target[at] = format
  write32(id, target, at + 1)
}

function sealText(key: DataKey, text: string, target: Buffer, at: number, end: number, associated: Buffer): void {
  key.seals++
  const nonceBytes = key.format === AES_256_GCM ? 12 : 24
  const nonce = nextNonce(nonceBytes)
  target.set(nonce, at + 5)
  const from = at + 5 + nonceBytes
  const length = end - 16 - from
  plains.reserve(length)
  writeText(text, plains.bytes, 0)
  const plain = plains.view(length)
  if (key.format === XCHACHA20_POLY1305) {
    sodium().encrypt(target.subarray(from, end), plain, associated, null, nonce, rawOf(key))
  } else {
    const cipher = createCipheriv('aes-256-gcm', key.key, nonce, TAG)
    cipher.setAAD(associated)
    target.set(cipher.update(plain), from)
    cipher.final()
    target.set(cipher.getAuthTag(), end - 16)
  }
  plains.clear(length)
}

/** Random bytes, until the next call. They are drawn from the system for many seals at once: a draw costs as much as a seal. */
function nextNonce(length: number): Buffer {
  if (poolAt + length > pool.length) {
    randomFillSync(pool)
    poolAt = 0
  }
  const { bytes } = nonces
  for (let n = 0; n < length; n++) bytes[n] = pool[poolAt + n] as number
  poolAt += length
  return nonces.view(length)
}

/** The id of the data key that opens the seal at `bytes[at..]`, without opening it. */
export function sealKeyId(bytes: Buffer, at: number): number {
  return read32(bytes, at + 1)
}

/**
 * Opens the seal `bytes[at..end)` and gives its text. Throws ERR_INTERNAL, always with the same words, when the seal,
 * its place or its key is not the one it was made with.
 */
export function open(key: DataKey, bytes: Buffer, at: number, end: number, place: SealPlace): string {
  const from = textAt(key, bytes, at, end)
  const associated = associate(bytes, at, place)
  const nonce = bytes.subarray(at + 5, from)
  if (key.format === XCHACHA20_POLY1305) return openXChaCha(key, bytes.subarray(from, end), nonce, associated)
  return openAes(key, bytes.subarray(from, end - 16), bytes.subarray(end - 16, end), nonce, associated)
}

/** The same for a seal that lies on a desk behind its associated data. */
export function openOn(key: DataKey, desk: Scratch, at: number, end: number, associated: Buffer): string {
  const from = textAt(key, desk.bytes, at, end)
  const nonce = desk.part(PART_NONCE, at + 5, from - at - 5)
  if (key.format === XCHACHA20_POLY1305)
    return openXChaCha(key, desk.part(PART_TEXT, from, end - from), nonce, associated)
  return openAes(key, desk.part(PART_TEXT, from, end - 16 - from), desk.part(PART_TAG, end - 16, 16), nonce, associated)
}

/** Where the ciphertext begins. */
function textAt(key: DataKey, bytes: Buffer, at: number, end: number): number {
  const from = at + 5 + (key.format === AES_256_GCM ? 12 : 24)
  if (bytes[at] !== key.format || end - from < 16) throw broken()
  return from
}

function openAes(key: DataKey, sealed: Uint8Array, tag: Uint8Array, nonce: Uint8Array, associated: Uint8Array): string {
  const decipher = createDecipheriv('aes-256-gcm', key.key, nonce, TAG)
  decipher.setAAD(associated)
  decipher.setAuthTag(tag)
  const plain = decipher.update(sealed)
  try {
    decipher.final()
  } catch {
    clear(plain)
    throw broken()
  }
  const text = readText(plain, plain.length)
  clear(plain)
  return text
}

/** NOTE: a call of `fill` costs 350 instructions, as much as a loop over thirty bytes. */
function clear(plain: Buffer): void {
  const { length } = plain
  if (length > 30) plain.fill(0)
  else for (let n = 0; n < length; n++) plain[n] = 0
}

function openXChaCha(key: DataKey, sealed: Uint8Array, nonce: Uint8Array, associated: Buffer): string {
  const length = sealed.length - 16
  plains.reserve(length)
  const plain = plains.view(length)
  if (sodium().decrypt(plain, sealed, associated, nonce, rawOf(key)) !== length) throw broken()
  const text = readText(plain, length)
  plains.clear(length)
  return text
}

/** Writes the associated data into a scratch that the next call overwrites. */
function associate(sealed: Buffer, at: number, place: SealPlace): Buffer {
  const { purpose, tenant, id, header, start, end } = place
  const to = associations.begin(purpose, tenant, id)
  const headerEnd = to + end - start
  associations.reserve(headerEnd)
  associations.bytes.set(start === 0 && end === header.length ? header : header.subarray(start, end), to)
  return associations.complete(to, headerEnd, sealed, at)
}

const broken = () => new SluiceError('ERR_INTERNAL', 'A sealed record of the vault does not open')

function rawOf(key: DataKey): Buffer {
  if (key.raw === null) throw broken()
  return key.raw
}

/** XChaCha20-Poly1305. */
interface Sodium {
  encrypt(sealed: Buffer, plain: Buffer, associated: Buffer, none: null, nonce: Buffer, key: Buffer): number
  /** The length of what was opened; negative when it does not open. All lengths must be right: it checks none. */
  decrypt(plain: Buffer, sealed: Uint8Array, associated: Buffer, nonce: Uint8Array, key: Buffer): number
}

let loaded: Sodium | undefined

/** sodium-native, an optional dependency, loaded when the first XChaCha20-Poly1305 key is used. Throws ERR_CONFIG. */
export function sodium(): Sodium {
  if (loaded !== undefined) return loaded
  try {
    const load = createRequire(import.meta.url)
    const front = load('sodium-native') as Record<string, unknown>
    // NOTE: the library's front looks up seven of its hundreds of members to check lengths: a third of a small decryption.
    const native = load('sodium-native/binding.js') as Record<string, unknown>
    loaded = { encrypt: front[`${NAME}_encrypt`], decrypt: native[`${NAME}_decrypt`] } as Sodium
  } catch (cause) {
    const message = 'vault.seal: xchacha20-poly1305 needs the package sodium-native, which is not installed'
    throw new SluiceError('ERR_CONFIG', message, { names: ['vault.seal'], cause })
  }
  return loaded
}

const NAME = 'crypto_aead_xchacha20poly1305_ietf'
const TAG = { authTagLength: 16 }
const pool = Buffer.alloc(12 * 512)
let poolAt = pool.length
const nonces = new Scratch()
/** Opened texts, and those to be sealed: zero between two calls. */
const plains = new Scratch()
const associations = new Associated()
