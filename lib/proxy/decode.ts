import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import type { Transform } from 'node:stream'
import { SluiceError } from '../errors.ts'
import type { ContentCoding } from '../plan/body-mode.ts'

export interface DecodeSink {
  decodedChunk(chunk: Buffer): void
  decodedEnd(): void
  decodeFailed(error: SluiceError): void
  /** The encoded side may go on. */
  decoderDrained(): void
}

/**
 * Undoes one content coding, push in and push out, within bounds: `limits.decodedBytes` in all and 100 bytes out for
 * each byte in. Beyond: ERR_DECODED_SIZE. Bytes behind the end of the encoded data are an error, not ignored.
 */
export class Decoder {
  readonly #stream: Transform
  readonly #sink: DecodeSink
  readonly #limit: number
  #in = 0
  #out = 0
  #over = false

  constructor(coding: ContentCoding, limit: number, sink: DecodeSink) {
    this.#sink = sink
    this.#limit = limit
    this.#stream = coding === 'gzip' ? createGunzip() : coding === 'br' ? createBrotliDecompress() : createInflate()
    this.#stream.on('data', (chunk: Buffer) => this.#decoded(chunk))
    this.#stream.on('end', () => {
      if (!this.#over) this.#sink.decodedEnd()
    })
    this.#stream.on('drain', () => {
      if (!this.#over) this.#sink.decoderDrained()
    })
    this.#stream.on('error', () => {
      this.#fail(new SluiceError('ERR_ENCODING', `The body is not well-formed ${coding}`))
    })
  }

  /** False: wait for `decoderDrained`. */
  write(chunk: Buffer): boolean {
    this.#in += chunk.length
    return this.#stream.write(chunk)
  }

  end(): void {
    this.#stream.end()
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  destroy(): void {
    this.#over = true
    this.#stream.destroy()
  }

  #decoded(chunk: Buffer): void {
    if (this.#over) return
    this.#out += chunk.length
    if (this.#out > this.#limit || this.#out > this.#in * MAX_RATIO + FREE_BYTES) {
      this.#fail(
        new SluiceError('ERR_DECODED_SIZE', 'The decoded body is over limits.decodedBytes or 100 times its size')
      )
      return
    }
    this.#sink.decodedChunk(chunk)
  }

  #fail(error: SluiceError): void {
    if (this.#over) return
    this.destroy()
    this.#sink.decodeFailed(error)
  }
}

const MAX_RATIO = 100
/** Below this much output the ratio says nothing. */
const FREE_BYTES = 65_536
