import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { SluiceError } from '../errors.ts'
import { FieldLines } from '../known-lines.ts'
import type { KeyMemo } from '../vault/vault.ts'
import { wholeAnswer } from './answer-head.ts'
import { type CoarseClock, NEVER } from './coarse-clock.ts'
import { BUSY, KNOWN, type Standing, STRANGER } from './connection-limit.ts'
import type { RequestHead } from './head.ts'
import { HeldBytes } from './held-bytes.ts'
import type { EngineHandler } from './node-engine.ts'
import { KEPT, readConnection, UNMET, unmetExpectation } from './persistence.ts'
import { type Carrier, RawClient } from './raw-client.ts'
import { RawOutput } from './raw-output.ts'
import { GIVE_BYTES, ReadBuffer } from './read-buffer.ts'
import { RequestParser, type RequestSink } from './request-parser.ts'

/* Hot: per request and per read. Bench: bench/e2e/ingress.ts. */

/** What all connections of a server share. */
export interface RawShared {
  readonly handler: EngineHandler
  readonly clock: CoarseClock
  readonly headerBytes: number
  readonly headersTimeoutMs: number
  readonly bodyIdleTimeoutMs: number
  readonly idleTimeoutMs: number
  /** What an answer says that keeps the connection. */
  readonly keepAliveLines: string
  /** Bytes of a read buffer that a body may keep. */
  readonly readBytes: number
  /** Those that are open. */
  readonly connections: Set<RawConnection>
  /** The server takes no new connections: every answer is the last of its connection. */
  draining: boolean
}

/**
 * One connection: parses its bytes, carries one request at a time, and keeps what comes behind it until its answer is
 * complete.
 *
 *     idle or in a head ─▶ a request (`#client`) ─▶ its answer and its body are complete ─▶ idle …
 *                      └▶ refused ─────────────────┴▶ said close ─▶ lingering ─▶ destroyed
 *
 * A fault behind a request is found only when the request has its own answer, since nothing is parsed before.
 */
export class RawConnection implements Carrier, RequestSink {
  readonly #shared: RawShared
  readonly #socket: Socket
  readonly #parser: RequestParser
  readonly #output: RawOutput
  readonly #reads: ReadBuffer
  #memo: KeyMemo | null = null
  // A connection of one request keeps none.
  #used = false
  requestLines: FieldLines | null = null
  answerLines: FieldLines | null = null
  #client: RawClient | null = null
  /** The request under way asked for the connection to be kept. */
  #persistent = true
  /** No request is taken any more. */
  #closing = false
  /** Our side has ended; what still comes is dropped. */
  #lingering = false
  #gone = false
  #parsing = false
  #reading = true
  /** Kept alive, and no byte of a next head has come. */
  #idle = false
  /** Bytes that nobody is ready for. */
  #backlog: HeldBytes | null = null
  /** Bytes read and dropped behind the last answer. */
  #dropped = 0
  #receiveDeadline: number

  constructor(socket: Socket, shared: RawShared) {
    this.#socket = socket
    this.#shared = shared
    this.#parser = new RequestParser(this, shared.headerBytes)
    this.#output = new RawOutput(socket, shared.clock, shared.bodyIdleTimeoutMs)
    this.#reads = new ReadBuffer(shared.readBytes)
    this.#receiveDeadline = shared.clock.after(shared.headersTimeoutMs)
    shared.connections.add(this)
  }

  /** No request is under way, and no byte of one has come. */
  get isIdle(): boolean {
    return this.#client === null && !this.#lingering && !this.#parser.started && this.#backlog === null
  }

  get standing(): Standing {
    if (this.#client !== null) return BUSY
    return this.#memo === null || this.#memo.caller === null ? STRANGER : KNOWN
  }

  // Bytes in

  /** Where the next read goes. */
  nextBuffer(): Buffer {
    return this.#reads.next(this.#client !== null && this.#parser.left >= GIVE_BYTES)
  }

  /** Bytes have come; the chunk is only lent if it is the shared buffer. */
  read(chunk: Buffer, size: number): void {
    this.#reads.lastBytes = size
    if (this.#lingering) {
      this.#drop(size)
      return
    }
    const client = this.#client
    if (client !== null && client.receiving && !client.answered && !client.bodyComplete) {
      this.#receiveDeadline = this.#shared.clock.after(this.#shared.bodyIdleTimeoutMs)
    }
    if (this.#backlog !== null) {
      this.#backlog.append(chunk, 0, size)
      this.#settle()
    } else {
      this.#parse(chunk, 0, size, null)
    }
  }

  requestHead(head: RequestHead, minor: number): void {
    this.#idle = false
    this.#receiveDeadline = NEVER
    this.#dropped = 0
    const said = readConnection(head.fields, minor)
    this.#persistent = (said & KEPT) !== 0
    if ((said & UNMET) !== 0) {
      this.#refuse(unmetExpectation(), head.method === 'HEAD')
      return
    }
    if (!this.#used) {
      this.#used = true
    } else if (this.requestLines === null) {
      this.requestLines = new FieldLines()
      this.answerLines = new FieldLines()
    }
    const client = new RawClient(this, head, minor)
    this.#client = client
    this.#shared.handler.request(client)
  }

  requestBody(chunk: Buffer, start: number, end: number): boolean {
    const client = this.#client as RawClient
    if (client.answered) this.#drop(end - start)
    else client.chunk(this.#reads.piece(chunk, start, end))
    return this.#mayParse()
  }

  requestComplete(): void {
    const client = this.#client
    if (client === null) return
    if (client.answered) {
      client.bodyComplete = true
      this.#becomeIdle()
    } else {
      client.ended()
    }
  }

  // The request's side

  get memo(): KeyMemo {
    this.#memo ??= { presented: '', caller: null, generation: -1 }
    return this.#memo
  }

  endsWith(client: RawClient, whole: boolean): boolean {
    if (this.#closing || this.#shared.draining || !this.#persistent) return true
    if (client.bodyComplete) return false
    // Whether a body follows that was never asked for is the client's choice.
    if (client.head.expectsContinue && !client.receiving) return true
    return whole && this.#parser.left > DROP_BYTES
  }

  persistenceLines(close: boolean): string {
    return close ? CLOSE_LINE : this.#shared.keepAliveLines
  }

  get blocked(): boolean {
    return this.#output.blocked
  }

  write(bytes: Uint8Array | string): void {
    if (!this.#gone) this.#output.write(bytes)
  }

  writeSliced(bytes: Buffer): void {
    if (!this.#gone) this.#output.writeSliced(bytes)
  }

  bodyWanted(): void {
    if (!this.#parsing) this.#proceed()
  }

  bodyPaused(): void {
    if (!this.#parsing) this.#settle()
  }

  answerComplete(client: RawClient): void {
    if (this.#gone) return
    if (client.closes || this.#closing) {
      this.#linger()
    } else if (client.bodyComplete) {
      this.#becomeIdle()
    } else if (this.#shared.draining || this.#parser.left > DROP_BYTES) {
      // Not worth dropping the rest.
      this.#linger()
    } else {
      this.#receiveDeadline = this.#shared.clock.after(LINGER_MS)
    }
    if (!this.#parsing) this.#proceed()
  }

  cut(reset: boolean): void {
    if (this.#gone) return
    this.#gone = true
    this.#client = null
    this.#backlog = null
    // NOTE: a property that Node does not document; its `resetAndDestroy` sends a FIN before the reset. TLS needs neither:
    // without a close_notify the end is no end.
    if (reset && !(this.#socket instanceof TLSSocket)) Object.assign(this.#socket, { resetAndClosing: true })
    this.#socket.destroy()
  }

  // The socket's events, and the clock

  drained(): void {
    const output = this.#output
    output.drained()
    if (output.isHandedOn && this.#closing && this.#client === null) this.#linger()
    if (output.blocked) return
    if (this.#client !== null && !this.#client.answered) this.#client.drained()
    if (!this.#parsing) this.#proceed()
  }

  /** The client sends no more. As node:http does, this takes it to have left unless its answer is complete. */
  ended(): void {
    const client = this.#client
    if (client === null || client.answered) {
      this.#linger()
      return
    }
    this.cut(false)
    client.left()
  }

  closed(): void {
    this.#gone = true
    this.#shared.connections.delete(this)
    this.#backlog = null
    this.#output.abandon()
    const client = this.#client
    this.#client = null
    if (client !== null && !client.answered) client.left()
  }

  sweep(now: number): void {
    if (now >= this.#output.deadline) {
      // A client that takes nothing of its answer.
      this.#socket.destroy()
    } else if (now >= this.#receiveDeadline) {
      this.#receiveDeadline = NEVER
      this.#expire()
    }
  }

  /** Ends an idle connection in order. */
  retire(): void {
    if (this.isIdle) this.#linger()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #expire(): void {
    const client = this.#client
    if (this.#lingering || (client !== null && client.answered)) {
      this.#socket.destroy()
    } else if (client !== null) {
      this.#closing = true
      const { bodyIdleTimeoutMs } = this.#shared
      const message = `The body stalled for ${bodyIdleTimeoutMs} ms (listen.bodyIdleTimeoutMs)`
      client.broken(new SluiceError('ERR_CLIENT_TIMEOUT', message))
    } else if (this.#parser.started) {
      this.#refuse(
        new SluiceError('ERR_CLIENT_TIMEOUT', 'The header section did not arrive within listen.headersTimeoutMs')
      )
    } else {
      this.#linger()
    }
  }

  #mayParse(): boolean {
    if (this.#gone || this.#lingering) return false
    const client = this.#client
    if (client === null) return !this.#closing && !this.#output.blocked
    if (client.bodyComplete) return false
    return client.answered || (client.receiving && !client.paused && !this.#closing)
  }

  #parse(chunk: Buffer, start: number, end: number, held: HeldBytes | null): void {
    const parser = this.#parser
    let at = start
    this.#parsing = true
    try {
      while (at < end && this.#mayParse()) {
        at = parser.write(chunk, at, end)
        if (parser.fault !== null) {
          this.#fault(parser.fault)
          at = end
        }
      }
    } finally {
      this.#parsing = false
    }
    if (this.#lingering) this.#drop(end - at)
    else if (at < end && !this.#gone) {
      this.#backlog = held ?? new HeldBytes(chunk, at, end)
      if (held !== null) held.start = at
    }
    this.#settle()
  }

  /** What waited is looked at again. */
  #proceed(): void {
    const backlog = this.#backlog
    if (backlog !== null && this.#mayParse()) {
      this.#backlog = null
      this.#parse(backlog.bytes, backlog.start, backlog.end, backlog)
    } else {
      this.#settle()
    }
  }

  /** Reading, and the deadline for what is read, as the state wants them. */
  #settle(): void {
    if (this.#gone) return
    const client = this.#client
    const { clock } = this.#shared
    let wanted = this.#lingering || this.#backlog === null || this.#backlog.length < AHEAD_BYTES
    if (this.#lingering) {
      // Its deadline is set.
    } else if (client === null) {
      if (this.#idle && this.#parser.started) {
        this.#idle = false
        this.#receiveDeadline = clock.after(this.#shared.headersTimeoutMs)
      }
    } else if (client.bodyComplete) {
      this.#receiveDeadline = NEVER
    } else if (!client.answered) {
      if (client.paused) wanted = false
      if (client.paused || !client.receiving || this.#closing) this.#receiveDeadline = NEVER
      else if (this.#receiveDeadline === NEVER) this.#receiveDeadline = clock.after(this.#shared.bodyIdleTimeoutMs)
    }
    if (wanted === this.#reading) return
    this.#reading = wanted
    if (wanted) this.#socket.resume()
    else this.#socket.pause()
  }

  /** A message that is none. */
  #fault(error: SluiceError): void {
    const client = this.#client
    if (client === null) this.#refuse(error)
    else if (client.answered) this.#socket.destroy()
    else {
      this.#closing = true
      client.broken(error)
    }
  }

  #refuse(error: SluiceError, bodiless = false): void {
    const { fields, body } = this.#shared.handler.refusal(error)
    this.write(wholeAnswer(error.status, fields, body, CLOSE_LINE, bodiless))
    this.#linger()
  }

  #becomeIdle(): void {
    if (this.#shared.draining) {
      this.#linger()
      return
    }
    this.#client = null
    this.#idle = true
    this.#receiveDeadline = this.#shared.clock.after(this.#shared.idleTimeoutMs)
  }

  /** Ends our side, and reads on for a while: a reset would take the answer from a client that is still sending. */
  #linger(): void {
    this.#closing = true
    this.#client = null
    if (!this.#output.isHandedOn) return
    this.#lingering = true
    this.#backlog = null
    this.#receiveDeadline = this.#shared.clock.after(LINGER_MS)
    this.#socket.end()
    this.#settle()
  }

  #drop(size: number): void {
    this.#dropped += size
    if (this.#dropped > DROP_BYTES) this.#socket.destroy()
  }
}

const CLOSE_LINE = 'Connection: close\r\n'

/** How much is read and dropped behind an answer, and for how long. */
const DROP_BYTES = 1_048_576
const LINGER_MS = 2000
/** Bytes that may wait for their turn before reading stops. */
const AHEAD_BYTES = 65_536
