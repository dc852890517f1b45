/**
 * Hot: per token. Bytes that live no longer than one synchronous call. Making a view of a buffer costs as much as copying
 * two hundred bytes, so that the views of a scratch are made once and kept.
 */
export class Scratch {
  bytes = Buffer.alloc(FIRST_BYTES)
  readonly #views: Buffer[] = []

  /** Makes room for `length` bytes, and keeps those that are there. */
  reserve(length: number): void {
    if (length <= this.bytes.length) return
    const larger = Buffer.alloc(length * 2)
    this.bytes.copy(larger)
    this.bytes.fill(0)
    this.bytes = larger
    this.#views.length = 0
  }

  /** The first `length` bytes. */
  view(length: number): Buffer {
    if (length >= KEPT_BYTES) return this.bytes.subarray(0, length)
    return (this.#views[length] ??= this.bytes.subarray(0, length))
  }

  /** `from[at..at+length)`: a copy when it is short, else a view of `from` itself. */
  take(from: Uint8Array, at: number, length: number): Uint8Array {
    if (length > COPIED_BYTES) return from.subarray(at, at + length)
    const { bytes } = this
    for (let n = 0; n < length; n++) bytes[n] = from[at + n] as number
    return this.view(length)
  }
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
export function writePlain(text: string, target: Buffer, at: number): boolean {
  // NOTE: faster than a loop over a text that was cut out of a larger one, as ids are.
  if (target.write(text, at) !== text.length) return false
  let plain = 1
  for (let n = 0; n < text.length; n++) plain &= PLAIN[target[at + n] as number] as number
  return plain === 1
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
const FIRST_BYTES = 4096
const KEPT_BYTES = 512
/** Beyond this, a call into the engine is faster than a loop. */
const COPIED_BYTES = 128
