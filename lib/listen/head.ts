import { SluiceError } from '../errors.ts'
import { internalized } from '../json.ts'

/** The head of a request, validated once; everything behind `listen` relies on it. */
export interface RequestHead {
  readonly method: string
  /** Origin-form, as received: begins with `/`. RFC 9112, 3.2.1. */
  readonly target: string
  /** The target up to `?`. */
  readonly path: string
  /** The target from `?` on, or ''. */
  readonly query: string
  /** Flat, as received: name, value, name, value … Values hold no CR, LF or NUL. */
  readonly fields: readonly string[]
  /** Exact bytes of the body; 0 without one; -1 when it is chunked. */
  readonly bodyBytes: number
  readonly expectsContinue: boolean
}

/**
 * Checks what an HTTP parser lets through and this proxy must not: a target that is not a path, a second Host or one that
 * is no host, any coding but chunked, chunked in HTTP/1.0, a length that is no safe integer. Throws ERR_HTTP_SYNTAX, and
 * ERR_METHOD for the asterisk-form.
 *
 * @param minor 0 for HTTP/1.0, else 1
 */
export function readHead(method: string, rawTarget: string, fields: readonly string[], minor: number): RequestHead {
  // RFC 9112, 3.2.4: only OPTIONS may ask for `*`, and OPTIONS is no method of ours.
  if (rawTarget === '*' && method === 'OPTIONS') {
    throw new SluiceError('ERR_METHOD', 'The method is not allowed here')
  }
  const target = rawTarget.charCodeAt(0) === SLASH ? rawTarget : originForm(rawTarget)
  let hosts = 0
  let length = -1
  let chunked = false
  let expectsContinue = false
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    switch (name.length) {
      case 4:
        if (equalsIgnoringCase(name, 'host')) {
          requireHost(fields[at + 1] as string)
          hosts++
        }
        break
      case 6:
        if (equalsIgnoringCase(name, 'expect')) expectsContinue = true
        break
      case 14:
        if (equalsIgnoringCase(name, 'content-length')) {
          if (length >= 0) throw malformed('Content-Length is there twice')
          length = exactLength(fields[at + 1] as string)
        }
        break
      case 17:
        if (equalsIgnoringCase(name, 'transfer-encoding')) {
          if (chunked) throw malformed('Transfer-Encoding is there twice')
          if (!equalsIgnoringCase(fields[at + 1] as string, 'chunked')) {
            throw malformed('Transfer-Encoding may only be chunked')
          }
          if (minor === 0) throw malformed('Transfer-Encoding does not exist in HTTP/1.0')
          chunked = true
        }
        break
    }
  }
  if (hosts > 1) throw malformed('Host is there twice')
  if (hosts === 0 && minor > 0) throw malformed('Host is missing')
  if (chunked && length >= 0) throw malformed('Content-Length and Transfer-Encoding exclude each other')
  const question = target.indexOf('?')
  return {
    method,
    target,
    path: question < 0 ? target : target.slice(0, question),
    query: question < 0 ? '' : target.slice(question),
    fields,
    bodyBytes: chunked ? -1 : length < 0 ? 0 : length,
    expectsContinue
  }
}

/**
 * The value of a field that may stand once; `undefined` when it is not there.
 *
 * @param name lower case
 * @throws ERR_HTTP_SYNTAX when it is there twice
 */
export function onlyField(fields: readonly string[], name: string): string | undefined {
  let value: string | undefined
  for (let at = 0; at < fields.length; at += 2) {
    const candidate = fields[at] as string
    if (candidate.length === name.length && equalsIgnoringCase(candidate, name)) {
      if (value !== undefined) throw malformed(`${name} is there twice`)
      value = fields[at + 1] as string
    }
  }
  return value
}

/** Compares ASCII text with a lower-case constant of the same length. */
export function equalsIgnoringCase(text: string, lower: string): boolean {
  if (text.length !== lower.length) return false
  for (let at = 0; at < text.length; at++) {
    let code = text.charCodeAt(at)
    if (code >= UPPER_A && code <= UPPER_Z) code |= 0x20
    if (code !== lower.charCodeAt(at)) return false
  }
  return true
}

/** RFC 9112, 3.2.2: a server takes absolute-form too. */
function originForm(target: string): string {
  const scheme = /^https?:\/\/[^/?#]*/i.exec(target)
  if (scheme === null) throw malformed('The request target is no path')
  const rest = target.slice(scheme[0].length)
  return rest.charCodeAt(0) === SLASH ? rest : `/${rest}`
}

/** Digits, and no more than a number holds exactly. */
function exactLength(text: string): number {
  let length = text.length > 0 && text.length <= 16 ? 0 : -1
  for (let at = 0; at < text.length && length >= 0; at++) {
    const digit = text.charCodeAt(at) - ZERO
    length = digit >= 0 && digit <= 9 ? length * 10 + digit : -1
  }
  if (length < 0 || !Number.isSafeInteger(length)) throw malformed('Content-Length is no length')
  return length
}

/** The one that was found good last is not looked at again: a connection's requests have one string for all. */
function requireHost(host: string): void {
  if (host === lastHost) return
  if (!HOST.test(host)) throw malformed('Host is no host')
  lastHost = internalized(host)
}

let lastHost = ''

function malformed(what: string): SluiceError {
  return new SluiceError('ERR_HTTP_SYNTAX', what)
}

/** RFC 9112, 3.2 with RFC 3986, 3.2.2: a name, an address or nothing, and a port. */
const HOST = /^(?:[\w.~!$&'()*+,;=%-]*|\[[\w.:~!$&'()*+,;=%-]+\])(?::\d*)?$/
const SLASH = 0x2f
const ZERO = 0x30
const UPPER_A = 0x41
const UPPER_Z = 0x5a
