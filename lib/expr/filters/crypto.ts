import { createHmac, randomInt } from 'node:crypto'

/** The only place in this room that sees node:crypto. */

/** A uniformly random whole number from 0 to below `limit`, without modulo bias. */
export function randomBelow(limit: number): number {
  return randomInt(limit)
}

/** HMAC of the UTF-8 bytes of `text` under the UTF-8 bytes of `key`, or under bytes as they are. */
export function hmac(hash: 'sha1' | 'sha256' | 'sha512', key: string | Uint8Array, text: string): Uint8Array {
  return createHmac(hash, key).update(text, 'utf8').digest()
}
