import { SluiceError } from '../errors.ts'

/** Where a request goes: an https origin, and the base that the inbound tail is appended to. */
export interface Destination {
  /** DNS name: lower-case, IDNA-encoded, without a trailing dot. SNI, `Host` and the bound name are this one string. */
  readonly host: string
  readonly port: number
  /** As it was written, percent-encoding kept byte for byte; empty or beginning with a slash. */
  readonly path: string
  /** Without the question mark; empty when there is none. */
  readonly query: string
}

/** A request target in origin-form and its two parts. */
export interface Target {
  /** Begins with a slash. */
  readonly path: string
  /** Without the question mark; empty when there is none. */
  readonly query: string
  /** `path`, then `?query` when there is a query. */
  readonly text: string
}

/**
 * Reads a destination URL from the raw value of a header or setting. The raw text is checked before the URL parser sees
 * it, because that parser repairs: it takes backslashes for slashes, drops tabs, and turns octal, hexadecimal, full-width
 * and percent-encoded hosts into addresses. Its result is checked again. Throws ERR_DESTINATION_URL.
 *
 * @param ports The ports that `egress.ports` allows.
 * @param exempt `host:port` pairs that may use any port: the echo destination of `sluice dev`.
 */
export function parseDestinationUrl(
  raw: string | undefined,
  ports: readonly number[],
  exempt: readonly string[] = []
): Destination {
  if (raw === undefined || raw === '') throw refuse('is missing')
  if (raw.length > MAX_URL) throw refuse('is too long')
  if (!startsWithHttps(raw)) throw refuse('must begin with https://')
  const authorityEnd = endOf(raw, SCHEME.length, isAuthorityEnd)
  const pathEnd = endOf(raw, authorityEnd, isPathEnd)
  const path = raw.slice(authorityEnd, pathEnd)
  const query = raw.slice(pathEnd + 1)
  checkTargetText(path, query, raw.charCodeAt(pathEnd) === HASH)
  const { host, port } = parseAuthority(raw.slice(SCHEME.length, authorityEnd))
  if (!ports.includes(port) && !exempt.includes(`${host}:${port}`)) throw refuse('names a port that is not allowed')
  return Object.freeze({ host, port, path, query })
}

/**
 * Appends what followed the proxy's own path to the base: trailing slashes of the base are dropped, the base's query
 * comes first, nothing is decoded. Throws ERR_DESTINATION_URL for a dot segment (also as %2e, and between encoded slashes), a backslash, a fragment
 * and anything but visible ASCII.
 *
 * @param tail Empty, or the inbound path and query below the proxy's path: `/charges?expand=1`, `?expand=1`.
 */
export function joinTarget(base: Pick<Destination, 'path' | 'query'>, tail: string): Target {
  const tailPathEnd = endOf(tail, 0, isPathEnd)
  const tailPath = tail.slice(0, tailPathEnd)
  const tailQuery = tail.slice(tailPathEnd + 1)
  if (tailPath !== '' && tailPath.charCodeAt(0) !== SLASH) throw refuse('has a path that does not begin with a slash')
  checkTargetText(tailPath, tailQuery, tail.charCodeAt(tailPathEnd) === HASH)
  let baseEnd = base.path.length
  while (baseEnd > 0 && base.path.charCodeAt(baseEnd - 1) === SLASH) baseEnd--
  const path = base.path.slice(0, baseEnd) + tailPath || '/'
  const query = base.query !== '' && tailQuery !== '' ? `${base.query}&${tailQuery}` : base.query + tailQuery
  return { path, query, text: query === '' ? path : `${path}?${query}` }
}

/**
 * True when the pattern covers the host: `*` covers all, `*.example.com` every name below example.com at any depth but
 * not example.com itself, anything else only itself. Both sides in the form that `normalizeHostPattern` gives.
 */
export function hostMatches(pattern: string, host: string): boolean {
  if (pattern === host || pattern === '*') return true
  return pattern.startsWith('*.') && host.length >= pattern.length && host.endsWith(pattern.slice(1))
}

/** A host pattern lower-case, IDNA-encoded and without a trailing dot; null when it is not `*`, `*.name` or a DNS name. */
export function normalizeHostPattern(pattern: string): string | null {
  if (pattern === '*') return pattern
  const wild = pattern.startsWith('*.')
  const host = normalizeHost(wild ? pattern.slice(2) : pattern)
  if (host === null) return null
  return wild ? `*.${host}` : host
}

/** A DNS name lower-case, IDNA-encoded, without its trailing dot; null when it is an address or no DNS name at all. */
export function normalizeHost(raw: string): string | null {
  const name = raw.endsWith('.') ? raw.slice(0, -1) : raw
  if (name === '' || !holdsHostCharactersOnly(name)) return null
  const labels = name.split('.')
  if (isNumeric(labels[labels.length - 1] ?? '')) return null
  let host: string
  try {
    host = new URL(`https://${name}/`).hostname
  } catch {
    return null
  }
  // The parser maps full-width letters, digits and dots to ASCII ones: then a label or its spelling would not be the
  // one that the caller and every check before this one saw.
  const parsed = host.split('.')
  if (host.length > 253 || parsed.length !== labels.length || isNumeric(parsed[parsed.length - 1] ?? '')) return null
  for (let i = 0; i < labels.length; i++) if (!isSameLabel(labels[i] ?? '', parsed[i] ?? '')) return null
  return host
}

function parseAuthority(authority: string): { host: string; port: number } {
  if (authority === '') throw refuse('has no host')
  for (let at = 0; at < authority.length; at++) {
    const code = authority.charCodeAt(at)
    if (code === AT) throw refuse('must not hold a user name or password')
    if (code === OPEN_BRACKET || code === CLOSE_BRACKET) throw refuse('must name its host by a DNS name')
    if (code === PERCENT) throw refuse('must not percent-encode its host')
  }
  const colon = authority.indexOf(':')
  const host = normalizeHost(colon < 0 ? authority : authority.slice(0, colon))
  if (host === null) throw refuse('must name its host by a DNS name')
  return { host, port: colon < 0 ? DEFAULT_PORT : parsePort(authority.slice(colon + 1)) }
}

function parsePort(text: string): number {
  let port = 0
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - ZERO
    if (digit < 0 || digit > 9 || (at === 0 && digit === 0) || at > 4) throw refuse('has a malformed port')
    port = port * 10 + digit
  }
  if (port < 1 || port > 65535) throw refuse('has a malformed port')
  return port
}

/** Checks a path and a query that will stand in a request line as they are. */
function checkTargetText(path: string, query: string, fragment: boolean): void {
  if (fragment || query.includes('#')) throw refuse('must not have a fragment')
  if (!isVisibleAscii(path) || !isVisibleAscii(query)) throw refuse('holds a character that must be percent-encoded')
  if (path.includes('\\') || query.includes('\\')) throw refuse('must not hold a backslash')
  let start = 0
  while (start <= path.length) {
    const slash = path.indexOf('/', start)
    const end = slash < 0 ? path.length : slash
    if (end - start <= 6 && isDotSegment(path.slice(start, end))) throw refuse('must not hold a dot segment')
    start = end + 1
  }
  if ((path.includes('%') || path.includes(';')) && HIDDEN_DOTS.test(path)) throw refuse('must not hold a dot segment')
}

function isDotSegment(segment: string): boolean {
  switch (segment.toLowerCase()) {
    case '.':
    case '..':
    case '%2e':
    case '.%2e':
    case '%2e.':
    case '%2e%2e':
      return true
    default:
      return false
  }
}

function isVisibleAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code <= 0x20 || code >= 0x7f) return false
  }
  return true
}

/** ASCII letters, digits, hyphen, underscore and dot, and anything beyond ASCII (IDNA decides about that). */
function holdsHostCharactersOnly(name: string): boolean {
  for (let at = 0; at < name.length; at++) {
    const code = name.charCodeAt(at)
    const letter = (code | 0x20) >= 0x61 && (code | 0x20) <= 0x7a
    const digit = code >= ZERO && code <= 0x39
    if (!letter && !digit && code !== HYPHEN && code !== UNDERSCORE && code !== DOT && code < 0x80) return false
  }
  return true
}

/** What the URL parser takes for a part of an IPv4 address when it stands last: decimal, octal or hexadecimal. */
function isNumeric(label: string): boolean {
  if (label === '') return true
  const hex = label.length >= 2 && label.charCodeAt(0) === ZERO && (label.charCodeAt(1) | 0x20) === LOWER_X
  for (let at = hex ? 2 : 0; at < label.length; at++) {
    const code = label.charCodeAt(at)
    const digit = code >= ZERO && code <= 0x39
    const hexLetter = (code | 0x20) >= 0x61 && (code | 0x20) <= 0x66
    if (!digit && !(hex && hexLetter)) return false
  }
  return true
}

function isSameLabel(written: string, parsed: string): boolean {
  if (parsed === '' || parsed.length > 63 || parsed.startsWith('-') || parsed.endsWith('-')) return false
  for (let at = 0; at < written.length; at++) if (written.charCodeAt(at) >= 0x80) return parsed.startsWith('xn--')
  return written.toLowerCase() === parsed
}

function startsWithHttps(raw: string): boolean {
  return raw.slice(0, SCHEME.length).toLowerCase() === SCHEME
}

function endOf(text: string, start: number, isEnd: (code: number) => boolean): number {
  let at = start
  while (at < text.length && !isEnd(text.charCodeAt(at))) at++
  return at
}

const isPathEnd = (code: number): boolean => code === QUESTION || code === HASH
const isAuthorityEnd = (code: number): boolean => code === SLASH || code === BACKSLASH || isPathEnd(code)

const refuse = (why: string): SluiceError => new SluiceError('ERR_DESTINATION_URL', `The destination URL ${why}`)

/**
 * A dot segment for whoever decodes a path before taking its dot segments out (nginx), takes a backslash for a slash, or
 * cuts off what stands behind a semicolon (Java's servers).
 */
const HIDDEN_DOTS = /(?:\/|%2f|%5c)(?:\.|%2e){1,2}(?:\/|;|%3b|%2f|%5c|$)/i
const SCHEME = 'https://'
const DEFAULT_PORT = 443
const MAX_URL = 8192
const HASH = 0x23 // #
const PERCENT = 0x25 // %
const HYPHEN = 0x2d // -
const DOT = 0x2e // .
const SLASH = 0x2f // /
const ZERO = 0x30 // 0
const QUESTION = 0x3f // ?
const AT = 0x40 // @
const OPEN_BRACKET = 0x5b // [
const BACKSLASH = 0x5c // \
const CLOSE_BRACKET = 0x5d // ]
const UNDERSCORE = 0x5f // _
const LOWER_X = 0x78 // x
