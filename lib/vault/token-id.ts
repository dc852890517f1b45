import { randomFillSync } from 'node:crypto'

/**
 * Hot: per create. A new token's id: a random UUID (RFC 9562, version 4), 122 bits of the system's randomness, which are
 * drawn for many at once. The text lies in one piece: the parts of one that is put together are walked wherever it is read.
 */
export function randomId(): string {
  if (at === pool.length) {
    randomFillSync(pool)
    at = 0
  }
  pool[at + 6] = ((pool[at + 6] as number) & 0x0f) | 0x40
  pool[at + 8] = ((pool[at + 8] as number) & 0x3f) | 0x80
  for (let n = 0; n < BYTES; n++) {
    const byte = pool[at + n] as number
    const place = PLACES[n] as number
    text[place] = DIGITS[byte >>> 4] as number
    text[place + 1] = DIGITS[byte & 15] as number
  }
  at += BYTES
  return text.toString('latin1')
}

const BYTES = 16
const pool = Buffer.alloc(BYTES * 256)
let at = pool.length
const text = Buffer.alloc(36, '-')
/** Where the digits of each byte stand, between the hyphens. */
const PLACES = Uint8Array.of(0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34)
const DIGITS = Buffer.from('0123456789abcdef')
