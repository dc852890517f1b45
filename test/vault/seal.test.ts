import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import t from 'tap'
import {
  AES_256_GCM,
  DataKey,
  open,
  PURPOSE_CVC,
  PURPOSE_DATA,
  type SealFormat,
  type SealPlace,
  seal,
  XCHACHA20_POLY1305
} from '../../lib/vault/seal.ts'

const sodium = createRequire(import.meta.url)('sodium-native') as Record<
  string,
  (...bytes: (Buffer | null)[]) => number
>
const raw = randomBytes(32)
const header = Buffer.from('its type, its container, when it expires')
const place: SealPlace = { purpose: PURPOSE_DATA, tenant: 'acme', id: 'id-1', header, start: 4, end: 30 }
const AEAD = 'crypto_aead_xchacha20poly1305_ietf'
const formats = { 'aes-256-gcm': AES_256_GCM, 'xchacha20-poly1305': XCHACHA20_POLY1305 } as const

/** Associated data by its drawing. */
function associated(sealed: Buffer, { purpose, tenant, id, start, end }: SealPlace): Buffer {
  const prefixed = (text: string) => {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(Buffer.byteLength(text))
    return Buffer.concat([length, Buffer.from(text)])
  }
  const length = Buffer.alloc(4)
  length.writeUInt32BE(end - start)
  const parts = [sealed.subarray(0, 5), Buffer.from([purpose]), prefixed(tenant), prefixed(id), length]
  return Buffer.concat([...parts, header.subarray(start, end)])
}

/** Opens a seal with nothing of ours. */
function openElsewhere(format: SealFormat, sealed: Buffer, where: SealPlace): string {
  const data = associated(sealed, where)
  if (format === AES_256_GCM) {
    const decipher = createDecipheriv('aes-256-gcm', raw, sealed.subarray(5, 17), { authTagLength: 16 })
    decipher.setAAD(data)
    decipher.setAuthTag(sealed.subarray(-16))
    return Buffer.concat([decipher.update(sealed.subarray(17, -16)), decipher.final()]).toString()
  }
  const plain = Buffer.alloc(sealed.length - 29 - 16)
  sodium[`${AEAD}_decrypt`]?.(plain, null, sealed.subarray(29), data, sealed.subarray(5, 29), raw)
  return plain.toString()
}

for (const [name, format] of Object.entries(formats)) {
  t.test(`${name}: texts of every length, in every order`, (t) => {
    const key = new DataKey(0xfedcba98, format, raw)
    const texts = [...Array(300).keys(), 511, 512, 513, 5000, 3, 100_000, 0].map((length) =>
      'é😀x'.repeat(length).slice(0, length)
    )
    const seals = texts.map((text, at) => seal(key, text, { ...place, id: `id-${at}` }))
    const wrong = texts.filter((text, at) => {
      const sealed = seals[at] as Buffer
      const around = Buffer.concat([randomBytes(at % 7), sealed, randomBytes(at % 5)])
      const where = { ...place, id: `id-${at}` }
      const own = Buffer.from(text).toString()
      if (openElsewhere(format, sealed, where) !== own) return true
      return open(key, around, at % 7, (at % 7) + sealed.length, where) !== own
    })
    t.same(wrong, [])
    t.equal(new Set(seals.map((sealed) => sealed.subarray(5, 17).toString('hex'))).size, seals.length, 'nonces differ')
    t.end()
  })

  t.test(`${name}: nothing opens but the seal itself, with its key, in its place`, (t) => {
    const key = new DataKey(7, format, raw)
    for (const text of ['"4242424242424242"', '']) {
      const sealed = seal(key, text, place)
      const shut = (bytes: Buffer, where: SealPlace, opener = key, end = bytes.length) => {
        try {
          open(opener, bytes, 0, end, where)
        } catch (thrown) {
          return (thrown as Error).message === 'A sealed record of the vault does not open'
        }
        return false
      }
      t.notOk(shut(sealed, place))
      for (let bit = 0; bit < sealed.length * 8; bit++) {
        const changed = Buffer.from(sealed)
        changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
        if (!shut(changed, place)) t.fail(`bit ${bit}`)
      }
      for (let length = 0; length < sealed.length; length++) {
        if (!shut(sealed, place, key, length)) t.fail(`cut to ${length}`)
      }
      t.ok(shut(Buffer.concat([sealed, Buffer.alloc(1)]), place), 'longer by a byte')
      const other = Buffer.from(header)
      other[29] = 0
      const places: Partial<SealPlace>[] = [
        { purpose: PURPOSE_CVC },
        { tenant: 'acm' },
        { tenant: 'acmeid', id: '-1' },
        { id: 'id-2' },
        { id: 'id-1 ' },
        { id: 'ïd-1' },
        { header: other },
        { start: 3 },
        { end: 31 },
        { end: 29 }
      ]
      for (const moved of places) t.ok(shut(sealed, { ...place, ...moved }), JSON.stringify(moved).slice(0, 60))
      t.ok(shut(sealed, place, new DataKey(7, format, randomBytes(32))), 'another key')
      t.ok(shut(sealed, place, new DataKey(7, format === AES_256_GCM ? 2 : 1, raw)), 'another format')
      t.notOk(shut(sealed, place), 'and it still opens')
    }
    t.end()
  })

  t.test(`${name}: what was sealed elsewhere opens`, (t) => {
    const head = Buffer.from([format, 0, 0, 0, 9])
    const data = associated(head, place)
    const nonce = randomBytes(format === AES_256_GCM ? 12 : 24)
    const plain = Buffer.from('"5555555555554444"')
    let body = Buffer.alloc(plain.length + 16)
    if (format === AES_256_GCM) {
      const cipher = createCipheriv('aes-256-gcm', raw, nonce, { authTagLength: 16 })
      cipher.setAAD(data)
      body = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
    } else sodium[`${AEAD}_encrypt`]?.(body, plain, data, null, nonce, raw)
    const sealed = Buffer.concat([head, nonce, body])
    t.equal(open(new DataKey(9, format, raw), sealed, 0, sealed.length, place), '"5555555555554444"')
    t.end()
  })
}

t.test('a key has 32 bytes', (t) => {
  t.throws(() => new DataKey(1, XCHACHA20_POLY1305, randomBytes(31)), { code: 'ERR_INTERNAL' })
  t.throws(() => new DataKey(1, AES_256_GCM, randomBytes(33)), { code: 'ERR_INTERNAL' })
  t.end()
})
