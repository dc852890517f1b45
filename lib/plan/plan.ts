import { type BodyMode, type ContentCoding, chooseBodyMode, codingsOf } from './body-mode.ts'
import type { HeadTemplate } from './head-template.ts'
import { isReplayable } from './retry.ts'
import type { Transforms } from './transforms.ts'

/*
 * What is decided about a request before one byte of its body is read. A plan is frozen: whoever wants to know where
 * a request goes and what is done to it reads one value.
 */

export type Grammar = 'liquid' | 'footprint'

export interface Limits {
  /** Distinct tokens in one request. */
  readonly tokensPerRequest: number
  /** Longest text between two delimiters, in bytes. */
  readonly expressionBytes: number
  /** Largest body that is held in whole, in bytes. */
  readonly wholeBodyBytes: number
  /** Bytes that one decoded body may have. */
  readonly decodedBytes: number
}

export interface Deadlines {
  readonly connectTimeoutMs: number
  /** From the last request byte sent to the response's head. */
  readonly timeoutMs: number
  readonly bodyIdleTimeoutMs: number
}

/** Where a request goes, as destination bindings see it. */
export interface DestinationName {
  /** Lower case, IDNA-encoded, without a trailing dot. */
  readonly host: string
  readonly port: number
  readonly method: string
  /** Path of the final request target, without the query. */
  readonly path: string
}

/** What a dialect read from a request; the input of `planRequest`. */
export interface Intent<Peer = unknown, Rules = unknown> {
  /** `reflect`: the body goes back to the caller, to no destination. */
  readonly door: 'proxy' | 'reflect'
  readonly dialect: 'basis_theory' | 'footprint'
  /** The router's template, for metrics. */
  readonly route: string
  /** Id of the stored proxy that was called; null = none. */
  readonly proxy: string | null
  readonly grammar: Grammar
  /** Whose fields references without a user mean; null = nobody's. */
  readonly user: string | null
  /** Bit mask of `scan/delimiters`; 0 = nothing is looked for. */
  readonly delimiters: number
  /** The caller named the pairs itself: then binary types are scanned too. */
  readonly delimitersNamed: boolean
  /** The caller's wish; `auto` unless it said otherwise. */
  readonly bodyMode: 'auto' | 'whole' | 'stream'
  /** The only subjects that may occur; null = any. */
  readonly subjects: ReadonlySet<string> | null
  readonly method: string
  /** The final request target: path and query. */
  readonly target: string
  readonly destination: DestinationName
  /** Who is connected to, as which client: `egress/peer.ts`. */
  readonly peer: Peer
  /** Field lines that go to the destination, each with CRLF, without Host, framing and Content-Encoding. */
  readonly fieldLines: string
  /** The target and the field lines, when there are expressions in them; else null. */
  readonly headTemplate: HeadTemplate | null
  /** All values of Content-Type, in order. */
  readonly contentTypes: readonly string[]
  /** The value of Content-Encoding, or undefined. */
  readonly contentEncoding: string | undefined
  /** Exact bytes; 0 none; -1 unknown. */
  readonly bodyBytes: number
  /** The caller asked that the connection to the destination be closed after this exchange. */
  readonly close: boolean
  /** The request has a key by which the destination knows a repetition of it, whatever the method. */
  readonly isIdempotent: boolean
  readonly traceId: string
  /** Why, in the caller's words, for the audit; null = none given. */
  readonly reason: string | null
  /** What of the response is vaulted: `proxy/held-response.ts`; null = it passes as it is. */
  readonly responseRules: Rules | null
  /** The texts that `{{ config: key }}` stands for in a body; null = there is no such subject. */
  readonly configuration: Readonly<Record<string, string>> | null
  /** What is made of the whole request and the whole response on their way; null = nothing. Not beside `responseRules`. */
  readonly transforms: Transforms | null
}

export interface Plan<Peer = unknown, Rules = unknown> extends Intent<Peer, Rules> {
  /** The request line and all fields but framing and Content-Encoding, latin1, each line with CRLF. */
  readonly head: string
  readonly mode: BodyMode
  /** Why that mode: a sentence for the log. */
  readonly modeBecause: string
  /** Codings to undo before scanning, outermost last; empty = none. */
  readonly decode: readonly ContentCoding[]
  /** May Sluice repeat the request on a fresh connection? */
  readonly replayable: boolean
  readonly limits: Limits
  readonly deadlines: Deadlines
}

/** Everything a request needs to be carried out, from what the dialect read. Pure; throws ERR_BODY_SIZE, ERR_ENCODING. */
export function planRequest<Peer, Rules>(
  intent: Intent<Peer, Rules>,
  limits: Limits,
  deadlines: Deadlines
): Plan<Peer, Rules> {
  const needsWhole = intent.transforms !== null && intent.transforms.request !== null
  const decision = chooseBodyMode({
    bodyBytes: intent.bodyBytes,
    delimiters: intent.delimiters,
    delimitersNamed: intent.delimitersNamed,
    contentType: intent.contentTypes[0],
    wish: intent.bodyMode,
    wholeBodyBytes: limits.wholeBodyBytes,
    encoded: intent.contentEncoding !== undefined,
    needsWhole
  })
  // NOTE: field by field. A spread of so many makes a dictionary, which costs some µs here and at every later read.
  return {
    door: intent.door,
    dialect: intent.dialect,
    route: intent.route,
    proxy: intent.proxy,
    grammar: intent.grammar,
    user: intent.user,
    delimiters: intent.delimiters,
    delimitersNamed: intent.delimitersNamed,
    bodyMode: needsWhole ? 'whole' : intent.bodyMode,
    subjects: intent.subjects,
    method: intent.method,
    target: intent.target,
    destination: intent.destination,
    peer: intent.peer,
    fieldLines: intent.fieldLines,
    headTemplate: intent.headTemplate,
    contentTypes: intent.contentTypes,
    contentEncoding: intent.contentEncoding,
    bodyBytes: intent.bodyBytes,
    close: intent.close,
    isIdempotent: intent.isIdempotent,
    traceId: intent.traceId,
    reason: intent.reason,
    responseRules: intent.responseRules,
    configuration: intent.configuration,
    transforms: intent.transforms,
    head: outgoingHead(intent, intent.target, intent.fieldLines),
    mode: decision.mode,
    modeBecause: decision.because,
    decode: decision.mode === 'pass' ? NO_CODINGS : codingsOf(intent.contentEncoding),
    replayable: intent.isIdempotent || isReplayable(intent.method),
    limits,
    deadlines
  }
}

/** The request line and the fields, latin1, each line with CRLF, without framing. */
export function outgoingHead(
  intent: Pick<Intent, 'method' | 'destination'>,
  target: string,
  fieldLines: string
): string {
  const { host, port } = intent.destination
  return `${intent.method} ${target} HTTP/1.1\r\nHost: ${port === 443 ? host : `${host}:${port}`}\r\n${fieldLines}`
}

const NO_CODINGS: readonly ContentCoding[] = []
