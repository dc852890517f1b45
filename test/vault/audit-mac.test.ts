import { createCipheriv, createHmac, createSecretKey, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { firstMac, runningMac } from '../../lib/vault/audit-mac.ts'
import { verifyAudit } from '../../lib/vault/audit-verify.ts'
import { Records } from '../../lib/vault/records.ts'
import { openLmdb } from '../../lib/vault/stores/lmdb.ts'

const key = createSecretKey(randomBytes(32))

t.test('a mac is the HMAC of where it stands and of a GCM tag over the bytes, whatever pieces they come in', (t) => {
  for (const length of [0, 1, 15, 16, 17, 600, 5000]) {
    const bytes = randomBytes(length)
    const own = createHmac('sha256', key).update('hash\nchain').digest()
    const hash = createCipheriv('aes-256-gcm', own, Buffer.alloc(12)).setAAD(bytes)
    hash.final()
    const expected = createHmac('sha256', key)
      .update('chain\nbefore\nseal 77\n')
      .update(hash.getAuthTag())
      .digest('base64url')
    for (const step of [1, 7, 16, 5000]) {
      const running = runningMac(key, 'chain', 'before')
      for (let at = 0; at < length; at += step) running.update(bytes.subarray(at, at + step))
      t.equal(running.final(77), expected, `${length} bytes in pieces of ${step}`)
    }
  }
  t.end()
})

t.test('a mac says which chain, which seal before, which length and which bytes', (t) => {
  const bytes = randomBytes(100)
  const changed = Buffer.from(bytes)
  changed[99] = (changed[99] ?? 0) ^ 1
  const of = (chain: string, before: string, length: number, text: Buffer, by = key) => {
    const running = runningMac(by, chain, before)
    running.update(text)
    return running.final(length)
  }
  const macs = [
    of('a', 'b', 1, bytes),
    of('c', 'b', 1, bytes),
    of('a', 'c', 1, bytes),
    of('a', 'b', 2, bytes),
    of('a', 'b', 1, changed),
    of('a', 'b', 1, bytes.subarray(0, 99)),
    of('a', 'b', 1, Buffer.concat([bytes, Buffer.alloc(1)])),
    of('a', 'b', 1, bytes, createSecretKey(randomBytes(32)))
  ]
  t.equal(new Set(macs).size, macs.length)
  t.end()
})

t.test('chains of the first version are verified as they were made', async (t) => {
  const directory = t.testdir()
  const store = openLmdb(join(directory, 'store'))
  t.teardown(() => store.close())
  const write = (chain: string, first: string, change = (text: string) => text) => {
    const begin = `${first}\n{"n":1,"at":5,"door":"proxy","tokens":["x"],"v":1}\n`
    const running = firstMac(key, chain, '')
    running.update(Buffer.from(begin))
    const bytes = Buffer.byteLength(begin)
    const seal = `{"seal":1,"n":1,"bytes":${bytes},"mac":"${running.final(bytes)}"}\n`
    writeFileSync(join(directory, `${chain}.audit`), change(begin + seal))
  }
  write('old', '{"chain":"old","at":5,"heads":{}}')
  write('changed', '{"chain":"changed","at":5,"heads":{}}', (text) => text.replace('"x"', '"y"'))
  write('renewed', '{"chain":"renewed","at":5,"heads":{}}', (text) => text.replace('"at":5,"h', '"v":2,"at":5,"h'))
  const reports = await verifyAudit(directory, key, store, new Records(key))
  const faults = new Map(reports.map(({ chain, fault }) => [chain, fault]))
  t.equal(faults.get('old'), null)
  t.match(faults.get('changed'), /^changed before byte/)
  t.match(faults.get('renewed'), /^changed before byte/)
})
