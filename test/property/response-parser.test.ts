/*
 * The response parser beside Node's own client: over generated and mutated responses both give the same, or we refuse
 * for a reason that stands on a list. SLUICE_FUZZ=n runs n times as many.
 */
import { request } from 'node:http'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import t from 'tap'
import { type Outcome, parseResponse as ours, responseReader } from '../kit/response.ts'

/** What we refuse although Node's client accepts it, and why that is right. */
const STRICTER: Readonly<Record<string, string>> = {
  'bytes after the end': 'they would be taken for the answer to the next request',
  'bare CR': 'RFC 9112 section 2.2: Node takes one for the end of the status line',
  'unsupported version': 'RFC 9112 section 2.3: the framing of another major version is not known',
  'malformed status line': 'Node skips empty lines before it; only a server may (RFC 9112 section 2.2)',
  'malformed status code': 'RFC 9110 section 15: three digits, 100 to 999',
  'transfer coding other than chunked': 'Node drops the other coding and hands the body on as if it were plain',
  'more than one Transfer-Encoding': 'as above',
  'Transfer-Encoding in HTTP/1.0': 'RFC 9112 section 6.1: a sign of smuggling',
  'Content-Length with Transfer-Encoding': 'RFC 9112 section 6.3: in a message without body Node does not look',
  'body in a 1xx': 'RFC 9110 sections 6.4.1 and 8.6: it has none',
  'switched protocols': 'no upgrade is ever asked for',
  'Content-Length too large': 'a length that no double holds is not the length that is counted',
  'malformed Content-Length': 'in a message without body Node does not look',
  'chunk size too large': 'as for Content-Length',
  'tab behind a framing value': 'Node takes `chunked` with a tab behind it for no coding, and reads to the end',
  'malformed chunk extension': 'RFC 9112 section 7.1.1: an extension has a name'
}

const RUNS = 1500 * Number(process.env.SLUICE_FUZZ ?? 1)

function nodes(bytes: Buffer, method: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const outcome = {
      informational: [] as number[],
      status: 0,
      reason: '',
      rawHeaders: [] as string[],
      body: '',
      rawTrailers: [] as string[]
    }
    const settle = (fault: string | null) => {
      resolve({ ...outcome, fault })
      socket.destroy()
    }
    const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
    const outgoing = request({ method, host: 'localhost', createConnection: () => socket })
    outgoing.on('information', ({ statusCode }) => {
      if (statusCode !== 100) outcome.informational.push(statusCode)
    })
    outgoing.on('upgrade', () => settle(null))
    outgoing.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? error.message))
    outgoing.on('response', (response) => {
      const pieces: Buffer[] = []
      outcome.status = response.statusCode ?? 0
      outcome.reason = response.statusMessage ?? ''
      outcome.rawHeaders = response.rawHeaders
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? error.message))
      response.on('end', () => {
        outcome.body = Buffer.concat(pieces).toString('latin1')
        outcome.rawTrailers = response.rawTrailers
        settle(null)
      })
    })
    outgoing.on('finish', () => {
      socket.push(bytes)
      socket.push(null)
    })
    outgoing.end()
  })
}

const { constantFrom, integer, record, array, oneof, constant, nat } = fc
const crlf = constant('\r\n')
const name = constantFrom('X-A', 'Set-Cookie', 'Date', 'Connection', 'Keep-Alive', 'Content-Type', "!#$%&'*+-.^_`|~9")
const value = oneof(
  constantFrom('', 'a', 'close', 'keep-alive', 'timeout=5', 'a b\tc', '\xe9\xff', '"q,;"'),
  fc.string({ maxLength: 6 })
)
const framing = constantFrom(
  '',
  'Content-Length: 5\r\n',
  'Content-Length: 0\r\n',
  'Content-Length:5\r\n',
  'Content-Length: 05 \r\n',
  'Content-Length: 5\r\nContent-Length: 5\r\n',
  'Content-Length: 5\r\nContent-Length: 6\r\n',
  'Content-Length: 5, 5\r\n',
  'Content-Length: +5\r\n',
  'Content-Length: -5\r\n',
  'Content-Length: 5a\r\n',
  'Content-Length: 0x5\r\n',
  'Content-Length: \r\n',
  'Content-Length: 9007199254740992\r\n',
  'Content-Length: 18446744073709551621\r\n',
  'Content-Length : 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'transfer-encoding:\tCHUNKED\r\n',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n',
  'Transfer-Encoding: gzip, chunked\r\n',
  'Transfer-Encoding: chunked, gzip\r\n',
  'Transfer-Encoding: identity\r\n',
  'Transfer-Encoding: xchunked\r\n',
  'Transfer-Encoding: chunked;a=b\r\n',
  'Transfer-Encoding: \r\n',
  'Transfer-Encoding : chunked\r\n',
  'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n',
  'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n',
  'Transfer-Encoding:\r\n chunked\r\n'
)
const chunk = fc
  .tuple(
    constantFrom(
      '3',
      '03',
      '3;a',
      '3;a=b',
      '3;a="b;\\"\xe9"',
      '3;a=b;c;d=""',
      '3;',
      '3;=',
      '3;a=',
      '3;a="',
      '3;a=""b',
      '3;a b',
      '3 ',
      '+3',
      '0x3',
      '',
      '4',
      '2',
      'A',
      'ffffffffffffffff'
    ),
    crlf
  )
  .map(([size, end]) => `${size}${end}abc\r\n`)
const body = oneof(
  constantFrom('', 'hello', 'hell', 'hello!', '\r\n', '\0\xff'),
  fc
    .tuple(
      array(chunk, { maxLength: 3 }),
      constantFrom(
        '0\r\n\r\n',
        '0\r\nX-T: 1\r\n\r\n',
        '000;x\r\nA: b\r\nContent-Length: 3\r\n\r\n',
        '0\r\n',
        '0\r\n\r\nx',
        '',
        '0\r\n \r\n\r\n'
      )
    )
    .map(([chunks, end]) => chunks.join('') + end)
)
const statusLine = constantFrom(
  'HTTP/1.1 200 OK',
  'HTTP/1.1 200 OK',
  'HTTP/1.1 200 OK',
  'HTTP/1.1 200 ',
  'HTTP/1.1 200',
  'HTTP/1.1 404 Not  Found\t\xe9',
  'HTTP/1.1 204 No Content',
  'HTTP/1.1 304 Not Modified',
  'HTTP/1.0 200 OK',
  'HTTP/1.1 999 X',
  'HTTP/1.1 099 X',
  'HTTP/1.1 20 X',
  'HTTP/1.1 2000 X',
  'HTTP/1.1  200 OK',
  'HTTP/1.1\t200 OK',
  'http/1.1 200 OK',
  'HTTP/2.0 200 OK',
  'HTTP/0.9 200 OK',
  'HTTP/1.2 200 OK',
  'HTTP/1.10 200 OK',
  'ICY 200 OK',
  '\r\nHTTP/1.1 200 OK'
)
const interim = constantFrom(
  '',
  '',
  '',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n',
  'HTTP/1.1 102 \r\nContent-Length: 5\r\n\r\n',
  '',
  '',
  'HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'
)
const response = record({
  interim,
  statusLine,
  fields: array(fc.tuple(name, value), { maxLength: 3 }),
  framing,
  body
}).map(
  (parts) =>
    `${parts.interim}${parts.statusLine}\r\n${parts.fields.map(([field, text]) => `${field}: ${text}\r\n`).join('')}${parts.framing}\r\n${parts.body}`
)
const sound = constantFrom(
  'Content-Length: 5\r\n\r\nhello',
  'X-A: b\r\ncontent-length:\t0005 \r\n\r\nhello',
  'Content-Length: 0\r\n\r\n',
  'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'Transfer-Encoding: chunked\r\n\r\n00b;x=y\r\nhello\r\n1234\r\nB\r\n0123456789a\r\n0\r\nX-T: 1\r\nX-U:\r\n\r\n',
  'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  '\r\nto the end'
)
const soundLine = constantFrom(
  'HTTP/1.1 200 OK',
  'HTTP/1.1 404 Not  Found\t\xe9',
  'HTTP/1.1 204 ',
  'HTTP/1.1 304 N',
  'HTTP/1.1 500',
  'HTTP/1.0 200 O'
)
const soundValue = constantFrom('', 'a', 'close', 'keep-alive', 'timeout=5', ' a b\tc ', '\xe9\xff', '"q,;"')
const soundResponse = record({
  interim: constantFrom('', '', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early\r\nLink: a\r\n\r\n'),
  statusLine: soundLine,
  fields: array(fc.tuple(name, soundValue), { maxLength: 3 }),
  sound
}).map(
  (parts) =>
    `${parts.interim}${parts.statusLine}\r\n${parts.fields.map(([field, text]) => `${field}: ${text}\r\n`).join('')}${parts.sound}`
)
const mutation = record({
  at: nat(400),
  remove: constantFrom(0, 0, 1, 2),
  insert: constantFrom(
    '',
    '\r',
    '\n',
    '\r\n',
    ' ',
    '\t',
    '\0',
    ':',
    ';',
    '\x7f',
    '\x01',
    '0',
    'f',
    '\x80',
    'HTTP/1.1 200 OK\r\n\r\n',
    '\r\n ',
    'Content-Length: 1\r\n'
  )
})
const mutated = fc
  .tuple(oneof(response, soundResponse, soundResponse), oneof(constant([]), array(mutation, { maxLength: 3 })))
  .map(([text, mutations]) => {
    let bytes = text
    for (const { at, remove, insert } of mutations) {
      const place = at % (bytes.length + 1)
      bytes = bytes.slice(0, place) + insert + bytes.slice(place + remove)
    }
    return Buffer.from(bytes, 'latin1')
  })
const method = constantFrom('GET', 'GET', 'GET', 'HEAD', 'POST')

t.test('gives what Node’s client gives, or refuses for a listed reason', async (t) => {
  const seen = new Map<string, number>()
  let accepted = 0
  await fc.assert(
    fc.asyncProperty(mutated, method, async (bytes, verb) => {
      const our = ours(bytes, verb)
      const their = await nodes(bytes, verb)
      if (our.fault !== null) {
        if (their.fault !== null) return
        seen.set(our.fault, (seen.get(our.fault) ?? 0) + 1)
        if (!Object.hasOwn(STRICTER, our.fault)) throw new Error(`only we refuse: ${our.fault}`)
        return
      }
      if (their.fault !== null) throw new Error(`only Node refuses: ${their.fault}`)
      accepted++
      const { fault: _ours, ...ourRest } = our
      const { fault: _theirs, ...theirRest } = their
      if (JSON.stringify(sorted(ourRest)) !== JSON.stringify(sorted(theirRest))) {
        throw new Error(`they differ: ${JSON.stringify(ourRest)} ${JSON.stringify(theirRest)}`)
      }
    }),
    { numRuns: RUNS, verbose: 0 }
  )
  t.ok(accepted > RUNS / 8, `${accepted} of ${RUNS} accepted by both`)
  for (const [fault, times] of seen) t.comment(`${times} × stricter: ${fault}`)
})

t.test('any split gives the same', async (t) => {
  fc.assert(
    fc.property(mutated, method, array(integer({ min: 0, max: 400 }), { maxLength: 4 }), (bytes, verb, places) => {
      const cuts = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b)
      const whole = ours(bytes, verb)
      const split = ours(bytes, verb, cuts)
      if (whole.fault === null) {
        if (JSON.stringify(split) !== JSON.stringify(whole))
          throw new Error(`they differ: ${JSON.stringify(split)} ${JSON.stringify(whole)}`)
      } else if (split.fault === null && whole.fault !== 'bytes after the end') {
        throw new Error(`accepted when split, refused whole: ${whole.fault}`)
      }
    }),
    { numRuns: RUNS * 3 }
  )
  t.pass('in whatever pieces it comes')
})

function sorted(outcome: object): [string, unknown][] {
  return Object.entries(outcome).sort(([a], [b]) => (a < b ? -1 : 1))
}

/** Responses of one destination: alike, with a line changed, added, lost or moved now and then, or one byte wrong. */
const alike = fc
  .tuple(
    array(constantFrom('Date: Sat', 'Server: nginx', 'X-A: \t b \t', 'x-e:', 'Set-Cookie: \xe9\xff=1234567', 'A: b'), {
      maxLength: 6
    }),
    array(
      fc.tuple(
        nat(),
        constantFrom('none', 'none', 'value', 'add', 'drop', 'swap', 'status', 'interim', 'byte', 'tab'),
        constantFrom('\r', '\n', '\t', '\0', ':', 'x', ' ')
      ),
      { minLength: 3, maxLength: 8 }
    )
  )
  .map(([fields, changes]) =>
    changes.map(([place, what, byte], nth) => {
      const lines = ['HTTP/1.1 200 OK', 'Content-Length: 5', ...fields]
      const at = 1 + (place % (lines.length - 1))
      if (what === 'value') lines[at] = `${lines[at]}${place % 7}`
      if (what === 'add') lines.splice(at, 0, `X-N: ${nth}`)
      if (what === 'drop') lines.splice(at, 1)
      if (what === 'swap') lines.push(...lines.splice(at, 1))
      if (what === 'tab') lines[1] = 'Content-Length: 5\t'
      if (what === 'status') lines[0] = constantLines[place % constantLines.length] as string
      const text = `${what === 'interim' ? 'HTTP/1.1 103 Early Hints\r\nServer: nginx\r\n\r\n' : ''}${lines.join('\r\n')}\r\n\r\nhello`
      const wrong = place % text.length
      const spoilt = what === 'byte' ? text.slice(0, wrong) + byte + text.slice(wrong + 1) : text
      return Buffer.from(spoilt, 'latin1')
    })
  )
const constantLines = [
  'HTTP/1.1 201 Created',
  'HTTP/1.0 200 OK',
  'HTTP/1.1 200',
  'HTTP/1.1 204 No',
  'HTTP/1.1 200 OK\t'
]

t.test('a response is read as if none had come before it, however like those it is, whole or in two pieces', (t) => {
  let after = 0
  fc.assert(
    fc.property(alike, nat(), (responses, place) => {
      const read = responseReader()
      for (const [nth, bytes] of responses.entries()) {
        const cuts = place % 3 === 0 ? [place % bytes.length].filter((cut) => cut > 0) : []
        const together = read(bytes, 'POST', cuts)
        const alone = ours(bytes, 'POST', cuts)
        if (JSON.stringify(together) !== JSON.stringify(alone)) {
          throw new Error(`behind others ${JSON.stringify(together)}, alone ${JSON.stringify(alone)}`)
        }
        if (nth > 1) after++
        if (together.fault !== null) return
      }
    }),
    { numRuns: 2 * RUNS }
  )
  t.ok(after > RUNS, `${after} responses behind others`)
  t.end()
})
