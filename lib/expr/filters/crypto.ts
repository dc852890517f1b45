import {
  constants,
  createCipheriv,
  createECDH,
  createHash,
  createHmac,
  createPublicKey,
  type KeyObject,
  publicEncrypt,
  randomInt
} from 'node:crypto'

export type { KeyObject } from 'node:crypto'

/** The only place in this room that sees node:crypto. */

/** A uniformly random whole number from 0 to below `limit`, without modulo bias. */
export function randomBelow(limit: number): number {
  return randomInt(limit)
}

/** HMAC of the UTF-8 bytes of `text` under the UTF-8 bytes of `key`, or under bytes as they are. */
export function hmac(hash: 'sha1' | 'sha256' | 'sha512', key: string | Uint8Array, text: string): Uint8Array {
  return createHmac(hash, key).update(text, 'utf8').digest()
}

/** The two encryptions of the Footprint dialect. */
export type Encryption = 'rsa_pkcs1v15' | 'ecies_p256_x963_sha256_aes_gcm'

/** A public key for one of them, from DER. null: it does not parse, is of another kind, or too small or large. */
export function publicKey(encryption: Encryption, der: Uint8Array): KeyObject | null {
  const key = imported(encryption === 'rsa_pkcs1v15' ? der : withHeader(der))
  const details = key?.asymmetricKeyDetails
  if (key === null || details === undefined) return null
  if (encryption === 'rsa_pkcs1v15') {
    const bits = details.modulusLength ?? 0
    return key.asymmetricKeyType === 'rsa' && bits >= 1024 && bits <= 8192 ? key : null
  }
  return key.asymmetricKeyType === 'ec' && details.namedCurve === 'prime256v1' ? key : null
}

/**
 * Encrypts the UTF-8 bytes of a text.
 *
 * `rsa_pkcs1v15`: RSAES-PKCS1-v1_5 (RFC 8017, 7.2); throws for a text longer than the modulus less 11 bytes.
 *
 * `ecies_p256_x963_sha256_aes_gcm`, with a fresh key pair (e, E) on P-256 each time and P the recipient's point:
 *
 *     Z  = x coordinate of e·P                                  ECDH, 32 bytes
 *     K  = SHA-256(Z ‖ 00 00 00 01 ‖ E)                         one round of the X9.63 KDF, shared info E
 *     E  = 04 ‖ x ‖ y                                           65 bytes, uncompressed
 *     out = E ‖ AES-128-GCM(key K[0..16), iv K[16..32)) ‖ tag   no additional data, tag of 16 bytes
 *
 * This is the form that Apple's Security framework calls ECIES "variable IV" X963 SHA-256 AES-GCM for 256-bit curves.
 */
export function encrypt(encryption: Encryption, key: KeyObject, text: string): Uint8Array {
  const plain = Buffer.from(text)
  if (encryption === 'rsa_pkcs1v15') return publicEncrypt({ key, padding: constants.RSA_PKCS1_PADDING }, plain)
  const ephemeral = createECDH('prime256v1')
  const point = ephemeral.generateKeys()
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  const secret = ephemeral.computeSecret(
    Buffer.concat([Buffer.of(4), Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')])
  )
  const derived = createHash('sha256')
    .update(secret)
    .update(Buffer.of(0, 0, 0, 1))
    .update(point)
    .digest()
  const cipher = createCipheriv('aes-128-gcm', derived.subarray(0, 16), derived.subarray(16))
  return Buffer.concat([point, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

/**
 * SubjectPublicKeyInfo, or for RSA the bare RSAPublicKey.
 *
 * NOTE: from Node 22 on a private key would be taken for a public one here.
 */
function imported(der: Uint8Array): KeyObject | null {
  if (beginsWithVersion(der)) return null
  for (const type of ['spki', 'pkcs1'] as const) {
    try {
      return createPublicKey({ key: Buffer.from(der), format: 'der', type })
    } catch {
      // The other form, or none.
    }
  }
  return null
}

/** True for a SEQUENCE that begins with an INTEGER of one byte: the version, which every form of a private key has. */
function beginsWithVersion(der: Uint8Array): boolean {
  const length = der[1] ?? 0
  const at = length < 0x80 ? 2 : 2 + (length & 0x7f)
  return der[0] === 0x30 && der[at] === 0x02 && der[at + 1] === 1
}

/** A bare point of P-256, 04 ‖ x ‖ y, as SubjectPublicKeyInfo; anything else as it is. */
function withHeader(der: Uint8Array): Uint8Array {
  return der.length === 65 && der[0] === 4 ? Buffer.concat([P256_HEADER, der]) : der
}

const P256_HEADER = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex')
