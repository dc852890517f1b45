/**
 * Is there one of our own API keys in the value of a field: as it is, behind a scheme, among other words, or as a part of
 * Basic credentials (RFC 7617)? Such a value opens the vault, and goes to no destination. Hot: per field.
 *
 * @param isOurs tells whether a text is a key, by its form and checksum
 */
export function holdsKey(value: string, isOurs: (text: string) => boolean): boolean {
  if (value.length < KEY_LENGTH) return false
  if (findsKey(value, isOurs)) return true
  const [, pair] = BASIC.exec(value) ?? []
  return pair !== undefined && findsKey(Buffer.from(pair, 'base64').toString('latin1'), isOurs)
}

function findsKey(text: string, isOurs: (text: string) => boolean): boolean {
  for (let at = text.indexOf(PREFIX); at >= 0; at = text.indexOf(PREFIX, at + 1)) {
    if (isOurs(text.slice(at, at + KEY_LENGTH))) return true
  }
  return false
}

/** Of every key: `vault/api-key.ts` draws the form. */
const KEY_LENGTH = 79
const PREFIX = 'key_'
const BASIC = /^\s*basic +([A-Za-z0-9+/_-]+)/i
