import { Buffer } from 'node:buffer'
import { STATUS_CODES } from 'node:http'
import { SluiceError } from '../errors.ts'
import type { FieldLines } from '../known-lines.ts'

/* Hot: per answer. */

/**
 * The head of an answer, latin1, up to and with the empty line. `Date` is added unless it is among the fields. Throws
 * ERR_INTERNAL for text that would not stay in its field: this is the last place where it could still be seen.
 *
 * @param reason null: the usual one
 * @param fields flat: name, value, …
 * @param framing whole lines, each with CRLF
 * @param kept lines of answers before this one on the connection
 */
export function answerHead(
  status: number,
  reason: string | null,
  fields: readonly string[],
  framing: string,
  kept: FieldLines | null = null
): string {
  let head = statusLine(status)
  if (reason !== null && reason !== STATUS_CODES[status]) {
    if (ODD.test(reason)) throw oddField()
    head = `HTTP/1.1 ${status} ${reason}\r\n`
  }
  let wanted = false
  let dated = false
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    const value = fields[at + 1] as string
    if (name.length === 4 && (name === 'Date' || name === 'date' || name.toLowerCase() === 'date')) dated = true
    let line = kept === null ? '' : kept.known(at >> 1, name, value)
    if (line === '') {
      line = `${name}: ${value}\r\n`
      if (kept !== null) {
        // A name that is known is one that was looked at.
        if (ODD.test(value) || (!kept.knowsName(at >> 1, name) && ODD.test(name))) throw oddField()
        if (kept.wants(at >> 1)) wanted = true
      }
    }
    head += line
  }
  if (kept === null) requireLines(head, 1 + fields.length / 2)
  else if (wanted) keepLines(kept, fields)
  if (!dated) head += dateLine()
  return `${head}${framing}\r\n`
}

function keepLines(kept: FieldLines, fields: readonly string[]): void {
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    const value = fields[at + 1] as string
    if (kept.wants(at >> 1)) kept.keep(at >> 1, name, value, `${name}: ${value}\r\n`)
  }
}

/**
 * A complete answer, latin1 when it is a string: head and body in one piece, to go out in one write.
 *
 * @param persistence whole lines, each with CRLF
 * @param bodiless an answer to HEAD: its length is told, its body is not sent
 */
export function wholeAnswer(
  status: number,
  fields: readonly string[],
  body: Uint8Array | string | null,
  persistence: string,
  bodiless: boolean
): Buffer | string {
  const length = body === null ? 0 : typeof body === 'string' ? Buffer.byteLength(body) : body.length
  const framed = mayHaveBody(status)
  const head = answerHead(status, null, fields, framed ? `Content-Length: ${length}\r\n${persistence}` : persistence)
  if (body === null || length === 0 || bodiless || !framed) return head
  const bytes = Buffer.allocUnsafe(head.length + length)
  bytes.write(head, 0, 'latin1')
  if (typeof body === 'string') bytes.write(body, head.length, 'utf8')
  else bytes.set(body, head.length)
  return bytes
}

/** The lines of an interim response (1xx), which has neither date nor framing. */
export function interimHead(status: number, fields: readonly string[]): string {
  let head = statusLine(status)
  for (let at = 0; at < fields.length; at += 2) head += `${fields[at]}: ${fields[at + 1]}\r\n`
  requireLines(head, 1 + fields.length / 2)
  return `${head}\r\n`
}

/** The end of a chunked body. RFC 9112, 7.1.2. */
export function trailerSection(trailers: readonly string[]): string {
  let text = '0\r\n'
  for (let at = 0; at < trailers.length; at += 2) text += `${trailers[at]}: ${trailers[at + 1]}\r\n`
  requireLines(text, 1 + trailers.length / 2)
  return `${text}\r\n`
}

/** 1xx, 204 and 304 carry no framing of ours. RFC 9110, 8.6. */
export function mayHaveBody(status: number): boolean {
  return status !== 204 && status !== 304 && status >= 200
}

function statusLine(status: number): string {
  let line = STATUS_LINES.get(status)
  if (line === undefined) {
    line = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`
    STATUS_LINES.set(status, line)
  }
  return line
}

/**
 * No CR, LF or NUL but those that end the lines, and no code units over 0xff, of which latin1 would keep the low byte.
 * NOTE: counted over the whole text. Fields are cut out of heads, and such strings are slow to walk one by one: 7 k
 * instructions for a small answer, against 1.
 */
function requireLines(text: string, lines: number): void {
  if (count(text, '\n') !== lines || count(text, '\r') !== lines || text.includes('\0') || NOT_LATIN1.test(text)) {
    throw oddField()
  }
}

function count(text: string, character: string): number {
  let found = 0
  for (let at = text.indexOf(character); at >= 0; at = text.indexOf(character, at + 1)) found++
  return found
}

const oddField = () => new SluiceError('ERR_INTERNAL', 'A response field holds a character that no field may hold')

/** RFC 9110, 6.6.1; made once a second. */
function dateLine(): string {
  const second = Math.floor(Date.now() / 1000)
  if (second !== dateSecond) {
    dateSecond = second
    dateText = `Date: ${new Date(second * 1000).toUTCString()}\r\n`
  }
  return dateText
}

const NOT_LATIN1 = /[\u0100-\uffff]/
/** What would end a line or a text, and code units of which latin1 would keep the low byte. */
// oxlint-disable-next-line no-control-regex
const ODD = /[\r\n\0\u0100-\uffff]/

let dateSecond = -1
let dateText = ''

/** :: status → its line; statuses are three digits, so it stays small */
const STATUS_LINES = new Map<number, string>()
