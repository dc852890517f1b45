/**
 * The response parser alone: one whole response in one chunk, as a read hands it over. Beside it what the same costs with
 * a latin1 slice of the buffer for each name and value instead of one for the head.
 */
import { type ResponseSink, ResponseParser } from '../../../lib/egress/response-parser.ts'
import { type MicroCase, micro } from '../../kit/micro.ts'

const FIELDS = [
  'Server: nginx/1.25.3',
  'Date: Tue, 15 Nov 2022 08:12:31 GMT',
  'Content-Type: application/json; charset=utf-8',
  'Connection: keep-alive',
  'X-Request-Id: 5f8e8c0e-3c1f-4b52-9a4e-6a0b3f0d9a11',
  'Strict-Transport-Security: max-age=31536000; includeSubDomains',
  'Cache-Control: no-store',
  'Vary: Accept-Encoding',
  'X-Frame-Options: DENY'
]
const BODY = JSON.stringify({ id: 'ch_1', amount: 1999, currency: 'eur', note: 'x'.repeat(960) })

/** Counts what it is told. */
class Counter implements ResponseSink {
  fields = 0
  bytes = 0
  ends = 0

  informational(): void {}

  head(_status: number, _reason: string, rawHeaders: string[]): void {
    this.fields += rawHeaders.length / 2
  }

  body(_chunk: Buffer, start: number, end: number): void {
    this.bytes += end - start
  }

  end(): void {
    this.ends++
  }
}

function parsed(name: string, text: string, fields: number, bytes: number): MicroCase {
  const chunk = Buffer.from(text, 'latin1')
  const counter = new Counter()
  const parser = new ResponseParser(counter)
  const run = (): number => {
    parser.begin('POST')
    parser.write(chunk, 0, chunk.length)
    return counter.ends
  }
  const check = (): void => {
    run()
    const right = counter.ends === 1 && counter.fields === fields && counter.bytes === bytes && parser.fault === null
    if (!right) throw new Error(`${name}: ${parser.fault}`)
  }
  return { name, run, check, bytes: chunk.length }
}

function sliced(name: string, text: string, against: string): MicroCase {
  const chunk = Buffer.from(text, 'latin1')
  const run = (): number => {
    const raw: string[] = []
    for (let at = chunk.indexOf(10) + 1; chunk[at] !== 13; ) {
      const colon = chunk.indexOf(58, at)
      const end = chunk.indexOf(13, colon)
      raw.push(chunk.toString('latin1', at, colon), chunk.toString('latin1', colon + 2, end))
      at = end + 2
    }
    return raw.length
  }
  return { name, run, against }
}

const head = (framing: string): string => `HTTP/1.1 200 OK\r\n${FIELDS.join('\r\n')}\r\n${framing}\r\n\r\n`
const small = `${head(`Content-Length: ${BODY.length}`)}${BODY}`
const chunked = `${head('Transfer-Encoding: chunked')}${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`
const many = `${head('Transfer-Encoding: chunked')}${'10\r\n0123456789abcdef\r\n'.repeat(64)}0\r\n\r\n`

micro('micro/egress/response-parser', [
  parsed('ten fields, 1 KiB of known length', small, 10, BODY.length),
  parsed('ten fields, 1 KiB in one chunk', chunked, 10, BODY.length),
  parsed('ten fields, 1 KiB in 64 chunks', many, 10, 1024),
  parsed('one field, no body', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 1, 0),
  sliced('a slice for each name and value, no checks', small, 'ten fields, 1 KiB of known length')
])
