/** Bytes that wait for more, in one growing buffer: `bytes[start, end)`. */
export class HeldBytes {
  bytes: Buffer
  /** The owner moves it on as it takes bytes; what was taken may be given away, it is not written to again. */
  start = 0
  end: number

  /** Copies `chunk[start, end)`. */
  constructor(chunk: Buffer, start: number, end: number) {
    this.end = end - start
    this.bytes = Buffer.allocUnsafeSlow(Math.max(SMALLEST, this.end))
    chunk.copy(this.bytes, 0, start, end)
  }

  get length(): number {
    return this.end - this.start
  }

  /** Copies `chunk[start, end)` behind the rest; each byte is moved a few times at most, however small the pieces. */
  append(chunk: Buffer, start: number, end: number): void {
    const size = end - start
    if (this.end + size > this.bytes.length) {
      const bytes = Buffer.allocUnsafeSlow(Math.max(2 * this.length, this.length + size))
      this.bytes.copy(bytes, 0, this.start, this.end)
      this.bytes = bytes
      this.end -= this.start
      this.start = 0
    }
    chunk.copy(this.bytes, this.end, start, end)
    this.end += size
  }
}

const SMALLEST = 1024
