/** Bytes of HTTP/1.1 messages, and what they may stand in. */

export const TAB = 0x09
export const LF = 0x0a
export const CR = 0x0d
export const SPACE = 0x20
export const QUOTE = 0x22
export const SLASH = 0x2f
export const ZERO = 0x30
export const COLON = 0x3a
export const SEMICOLON = 0x3b
export const EQUALS = 0x3d
export const BACKSLASH = 0x5c

/** Bit of CLASS: methods and names. RFC 9110, 5.6.2. */
export const TOKEN = 1
/** Bit of CLASS: field values, white space included. RFC 9110, 5.5. */
export const VALUE_BYTE = 2
/** Bit of CLASS: request targets; `#` has no place in one, and what is over 0x7e should have been encoded. */
export const TARGET_BYTE = 4

/** :: byte → bits */
export const CLASS = new Uint8Array(256)
for (let byte = 0; byte < 256; byte++) {
  let bits = 0
  if (/[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(String.fromCharCode(byte))) bits |= TOKEN
  if (byte === TAB || (byte >= SPACE && byte !== 0x7f)) bits |= VALUE_BYTE
  if (byte > SPACE && byte < 0x7f && byte !== 0x23) bits |= TARGET_BYTE
  CLASS[byte] = bits
}
