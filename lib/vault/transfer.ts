/**
 * Moving a vault to another store or master key: a file sealed under a transfer key that both sides are given. With the
 * tokens go applications with their keys, users, bindings, settings, documents and the log of changes.
 *
 *     "SLUICE EXPORT 1\n" | salt (32) | frame | frame | …
 *     frame = length (4) | AES-256-GCM ciphertext of JSON, tag last (16)
 *
 * The key of the frames is HKDF-SHA-256(transfer key, salt); nonce and associated data are the frame's number, so that
 * none can be left out or moved; the last frame says how many tokens there are. The first holds the tenants' keys, that
 * fingerprints stay comparable. A cvc is never exported.
 */
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto'
import { SluiceError } from '../errors.ts'
import { formatJson, type Json, parseJson } from '../json.ts'
import { type MovedToken, Restorer } from './restore.ts'
import type { Revealer } from './reveal.ts'
import { TokenRecord } from './token.ts'
import { type MovedRow, movedRows, putMovedRows, type RowParts } from './transfer-rows.ts'

export interface ExportParts extends RowParts {
  readonly revealer: Revealer
}

/** A piece of the file: any of these. */
export interface Frame {
  readonly tenants?: Readonly<Record<string, string>>
  readonly rows?: readonly MovedRow[]
  readonly tokens?: readonly MovedToken[]
  readonly end?: number
}

/** All of a vault, less tokens that have expired, as pieces of a file. Gives how many tokens. */
export async function exportVault(
  { store, keyring, records, revealer }: ExportParts,
  transferKey: KeyObject,
  now: number,
  write: (piece: Buffer) => Promise<void>
): Promise<number> {
  const file = new ExportFile(transferKey)
  let count = 0
  const put = (frame: Frame) => write(file.seal(frame))
  await write(file.beginning)
  await put({ tenants: await keyring.exportTenantKeys() })
  for await (const rows of movedRows({ store, keyring, records })) await put({ rows })
  let after: string | undefined
  for (;;) {
    const rows = await store.scan('tokens', { prefix: '', limit: BATCH, ...(after === undefined ? {} : { after }) })
    const tokens: MovedToken[] = []
    for (const { key: row, value } of rows) {
      const record = new TokenRecord(value)
      if (record.isExpired(now)) continue
      const [tenant, id] = [row.slice(0, row.indexOf(':')), row.slice(row.indexOf(':') + 1)]
      await revealer.fetchKeys(record)
      tokens.push({ tenant, id, header: record.header, data: revealer.data(tenant, id, record) })
    }
    count += tokens.length
    if (tokens.length > 0) await put({ tokens })
    if (rows.length < BATCH) break
    after = rows.at(-1)?.key
  }
  await put({ end: count })
  return count
}

/** The pieces of such a file, in their order. */
export class ExportFile {
  readonly #key: KeyObject
  #number = 0
  /** Its first bytes. */
  readonly beginning: Buffer

  constructor(transferKey: KeyObject) {
    const salt = randomBytes(32)
    this.#key = frameKey(transferKey, salt)
    this.beginning = Buffer.concat([MAGIC, salt])
  }

  seal(frame: Frame): Buffer {
    return sealFrame(this.#key, this.#number++, formatJson(frame as unknown as Json))
  }
}

/**
 * Puts an exported file into a vault. What exists already is left as it is; of tokens that is counted. Throws ERR_INPUT when
 * the file is not whole, or sealed under another key; what came before the fault is then there already.
 */
export async function importVault(
  parts: RowParts,
  transferKey: KeyObject,
  file: AsyncIterable<Buffer>
): Promise<{ made: number; existing: number }> {
  const restorer = new Restorer(parts)
  let ours: ReadonlySet<string> = new Set()
  let end: number | undefined
  for await (const frame of frames(transferKey, file)) {
    if (end !== undefined) throw fault('something follows its end')
    if (frame.tenants !== undefined) ours = await parts.keyring.importTenantKeys(frame.tenants)
    if (frame.rows !== undefined) await putMovedRows(parts, frame.rows)
    for (const token of frame.tokens ?? []) {
      const added = restorer.add(token, ours.has(token.tenant))
      if (added instanceof Promise) await added
    }
    end = frame.end
  }
  const { made, existing } = await restorer.finish()
  if (end === undefined) throw fault('it is cut off')
  if (end !== made + existing) throw fault('tokens are missing')
  return { made, existing }
}

async function* frames(transferKey: KeyObject, file: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let key: KeyObject | null = null
  let number = 0
  let pieces: Buffer[] = []
  let [had, needed] = [0, MAGIC.length + 32]
  for await (const piece of file) {
    pieces.push(piece)
    had += piece.length
    if (had < needed) continue
    let rest: Buffer = Buffer.concat(pieces)
    if (key === null) {
      if (!rest.subarray(0, MAGIC.length).equals(MAGIC)) throw fault('it is no export of a vault')
      key = frameKey(transferKey, rest.subarray(MAGIC.length, MAGIC.length + 32))
      rest = rest.subarray(MAGIC.length + 32)
    }
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE()) {
      const length = rest.readUInt32BE()
      yield parseJson(openFrame(key, number++, rest.subarray(4, 4 + length))) as unknown as Frame
      rest = rest.subarray(4 + length)
    }
    pieces = [rest]
    had = rest.length
    needed = had < 4 ? 4 : 4 + rest.readUInt32BE()
  }
  if (key === null || had > 0) throw fault('it is cut off')
}

function frameKey(transferKey: KeyObject, salt: Buffer): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', transferKey, salt, 'sluice export', 32)))
}

function sealFrame(key: KeyObject, number: number, text: string): Buffer {
  const nonce = nonceOf(number)
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 })
  cipher.setAAD(nonce)
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(sealed.length)
  return Buffer.concat([length, sealed])
}

function openFrame(key: KeyObject, number: number, sealed: Buffer): string {
  const nonce = nonceOf(number)
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: 16 })
    decipher.setAAD(nonce)
    decipher.setAuthTag(sealed.subarray(-16))
    return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]).toString()
  } catch {
    throw fault('it was changed, or is sealed under another key')
  }
}

function nonceOf(number: number): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUIntBE(number, 6, 6)
  return nonce
}

const fault = (why: string) => new SluiceError('ERR_INPUT', `The file cannot be imported: ${why}`)
const MAGIC = Buffer.from('SLUICE EXPORT 1\n')
/** A frame is one text in memory, and a token may have 10 MB. */
const BATCH = 20
