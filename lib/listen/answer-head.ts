import { STATUS_CODES } from 'node:http'
import { SluiceError } from '../errors.ts'

/* Hot: per answer. */

/**
 * The head of an answer, latin1, up to and with the empty line. `Date` is added unless it is among the fields. Throws
 * ERR_INTERNAL for text that would not stay in its field: this is the last place where it could still be seen.
 *
 * @param reason null: the usual one
 * @param fields flat: name, value, …
 * @param framing whole lines, each with CRLF
 */
export function answerHead(status: number, reason: string | null, fields: readonly string[], framing: string): string {
  if (reason !== null) requireFieldText(reason)
  let head = reason === null ? statusLine(status) : `HTTP/1.1 ${status} ${reason}\r\n`
  let dated = false
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    const value = fields[at + 1] as string
    requireFieldText(name)
    requireFieldText(value)
    if (name.length === 4 && (name === 'Date' || name === 'date' || name.toLowerCase() === 'date')) dated = true
    head += `${name}: ${value}\r\n`
  }
  if (!dated) head += dateLine()
  return `${head}${framing}\r\n`
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
  for (let at = 0; at < fields.length; at += 2) {
    requireFieldText(fields[at] as string)
    requireFieldText(fields[at + 1] as string)
    head += `${fields[at]}: ${fields[at + 1]}\r\n`
  }
  return `${head}\r\n`
}

/** The end of a chunked body. RFC 9112, 7.1.2. */
export function trailerSection(trailers: readonly string[]): string {
  let text = '0\r\n'
  for (let at = 0; at < trailers.length; at += 2) {
    requireFieldText(trailers[at] as string)
    requireFieldText(trailers[at + 1] as string)
    text += `${trailers[at]}: ${trailers[at + 1]}\r\n`
  }
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

/** Neither CR, LF nor another control byte; NOTE: nor code units over 0xff, of which latin1 would keep the low byte. */
function requireFieldText(text: string): void {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff) {
      throw new SluiceError('ERR_INTERNAL', 'A response field holds a character that no field may hold')
    }
  }
}

/** RFC 9110, 6.6.1; made once a second. */
function dateLine(): string {
  const second = Math.floor(Date.now() / 1000)
  if (second !== dateSecond) {
    dateSecond = second
    dateText = `Date: ${new Date(second * 1000).toUTCString()}\r\n`
  }
  return dateText
}

let dateSecond = -1
let dateText = ''

/** :: status → its line; statuses are three digits, so it stays small */
const STATUS_LINES = new Map<number, string>()
