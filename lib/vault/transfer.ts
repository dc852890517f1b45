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
import type { Revealer } from './reveal.ts'
import { type TokenHeader, TokenRecord } from './token.ts'
import type { Tokens } from './tokens.ts'
import { type MovedRow, movedRows, putMovedRows, type RowParts } from './transfer-rows.ts'

interface Exported {
  readonly tenant: string
  readonly id: string
  readonly header: TokenHeader
  /** JSON text. */
  readonly data: string
}

export interface ExportParts extends RowParts {
  readonly revealer: Revealer
}

export interface ImportParts extends RowParts {
  readonly tokens: Tokens
}

interface Frame {
  readonly tenants?: Readonly<Record<string, string>>
  readonly rows?: readonly MovedRow[]
  readonly tokens?: readonly Exported[]
  readonly end?: number
}

/** All of a vault, less tokens that have expired, as pieces of a file. Gives how many tokens. */
export async function exportVault(
  { store, keyring, records, revealer }: ExportParts,
  transferKey: KeyObject,
  now: number,
  write: (piece: Buffer) => Promise<void>
): Promise<number> {
  const salt = randomBytes(32)
  const key = frameKey(transferKey, salt)
  let [number, count] = [0, 0]
  const put = (frame: Frame) => write(sealFrame(key, number++, formatJson(frame as unknown as Json)))
  await write(Buffer.concat([MAGIC, salt]))
  await put({ tenants: await keyring.exportTenantKeys() })
  for await (const rows of movedRows({ store, keyring, records })) await put({ rows })
  let after: string | undefined
  for (;;) {
    const rows = await store.scan('tokens', { prefix: '', limit: BATCH, ...(after === undefined ? {} : { after }) })
    const tokens: Exported[] = []
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

/**
 * Puts an exported file into a vault. What exists already is left as it is; of tokens that is counted. Throws ERR_INPUT when
 * the file is not whole, or sealed under another key; what came before the fault is then there already.
 */
export async function importVault(
  { tokens, ...parts }: ImportParts,
  transferKey: KeyObject,
  file: AsyncIterable<Buffer>
): Promise<{ made: number; existing: number }> {
  let key: KeyObject | null = null
  let [number, made, existing] = [0, 0, 0]
  let ended = false
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
      if (ended) throw fault('something follows its end')
      const length = rest.readUInt32BE()
      const frame = parseJson(openFrame(key, number++, rest.subarray(4, 4 + length))) as unknown as Frame
      rest = rest.subarray(4 + length)
      if (frame.tenants !== undefined) await parts.keyring.importTenantKeys(frame.tenants)
      if (frame.rows !== undefined) await putMovedRows(parts, frame.rows)
      const restored = await Promise.all(
        (frame.tokens ?? []).map(({ tenant, id, header, data }) => tokens.restore(tenant, id, header, data))
      )
      for (const isNew of restored) {
        if (isNew) made++
        else existing++
      }
      if (frame.end === undefined) continue
      ended = true
      if (frame.end !== made + existing) throw fault('tokens are missing')
    }
    pieces = [rest]
    had = rest.length
    needed = had < 4 ? 4 : 4 + rest.readUInt32BE()
  }
  if (!ended || had > 0) throw fault('it is cut off')
  return { made, existing }
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
