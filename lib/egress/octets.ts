/*
 * What bytes may be part of in HTTP/1.1. NOTE: V8 folds constants of a module's own scope and loads imported ones anew each
 * time (a third of the parser's time): hot files keep the bytes that they compare with, and these tables, in constants of
 * their own.
 */

/** A bit of `CLASSES`: may stand in a token (RFC 9110 section 5.6.2). */
export const IN_TOKEN = 1
/** A bit of `CLASSES`: may stand in a field's value (HTAB, SP, VCHAR, obs-text). */
export const IN_VALUE = 2

// :: byte → IN_TOKEN | IN_VALUE
export const CLASSES = new Uint8Array(256)
for (let byte = 0x20; byte < 0x100; byte++) if (byte !== 0x7f) CLASSES[byte] = IN_VALUE
CLASSES[0x09] = IN_VALUE
for (const byte of Buffer.from("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
  CLASSES[byte] = IN_TOKEN | IN_VALUE
}

// :: byte → its value as a hexadecimal digit, or 255
export const HEX_DIGITS = new Uint8Array(256).fill(255)
for (let digit = 0; digit < 16; digit++) {
  HEX_DIGITS[digit.toString(16).charCodeAt(0)] = digit
  HEX_DIGITS[digit.toString(16).toUpperCase().charCodeAt(0)] = digit
}
