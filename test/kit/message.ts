/**
 * A small reader of HTTP/1.1 messages for tests, written from RFC 9112 and independent of what it tests. It is strict:
 * whatever is not exactly one well-formed message throws.
 */

/** One message as it stood on the wire. */
export interface RawMessage {
  /** The request or status line, without CRLF. */
  readonly startLine: string
  /** Names and values alternating, as sent. */
  readonly rawHeaders: readonly string[]
  /** With the framing taken off. */
  readonly body: Buffer
  readonly trailers: readonly string[]
  readonly framing: 'none' | 'length' | 'chunked' | 'close'
  /** Sizes of the chunks, when chunked. */
  readonly chunks: readonly number[]
  /** Every byte of the message. */
  readonly raw: Buffer
  /** The only field of that name (any case), undefined without one; throws when there are several. */
  header(name: string): string | undefined
  /** All values of the fields of that name. */
  headers(name: string): string[]
}

/** A response: `RawMessage` with its status. */
export interface RawResponse extends RawMessage {
  readonly status: number
}

/** A request: `RawMessage` with its method and target. */
export interface RawRequest extends RawMessage {
  readonly method: string
  readonly target: string
}

/** What tells whether a message has a body. */
export interface ReadContext {
  readonly kind: 'request' | 'response'
  /** The bytes end here: a response without a length is complete. */
  readonly ended: boolean
  /** For a response: the method of its request. */
  readonly method?: string
}

/** Reads the message at the front of `bytes`, or null while it is incomplete. Throws when it is malformed. */
function readMessage(bytes: Buffer, context: ReadContext): RawMessage | null {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return null
  const lines = bytes.toString('latin1', 0, headEnd).split('\r\n')
  const startLine = lines[0] ?? ''
  const rawHeaders = readFields(lines.slice(1))
  const values = (name: string) => valuesOf(rawHeaders, name)
  const start = headEnd + 4
  const framed = readBody(bytes, start, framingOf(context, startLine, values), context.ended)
  if (framed === null) return null
  return {
    startLine,
    rawHeaders,
    body: framed.body,
    trailers: framed.trailers,
    framing: framed.framing,
    chunks: framed.chunks,
    raw: bytes.subarray(0, framed.end),
    headers: values,
    header(name) {
      const found = values(name)
      if (found.length > 1) throw new Error(`several ${name} fields`)
      return found[0]
    }
  }
}

/** Reads the request at the front of `bytes`, or null while it is incomplete. */
export function readRequest(bytes: Buffer): RawRequest | null {
  const message = readMessage(bytes, { kind: 'request', ended: false })
  if (message === null) return null
  const parts = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP\/1\.[01]$/.exec(message.startLine)
  if (parts === null) throw new Error(`bad request line ${message.startLine}`)
  return { ...message, method: parts[1] as string, target: parts[2] as string }
}

/** Reads the response at the front of `bytes`, or null while it is incomplete. */
export function readResponse(bytes: Buffer, method: string, ended: boolean): RawResponse | null {
  const message = readMessage(bytes, { kind: 'response', ended, method })
  return message === null ? null : { ...message, status: statusOf(message.startLine) }
}

type Framing = { readonly kind: 'none' | 'chunked' | 'close' } | { readonly kind: 'length'; readonly length: number }

interface FramedBody {
  readonly body: Buffer
  readonly trailers: readonly string[]
  readonly framing: Framing['kind']
  readonly chunks: readonly number[]
  readonly end: number
}

function framingOf(context: ReadContext, startLine: string, values: (name: string) => string[]): Framing {
  const coding = values('transfer-encoding')
  const lengths = values('content-length')
  if (coding.length > 0 && lengths.length > 0) throw new Error('both Transfer-Encoding and Content-Length')
  if (lengths.length > 1) throw new Error('several Content-Length fields')
  const length = lengths[0]
  if (length !== undefined && !/^\d+$/.test(length)) throw new Error(`bad Content-Length ${length}`)
  if (context.kind === 'response') {
    const status = statusOf(startLine)
    if (context.method === 'HEAD' || status < 200 || status === 204 || status === 304) return { kind: 'none' }
  }
  if (coding.length > 0) {
    if (coding.length > 1 || coding[0]?.toLowerCase() !== 'chunked') throw new Error(`bad coding ${coding.join()}`)
    return { kind: 'chunked' }
  }
  if (length !== undefined) return { kind: 'length', length: Number(length) }
  return { kind: context.kind === 'request' ? 'none' : 'close' }
}

function readBody(bytes: Buffer, start: number, framing: Framing, ended: boolean): FramedBody | null {
  const plain = { trailers: [], framing: framing.kind, chunks: [] }
  switch (framing.kind) {
    case 'none':
      return { ...plain, body: Buffer.alloc(0), end: start }
    case 'length': {
      const end = start + framing.length
      return bytes.length < end ? null : { ...plain, body: bytes.subarray(start, end), end }
    }
    case 'close':
      return ended ? { ...plain, body: bytes.subarray(start), end: bytes.length } : null
    case 'chunked':
      return readChunked(bytes, start)
  }
}

function readChunked(bytes: Buffer, start: number): FramedBody | null {
  const pieces: Buffer[] = []
  const chunks: number[] = []
  let at = start
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) return null
    const line = bytes.toString('latin1', at, lineEnd)
    const size = /^([0-9a-fA-F]{1,12})(;.*)?$/.exec(line)
    if (size === null) throw new Error('bad chunk size')
    const length = Number.parseInt(size[1] as string, 16)
    at = lineEnd + 2
    if (length === 0) break
    if (bytes.length < at + length + 2) return null
    if (bytes.toString('latin1', at + length, at + length + 2) !== '\r\n') throw new Error('no CRLF after a chunk')
    pieces.push(bytes.subarray(at, at + length))
    chunks.push(length)
    at += length + 2
  }
  const lines: string[] = []
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) return null
    const line = bytes.toString('latin1', at, lineEnd)
    at = lineEnd + 2
    if (line === '') break
    lines.push(line)
  }
  return { body: Buffer.concat(pieces), trailers: readFields(lines), framing: 'chunked', chunks, end: at }
}

function readFields(lines: readonly string[]): string[] {
  const fields: string[] = []
  for (const line of lines) {
    const field = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line)
    if (field === null || /[\0\r\n]/.test(line)) throw new Error(`bad field line ${JSON.stringify(line)}`)
    fields.push(field[1] as string, field[2] as string)
  }
  return fields
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  const found: string[] = []
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.toLowerCase() === name.toLowerCase()) found.push(rawHeaders[at + 1] as string)
  }
  return found
}

function statusOf(startLine: string): number {
  const parts = /^HTTP\/1\.[01] (\d{3})(?: .*)?$/.exec(startLine)
  if (parts === null) throw new Error(`bad status line ${JSON.stringify(startLine)}`)
  return Number(parts[1])
}
