/**
 * Hot: per token. Bench: bench/micro/vault/reveal.ts.
 *
 * A token as it lies in the store, under the key `tenant:id`:
 *
 *      0        1       2         8         14  15     15+t  17+t        17+t+c  21+t+c
 *      +--------+-------+---------+---------+---+------+-----+-----------+-------+------+
 *      | layout | flags | created | expires | t | type | c   | container | r     | rest |
 *      | 1      | 1     | 6, ms   | 6, 0 =  | 1 | t    | 2   | c         | 4     | r    |
 *      |        |       |         | never   |   |      |     |           |       |      |
 *      +--------+-------+---------+---------+---+------+-----+-----------+-------+------+
 *      +-----------+-----------------+    +---------------+----------------+
 *      | s         | seal of the     |    | cvc kind, day | seal of the    |   only while a cvc is kept
 *      | 4         | data's JSON, s  |    | 1, 6 (ms)     | cvc's JSON     |
 *      +-----------+-----------------+    +---------------+----------------+
 *
 *      flags: 1 the token is bound to destinations (rest.destinations)
 *
 * Numbers are big endian, texts UTF-8. `rest` is the JSON of `TokenRest`, or empty. The whole first line is the
 * header that both seals are bound to (seal.ts); the cvc's is also bound to its kind and day. It stands last and outside
 * of the header, so that forgetting it is cutting the record.
 */
import { SluiceError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { Associated } from './associated.ts'
import { wordsOf, write32, writeText } from './scratch.ts'
import { type DataKey, PURPOSE_CVC, PURPOSE_DATA, seal, sealedBytes, sealWith } from './seal.ts'
import { RestText, type TokenRest } from './token-rest.ts'

export interface TokenHeader {
  readonly type: string
  readonly container: string
  readonly createdAt: number
  /** null: never. */
  readonly expiresAt: number | null
  readonly rest: TokenRest
}

/** The card verification code of a token, sealed apart from its data. */
export interface Cvc {
  /** JSON text. */
  readonly text: string
  /** `property`: it belongs into the data object under the name `cvc`; `whole`: it is all of the data. */
  readonly kind: 'property' | 'whole'
  readonly takenAt: number
}

/** The bytes of a token's record. `data` is JSON text. */
export function encodeToken(
  key: DataKey,
  tenant: string,
  id: string,
  header: TokenHeader,
  data: string,
  cvc: Cvc | null
): Buffer {
  const start = desk.begin(PURPOSE_DATA, tenant, id)
  return sealToken(key, tenant, id, start, writeHeader(header, start), data, cvc)
}

/** The same token under another data key: its header stays byte for byte. */
export function resealToken(
  key: DataKey,
  tenant: string,
  id: string,
  record: TokenRecord,
  data: string,
  cvc: Cvc | null
): Buffer {
  const start = desk.begin(PURPOSE_DATA, tenant, id)
  const end = start + record.headerEnd
  desk.reserve(end)
  record.bytes.copy(desk.bytes, start, 0, record.headerEnd)
  return sealToken(key, tenant, id, start, end, data, cvc)
}

/** Writes the header on the desk, right behind the beginning of its seal's associated data. Returns where it ends. */
function writeHeader({ type, container, createdAt, expiresAt, rest }: TokenHeader, start: number): number {
  const textAt = start + FIXED + type.length + 2 + container.length + 4
  desk.reserve(textAt)
  const length = restText.write(rest, desk, textAt)
  const { bytes, words } = desk
  bytes[start] = LAYOUT
  bytes[start + 1] = rest.destinations === undefined ? 0 : BOUND
  write48(createdAt, words, start + 2)
  write48(expiresAt ?? 0, words, start + 8)
  bytes[start + 14] = type.length
  // Type and container are ASCII.
  let at = start + FIXED + writeText(type, bytes, start + FIXED)
  words.setUint16(at, container.length)
  at += 2 + writeText(container, bytes, at + 2)
  words.setUint32(at, length)
  return at + 4 + length
}

function read48(words: DataView, at: number): number {
  return words.getUint16(at) * 2 ** 32 + words.getUint32(at + 2)
}

function write48(value: number, words: DataView, at: number): void {
  words.setUint16(at, value / 2 ** 32)
  words.setUint32(at + 2, value)
}

/** The record whose header stands in `desk[start..end)`. */
function sealToken(
  key: DataKey,
  tenant: string,
  id: string,
  start: number,
  end: number,
  data: string,
  cvc: Cvc | null
): Buffer {
  const headerEnd = end - start
  const sealEnd = headerEnd + 4 + sealedBytes(key, data)
  const record = Buffer.allocUnsafe(sealEnd)
  desk.bytes.copy(record, 0, start, end)
  write32(sealEnd - headerEnd - 4, record, headerEnd)
  sealWith(key, data, record, headerEnd + 4, sealEnd, desk, start, end)
  if (cvc === null) return record
  const taken = Buffer.alloc(7)
  taken[0] = cvc.kind === 'property' ? CVC_PROPERTY : CVC_WHOLE
  taken.writeUIntBE(cvc.takenAt, 1, 6)
  const place = { purpose: PURPOSE_CVC, tenant, id: cvcId(id, taken, 0), header: record, start: 0, end: headerEnd }
  return Buffer.concat([record, taken, seal(key, cvc.text, place)])
}

/** A record whose places are known. Reading one decodes nothing but what is asked for. */
export class TokenRecord {
  readonly bytes: Buffer
  /** The record is `bytes[start..end)`; it is all of them but for a moment in `reveal`. */
  readonly start: number
  readonly end: number
  readonly #words: DataView
  readonly #containerAt: number
  readonly #restAt: number
  /** End of the header, as the seals are bound to it. */
  readonly headerEnd: number
  readonly sealAt: number
  readonly sealEnd: number

  /** `words` are the same bytes. Throws ERR_INTERNAL when the record cannot be one. */
  constructor(bytes: Buffer, start = 0, end = bytes.length, words = wordsOf(bytes)) {
    this.bytes = bytes
    this.start = start
    this.end = end
    this.#words = words
    if (bytes[start] !== LAYOUT || end - start < FIXED + 10) throw malformed()
    this.#containerAt = start + FIXED + (bytes[start + 14] as number) + 2
    if (this.#containerAt + 8 > end) throw malformed()
    this.#restAt = this.#containerAt + this.#containerLength + 4
    if (this.#restAt + 4 > end) throw malformed()
    this.headerEnd = this.#restAt + words.getUint32(this.#restAt - 4)
    if (this.headerEnd + 4 > end) throw malformed()
    this.sealAt = this.headerEnd + 4
    this.sealEnd = this.sealAt + words.getUint32(this.headerEnd)
    if (this.sealEnd > end || (this.sealEnd < end && this.cvcSealAt > end)) throw malformed()
  }

  /** The same record in bytes of its own. */
  owned(): TokenRecord {
    return new TokenRecord(Buffer.from(this.bytes.subarray(this.start, this.end)))
  }

  get type(): string {
    return this.bytes.toString('latin1', this.start + FIXED, this.#containerAt - 2)
  }

  get container(): string {
    return containerText(this.#words, this.#containerAt, this.#containerLength)
  }

  get createdAt(): number {
    return read48(this.#words, this.start + 2)
  }

  get expiresAt(): number | null {
    const at = read48(this.#words, this.start + 8)
    return at === 0 ? null : at
  }

  /** True when it has expired at `now` (ms): it is then as if it were not there. */
  isExpired(now: number): boolean {
    const at = read48(this.#words, this.start + 8)
    return at !== 0 && at <= now
  }

  get rest(): TokenRest {
    return parseJson(this.bytes.toString('utf8', this.#restAt, this.headerEnd)) as unknown as TokenRest
  }

  /** True when the token itself is bound to destinations. */
  get isBound(): boolean {
    return ((this.bytes[this.start + 1] as number) & BOUND) !== 0
  }

  get header(): TokenHeader {
    const { type, container, createdAt, expiresAt, rest } = this
    return { type, container, createdAt, expiresAt, rest }
  }

  get hasCvc(): boolean {
    return this.sealEnd < this.end
  }

  get cvcKind(): Cvc['kind'] {
    return this.bytes[this.sealEnd] === CVC_PROPERTY ? 'property' : 'whole'
  }

  get cvcTakenAt(): number {
    return read48(this.#words, this.sealEnd + 1)
  }

  get cvcSealAt(): number {
    return this.sealEnd + 7
  }

  get #containerLength(): number {
    return this.#words.getUint16(this.#containerAt - 2)
  }
}

/** Containers are few: while the next one is the same, its text is. */
function containerText(words: DataView, at: number, length: number): string {
  const { words: last, text } = lastContainer
  // They are ASCII.
  let same = length === text.length
  let n = 0
  for (; same && n + 4 <= length; n += 4) same = words.getInt32(at + n) === last.getInt32(n)
  for (; same && n < length; n++) same = words.getUint8(at + n) === last.getUint8(n)
  if (same) return text
  const own = Buffer.from(new Uint8Array(words.buffer, words.byteOffset + at, length))
  lastContainer = { words: wordsOf(own), text: own.toString('latin1') }
  return lastContainer.text
}

let lastContainer = { words: wordsOf(Buffer.alloc(0)), text: '' }

/** The id that a cvc's seal is bound to: the token's, then kind and day as they stand at `bytes[at..at+7)`. */
export function cvcId(id: string, bytes: Buffer, at: number): string {
  return `${id}|${bytes.toString('hex', at, at + 7)}`
}

/** The store's key of a token. */
export function tokenKey(tenant: string, id: string): string {
  return `${tenant}:${id}`
}

/**
 * NOTE: the last characters first. Ids are cut out of larger texts, and whole such strings are compared by a call into the
 * engine of 250 instructions.
 */
export function isSameId(a: string, b: string): boolean {
  const last = a.length - 1
  return last === b.length - 1 && (last < 0 || a.charCodeAt(last) === b.charCodeAt(last)) && a === b
}

/** False for text with half a surrogate pair: in UTF-8 it would pass for other text. */
export function isWellFormed(text: string): boolean {
  return !LONE_SURROGATE.test(text)
}

const malformed = () => new SluiceError('ERR_INTERNAL', 'A token record of the vault is malformed')
/** Where records are made, one at a time. */
const desk = new Associated()
const restText = new RestText()
const LAYOUT = 1
const FIXED = 15
const BOUND = 1
const CVC_PROPERTY = 0
const CVC_WHOLE = 1
const LONE_SURROGATE = /[\ud800-\udfff]/u
