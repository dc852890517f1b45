import { SluiceError } from '../errors.ts'
import { internalized } from '../json.ts'

export interface MediaType {
  /** Lower case: `application/json`. Empty when none is declared. */
  readonly essence: string
  /** Lower case; undefined when not declared. */
  readonly charset: string | undefined
  /** As written. */
  readonly boundary: string | undefined
  /** Its bytes are no text: they pass untouched unless the caller names a pair of delimiters. */
  readonly isBinary: boolean
}

/**
 * Reads a Content-Type field value (RFC 9110, 8.3.1). Types that are no media types are taken as they are.
 *
 * @throws ERR_CONTENT_TYPE for a list of types, for a parameter that is given twice with different values, and for one
 *   that does not parse where it matters
 */
export function parseMediaType(value: string | undefined): MediaType {
  if (value === undefined) return NONE
  if (value === lastValue) return last
  if (value.length > KEPT_LENGTH) return readMediaType(value)
  const own = internalized(value)
  const read = readMediaType(own)
  lastValue = own
  last = read
  return read
}

function readMediaType(value: string): MediaType {
  let at = value.indexOf(';')
  const essence = (at < 0 ? value : value.slice(0, at)).trim().toLowerCase()
  if (essence.includes(',')) throw fault('The Content-Type is a list')
  let charset: string | undefined
  let boundary: string | undefined
  while (at >= 0 && at < value.length) {
    PARAMETER.lastIndex = at
    const match = PARAMETER.exec(value)
    if (match === null) throw fault('The Content-Type has a parameter that does not parse')
    at += match[0].length
    const name = (match[1] ?? '').toLowerCase()
    const text = match[3] ?? (match[2] ?? '').replace(/\\(.)/gs, '$1')
    if (name === 'charset') charset = once(charset, text.toLowerCase(), name)
    else if (name === 'boundary') boundary = once(boundary, text, name)
  }
  return { essence, charset, boundary, isBinary: isBinaryEssence(essence) }
}

/** The same of a type that may not parse, by what stands before its parameters. */
export function isBinaryType(value: string | undefined): boolean {
  if (value === undefined) return false
  if (value === lastValue) return last.isBinary
  const at = value.indexOf(';')
  return isBinaryEssence((at < 0 ? value : value.slice(0, at)).trim().toLowerCase())
}

function isBinaryEssence(essence: string): boolean {
  return BINARY_FAMILY.test(essence) || BINARY_TYPES.has(essence)
}

function once(before: string | undefined, value: string, name: string): string {
  if (before !== undefined && before !== value) throw fault(`The Content-Type has more than one ${name}`)
  return value
}

function fault(message: string): SluiceError {
  return new SluiceError('ERR_CONTENT_TYPE', message)
}

/** The one that was read last, again and again the same. */
let lastValue = ''
const KEPT_LENGTH = 100

const NONE: MediaType = { essence: '', charset: undefined, boundary: undefined, isBinary: false }
let last = NONE
const BINARY_FAMILY = /^(?:image|audio|video|font)\//
const BINARY_TYPES = new Set(['application/pdf', 'application/zip', 'application/octet-stream'])
/** `; name=token` or `; name="quoted"` or an empty `;`, with the white space that follows. */
const PARAMETER = /;[ \t]*(?:([^\s=;,"]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))[ \t]*)?(?=;|$)/sy
