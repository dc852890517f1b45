import { SluiceError } from '../errors.ts'
import { internalized } from '../json.ts'

/*
 * Which header fields go on, in both directions. Hot: per field. A field is known by its lower-case name; everything
 * that is not known goes on unchanged.
 */

/** What a field of a request means to the proxy. */
export const FIELD_FORWARD = 0
/** Hop-by-hop, or rewritten by us: never goes on. RFC 9110, 7.6.1. */
export const FIELD_DROP = 1
/** Read by a dialect or by Sluice itself; never goes on. */
export const FIELD_CONTROL = 2
export const FIELD_CONTENT_TYPE = 3
export const FIELD_CONTENT_ENCODING = 4
export const FIELD_VIA = 5
export const FIELD_ACCEPT_ENCODING = 6
/** A name outside letters, digits, `-` and `_`: dropped without a word, as Basis Theory does. */
export const FIELD_UNKNOWN_NAME = 7

/** What a field's name says, in either direction. */
export interface FieldName {
  readonly lower: string
  /** Of a request: FIELD_FORWARD and so on. */
  readonly kind: number
  /** Of a response: it goes back to the client. */
  readonly passesBack: boolean
}

/** Names come again and again in one spelling: what they say is remembered. @param name as received */
export function fieldName(name: string): FieldName {
  const known = NAMES.get(name)
  if (known !== undefined) return known
  if (name.length > REMEMBERED_LENGTH) return readName(name)
  const own = internalized(name)
  const read = readName(own)
  if (NAMES.size >= REMEMBERED_NAMES) NAMES.clear()
  NAMES.set(own, read)
  return read
}

function readName(name: string): FieldName {
  const lower = name.toLowerCase()
  return { lower, kind: requestField(lower), passesBack: responseFieldPasses(lower) }
}

/** @param lower the field's name in lower case */
export function requestField(lower: string): number {
  const known = REQUEST_FIELDS.get(lower)
  if (known !== undefined) return known
  if (isControl(lower)) return FIELD_CONTROL
  return isPlainName(lower) ? FIELD_FORWARD : FIELD_UNKNOWN_NAME
}

/**
 * The end-to-end fields of a destination's response, flat. `keepLength`: its Content-Length describes a body that is not
 * sent (HEAD, 304).
 */
export function endToEndFields(rawHeaders: readonly string[], keepLength: boolean): string[] {
  const fields: string[] = []
  const listed = listedByConnection(rawHeaders)
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string
    const { lower, passesBack } = fieldName(name)
    if (listed?.has(lower)) continue
    if (passesBack || (keepLength && lower === 'content-length')) {
      fields.push(name, rawHeaders[at + 1] as string)
    }
  }
  return fields
}

/** Does this field of a destination's response go back to the client? `lower` is its name in lower case. */
function responseFieldPasses(lower: string): boolean {
  return !RESPONSE_DROPS.has(lower) && !lower.startsWith('bt-') && !lower.startsWith('sluice-')
}

/**
 * The names that the Connection fields of a flat list of names and values list, lower case, beside their own keywords;
 * null when there are none. RFC 9110, 7.6.1.
 */
export function listedByConnection(fields: readonly string[]): ReadonlySet<string> | null {
  let listed: Set<string> | null = null
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    if (name.length !== CONNECTION.length || name.toLowerCase() !== CONNECTION) continue
    const lower = (fields[at + 1] as string).toLowerCase()
    if (lower === 'keep-alive' || lower === 'close') continue
    for (const part of lower.split(',')) {
      const option = part.trim()
      // One set for all of them: there may be a thousand fields.
      if (option !== '' && option !== 'keep-alive' && option !== 'close') listed = (listed ?? new Set()).add(option)
    }
  }
  return listed
}

/** All values of a field, joined; undefined when there is none. `lower` is its name in lower case. */
export function fieldValue(fields: readonly string[], lower: string): string | undefined {
  let joined: string | undefined
  for (let at = 0; at < fields.length; at += 2) {
    if ((fields[at] as string).toLowerCase() !== lower) continue
    joined = joined === undefined ? fields[at + 1] : `${joined}, ${fields[at + 1]}`
  }
  return joined
}

/** The fields without those that tell of a body's bytes as they came: another body goes with them. */
export function withoutBytes(fields: readonly string[]): string[] {
  const kept: string[] = []
  for (let at = 0; at < fields.length; at += 2) {
    if (!isOfTheBytes((fields[at] as string).toLowerCase())) kept.push(fields[at] as string, fields[at + 1] as string)
  }
  return kept
}

export function isOfTheBytes(lower: string): boolean {
  return OF_THE_BYTES.has(lower)
}

/** Of the codings in an Accept-Encoding those that can be undone here; '' for none. RFC 9110, 12.5.3. */
export function decodableOf(acceptEncoding: string): string {
  return acceptEncoding
    .split(',')
    .filter((item) => DECODABLE.test(item))
    .join(',')
    .trim()
}

/**
 * A field line for the outgoing head. The value may hold no CR, LF or NUL and nothing beyond latin1: the head is
 * written as latin1, and a character above it would lose its high byte.
 */
export function fieldLine(name: string, value: string): string {
  return `${name}: ${value}\r\n`
}

/** Throws ERR_HTTP_SYNTAX for a value that could end a field line. */
export function checkFieldValue(name: string, value: string): string {
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at)
    if (code === 0x0d || code === 0x0a || code === 0 || code > 0xff) {
      throw new SluiceError('ERR_HTTP_SYNTAX', `The value for ${name} holds a character that a header cannot`)
    }
  }
  return value
}

/** The `bt-`, `x-fp-` and `sluice-` families. */
function isControl(lower: string): boolean {
  switch (lower.charCodeAt(0)) {
    case 0x62:
      return lower.startsWith('bt-')
    case 0x78:
      return lower.startsWith('x-fp-')
    case 0x73:
      return lower.startsWith('sluice-')
    default:
      return false
  }
}

function isPlainName(name: string): boolean {
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at)
    const plain = (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x5f
    if (!plain) return false
  }
  return name.length > 0
}

const CONNECTION = 'connection'
/** :: name as received → what it says */
const NAMES = new Map<string, FieldName>()
const REMEMBERED_NAMES = 512
const REMEMBERED_LENGTH = 64
const REQUEST_FIELDS: ReadonlyMap<string, number> = new Map([
  ['accept-encoding', FIELD_ACCEPT_ENCODING],
  [CONNECTION, FIELD_DROP],
  ['content-encoding', FIELD_CONTENT_ENCODING],
  ['content-length', FIELD_DROP],
  ['content-type', FIELD_CONTENT_TYPE],
  ['expect', FIELD_DROP],
  ['host', FIELD_DROP],
  ['http2-settings', FIELD_DROP],
  ['keep-alive', FIELD_DROP],
  ['proxy-authenticate', FIELD_DROP],
  ['proxy-authorization', FIELD_DROP],
  ['proxy-connection', FIELD_DROP],
  ['te', FIELD_DROP],
  ['trailer', FIELD_DROP],
  ['transfer-encoding', FIELD_DROP],
  ['upgrade', FIELD_DROP],
  ['via', FIELD_VIA],
  ['accept', FIELD_FORWARD],
  ['authorization', FIELD_FORWARD],
  ['user-agent', FIELD_FORWARD]
])

const DECODABLE = /^\s*(?:gzip|x-gzip|deflate|br|identity)\s*(?:;|$)/i

const OF_THE_BYTES: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-length',
  'content-md5',
  'digest',
  'content-digest',
  'repr-digest',
  'content-range',
  'accept-ranges',
  'etag',
  'trailer'
])

const RESPONSE_DROPS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade'
])
