import { SluiceError } from '../errors.ts'
import { isBinaryType } from '../scan/media-type.ts'

/** How a body travels; chosen before the first byte leaves. */
export type BodyMode = 'pass' | 'whole' | 'stream'

export type ContentCoding = 'gzip' | 'deflate' | 'br'

export interface BodyFacts {
  /** Exact bytes; 0 none; -1 unknown. */
  readonly bodyBytes: number
  /** Bit mask of the pairs that are looked for. */
  readonly delimiters: number
  /** The caller named the pairs itself: then binary types are scanned too. */
  readonly delimitersNamed: boolean
  readonly contentType: string | undefined
  readonly wish: 'auto' | 'whole' | 'stream'
  readonly wholeBodyBytes: number
  readonly encoded: boolean
  /** A transform wants all of it at once, whatever there is to look for. */
  readonly needsWhole: boolean
}

export interface BodyDecision {
  readonly mode: BodyMode
  readonly because: string
}

/**
 * Chooses how a body travels. An unknown length begins as `whole` and becomes `stream` when it passes the limit: that
 * is decided before the first byte leaves, since nothing leaves until then.
 *
 * @throws ERR_BODY_SIZE when the caller insists on `whole` for a body that is known to be larger, or a transform does;
 *   ERR_HTTP_SYNTAX when the caller insists on `stream` in spite of a transform
 */
export function chooseBodyMode(facts: BodyFacts): BodyDecision {
  if (facts.needsWhole) return transformed(facts)
  if (facts.bodyBytes === 0) return NO_BODY
  if (facts.delimiters === 0) return SWITCHED_OFF
  if (!facts.delimitersNamed && isBinaryType(facts.contentType)) return BINARY
  const known = facts.bodyBytes > 0 && !facts.encoded
  if (facts.wish === 'whole') {
    if (known && facts.bodyBytes > facts.wholeBodyBytes) throw bodyTooLarge(facts.wholeBodyBytes)
    return ASKED_WHOLE
  }
  if (facts.wish === 'stream') return ASKED_STREAM
  if (known) return facts.bodyBytes <= facts.wholeBodyBytes ? SMALL : LARGE
  return UNKNOWN_LENGTH
}

export function bodyTooLarge(limit: number): SluiceError {
  return new SluiceError(
    'ERR_BODY_SIZE',
    `The body is over ${limit} bytes, and Sluice-Body-Mode or a transform of the proxy asks for all of it at once`
  )
}

function transformed({ wish, bodyBytes, encoded, wholeBodyBytes }: BodyFacts): BodyDecision {
  if (wish === 'stream') {
    throw new SluiceError('ERR_HTTP_SYNTAX', 'This proxy transforms whole requests: Sluice-Body-Mode cannot be stream')
  }
  if (!encoded && bodyBytes > wholeBodyBytes) throw bodyTooLarge(wholeBodyBytes)
  return TRANSFORMED
}

/**
 * The codings that Sluice undoes before it scans, in the order to undo them. RFC 9110, 8.4.
 *
 * @throws ERR_ENCODING for any other
 */
export function codingsOf(contentEncoding: string | undefined): readonly ContentCoding[] {
  if (contentEncoding === undefined) return NO_CODINGS
  const codings: ContentCoding[] = []
  for (const part of contentEncoding.split(',')) {
    const coding = part.trim().toLowerCase()
    if (coding === '' || coding === 'identity') continue
    if (coding === 'gzip' || coding === 'x-gzip') codings.unshift('gzip')
    else if (coding === 'deflate' || coding === 'br') codings.unshift(coding)
    else throw new SluiceError('ERR_ENCODING', 'A body with expressions may be encoded as gzip, deflate or br only')
  }
  if (codings.length > 1) throw new SluiceError('ERR_ENCODING', 'A body may be encoded once only')
  return codings
}

const NO_CODINGS: readonly ContentCoding[] = []
const NO_BODY: BodyDecision = { mode: 'pass', because: 'there is no body' }
const SWITCHED_OFF: BodyDecision = { mode: 'pass', because: 'nothing is looked for' }
const BINARY: BodyDecision = { mode: 'pass', because: 'the content type is binary' }
const TRANSFORMED: BodyDecision = { mode: 'whole', because: 'the proxy transforms its requests' }
const ASKED_WHOLE: BodyDecision = { mode: 'whole', because: 'Sluice-Body-Mode asks for it' }
const ASKED_STREAM: BodyDecision = { mode: 'stream', because: 'Sluice-Body-Mode asks for it' }
const SMALL: BodyDecision = { mode: 'whole', because: 'the body is within limits.wholeBodyBytes' }
const LARGE: BodyDecision = { mode: 'stream', because: 'the body is over limits.wholeBodyBytes' }
const UNKNOWN_LENGTH: BodyDecision = { mode: 'whole', because: 'the length is unknown and so far within the limit' }
