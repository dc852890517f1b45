import type { SluiceError } from '../errors.ts'
import type { FieldLines } from '../known-lines.ts'
import type { KeyMemo } from '../vault/vault.ts'
import type { RequestHead } from './head.ts'

/**
 * One request of a client, as the rooms behind `listen` see it, whatever engine reads the socket. Push on both sides:
 * the engine calls the sink, the owner calls the methods; nothing waits.
 */
export interface Client {
  readonly head: RequestHead
  /** When the head was complete, in `performance.now()` milliseconds. */
  readonly acceptedAt: number
  /** One object per connection: what the vault remembers of the key that was presented on it. */
  readonly memo: KeyMemo
  /** Lines of requests before this one on the connection; null when none are kept. */
  readonly requestLines: FieldLines | null
  /** Who hears of the connection from now on. */
  attend(sink: ClientSink): void
  /** Starts the body: answers `Expect: 100-continue`, then calls the sink, from this call on. Call it once. */
  receive(): void
  pause(): void
  resume(): void
  /** A complete answer in one write. `fields` are flat and hold no framing. */
  answer(status: number, fields: readonly string[], body: Uint8Array | string | null): void
  /** An interim response. RFC 9110, 15.2. */
  inform(status: number, fields: readonly string[]): void
  /**
   * The head of an answer whose body follows by `send` and `finish`. It leaves with the first bytes of the body, at
   * the latest at the end of the tick.
   *
   * @param length exact bytes that follow; -1 when unknown
   */
  begin(status: number, reason: string, fields: readonly string[], length: number): void
  /** Takes the chunk over. False: wait for `drained`. */
  send(chunk: Uint8Array): boolean
  finish(trailers: readonly string[]): void
  /** Ends the connection in the middle of whatever is under way: what was begun never looks complete. */
  cut(): void
}

export interface ClientSink {
  /** A piece of the body; it belongs to the callee. */
  requestChunk(chunk: Buffer): void
  /** The body is in whole. */
  requestEnd(): void
  /** The body broke off, stalled or was malformed: what came is no message. */
  requestBroken(error: SluiceError): void
  /** The answer may be written on. */
  clientDrained(): void
  /** The connection closed before the answer was complete. */
  clientLeft(): void
}
