import { SluiceError } from '../errors.ts'
import {
  decodableOf,
  endToEndFields,
  FIELD_ACCEPT_ENCODING,
  FIELD_CONTENT_TYPE,
  FIELD_FORWARD,
  fieldLine,
  isOfTheBytes,
  requestField,
  withoutBytes
} from '../plan/headers.ts'
import type { Plan } from '../plan/plan.ts'
import type { Revealed, WholeResponse } from '../plan/transforms.ts'
import type { HeldMessage, ReadyResponse } from './held-response.ts'

/*
 * The way to a transform and back: a head as fields, and fields that somebody made as a head. Framing, Host and what
 * Sluice sets itself are never theirs: they do not see them, and what they give under those names is left out.
 */

/** A request as it leaves, or an answer in the destination's stead. */
export type TransformedRequest =
  | { readonly head: string; readonly body: Buffer | null }
  | { readonly answer: ReadyResponse }

/**
 * What the transforms of a plan make of its request.
 *
 * @param head with all values in it
 * @throws ERR_HTTP_SYNTAX, ERR_HEAD_SIZE, ERR_BODY_SIZE, and what a transform throws
 */
export async function transformRequest(
  { method, bodyBytes, limits, transforms }: Plan,
  head: string,
  body: Buffer,
  revealed: readonly Revealed[]
): Promise<TransformedRequest> {
  if (transforms === null || transforms.request === null) return { head, body }
  const made = await transforms.request({ fields: visibleFields(head), body }, revealed)
  if ('status' in made) return { answer: transformedResponse(made, method, limits.wholeBodyBytes) }
  checkBody(made.body, limits.wholeBodyBytes)
  const isNone = made.body.length === 0 && bodyBytes === 0
  return { head: transformedHead(head, made.fields), body: isNone ? null : made.body }
}

/** What of an outgoing head a transform sees: names and values end to end. */
function visibleFields(head: string): string[] {
  const fields: string[] = []
  for (const line of linesOf(head)) if (isTheirs(line.lower)) fields.push(line.name, line.value)
  return fields
}

/** The head with `fields` in the stead of those. Throws ERR_HTTP_SYNTAX, ERR_HEAD_SIZE. */
function transformedHead(head: string, fields: readonly string[]): string {
  const [requestLine = '', host = ''] = head.split('\r\n', 2)
  let lines = ''
  for (let at = 0; at < fields.length; at += 2) {
    const [name, value] = checked(fields[at], fields[at + 1])
    if (isTheirs(name.toLowerCase())) lines += fieldLine(name, value)
  }
  checkSize(lines)
  for (const { lower, name, value } of linesOf(head)) if (!isTheirs(lower)) lines += fieldLine(name, value)
  return `${requestLine}\r\n${host}\r\n${lines}`
}

/** A head that asks for what can be read whole: in codings that can be undone, and all of it. */
export function headForWholeResponse(head: string): string {
  const [requestLine = '', host = ''] = head.split('\r\n', 2)
  let lines = ''
  let accepted = ''
  for (const { lower, name, value } of linesOf(head)) {
    if (lower === 'accept-encoding') accepted = decodableOf(value) || accepted
    else if (lower !== 'range' && lower !== 'if-range') lines += fieldLine(name, value)
  }
  return `${requestLine}\r\n${host}\r\n${lines}${fieldLine('Accept-Encoding', accepted || 'identity')}`
}

/** A response for the response's transforms. Throws ERR_DESTINATION_RESPONSE for a part of one. */
export function wholeResponse({ status, reason, fields, body }: HeldMessage, method: string): WholeResponse {
  if (status === 206) throw new SluiceError('ERR_DESTINATION_RESPONSE', 'A part of a response cannot be transformed')
  return { status, reason, fields: withoutBytes(fields), body, isBodiless: method === 'HEAD' || isBodiless(status) }
}

/**
 * What a transform made, as it may go to the client.
 *
 * @param method of the client's request
 * @throws ERR_HTTP_SYNTAX, ERR_HEAD_SIZE, ERR_BODY_SIZE
 */
export function transformedResponse(made: WholeResponse, method: string, wholeBodyBytes: number): ReadyResponse {
  const { status, reason } = made
  if (!Number.isInteger(status) || status < 200 || status > 599) throw badStatus()
  const fields: string[] = []
  for (let at = 0; at < made.fields.length; at += 2) {
    const [name, value] = checked(made.fields[at], made.fields[at + 1])
    if (!isOfTheBytes(name.toLowerCase())) fields.push(name, value)
  }
  checkSize(fields.join(''))
  checkBody(made.body, wholeBodyBytes)
  const body = method === 'HEAD' || isBodiless(status) ? EMPTY : made.body
  return { status, reason, fields: endToEndFields(fields, false), body, captured: 0, scrubbed: 0 }
}

function checkBody(body: Buffer, wholeBodyBytes: number): void {
  if (body.length <= wholeBodyBytes) return
  throw new SluiceError(
    'ERR_BODY_SIZE',
    `What a transform made is over ${wholeBodyBytes} bytes (limits.wholeBodyBytes)`
  )
}

interface Line {
  readonly name: string
  readonly lower: string
  readonly value: string
}

/** The field lines of a head, behind its request line and Host. */
function* linesOf(head: string): Generator<Line> {
  let at = head.indexOf('\r\n', head.indexOf('\r\n') + 2) + 2
  while (at < head.length) {
    const end = head.indexOf('\r\n', at)
    const colon = head.indexOf(':', at)
    const name = head.slice(at, colon)
    yield { name, lower: name.toLowerCase(), value: head.slice(colon + 1, end).trim() }
    at = end + 2
  }
}

/** May a transform see and set it? */
function isTheirs(lower: string): boolean {
  const kind = requestField(lower)
  return kind === FIELD_FORWARD || kind === FIELD_CONTENT_TYPE || kind === FIELD_ACCEPT_ENCODING
}

function checked(name: string | undefined, value: string | undefined): [name: string, value: string] {
  if (name === undefined || value === undefined || !TOKEN.test(name)) {
    throw new SluiceError('ERR_HTTP_SYNTAX', 'A transform made a header whose name is none')
  }
  for (let at = 0; at < value.length; at++) {
    const code = value.charCodeAt(at)
    if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff) {
      throw new SluiceError('ERR_HTTP_SYNTAX', `A transform made a value for ${name} that a header cannot hold`)
    }
  }
  return [name, value]
}

function checkSize(text: string): void {
  if (text.length <= FIELD_BYTES) return
  throw new SluiceError('ERR_HEAD_SIZE', `The headers that a transform made are over ${FIELD_BYTES} bytes`)
}

const badStatus = () => new SluiceError('ERR_HTTP_SYNTAX', 'A transform made a status that is none of 200 to 599')
const isBodiless = (status: number): boolean => status === 204 || status === 205 || status === 304

/** RFC 9110, 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const FIELD_BYTES = 65_536
const EMPTY = Buffer.alloc(0)
