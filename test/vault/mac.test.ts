import { createHmac, createSecretKey, randomBytes } from 'node:crypto'
import t from 'tap'
import { macOf } from '../../lib/vault/keyring.ts'

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
