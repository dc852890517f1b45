import type { OutgoingMessage, ResponseHandler } from '../egress/exchange.ts'
import type { Forwarded } from '../errors.ts'
import type { ProxyEgress, ProxyExchange } from './ports.ts'

/** A way out that leads back: what would have been sent is the answer. No connection is opened. */
export class Reflection implements ProxyEgress {
  readonly #contentType: string

  /** @param contentType of the body, as the caller says; undefined: plain text */
  constructor(contentType: string | undefined) {
    this.#contentType = contentType ?? 'text/plain; charset=utf-8'
  }

  reach(): void {}

  send(_peer: unknown, message: OutgoingMessage, handler: ResponseHandler): ProxyExchange {
    handler.connected()
    handler.sent()
    const fields = ['Content-Type', this.#contentType, 'X-Content-Type-Options', 'nosniff']
    const body = message.body ?? []
    const isWhole = message.streaming === 'none'
    const known = message.streaming === 'length' ? (message.length ?? -1) : -1
    handler.head(200, 'OK', fields, isWhole ? body.reduce((sum, piece) => sum + piece.length, 0) : known)
    if (isWhole) {
      for (const piece of body) if (piece.length > 0) handler.body(bufferOf(piece))
      handler.end([])
    }
    return new ReflectedExchange(handler)
  }
}

class ReflectedExchange implements ProxyExchange {
  readonly forwarded: Forwarded = 'no'
  readonly #handler: ResponseHandler

  constructor(handler: ResponseHandler) {
    this.#handler = handler
  }

  write(chunk: Uint8Array): boolean {
    return this.#handler.body(bufferOf(chunk))
  }

  end(): void {
    this.#handler.end([])
  }

  resume(): void {
    this.#handler.drained()
  }

  cut(): void {}
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
