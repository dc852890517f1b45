import t from 'tap'
import { DEFAULT_LIMITS } from '../../lib/egress/response-parser.ts'
import { type Outcome, parseResponse } from '../kit/response.ts'

const parse = (text: string, method = 'GET', cuts: readonly number[] = []): Outcome =>
  parseResponse(Buffer.from(text, 'latin1'), method, cuts)

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`

t.test('accepts, at every two-way split and byte by byte', async (t) => {
  const rows: readonly (readonly [string, Partial<Outcome>, string?])[] = [
    [
      `${OK}Content-Length: 2\r\n\r\nhi`,
      { status: 200, reason: 'OK', rawHeaders: ['Content-Length', '2'], body: 'hi' }
    ],
    [`${OK}Content-Length: 0\r\n\r\n`, { body: '' }],
    [`${OK}content-length:0002  \r\n\r\nhi`, { rawHeaders: ['content-length', '0002'], body: 'hi' }],
    ['HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n', { reason: '' }],
    ['HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', { reason: '' }],
    ['HTTP/1.1 999 \tA  b\xe9 \r\nContent-Length: 0\r\n\r\n', { status: 999, reason: '\tA  b\xe9 ' }],
    [
      `${OK}A:\r\nB: \t \r\nC:\tx y\t\r\nD: \xff:"\r\n\r\nrest`,
      { rawHeaders: ['A', '', 'B', '', 'C', 'x y', 'D', '\xff:"'], body: 'rest' }
    ],
    [`${OK}!#$%&'*+-.^_\`|~09azAZ: x\r\n\r\n`, { rawHeaders: ["!#$%&'*+-.^_`|~09azAZ", 'x'] }],
    [`${OK}\r\n`, { body: '', rawHeaders: [] }],
    ['HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na', { body: 'a' }],
    [`${CHUNKED}0\r\n\r\n`, { body: '', rawTrailers: [] }],
    [`${CHUNKED}3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n`, { body: 'abc0123456789' }],
    [`${CHUNKED}0003;a;b=c;d="e;\\"\r\nabc\r\n000\r\n\r\n`.replace('\\"\r', '\\"f"\r'), { body: 'abc' }],
    [`${CHUNKED}1\r\na\r\n0\r\nX: 1\r\nY:\r\n\r\n`, { body: 'a', rawTrailers: ['X', '1', 'Y', ''] }],
    [
      `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\n${OK}Content-Length: 1\r\n\r\na`,
      { informational: [103], body: 'a' }
    ],
    ['HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n', { status: 204, body: '' }],
    ['HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', { status: 304, body: '' }],
    [`${OK}Content-Length: 5\r\n\r\n`, { body: '' }, 'HEAD'],
    [CHUNKED, { body: '' }, 'HEAD']
  ]
  for (const [text, expected, method = 'GET'] of rows) {
    const whole = parse(text, method)
    t.match(whole, { fault: null, ...expected }, JSON.stringify(text))
    for (let cut = 0; cut <= text.length; cut++) t.same(parse(text, method, [cut]), whole)
    t.same(
      parse(
        text,
        method,
        Array.from({ length: text.length }, (_, i) => i)
      ),
      whole
    )
  }
})

t.test('refuses, whole and byte by byte', async (t) => {
  const rows: readonly (readonly [string, string, string?])[] = [
    // Status line
    ['', 'none came'],
    ['SSH-2.0-OpenSSH\r\n', 'malformed status line'],
    ['\r\nHTTP/1.1 200 OK\r\n\r\n', 'malformed status line'],
    ['http/1.1 200 OK\r\n\r\n', 'malformed status line'],
    ['HTTP/2.0 200 OK\r\n\r\n', 'malformed status line'],
    ['HTTP/1.2 200 OK\r\n\r\n', 'unsupported version'],
    ['HTTP/1.11 200 OK\r\n\r\n', 'malformed status line'],
    ['HTTP/1.1  200 OK\r\n\r\n', 'malformed status code'],
    ['HTTP/1.1 099 OK\r\n\r\n', 'malformed status code'],
    ['HTTP/1.1 20 OK\r\n\r\n', 'malformed status code'],
    ['HTTP/1.1 2000 OK\r\n\r\n', 'malformed status line'],
    ['HTTP/1.1 200\tOK\r\n\r\n', 'malformed status line'],
    ['HTTP/1.1 200 O\0K\r\n\r\n', 'malformed status line'],
    ['HTTP/1.1 200 OK\n\n', 'malformed status line'],
    ['HTTP/1.1 200 OK\rX: a\r\n\r\n', 'bare CR'],
    // Fields
    [`${OK}A: b\n\n`, 'bare LF'],
    [`${OK}A: b\rC: d\r\n\r\n`, 'bare CR'],
    [`${OK}A: b\r\r\n\r\n`, 'bare CR'],
    [`${OK}A: b\r\n\rC: d\r\n\r\n`, 'bare CR'],
    [`${OK}A: b\r\n c\r\n\r\n`, 'obs-fold'],
    [`${OK}A: b\r\n\tc\r\n\r\n`, 'obs-fold'],
    [`${OK} A: b\r\n\r\n`, 'obs-fold'],
    [`${OK}A : b\r\n\r\n`, 'malformed field name'],
    [`${OK}: b\r\n\r\n`, 'malformed field name'],
    [`${OK}A\r\n\r\n`, 'malformed field name'],
    [`${OK}A\xe9: b\r\n\r\n`, 'malformed field name'],
    [`${OK}A(: b\r\n\r\n`, 'malformed field name'],
    [`${OK}A: b\0c\r\n\r\n`, 'control byte in a value'],
    [`${OK}A: \x01\r\n\r\n`, 'control byte in a value'],
    [`${OK}A: \x7f\r\n\r\n`, 'control byte in a value'],
    // Length
    [`${OK}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, 'more than one Content-Length'],
    [`${OK}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`, 'more than one Content-Length'],
    [`${OK}Content-Length: 5, 5\r\n\r\nhello`, 'malformed Content-Length'],
    [`${OK}Content-Length: +5\r\n\r\nhello`, 'malformed Content-Length'],
    [`${OK}Content-Length: -5\r\n\r\nhello`, 'malformed Content-Length'],
    [`${OK}Content-Length: 5.\r\n\r\nhello`, 'malformed Content-Length'],
    [`${OK}Content-Length: 0x5\r\n\r\nhello`, 'malformed Content-Length'],
    [`${OK}Content-Length: 1e1\r\n\r\nhello`, 'malformed Content-Length'],
    [`${OK}Content-Length:\r\n\r\nhello`, 'malformed Content-Length'],
    [`${OK}Content-Length: 5 5\r\n\r\nhello`, 'malformed Content-Length'],
    [`${OK}Content-Length: \xb2\r\n\r\nhe`, 'malformed Content-Length'],
    [`${OK}Content-Length: 9007199254740992\r\n\r\n`, 'Content-Length too large'],
    [`${OK}Content-Length: 18446744073709551621\r\n\r\nhello`, 'Content-Length too large'],
    [`${OK}Content-Length: 5\t\r\n\r\nhello`, 'tab behind a framing value'],
    // Coding
    [`${CHUNKED.slice(0, -2)}Content-Length: 5\r\n\r\n0\r\n\r\n`, 'Content-Length with Transfer-Encoding'],
    [`${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 'Content-Length with Transfer-Encoding'],
    [`${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 'transfer coding other than chunked'],
    [`${OK}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`, 'transfer coding other than chunked'],
    [`${OK}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`, 'transfer coding other than chunked'],
    [`${OK}Transfer-Encoding: identity\r\n\r\n`, 'transfer coding other than chunked'],
    [`${OK}Transfer-Encoding: xchunked\r\n\r\n`, 'transfer coding other than chunked'],
    [`${OK}Transfer-Encoding: "chunked"\r\n\r\n`, 'transfer coding other than chunked'],
    [`${OK}Transfer-Encoding:\r\n\r\n`, 'transfer coding other than chunked'],
    [`${OK}Transfer-Encoding: \x0bchunked\r\n\r\n`, 'control byte in a value'],
    [`${OK}Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n`, 'tab behind a framing value'],
    [
      `${OK}Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
      'more than one Transfer-Encoding'
    ],
    ['HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 'Transfer-Encoding in HTTP/1.0'],
    // Chunks
    [`${CHUNKED}\r\n`, 'malformed chunk size'],
    [`${CHUNKED}g\r\n`, 'malformed chunk size'],
    [`${CHUNKED}0x3\r\nabc\r\n`, 'malformed chunk size'],
    [`${CHUNKED}+3\r\nabc\r\n`, 'malformed chunk size'],
    [`${CHUNKED} 3\r\nabc\r\n`, 'malformed chunk size'],
    [`${CHUNKED}3 \r\nabc\r\n`, 'malformed chunk size'],
    [`${CHUNKED}3\nabc\n0\n\n`, 'malformed chunk size'],
    [`${CHUNKED}3\rabc`, 'bare CR'],
    [`${CHUNKED}3\r\nabcd\r\n`, 'chunk longer than its size'],
    [`${CHUNKED}3\r\nabc\n0\r\n\r\n`, 'chunk longer than its size'],
    [`${CHUNKED}3\r\nabc\r0\r\n\r\n`, 'bare CR'],
    [`${CHUNKED}3\r\nabc0\r\n\r\n`, 'chunk longer than its size'],
    [`${CHUNKED}20000000000000\r\n`, 'chunk size too large'],
    [`${CHUNKED}10000000000000003\r\n`, 'chunk size too large'],
    [`${CHUNKED}${'0'.repeat(17)}`, 'chunk size too large'],
    [`${CHUNKED}3;\r\n`, 'malformed chunk extension'],
    [`${CHUNKED}3;a b\r\n`, 'malformed chunk extension'],
    [`${CHUNKED}3;a=\r\n`, 'malformed chunk extension'],
    [`${CHUNKED}3;a="b\r\n`, 'malformed chunk extension'],
    [`${CHUNKED}3;a="b"c\r\n`, 'malformed chunk extension'],
    [`${CHUNKED}3;a\nabc\r\n`, 'malformed chunk extension'],
    [`${CHUNKED}3;a="\0"\r\n`, 'malformed chunk extension'],
    [`${CHUNKED}0\r\n A: b\r\n\r\n`, 'obs-fold'],
    [`${CHUNKED}0\r\nA: b\n\n`, 'bare LF'],
    [`${CHUNKED}0\r\nContent-Length: 3\r\n\r\n`, 'framing in a trailer'],
    [`${CHUNKED}0\r\nTransfer-Encoding: chunked\r\n\r\n`, 'framing in a trailer'],
    // 1xx
    ['HTTP/1.1 101 Switching Protocols\r\n\r\n', 'switched protocols'],
    ['HTTP/1.1 103 E\r\nContent-Length: 5\r\n\r\n', 'body in a 1xx'],
    ['HTTP/1.1 103 E\r\nTransfer-Encoding: chunked\r\n\r\n', 'body in a 1xx'],
    ['HTTP/1.0 100 Continue\r\n\r\n', '1xx that closes'],
    ['HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n', '1xx that closes'],
    ['HTTP/1.1 100 Continue\r\n\r\n'.repeat(33), 'too many 1xx'],
    // Ends
    [`${OK}Content-Length: 2\r\n\r\na`, 'cut short'],
    [`${OK}Content-Len`, 'cut short'],
    [`${CHUNKED}3\r\nab`, 'cut short'],
    [`${CHUNKED}3\r\nabc\r\n`, 'cut short'],
    [`${CHUNKED}0\r\n`, 'cut short'],
    [`${CHUNKED}0\r\nA: b\r\n`, 'cut short'],
    ['HTTP/1.1 100 Continue\r\n\r\n', 'cut short']
  ]
  for (const [text, fault, method = 'GET'] of rows) {
    t.equal(parse(text, method).fault, fault, JSON.stringify(text.slice(0, 80)))
    const single = parse(
      text,
      method,
      Array.from({ length: text.length }, (_, i) => i)
    )
    t.not(single.fault, null, 'byte by byte')
    t.equal(single.body.length <= parse(text, method).body.length, true)
  }
})

t.test('bytes behind the end are refused with the response when they come with it', async (t) => {
  for (const [text, method] of [
    [`${OK}Content-Length: 2\r\n\r\nhi!`, 'GET'],
    [`${OK}Content-Length: 0\r\n\r\n\r\n`, 'GET'],
    [`${OK}Content-Length: 2\r\n\r\nhi`, 'HEAD'],
    ['HTTP/1.1 204 N\r\n\r\nx', 'GET'],
    ['HTTP/1.1 304 N\r\n\r\nx', 'GET'],
    [`${CHUNKED}0\r\n\r\nx`, 'GET'],
    [`${CHUNKED}0\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n`, 'GET']
  ] as const) {
    const outcome = parse(text, method)
    t.equal(outcome.fault, 'bytes after the end', JSON.stringify(text))
    if (!text.startsWith(CHUNKED)) t.equal(outcome.status, 0, 'nothing of it is told')
  }
})

t.test('limits', async (t) => {
  const limits = { ...DEFAULT_LIMITS, headBytes: 1000, fields: 10, extensionBytes: 20 }
  const fault = (text: string, cuts: readonly number[] = []) =>
    parseResponse(Buffer.from(text, 'latin1'), 'GET', cuts, limits).fault
  const head = (bytes: number) => `${OK}A: ${'a'.repeat(bytes - OK.length - 7)}\r\n\r\n`
  t.equal(head(1000).length, 1000)
  for (const cuts of [[], [500], [999], Array.from({ length: 999 }, (_, i) => i)]) {
    t.equal(fault(head(1000), cuts), null, 'a head of just the limit')
    t.equal(fault(head(1001), cuts), 'section too large', 'a byte more')
    t.equal(fault(head(3000).slice(0, -4), cuts), 'section too large', 'without an end')
  }
  t.equal(fault(`${OK}${'A: b\r\n'.repeat(10)}\r\n`), null)
  t.equal(fault(`${OK}${'A: b\r\n'.repeat(11)}\r\n`), 'too many fields')
  t.equal(fault(`${CHUNKED}0\r\n${'A: b\r\n'.repeat(11)}\r\n`), 'too many fields')
  t.equal(fault(`${CHUNKED}0\r\nA: ${'b'.repeat(1000)}\r\n\r\n`), 'section too large')
  t.equal(fault(`${CHUNKED}0;${'a'.repeat(18)}\r\n\r\n`), null)
  t.equal(fault(`${CHUNKED}0;${'a'.repeat(20)}\r\n\r\n`), 'chunk extensions too long')
  t.equal(fault(`${CHUNKED}1;aaaaaaaaa\r\na\r\n`.concat('1;aaaaaaaaaaa\r\nb\r\n')), 'chunk extensions too long')
})

t.test('a trickled head is looked at once: no quadratic work', async (t) => {
  const text = `${OK}${'A: b\r\n'.repeat(900)}B: ${'b'.repeat(50_000)}\r\n\r\n`
  const cuts = Array.from({ length: text.length }, (_, i) => i)
  const begun = process.hrtime.bigint()
  t.equal(parse(text, 'GET', cuts).fault, null)
  t.ok(Number(process.hrtime.bigint() - begun) / 1e6 < 2000)
})
