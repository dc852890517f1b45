import { Buffer } from 'node:buffer'
import { performance } from 'node:perf_hooks'
import type { SluiceError } from '../errors.ts'
import type { FieldLines } from '../known-lines.ts'
import type { KeyMemo } from '../vault/vault.ts'
import { answerHead, interimHead, mayHaveBody, trailerSection, wholeAnswer } from './answer-head.ts'
import type { Client, ClientSink } from './client.ts'
import type { RequestHead } from './head.ts'

/* Hot: per request and chunk. */

/** The connection, as the request that it carries sees it. */
export interface Carrier {
  readonly memo: KeyMemo
  /** Lines of requests and of answers before this one; null: none are kept. */
  readonly requestLines: FieldLines | null
  readonly answerLines: FieldLines | null
  /** More bytes wait in the socket than it should hold. */
  readonly blocked: boolean
  /** Must the connection end with the answer that is about to be begun? @param whole it is complete already */
  endsWith(client: RawClient, whole: boolean): boolean
  /** The line or lines that say so, or not. */
  persistenceLines(close: boolean): string
  /** Strings are latin1. */
  write(bytes: Uint8Array | string): void
  /** Hands on a large body in slices, as the client takes them. */
  writeSliced(bytes: Buffer): void
  /** The request's body is wanted, or wanted no more for now. */
  bodyWanted(): void
  bodyPaused(): void
  /** The answer's last byte was written. */
  answerComplete(client: RawClient): void
  /** Destroys the connection. @param reset so that not even a close-delimited answer looks complete */
  cut(reset: boolean): void
}

/** One request on a connection of the raw engine. */
export class RawClient implements Client {
  readonly head: RequestHead
  readonly acceptedAt = performance.now()
  /** The owner has asked for the body. */
  receiving = false
  paused = false
  /** The request's body is in whole, or there is none. */
  bodyComplete: boolean
  /** The answer is complete, or will never be. */
  answered = false
  /** The answer says that the connection ends with it. */
  closes = false
  readonly #carrier: Carrier
  readonly #minor: number
  #sink: ClientSink = IGNORE
  #endPending = false
  // The answer under way.
  #begun = false
  #headText: string | null = null
  #pieces: Uint8Array[] = NO_PIECES
  #pieceBytes = 0
  #framing = NO_BODY
  /** With LENGTH: bytes still to come. */
  #left = 0
  #flushPlanned = false

  constructor(carrier: Carrier, head: RequestHead, minor: number) {
    this.#carrier = carrier
    this.head = head
    this.#minor = minor
    this.bodyComplete = head.bodyBytes === 0
  }

  get memo(): KeyMemo {
    return this.#carrier.memo
  }

  get requestLines(): FieldLines | null {
    return this.#carrier.requestLines
  }

  attend(sink: ClientSink): void {
    this.#sink = sink
  }

  receive(): void {
    if (this.receiving) return
    this.receiving = true
    if (this.bodyComplete) {
      this.#sink.requestEnd()
      return
    }
    // An HTTP/1.0 client knows no interim responses. RFC 9110, 10.1.1.
    if (this.head.expectsContinue && this.#minor > 0 && !this.answered) this.#carrier.write(CONTINUE)
    this.#carrier.bodyWanted()
  }

  pause(): void {
    if (this.paused || this.answered) return
    this.paused = true
    if (!this.bodyComplete) this.#carrier.bodyPaused()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    if (this.#endPending) {
      this.#endPending = false
      this.#sink.requestEnd()
    } else if (!this.bodyComplete) {
      this.#carrier.bodyWanted()
    }
  }

  answer(status: number, fields: readonly string[], body: Uint8Array | string | null): void {
    if (this.answered) return
    if (this.#begun) {
      this.cut()
      return
    }
    this.closes = this.#carrier.endsWith(this, true)
    const persistence = this.#carrier.persistenceLines(this.closes)
    const bytes = wholeAnswer(status, fields, body, persistence, this.head.method === 'HEAD')
    this.#begun = true
    if (typeof bytes === 'string' || bytes.length <= SLICED_BYTES) this.#carrier.write(bytes)
    else this.#carrier.writeSliced(bytes)
    this.#complete()
  }

  inform(status: number, fields: readonly string[]): void {
    if (this.#begun || this.answered || this.#minor === 0) return
    this.#carrier.write(interimHead(status, fields))
  }

  begin(status: number, reason: string, fields: readonly string[], length: number): void {
    if (this.answered) return
    if (this.#begun) {
      this.cut()
      return
    }
    let framing = ''
    if (this.head.method === 'HEAD' || !mayHaveBody(status)) {
      this.#framing = NO_BODY
    } else if (length >= 0) {
      this.#framing = LENGTH
      this.#left = length
      framing = `Content-Length: ${length}\r\n`
    } else if (this.#minor > 0) {
      this.#framing = CHUNKED
      framing = 'Transfer-Encoding: chunked\r\n'
    } else {
      this.#framing = UNTIL_CLOSE
    }
    this.closes = this.#framing === UNTIL_CLOSE || this.#carrier.endsWith(this, false)
    const lines = framing + this.#carrier.persistenceLines(this.closes)
    this.#headText = answerHead(status, reason, fields, lines, this.#carrier.answerLines)
    this.#begun = true
    this.#planFlush()
  }

  send(chunk: Uint8Array): boolean {
    const size = chunk.length
    if (this.answered || !this.#begun) return true
    if (size > 0 && this.#framing !== NO_BODY) {
      if (this.#framing === LENGTH) {
        this.#left -= size
        if (this.#left < 0) {
          this.cut()
          return true
        }
      }
      if (this.#pieces === NO_PIECES) this.#pieces = [chunk]
      else this.#pieces.push(chunk)
      this.#pieceBytes += size
      if (this.#pieceBytes >= HOLD_BYTES) this.flush()
      else this.#planFlush()
    }
    return !this.#carrier.blocked
  }

  finish(trailers: readonly string[]): void {
    if (this.answered || !this.#begun) return
    if (this.#framing === LENGTH && this.#left > 0) {
      this.cut()
      return
    }
    this.#write(this.#framing === CHUNKED ? trailerSection(trailers) : '')
    this.#complete()
  }

  cut(): void {
    this.#sink = IGNORE
    this.answered = true
    this.#headText = null
    this.#pieces = NO_PIECES
    this.#carrier.cut(this.#framing === UNTIL_CLOSE)
  }

  // The connection's side.

  /** What was begun and not written goes out. */
  flush(): void {
    this.#flushPlanned = false
    if (!this.answered) this.#write('')
  }

  chunk(piece: Buffer): void {
    this.#sink.requestChunk(piece)
  }

  ended(): void {
    this.bodyComplete = true
    if (this.paused) this.#endPending = true
    else this.#sink.requestEnd()
  }

  broken(error: SluiceError): void {
    this.#sink.requestBroken(error)
  }

  drained(): void {
    this.#sink.clientDrained()
  }

  left(): void {
    const sink = this.#sink
    this.#sink = IGNORE
    this.answered = true
    this.#headText = null
    this.#pieces = NO_PIECES
    sink.clientLeft()
  }

  #complete(): void {
    this.answered = true
    this.paused = false
    this.#sink = IGNORE
    this.#carrier.answerComplete(this)
  }

  #planFlush(): void {
    if (this.#flushPlanned) return
    this.#flushPlanned = true
    if (begun.push(this) === 1) void SETTLED.then(flushBegun)
  }

  /** Everything that waits, in one write. */
  #write(tail: string): void {
    const head = this.#headText ?? ''
    const pieces = this.#pieces
    const count = pieces.length
    const chunked = this.#framing === CHUNKED && count > 0
    if (count === 0) {
      if (head !== '' || tail !== '') this.#carrier.write(head + tail)
      this.#headText = null
      return
    }
    if (count === 1 && head === '' && !chunked) {
      this.#carrier.write(pieces[0] as Uint8Array)
    } else {
      // All pieces of a tick are one chunk.
      const before = chunked ? `${head}${this.#pieceBytes.toString(16)}\r\n` : head
      const after = chunked ? `\r\n${tail}` : tail
      const bytes = Buffer.allocUnsafe(before.length + this.#pieceBytes + after.length)
      if (before !== '') bytes.write(before, 0, 'latin1')
      let at = before.length
      for (const piece of pieces) {
        bytes.set(piece, at)
        at += piece.length
      }
      if (after !== '') bytes.write(after, at, 'latin1')
      this.#carrier.write(bytes)
    }
    this.#headText = null
    this.#pieces = NO_PIECES
    this.#pieceBytes = 0
  }
}

/** Those whose answers were begun or went on in this turn, up to the end of the callback that is running. */
let begun: RawClient[] = []
/** NOTE: `nextTick` costs 4 k instructions, eight times as much. */
const SETTLED = Promise.resolve()

function flushBegun(): void {
  const clients = begun
  begun = []
  for (const client of clients) client.flush()
}

function ignore(): void {}

const IGNORE: ClientSink = {
  requestChunk: ignore,
  requestEnd: ignore,
  requestBroken: ignore,
  clientDrained: ignore,
  clientLeft: ignore
}

const NO_PIECES: Uint8Array[] = []
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'

/** How the end of an answer's body is told. */
const NO_BODY = 0
const LENGTH = 1
const CHUNKED = 2
const UNTIL_CLOSE = 3

/** Pieces up to this wait for the end of the tick, for what else comes in it. */
const HOLD_BYTES = 16_384
/** Answers over this are handed on in slices. */
const SLICED_BYTES = 262_144
