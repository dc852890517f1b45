/**
 * The form of an API key:
 *
 *     key_<live|test>_<pvt|pub|mgt>_<id>.<secret><checksum>
 *
 * id: 16 characters, secret: 43 (256 bits), checksum: 6, all of [0-9A-Za-z]. The checksum is the CRC-32 of all that
 * precedes it, in base 62, so that a scanner can tell a key from noise, and a destination's own `X-API-KEY` from ours.
 */
import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { ApplicationType } from './permissions.ts'

/** A new key, never stored: the store holds its SHA-256. */
export function newApiKey(id: string, type: ApplicationType, live: boolean): string {
  const body = `key_${live ? 'live' : 'test'}_${SHORT[type]}_${id}.${randomText(43)}`
  return body + checksum(body)
}

/** True when the form and the checksum are right; says nothing about whether such a key exists. */
export function looksLikeApiKey(text: string): boolean {
  if (text.length > 100 || !FORM.test(text)) return false
  const at = text.length - CHECKSUM_LENGTH
  return checksum(text.slice(0, at)) === text.slice(at)
}

/** `length` characters of [0-9A-Za-z], each drawn evenly. */
export function randomText(length: number): string {
  let text = ''
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < 248 && text.length < length) text += ALPHABET[byte % 62]
    }
  }
  return text
}

function checksum(body: string): string {
  let rest = crc32(body)
  let text = ''
  for (let digit = 0; digit < CHECKSUM_LENGTH; digit++) {
    text = `${ALPHABET[rest % 62]}${text}`
    rest = Math.floor(rest / 62)
  }
  return text
}

const SHORT = { private: 'pvt', public: 'pub', management: 'mgt' } as const
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const CHECKSUM_LENGTH = 6
const FORM = /^key_(?:live|test)_(?:pvt|pub|mgt)_[0-9A-Za-z]{16}\.[0-9A-Za-z]{49}$/
