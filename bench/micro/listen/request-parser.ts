/** The request parser on heads as they come: whole in one read, in two halves, byte by byte; and on a chunked body. */
import assert from 'node:assert/strict'
import type { RequestHead } from '../../../lib/listen/head.ts'
import { RequestParser } from '../../../lib/listen/request-parser.ts'
import { micro } from '../../kit/micro.ts'

const HEAD =
  'POST /proxy/v1/payments?capture=true HTTP/1.1\r\nHost: sluice.example:8443\r\nUser-Agent: payments/4.2 (linux)\r\nAccept: */*\r\n' +
  'Accept-Encoding: gzip, deflate, br\r\nContent-Type: application/json\r\nBT-API-KEY: key_test_us_pvt_0123456789abcdef.0123456789abcdef0123456789\r\n' +
  'BT-PROXY-URL: https://destination.example/v1\r\nX-Request-Id: 01234567-89ab-cdef-0123-456789abcdef\r\n'
const BODY = 'x'.repeat(1024)
const withLength = Buffer.from(`${HEAD}Content-Length: ${BODY.length}\r\n\r\n${BODY}`)
const chunks = `${BODY.length.toString(16)}\r\n${BODY}\r\n`.repeat(16)
const chunked = Buffer.from(`${HEAD}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`)

let bodyBytes = 0
let head: RequestHead | null = null
let requests = 0
const parser = new RequestParser(
  {
    requestHead(given) {
      head = given
    },
    requestBody(_chunk, start, end) {
      bodyBytes += end - start
      return true
    },
    requestComplete() {
      requests++
    }
  },
  65_536
)

function parse(bytes: Buffer, step: number): number {
  for (let from = 0; from < bytes.length; from += step) {
    const end = Math.min(bytes.length, from + step)
    let at = from
    while (at < end) at = parser.write(bytes, at, end)
  }
  return bodyBytes
}

const checked = (bytes: Buffer, step: number, expected: number) => () => {
  const before = [bodyBytes, requests] as const
  parse(bytes, step)
  assert.equal(parser.fault, null)
  assert.equal(bodyBytes - before[0], expected)
  assert.equal(requests - before[1], 1)
  assert.equal(head?.fields.length, 18)
  assert.equal(head.query, '?capture=true')
}

const half = Math.ceil(withLength.length / 2)
micro('micro/listen/request-parser', [
  {
    name: '9 fields, 1 KiB, in one read',
    run: () => parse(withLength, withLength.length),
    bytes: withLength.length,
    check: checked(withLength, withLength.length, 1024)
  },
  {
    name: 'in two',
    run: () => parse(withLength, half),
    bytes: withLength.length,
    check: checked(withLength, half, 1024)
  },
  {
    name: 'byte by byte',
    run: () => parse(withLength, 1),
    bytes: withLength.length,
    check: checked(withLength, 1, 1024)
  },
  {
    name: '16 chunks of 1 KiB',
    run: () => parse(chunked, chunked.length),
    bytes: chunked.length,
    check: checked(chunked, chunked.length, 16 * 1024)
  }
])
