/** The head of an answer with a destination's fields, and a small answer in one piece. */
import assert from 'node:assert/strict'
import { answerHead, wholeAnswer } from '../../../lib/listen/answer-head.ts'
import { micro } from '../../kit/micro.ts'

const fields = [
  'Content-Type',
  'application/json; charset=utf-8',
  'Date',
  'Tue, 15 Nov 1994 08:12:31 GMT',
  'Server',
  'nginx',
  'Cache-Control',
  'no-store',
  'X-Request-Id',
  '01234567-89ab-cdef-0123-456789abcdef',
  'Strict-Transport-Security',
  'max-age=31536000; includeSubDomains',
  'Vary',
  'Accept-Encoding',
  'bt-trace-id',
  '0123456789abcdef0123456789abcdef',
  'Sluice-Trace-Id',
  '0123456789abcdef0123456789abcdef',
  'BT-PROXY-DESTINATION-STATUS',
  '200'
]
const framing = 'Content-Length: 65\r\nConnection: keep-alive\r\nKeep-Alive: timeout=65\r\n'
const body = Buffer.alloc(65, '{')
const text = answerHead(200, 'OK', fields, framing)

micro('micro/listen/answer-head', [
  {
    name: '10 fields',
    run: () => answerHead(200, 'OK', fields, framing).length,
    check: () => {
      assert.ok(text.startsWith('HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nDate: Tue, 15'))
      assert.ok(text.endsWith(`BT-PROXY-DESTINATION-STATUS: 200\r\n${framing}\r\n`))
    }
  },
  {
    name: '10 fields and 65 bytes, in one piece',
    run: () => wholeAnswer(200, fields, body, 'Connection: keep-alive\r\n', false),
    check: () => {
      const whole = wholeAnswer(200, fields, body, 'Connection: keep-alive\r\n', false).toString('latin1')
      assert.ok(whole.endsWith(`Content-Length: 65\r\nConnection: keep-alive\r\n\r\n${body.toString()}`))
    }
  }
])
