/**
 * The attack: somebody copies the disk of a vault, its store and its audit log, but not the master key, which lies
 * elsewhere. They look for card numbers, for the values that tokens are searched by, for hashes that could be guessed
 * through (a card number has few enough digits to try them all), and for API keys.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { newKeyMemo } from '../../lib/vault/vault.ts'
import { newVault, purpose, subject } from '../kit/vault.ts'

const NUMBER = '4000056655665556'
const SSN = '987-65-4320'
const CVC = '"7391"'

for (const seal of ['aes-256-gcm', 'xchacha20-poly1305'] as const) {
  t.test(`${seal}: the files give nothing away`, async (t) => {
    const one = await newVault({ seal })
    t.teardown(() => rmSync(one.directory, { recursive: true, force: true }))
    const { key } = await one.vault.createKey({ name: 'thief', permissions: ['*'], tenant: 'acme' })
    const caller = await one.vault.authenticate(key, newKeyMemo())
    const card = {
      type: 'card',
      container: '/pci/high/',
      data: `{"number":"${NUMBER}","cvc":${CVC}}`,
      expiresAt: null,
      deduplicate: true
    }
    const ssn = { type: 'social_security_number', container: '/pii/high/', data: `"${SSN}"`, expiresAt: null }
    const [made] = await one.vault.create(caller, [card, ssn], 'trace')
    const why = { ...purpose(), reason: `customer called about ${NUMBER}` }
    await one.vault.reveal(caller, [subject(made?.id ?? '')], why, 1)
    await one.vault.released()
    await one.vault.create(caller, [card], 'trace')
    await one.vault.delete(caller, made?.id ?? '', 'trace')
    await one.vault.close()

    const all = filesUnder(one.directory).map((file) => readFileSync(file, 'latin1'))
    t.ok(all.length >= 2)
    const digits = SSN.replaceAll('-', '')
    const preimages = [NUMBER, SSN, digits, `"${NUMBER}"`]
    const secrets = [
      ...[NUMBER, SSN, digits, CVC, key, key.slice(key.indexOf('.') + 1)],
      ...[NUMBER, SSN].map((text) => Buffer.from(text).toString('base64').slice(0, 16)),
      ...preimages.flatMap((text) =>
        ['sha256', 'sha1', 'md5', 'sha512'].flatMap((algorithm) => {
          const hash = createHash(algorithm).update(text).digest()
          return [hash.toString('hex'), hash.toString('base64'), hash.toString('base64url'), hash.toString('latin1')]
        })
      ),
      Buffer.from(one.masterKey.trim(), 'base64').toString('latin1'),
      one.masterKey.trim()
    ]
    for (const secret of secrets)
      t.notOk(
        all.some((file) => file.includes(secret)),
        'is nowhere'
      )
    t.ok(
      all.some((file) => file.includes('acme')),
      'and the looking works'
    )
  })
}

function filesUnder(directory: string): string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name)
    return statSync(path).isDirectory() ? filesUnder(path) : [path]
  })
}
