import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import t from 'tap'
import { macOf } from '../../lib/vault/keyring.ts'
import { makeToken } from '../../lib/vault/token-draft.ts'

const DIGITS = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

t.test('the MAC is the HMAC-SHA-256 of the length-prefixed parts, whatever key and length come in turn', (t) => {
  const keys = [32, 1, 64].map((bytes) => createSecretKey(randomBytes(bytes)))
  for (const parts of [[], [''], ['a', 'b'], ['ab'], ['é\u{1f600}'.repeat(40)], ['x', randomBytes(100_000)], ['y']]) {
    for (const key of keys) {
      const mac = createHmac('sha256', key)
      for (const part of parts) {
        const bytes = Buffer.from(part as string)
        const length = Buffer.alloc(4)
        length.writeUInt32BE(bytes.length)
        mac.update(length).update(bytes)
      }
      t.equal(macOf(key, parts).toString('hex'), mac.digest('hex'))
    }
  }
  t.notSame(macOf(keys[0] as never, ['a', 'b']), macOf(keys[0] as never, ['ab', '']))
  t.end()
})

t.test('a fingerprint is the MAC of type and value in base 58, of 44 digits', (t) => {
  const stamp = { createdAt: 0, createdBy: '', cvcTakenAt: 0 }
  for (let n = 0; n < 2000; n++) {
    const key = createSecretKey(randomBytes(32))
    const draft = { type: 'token', container: '/', data: `"${n}"`, expiresAt: null }
    const { fingerprint } = makeToken(draft, stamp, key).header.rest
    let left = BigInt(`0x${macOf(key, ['fingerprint', 'token', String(n)]).toString('hex')}`)
    let expected = ''
    for (let digit = 0; digit < 44; digit++, left /= 58n) expected = DIGITS.charAt(Number(left % 58n)) + expected
    if (fingerprint !== expected || n % 500 === 0) t.equal(fingerprint, expected)
  }
  t.end()
})
