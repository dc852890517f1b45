import { uncurried } from '../uncurried.ts'

/** Slots of `Scratch.part`. */
export const PART_NONCE = 0
export const PART_TEXT = 1
export const PART_TAG = 2

interface Part {
  readonly at: number
  readonly view: Uint8Array
}

/**
 * Hot: per token. Bytes that live no longer than one synchronous call. Making a view of a buffer costs as much as copying
 * two hundred bytes, so that the views of a scratch are made once and kept.
 */
export class Scratch {
  bytes = Buffer.alloc(FIRST_BYTES)
  /** The same. */
  words = wordsOf(this.bytes)
  #views: Buffer[] = []
  #parts: Part[] = []

  /** Makes room for `length` bytes, and keeps those that are there. */
  reserve(length: number): void {
    if (length <= this.bytes.length) return
    const larger = Buffer.alloc((length * 2 + 3) & ~3)
    this.bytes.copy(larger)
    this.bytes.fill(0)
    this.bytes = larger
    this.words = wordsOf(larger)
    this.#views = []
    this.#parts = []
  }

  /** Makes the first `length` bytes zero. */
  clear(length: number): void {
    const { words } = this
    for (let n = 0; n < length; n += 4) words.setInt32(n, 0)
  }

  /** The first `length` bytes. */
  view(length: number): Buffer {
    if (length >= KEPT_BYTES) return this.bytes.subarray(0, length)
    return (this.#views[length] ??= this.bytes.subarray(0, length))
  }

  /**
   * A view of `bytes[at..at+length)`. The last one of each slot is kept: what is read into a scratch is mostly laid out
   * like what was there before.
   *
   * @param slot PART_NONCE, PART_TEXT or PART_TAG
   */
  part(slot: number, at: number, length: number): Uint8Array {
    const kept = this.#parts[slot]
    if (kept !== undefined && kept.at === at && kept.view.length === length) return kept.view
    const view = this.bytes.subarray(at, at + length)
    this.#parts[slot] = { at, view }
    return view
  }
}

/** NOTE: a number out of these costs a third of one that is put together of bytes. */
export function wordsOf({ buffer, byteOffset, length }: Buffer): DataView {
  return new DataView(buffer, byteOffset, length)
}

/*
 * NOTE: numbers, most significant byte first, as Buffer has them, but without its checks of every argument: those cost
 * some 200 instructions each. A place beyond the end reads as zero.
 */

export function read32(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] as number) << 8) | (bytes[at + 1] as number)
  const low = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)
  return ((high << 16) | low) >>> 0
}

export function write32(value: number, target: Uint8Array, at: number): void {
  target[at] = value >>> 24
  target[at + 1] = value >>> 16
  target[at + 2] = value >>> 8
  target[at + 3] = value
}

// NOTE: what Buffer's `write` and `toString` come down to, which have some 100 instructions of their own.
const utf8Write = uncurried<(target: Buffer, text: string, at: number) => number>(Buffer.prototype, 'utf8Write')
const utf8Slice = uncurried<(bytes: Buffer, start: number, end: number) => string>(Buffer.prototype, 'utf8Slice')
const set = uncurried<(target: Uint8Array, from: Uint8Array, at: number) => void>(Buffer.prototype, 'set')

/** Copies all of `from` to `target[at..]`. */
export function copyAll(from: Uint8Array, target: Uint8Array, at: number): void {
  set(target, from, at)
}

/** The text that `bytes[0..length)` are in UTF-8. */
export function readText(bytes: Buffer, length: number): string {
  return utf8Slice(bytes, 0, length)
}

/** Copies bytes four at a time: up to three behind the last one are void in the target, and must be there in both. */
export function copyWords(from: DataView, at: number, length: number, target: DataView, to: number): void {
  for (let n = 0; n < length; n += 4) target.setInt32(to + n, from.getInt32(at + n))
}

/** Writes text as UTF-8 at `target[at..]`, where there is room for it; returns how many bytes it took. */
export function writeText(text: string, target: Buffer, at: number): number {
  const { length } = text
  if (length > COPIED_BYTES) return target.write(text, at, 'utf8')
  for (let n = 0; n < length; n++) {
    const code = text.charCodeAt(n)
    if (code > 0x7f) return target.write(text, at, 'utf8')
    target[at + n] = code
  }
  return length
}

/** The same for ASCII text that needs no escape in JSON. False when it is other text: what was written is void. */
export function writePlain(text: string, target: Scratch, at: number): boolean {
  // NOTE: faster than a loop over a text that was cut out of a larger one, as ids are.
  if (utf8Write(target.bytes, text, at) !== text.length) return false
  return isPlainAt(target, at, text.length)
}

/** Four bytes at a time: a byte at a time costs the engine some thirty instructions each. */
function isPlainAt({ bytes, words }: Scratch, at: number, length: number): boolean {
  const end = at + length
  let odd = 0
  let n = at
  for (; n + 4 <= end; n += 4) {
    const four = words.getInt32(n)
    // Wrong only where a byte below it is one that is looked for, or where a byte is not ASCII: odd all the same.
    odd |= four | (four - SPACES) | ((four ^ QUOTES) - ONES) | ((four ^ BACKSLASHES) - ONES) | (four + ONES)
  }
  if ((odd & HIGH_BITS) !== 0) return false
  for (; n < end; n++) if (PLAIN[bytes[n] as number] === 0) return false
  return true
}

/** True for ASCII text that needs no escape in JSON. */
export function isPlain(text: string): boolean {
  for (let n = 0; n < text.length; n++) {
    const code = text.charCodeAt(n)
    if (code > 0x7e || PLAIN[code] === 0) return false
  }
  return true
}

/** 1 for each byte that stands in a JSON string as it is, of ASCII. */
const PLAIN = Uint8Array.from({ length: 256 }, (_, code) =>
  code >= 0x20 && code <= 0x7e && code !== 0x22 && code !== 0x5c ? 1 : 0
)
const ONES = 0x01010101
const SPACES = 0x20202020
const QUOTES = 0x22222222
const BACKSLASHES = 0x5c5c5c5c
const HIGH_BITS = 0x80808080
const FIRST_BYTES = 4096
const KEPT_BYTES = 512
/** Beyond this, a call into the engine is faster than a loop. */
const COPIED_BYTES = 128
