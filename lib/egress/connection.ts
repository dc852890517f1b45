/* Hot: per request and per read. Bench: bench/micro/egress/exchange.ts. */

import { Buffer } from 'node:buffer'
import type { TLSSocket } from 'node:tls'
import { type ErrorCode, type Forwarded, type Retry, SluiceError } from '../errors.ts'
import { type CoarseClock, NEVER } from './clock.ts'
import { CloseNotifyWatch } from './close-notify.ts'
import type { Carrier, Exchange } from './exchange.ts'
import { ResponseParser, type ResponseSink } from './response-parser.ts'

/** The pool, as its connections see it. */
export interface ConnectionOwner {
  /** The connection is checked and free: its handshake is done, or a response left it reusable. */
  connectionFree(connection: Connection): void
  /** The connection is going; it is not to be used again. Told once. */
  connectionLost(connection: Connection): void
  /** Its socket is closed. Told once, after `connectionLost`. */
  connectionClosed(connection: Connection): void
  /** The connection was closed before any byte of a response: send the exchange once more. Before `connectionLost`. */
  retry(exchange: Exchange): void
}

/** One TLS connection to a peer, carrying one exchange at a time. */
export class Connection implements Carrier, ResponseSink {
  /** Place in the list that the clock sweeps. */
  slot = -1
  /** Since when it is idle, in coarse time. */
  idleSince = 0
  /** When what it waits for is late, in coarse time: bytes of a response, or, when idle, a next request. */
  receiveDeadline = NEVER
  /** When the destination is late in taking bytes. */
  sendDeadline = NEVER

  readonly #clock: CoarseClock
  readonly #owner: ConnectionOwner
  readonly #idleTimeoutMs: number
  readonly #parser: ResponseParser
  #socket: TLSSocket | null = null
  #state = CONNECTING
  #exchange: Exchange | null = null
  #served = 0
  #paused = false
  #readBuffer: Buffer = SHARED_BUFFER
  /** A piece of the read buffer was given away: read into another one. */
  #given = false
  #lastRead = 0
  /** Parts of the chunk that is to go out next. */
  readonly #gathered: Uint8Array[] = []
  #gatheredBytes = 0
  #flushPlanned = false
  /** While a body runs that only the end of the connection delimits. */
  #closeNotify: CloseNotifyWatch | null = null

  constructor(owner: ConnectionOwner, clock: CoarseClock, idleTimeoutMs: number) {
    this.#owner = owner
    this.#clock = clock
    this.#idleTimeoutMs = idleTimeoutMs
    this.#parser = new ResponseParser(this)
  }

  get isIdle(): boolean {
    return this.#state === IDLE
  }

  /** Idle, and nothing has been heard that makes it unfit. */
  get isUsable(): boolean {
    return this.#state === IDLE && this.#socket !== null && this.#socket.writable
  }

  /** It has answered a request before. */
  get isReused(): boolean {
    return this.#served > 0
  }

  /** The handshake is done and the peer is who it should be. */
  open(socket: TLSSocket): void {
    this.#socket = socket
    socket.on('drain', this.#onDrain)
    socket.on('end', this.#onEnd)
    socket.on('close', this.#onClose)
    this.#becomeIdle()
  }

  /** Carries an exchange; the connection must be idle. */
  carry(exchange: Exchange): void {
    this.#state = BUSY
    this.#exchange = exchange
    this.receiveDeadline = NEVER
    this.#parser.begin(exchange.message.method)
    try {
      exchange.attach(this)
    } catch (thrown) {
      this.#failWith(new SluiceError('ERR_INTERNAL', 'The exchange failed', { cause: thrown }))
    }
  }

  /** Closes an idle connection in order. */
  retire(): void {
    if (this.#state !== IDLE) return
    this.#lose()
    this.#close()
  }

  /** Destroys it; an exchange on it fails. */
  destroy(): void {
    if (this.#exchange === null) this.#abandon()
    else this.#fail('ERR_DESTINATION_UNREACHABLE', 'The connection was closed by Sluice', 'never')
  }

  /** The clock's sweep: fires what is due. */
  sweep(now: number): void {
    if (now >= this.receiveDeadline) {
      if (this.#state === IDLE) this.retire()
      else if (this.#state === BUSY) this.#fail(LATE, 'The destination sent nothing in time')
      else this.#socket?.destroy()
    } else if (now >= this.sendDeadline && this.#state === BUSY) {
      this.#fail(LATE, 'The destination took nothing in time')
    }
  }

  // Bytes in

  /** For `onread`: where to read to. */
  readonly nextBuffer = (): Buffer => {
    if (this.#lastRead >= GIVE_BYTES && this.#state === BUSY && this.#parser.expectsOver(GIVE_BYTES)) {
      if (this.#given || this.#readBuffer === SHARED_BUFFER) this.#readBuffer = Buffer.allocUnsafeSlow(READ_BYTES)
    } else {
      this.#readBuffer = SHARED_BUFFER
    }
    this.#given = false
    return this.#readBuffer
  }

  /** For `onread`: bytes have come. False: stop reading. */
  readonly onRead = (size: number, buffer: Uint8Array): boolean => {
    const exchange = this.#exchange
    if (exchange === null) {
      // Bytes that nobody asked for: whatever they are, they are not the answer to the next request.
      this.#abandon()
      return false
    }
    exchange.forwarded = 'yes'
    this.#lastRead = size
    if (this.#parser.headed) this.#awaitResponse(exchange)
    try {
      this.#parser.write(buffer as Buffer, 0, size)
    } catch (thrown) {
      if (this.#exchange !== exchange) throw thrown
      this.#failWith(new SluiceError('ERR_INTERNAL', 'A response could not be handled', { cause: thrown }))
    }
    if (this.#parser.untilClose && this.#socket !== null) {
      this.#closeNotify ??= new CloseNotifyWatch()
      this.#closeNotify.noteRead(this.#socket)
    }
    if (this.#parser.fault !== null && this.#exchange === exchange) this.#refuseResponse(this.#parser.fault)
    return !this.#paused
  }

  informational(status: number, rawHeaders: string[]): void {
    if (status !== CONTINUE) this.#exchange?.handler.informational(status, rawHeaders)
  }

  head(status: number, reason: string, rawHeaders: string[], length: number): void {
    const exchange = this.#exchange
    if (exchange === null) return
    this.#awaitResponse(exchange)
    exchange.handler.head(status, reason, rawHeaders, length)
  }

  body(chunk: Buffer, start: number, end: number): void {
    const exchange = this.#exchange
    if (exchange === null) return
    if (!exchange.handler.body(this.#ownedPiece(chunk, start, end)) && this.#exchange === exchange)
      this.setReading(false)
  }

  end(rawTrailers: string[]): void {
    const exchange = this.#exchange
    if (exchange === null) return
    // A response that came before the request was whole leaves a request that never ends.
    const wanted = exchange.isSent && !exchange.message.close && !exchange.bindsConnection
    const reusable = this.#parser.reusable && wanted && this.#state === BUSY
    this.#exchange = null
    this.#served++
    exchange.finish()
    if (this.#paused) this.setReading(true)
    if (reusable) {
      this.#becomeIdle()
    } else {
      this.#lose()
      if (exchange.isSent) this.#close()
      else this.#socket?.destroy()
    }
    exchange.handler.end(rawTrailers)
  }

  // Bytes out

  send(bytes: Uint8Array | string): boolean {
    const socket = this.#socket
    if (socket === null) return false
    if (typeof bytes !== 'string') socket.write(bytes)
    else if (this.#gatheredBytes > 0) this.#sendGathered(socket, bytes)
    else socket.write(bytes, 'latin1')
    return this.#takesMore(socket)
  }

  /** What comes in one turn of the event loop goes out as one chunk: fewer writes, and fewer TLS records. */

  sendChunk(bytes: Uint8Array): boolean {
    const socket = this.#socket
    if (socket === null) return false
    this.#gathered.push(bytes)
    this.#gatheredBytes += bytes.length
    if (this.#gatheredBytes >= CHUNK_BYTES) {
      this.#sendGathered(socket, '')
    } else if (!this.#flushPlanned) {
      this.#flushPlanned = true
      setImmediate(flushGathered, this)
    }
    return this.#takesMore(socket)
  }

  /** For the end of the turn. */
  flushGathered(): void {
    this.#flushPlanned = false
    const socket = this.#socket
    if (socket === null || this.#gatheredBytes === 0) return
    this.#sendGathered(socket, '')
    this.#takesMore(socket)
  }

  /** @param tail follows the chunk, latin1 */
  #sendGathered(socket: TLSSocket, tail: string): void {
    // NOTE: corked, so that TLS joins the parts in native memory: cheaper than a copy made here, which the collector
    // would have to free.
    socket.cork()
    socket.write(`${this.#gatheredBytes.toString(16)}\r\n`, 'latin1')
    for (const piece of this.#gathered) socket.write(piece)
    socket.write(`\r\n${tail}`, 'latin1')
    socket.uncork()
    this.#dropGathered()
  }

  #dropGathered(): void {
    if (this.#gathered.length > 0) this.#gathered.length = 0
    this.#gatheredBytes = 0
  }

  #takesMore(socket: TLSSocket): boolean {
    const exchange = this.#exchange
    if (socket.writableNeedDrain && exchange !== null) {
      this.sendDeadline = this.#clock.after(exchange.message.deadlines.bodyIdleTimeoutMs)
    }
    return socket.writableLength + this.#gatheredBytes < BACKLOG_BYTES
  }

  requestSent(): void {
    if (this.#exchange !== null) this.#awaitResponse(this.#exchange)
  }

  setReading(on: boolean): void {
    this.#paused = !on
    const socket = this.#socket
    if (socket === null) return
    if (on) socket.resume()
    else socket.pause()
    if (this.#exchange !== null) this.#awaitResponse(this.#exchange)
  }

  /** The destination is late from now on, unless it is not its turn: the request is not whole, or we do not read. */
  #awaitResponse(exchange: Exchange): void {
    if (this.#paused || !exchange.isSent) {
      this.receiveDeadline = NEVER
    } else {
      const { deadlines } = exchange.message
      this.receiveDeadline = this.#clock.after(this.#parser.headed ? deadlines.bodyIdleTimeoutMs : deadlines.timeoutMs)
    }
  }

  cutExchange(): void {
    this.#exchange = null
    this.#parser.abort()
    this.#abandon()
  }

  // Ends

  readonly #onDrain = (): void => {
    this.sendDeadline = NEVER
    try {
      this.#exchange?.continueSending()
    } catch (thrown) {
      this.#failWith(new SluiceError('ERR_INTERNAL', 'The exchange failed', { cause: thrown }))
    }
  }

  readonly #onEnd = (): void => {
    const exchange = this.#exchange
    if (exchange === null) {
      this.#abandon()
      return
    }
    if (!this.#parser.started) {
      this.#closedEarly('ended')
      return
    }
    if (this.#closeNotify !== null && this.#socket !== null) {
      exchange.maybeTruncated = !this.#closeNotify.sawCloseNotify(this.#socket)
    }
    this.#parser.finish()
    if (this.#parser.fault !== null && this.#exchange === exchange) this.#refuseResponse(this.#parser.fault)
  }

  /** For the socket's `error`: the owner listens from the start, since a connection may fail before it is open. */
  onError(error: NodeJS.ErrnoException): void {
    if (this.#exchange === null) this.#abandon()
    else if (this.#parser.started) this.#refuseResponse(`cut short (${codeOf(error)})`)
    else this.#closedEarly(codeOf(error))
  }

  readonly #onClose = (): void => {
    if (this.#exchange !== null) this.onError({ name: 'Error', message: '', code: 'closed' })
    this.#abandon()
    this.#owner.connectionClosed(this)
  }

  /** Closed before any byte of a response: the exchange is sent once more, or fails. */
  #closedEarly(why: string): void {
    const exchange = this.#exchange
    if (exchange === null) return
    if (isTlsFault(why)) {
      // Before a first answer such an alert can only end the handshake: no request was read.
      const certificate = why.includes('CERTIFICATE') || why.includes('UNKNOWN_CA')
      const unread = certificate && !this.isReused && !exchange.retried
      const message = `The destination refused the TLS connection (${why})`
      this.#failWith(new SluiceError('ERR_DESTINATION_TLS', message), unread ? 'no' : undefined)
      return
    }
    const { replayable, streaming } = exchange.message
    const mayRetry = this.isReused && replayable && streaming === 'none' && !exchange.retried
    if (!mayRetry) {
      this.#fail('ERR_DESTINATION_UNREACHABLE', `The destination closed the connection without an answer (${why})`)
      return
    }
    this.#exchange = null
    this.#owner.retry(exchange)
    this.#abandon()
  }

  #refuseResponse(fault: string): void {
    if (this.#parser.upgrade) this.#fail('ERR_UPGRADE', 'The destination switched protocols')
    else this.#fail('ERR_DESTINATION_RESPONSE', `The response of the destination is malformed: ${fault}`)
  }

  #fail(code: ErrorCode, message: string, retry?: Retry): void {
    this.#failWith(new SluiceError(code, message, retry === undefined ? {} : { retry }))
  }

  #failWith(error: SluiceError, forwarded?: Forwarded): void {
    const exchange = this.#exchange
    this.#exchange = null
    this.#parser.abort()
    this.#abandon()
    if (exchange === null) return
    error.forwarded = forwarded ?? exchange.forwarded
    exchange.finish()
    exchange.handler.fail(error)
  }

  #becomeIdle(): void {
    this.#state = IDLE
    this.sendDeadline = NEVER
    this.idleSince = this.#clock.now
    const { keepAliveMs } = this.#parser
    // Leave a second before the destination would close it: a request in flight then would be lost.
    const idleMs = keepAliveMs < 0 ? this.#idleTimeoutMs : Math.min(this.#idleTimeoutMs, keepAliveMs - 1000)
    this.receiveDeadline = this.#clock.after(this.isReused ? idleMs : Math.max(idleMs, FIRST_USE_MS))
    if (idleMs > 0 || !this.isReused) this.#owner.connectionFree(this)
    else this.retire()
  }

  /** Ends the connection in order (close_notify, FIN), and for certain a little later. */
  #close(): void {
    this.receiveDeadline = this.#clock.after(CLOSE_MS)
    this.#socket?.end()
  }

  #abandon(): void {
    this.#lose()
    this.#socket?.destroy()
  }

  #lose(): void {
    if (this.#state === GONE) return
    this.#state = GONE
    this.sendDeadline = NEVER
    this.#dropGathered()
    this.#owner.connectionLost(this)
  }

  #ownedPiece(chunk: Buffer, start: number, end: number): Buffer {
    if (chunk === SHARED_BUFFER || end - start < GIVE_BYTES) {
      const piece = Buffer.allocUnsafe(end - start)
      chunk.copy(piece, 0, start, end)
      return piece
    }
    this.#given = true
    return chunk.subarray(start, end)
  }
}

function flushGathered(connection: Connection): void {
  connection.flushGathered()
}

function isTlsFault(code: string): boolean {
  return code.startsWith('ERR_SSL_') || code === 'EPROTO'
}

function codeOf(error: NodeJS.ErrnoException): string {
  return error.code ?? 'unknown'
}

const CONNECTING = 0
const IDLE = 1
const BUSY = 2
const GONE = 3

const CONTINUE = 100
const LATE = 'ERR_DESTINATION_TIMEOUT'

/** TLS hands over at most a record's worth at once. */
const READ_BYTES = 16384
/** Pieces from this size on are given away with the buffer that they lie in; smaller ones are copied. */
const GIVE_BYTES = 4096
/** A chunk that has this much goes out at once. */
const CHUNK_BYTES = 65536
/** Bytes that may wait in a socket, and to go there. */
const BACKLOG_BYTES = 131072
/** For the destination to answer our close. */
const CLOSE_MS = 1000
/** For a new connection to be used at all, however short connections may be idle. */
const FIRST_USE_MS = 1000

/** All connections read into this one: what lies in it is dealt with before the next read of any. */
const SHARED_BUFFER = Buffer.allocUnsafeSlow(READ_BYTES)
