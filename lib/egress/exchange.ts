/* Hot: per request and per chunk of a request's body. Bench: bench/micro/egress/exchange.ts. */

import { Buffer } from 'node:buffer'
import type { Forwarded, SluiceError } from '../errors.ts'
import { unreachable } from '../errors.ts'

export interface Deadlines {
  readonly connectTimeoutMs: number
  /** From the last byte of the request to the head of the response. */
  readonly timeoutMs: number
  /** Without a byte of a body moving, in either direction, while it is the destination's turn. */
  readonly bodyIdleTimeoutMs: number
}

/** A request as it goes out. */
export interface OutgoingMessage {
  readonly method: string
  /**
   * Latin1: the request line and header lines, each ending in CRLF, without Content-Length, Transfer-Encoding and (when
   * `close` is set) Connection, and without the empty line.
   */
  readonly head: string
  /** The pieces of a complete body, not changed until the exchange is over; null for none. With `streaming: 'none'`. */
  readonly body: readonly Uint8Array[] | null
  /** How the body comes: whole in `body`, or by `write`, framed by its length or in chunks. */
  readonly streaming: 'none' | 'length' | 'chunked'
  /** Bytes of the body, with `streaming: 'length'`. */
  readonly length?: number
  /** Method and body allow to send this once more when a reused connection turns out to be closed. */
  readonly replayable: boolean
  /** Send `Connection: close` and do not reuse the connection. */
  readonly close: boolean
  readonly deadlines: Deadlines
}

/**
 * Hears what happens to a request. After `end`, `fail` or a call of `cut` nothing more is told. Methods may call the
 * exchange; they should not throw (a throw cuts the exchange).
 */
export interface ResponseHandler {
  /** A connection is there. Again, when the request is sent once more. */
  connected(): void
  /** The last byte of the request was handed to the socket. */
  sent(): void
  /** A 1xx other than 100 and 101. */
  informational(status: number, rawHeaders: string[]): void
  /** @param length Exact bytes of the body, 0 when there is none, -1 when unknown. */
  head(status: number, reason: string, rawHeaders: string[], length: number): void
  /** The chunk belongs to the callee. False: no more until `resume` (what was read already still comes). */
  body(chunk: Buffer): boolean
  end(rawTrailers: string[]): void
  /** `forwarded` of the error says whether the destination may have the request. */
  fail(error: SluiceError): void
  /** `write` returned false; it may be called again. */
  drained(): void
}

/** What an exchange asks of the connection that carries it. */
export interface Carrier {
  /** Hands bytes to the socket. False: wait for `continueSending`. */
  send(bytes: Uint8Array | string): boolean
  /** As `send`, with the framing of a chunk around the bytes. */
  sendChunk(bytes: Uint8Array): boolean
  /** The request's last byte was handed over. */
  requestSent(): void
  setReading(on: boolean): void
  /** Destroys the connection in the middle of the message; the exchange hears nothing more. */
  cutExchange(): void
}

/** Where an exchange waits while it has no connection. */
export interface Waiting {
  abandon(exchange: Exchange): void
}

/** One request and its response: the handle that the caller keeps, and the framing of the request. */
export class Exchange {
  readonly message: OutgoingMessage
  readonly handler: ResponseHandler
  /** The request may authenticate the connection that carries it, not only itself: nobody may use it after. */
  readonly bindsConnection: boolean
  /** Has the destination this request? `no` until its first byte goes out, `yes` once a byte of a response came. */
  forwarded: Forwarded = 'no'
  /** It was sent once more already. */
  retried = false
  /** When waiting for a connection ends, in coarse time. */
  waitUntil = 0
  /** The response was delimited by the end of a connection that ended without TLS close_notify: it may be cut short. */
  maybeTruncated = false

  #stage = WAITING
  #carrier: Carrier | null = null
  readonly #waiting: Waiting
  #paused = false
  /** Pieces written before there was a connection. */
  readonly #early: Uint8Array[] = []
  #earlyTrailers: readonly string[] | null = null
  /** The piece of `message.body` to send next, and where in it. */
  #piece = 0
  #pieceAt = 0
  #lengthLeft: number

  constructor(message: OutgoingMessage, handler: ResponseHandler, waiting: Waiting) {
    this.message = message
    this.handler = handler
    this.#waiting = waiting
    this.bindsConnection = BINDS_CONNECTION.test(message.head)
    this.#lengthLeft = message.length ?? 0
  }

  /** The whole request was handed to the socket. */
  get isSent(): boolean {
    return this.#stage === SENT
  }

  /** Nothing more is told or sent. */
  get isDone(): boolean {
    return this.#stage === DONE
  }

  /**
   * Sends a piece of the body, which must not change afterwards. False: wait for `drained`. With a length: more bytes
   * than it cut the exchange. Ignored once the exchange is over.
   */
  write(chunk: Uint8Array): boolean {
    if (this.#stage === DONE || chunk.length === 0) return true
    if (this.message.streaming === 'none' || this.#stage === SENT || this.#earlyTrailers !== null)
      unreachable('write behind the end')
    if (this.message.streaming === 'length') {
      this.#lengthLeft -= chunk.length
      if (this.#lengthLeft < 0) {
        this.cut()
        unreachable('more bytes than the announced length')
      }
    }
    const carrier = this.#carrier
    if (carrier === null) {
      this.#early.push(chunk)
      return false
    }
    return this.message.streaming === 'chunked' ? carrier.sendChunk(chunk) : carrier.send(chunk)
  }

  /** Ends a streamed body. With a length of which bytes are missing the exchange is cut: it is never padded. */
  end(rawTrailers: readonly string[] = []): void {
    if (this.#stage === DONE) return
    if (this.message.streaming === 'length' && this.#lengthLeft !== 0) {
      this.cut()
      unreachable('fewer bytes than the announced length')
    }
    if (this.#carrier === null) {
      this.#earlyTrailers = rawTrailers
      return
    }
    this.#endStream(this.#carrier, rawTrailers)
  }

  /** Stops reading the response; up to 64 KiB that were read already still come. */
  pause(): void {
    this.#paused = true
    this.#carrier?.setReading(false)
  }

  resume(): void {
    this.#paused = false
    this.#carrier?.setReading(true)
  }

  /** Ends the exchange in the middle: the destination sees a message cut short, the handler hears nothing more. */
  cut(): void {
    if (this.#stage === DONE) return
    const carrier = this.#carrier
    this.finish()
    if (carrier === null) this.#waiting.abandon(this)
    else carrier.cutExchange()
  }

  /** For the connection: it carries this exchange from now on. Sends the head and what there is of the body. */
  attach(carrier: Carrier): void {
    this.#carrier = carrier
    this.#stage = SENDING
    this.handler.connected()
    if (this.#carrier !== carrier) return
    if (this.forwarded === 'no') this.forwarded = 'unknown'
    if (this.#paused) carrier.setReading(false)
    if (this.message.streaming === 'none') this.#sendWhole(carrier)
    else this.#beginStream(carrier)
  }

  /** For the connection: the socket takes bytes again. */
  continueSending(): void {
    if (this.#stage !== SENDING || this.#carrier === null) return
    if (this.message.streaming === 'none') this.#sendPieces(this.#carrier)
    else this.handler.drained()
  }

  /** For the connection: it was lost, and the exchange is to be sent once more. */
  detach(): void {
    this.#carrier = null
    this.#stage = WAITING
    this.retried = true
    this.#piece = 0
    this.#pieceAt = 0
  }

  /** For the connection: the exchange is over. */
  finish(): void {
    this.#stage = DONE
    this.#carrier = null
    if (this.#early.length > 0) this.#early.length = 0
  }

  #sendWhole(carrier: Carrier): void {
    const { body } = this.message
    const length = body === null ? -1 : lengthOf(body)
    const head = this.message.head + framing(this.message, length)
    if (length <= 0) {
      carrier.send(head)
    } else if (length <= ONE_WRITE_BYTES) {
      carrier.send(oneBuffer(head, body as readonly Uint8Array[], length))
    } else {
      this.#piece = 0
      this.#pieceAt = 0
      if (carrier.send(head)) this.#sendPieces(carrier)
      return
    }
    this.#requestSent(carrier)
  }

  /** Sends a large whole body as the socket takes it, so that its progress shows and no copy of it is made. */
  #sendPieces(carrier: Carrier): void {
    const body = this.message.body ?? []
    for (let piece = body[this.#piece]; piece !== undefined; piece = body[this.#piece]) {
      const stop = Math.min(piece.length, this.#pieceAt + ONE_WRITE_BYTES)
      const part = piece.subarray(this.#pieceAt, stop)
      this.#pieceAt = stop
      if (stop === piece.length) {
        this.#piece++
        this.#pieceAt = 0
      }
      if (part.length > 0 && !carrier.send(part) && body[this.#piece] !== undefined) return
      if (this.#carrier !== carrier) return
    }
    this.#requestSent(carrier)
  }

  #beginStream(carrier: Carrier): void {
    let more = carrier.send(this.message.head + framing(this.message, this.message.length ?? -1))
    const early = this.#early.splice(0)
    for (const chunk of early)
      more = this.message.streaming === 'chunked' ? carrier.sendChunk(chunk) : carrier.send(chunk)
    if (this.#earlyTrailers !== null) this.#endStream(carrier, this.#earlyTrailers)
    else if (early.length > 0 && more && this.#carrier === carrier) this.handler.drained()
  }

  #endStream(carrier: Carrier, rawTrailers: readonly string[]): void {
    if (this.message.streaming === 'chunked') carrier.send(lastChunk(rawTrailers))
    this.#requestSent(carrier)
  }

  #requestSent(carrier: Carrier): void {
    if (this.#carrier !== carrier) return
    this.#stage = SENT
    carrier.requestSent()
    this.handler.sent()
  }
}

/** The lines that frame the body, and the empty line. */
function framing(message: OutgoingMessage, length: number): string {
  const end = message.close ? 'Connection: close\r\n\r\n' : '\r\n'
  if (message.streaming === 'chunked') return `Transfer-Encoding: chunked\r\n${end}`
  if (length >= 0) return `Content-Length: ${length}\r\n${end}`
  // RFC 9110 section 8.6: a method that expects content says so when there is none.
  const { method } = message
  return method === 'POST' || method === 'PUT' || method === 'PATCH' ? `Content-Length: 0\r\n${end}` : end
}

function lengthOf(body: readonly Uint8Array[]): number {
  let length = 0
  for (const piece of body) length += piece.length
  return length
}

/** One buffer, so that the message is one write and as few TLS records as it can be. */
function oneBuffer(head: string, body: readonly Uint8Array[], length: number): Buffer {
  const bytes = Buffer.allocUnsafe(head.length + length)
  let at = bytes.write(head, 0, 'latin1')
  for (const piece of body) {
    bytes.set(piece, at)
    at += piece.length
  }
  return bytes
}

function lastChunk(rawTrailers: readonly string[]): string {
  let text = '0\r\n'
  for (let i = 0; i + 1 < rawTrailers.length; i += 2) text += `${rawTrailers[i]}: ${rawTrailers[i + 1]}\r\n`
  return `${text}\r\n`
}

/** NTLM and Negotiate (RFC 4559) authenticate connections. 40 ns for a head of 500 bytes. */
const BINDS_CONNECTION = /\nauthorization:[ \t]*(?:ntlm|negotiate)/i

const WAITING = 0
const SENDING = 1
const SENT = 2
const DONE = 3

/** A body up to this goes out in one write with its head; a larger one in writes of this size. */
const ONE_WRITE_BYTES = 65536
