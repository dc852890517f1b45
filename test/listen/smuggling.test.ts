import t from 'tap'
import { exchange } from '../kit/client.ts'
import { type EngineName, newEngine } from './_engines.ts'

/*
 * Request smuggling: a front and a back that disagree about where a request ends let the bytes of one client be read as
 * the request of another. So whatever two parsers could read differently is refused, and the connection with it; and
 * what is refused never becomes a request, nor does anything behind it.
 *
 * Every case runs on both engines, on real sockets: the bytes, then a request that must not be heard.
 */

const HIDDEN = 'GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n'

/** Name, and the bytes of a request that must be refused. */
const REFUSED: readonly (readonly [string, string])[] = [
  ['both lengths', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  [
    'both lengths, the other way round',
    'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n'
  ],
  ['two lengths that differ', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello'],
  ['two lengths that agree', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello'],
  ['a list of lengths', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello'],
  ['a signed length', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello'],
  ['a negative length', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\nhello'],
  ['a hexadecimal length', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nhello'],
  ['a fractional length', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5.0\r\n\r\nhello'],
  ['an empty length', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nhello'],
  ['a length over 2^53-1', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9007199254740993\r\n\r\nhello'],
  ['a length over 2^64', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551621\r\n\r\nhello'],
  ['a second coding', 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  ['chunked twice', 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n'],
  [
    'chunked in two fields',
    'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
  ],
  [
    'a coding that is not the last',
    'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n'
  ],
  ['identity', 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n'],
  ['an unknown coding', 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
  ['a quoted coding', 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'],
  ['a vertical tab before the coding', 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n'],
  ['white space before the colon', 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n'],
  ['a tab before the colon', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length\t: 5\r\n\r\nhello'],
  ['a NUL in the name', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length\x00: 5\r\n\r\nhello'],
  ['white space before the name', 'POST / HTTP/1.1\r\nHost: h\r\n Content-Length: 5\r\n\r\nhello'],
  ['white space before the first name', 'POST / HTTP/1.1\r\n Host: h\r\nHost: h\r\n\r\n'],
  [
    'chunked in HTTP/1.0',
    'POST / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
  ],
  ['a folded field', 'POST / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n'],
  ['a folded coding', 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n'],
  ['a bare LF in the head', 'POST / HTTP/1.1\r\nHost: h\nContent-Length: 5\r\n\r\nhello'],
  ['a bare LF at the end of the head', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\nhello'],
  ['a bare CR in a value', 'POST / HTTP/1.1\r\nHost: h\r\nX: a\rContent-Length: 5\r\n\r\n'],
  ['a NUL in a value', 'POST / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n'],
  ['an empty name', 'POST / HTTP/1.1\r\nHost: h\r\n: 5\r\n\r\n'],
  ['a field without a colon', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length\r\n\r\n'],
  ['two hosts', 'GET / HTTP/1.1\r\nHost: h\r\nHost: g\r\n\r\n'],
  ['a list of hosts', 'GET / HTTP/1.1\r\nHost: h, g\r\n\r\n'],
  ['a host with userinfo', 'GET / HTTP/1.1\r\nHost: u@h\r\n\r\n'],
  ['a host with a path', 'GET / HTTP/1.1\r\nHost: h/a\r\n\r\n'],
  ['a host with a query', 'GET / HTTP/1.1\r\nHost: h?a\r\n\r\n'],
  ['a host with a port that is none', 'GET / HTTP/1.1\r\nHost: h:8a\r\n\r\n'],
  ['a host with two ports', 'GET / HTTP/1.1\r\nHost: h:80:80\r\n\r\n'],
  ['a bracket that stays open', 'GET / HTTP/1.1\r\nHost: [::1\r\n\r\n'],
  ['a host beyond ASCII', 'GET / HTTP/1.1\r\nHost: h\xe4\r\n\r\n'],
  ['no host', 'GET / HTTP/1.1\r\nX: h\r\n\r\n'],
  ['authority-form', 'GET h:443 HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['CONNECT', 'CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['asterisk-form', 'OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a target that is no path', 'GET a/b HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['another scheme', 'GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['HTTP/0.9', 'GET /\r\n\r\n'],
  ['HTTP/0.9 by name', 'GET / HTTP/0.9\r\nHost: h\r\n\r\n'],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: h\r\n\r\n'],
  ['HTTP/2', 'GET / HTTP/2.0\r\nHost: h\r\n\r\n'],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['another protocol', 'GET / ICE/1.0\r\nHost: h\r\n\r\n'],
  ['a lower-case protocol', 'GET / http/1.1\r\nHost: h\r\n\r\n'],
  ['an unknown method', 'FROB / HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a lower-case method', 'get / HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a space in the target', 'GET /a b HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a control byte in the target', 'GET /a\x01b HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['over a thousand fields', `GET / HTTP/1.1\r\nHost: h\r\n${'X:\r\n'.repeat(1000)}\r\n`],
  [
    'a length behind a thousand fields',
    `POST / HTTP/1.1\r\nHost: h\r\n${'X:\r\n'.repeat(1000)}Content-Length: ${HIDDEN.length}\r\n\r\n`
  ],
  ['another expectation', 'POST / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\nContent-Length: 5\r\n\r\nhello'],
  [
    'a list of expectations',
    'POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue, tea\r\nContent-Length: 5\r\n\r\nhello'
  ],
  ['a longer expectation', 'POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue-x\r\nContent-Length: 5\r\n\r\nhello'],
  ['a TLS hello on a plain port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03']
]

/** Name, and a chunked body that breaks off being one; the request before it was heard already. */
const BROKEN_BODIES: readonly (readonly [string, string])[] = [
  ['no size', '\r\nhello\r\n0\r\n\r\n'],
  ['a negative size', '-5\r\nhello\r\n0\r\n\r\n'],
  ['a size with 0x', '0x5\r\nhello\r\n0\r\n\r\n'],
  ['a size with a space', '5 \r\nhello\r\n0\r\n\r\n'],
  ['a space before a size', ' 5\r\nhello\r\n0\r\n\r\n'],
  ['a size over 2^64', '10000000000000005\r\nhello\r\n0\r\n\r\n'],
  ['a bare LF behind a size', '5\nhello\r\n0\r\n\r\n'],
  ['a bare CR behind a size', '5\rhello\r\n0\r\n\r\n'],
  ['a chunk that is longer than its size', '4\r\nhello\r\n0\r\n\r\n'],
  ['a chunk that is shorter than its size', '6\r\nhello\r\n0\r\n\r\n'],
  ['a bare LF behind a chunk', '5\r\nhello\n0\r\n\r\n'],
  ['a control byte in an extension', '5;a\x00\r\nhello\r\n0\r\n\r\n'],
  ['a bare LF in an extension', '5;a\nb\r\nhello\r\n0\r\n\r\n'],
  ['endless extensions', `5;${'a'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`],
  ['a folded trailer', '5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n'],
  ['a bare LF behind the trailers', '5\r\nhello\r\n0\r\nX: a\n\r\n']
]

/** Only the raw engine refuses these: llhttp takes them, each with one meaning. */
const REFUSED_BY_RAW: readonly (readonly [string, string])[] = [
  ['a fragment', 'GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['bytes over 0x7e in the target', 'GET /\xe4 HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['two spaces', 'GET  / HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['two empty lines', '\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a bare LF before the request line', '\nGET / HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['userinfo', 'GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n']
]

const STATUS = /^HTTP\/1\.1 (400|405|417|431) /

for (const engine of ['raw', 'node'] as EngineName[]) {
  const refused = engine === 'raw' ? [...REFUSED, ...REFUSED_BY_RAW] : REFUSED

  t.test(`${engine}: what is ambiguous is refused, and what stands behind it is not heard`, async (t) => {
    const running = await newEngine({ engine })
    t.teardown(() => running.close())
    for (const [name, bytes] of refused) {
      const before = running.requests.length
      const answer = (await exchange(running.at, bytes + HIDDEN)).toString('latin1')
      t.match(answer, STATUS, name)
      t.match(answer, /\r\nconnection: close\r\n/i, `${name}: the connection ends`)
      t.equal(answer.split('HTTP/1.1 ').length, 2, `${name}: one answer`)
      t.match(answer, /\r\nX-Code: (ERR_\w+)\r\n[^]*\r\n\r\n\1$/, `${name}: in the words of the handler`)
      t.equal(running.requests.length, before, `${name}: nothing is heard`)
    }
  })

  t.test(`${engine}: behind a valid request it does not replace that request’s answer`, async (t) => {
    const running = await newEngine({ engine })
    t.teardown(() => running.close())
    for (const [name, bytes] of refused) {
      const valid = `POST /valid HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok`
      const answer = (await exchange(running.at, valid + bytes + HIDDEN)).toString('latin1')
      t.match(answer, /^HTTP\/1\.1 200 /, name)
      t.match(answer, '"target":"/valid"', name)
      t.notMatch(answer, '/hidden', name)
    }
  })

  t.test(`${engine}: behind a request that is still being answered it waits for that answer`, async (t) => {
    const running = await newEngine({
      engine,
      serve(heard) {
        heard.after = (call) => {
          if (call === 'end') setTimeout(() => heard.client.answer(200, [], 'late'), 5)
        }
        heard.client.receive()
      }
    })
    t.teardown(() => running.close())
    for (const [name, bytes] of refused.slice(0, 12)) {
      const answer = (await exchange(running.at, `GET /valid HTTP/1.1\r\nHost: h\r\n\r\n${bytes}${HIDDEN}`)).toString(
        'latin1'
      )
      t.match(answer, /^HTTP\/1\.1 200 /, name)
      t.match(answer, '\r\n\r\nlate', name)
    }
    t.ok(running.requests.every((heard) => heard.client.head.target === '/valid'))
  })

  t.test(`${engine}: a malformed body is broken, and what stands behind it is not heard`, async (t) => {
    const running = await newEngine({ engine })
    t.teardown(() => running.close())
    for (const [name, body] of BROKEN_BODIES) {
      const before = running.requests.length
      const head = 'POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n'
      const answer = (await exchange(running.at, head + body + HIDDEN)).toString('latin1')
      t.match(answer, /^HTTP\/1\.1 400 /, name)
      t.match(answer, /\r\nconnection: close\r\n/i, `${name}: the connection ends`)
      t.equal(running.requests.length, before + 1, name)
      t.notOk(running.requests[before]?.calls.includes('end'), `${name}: never complete`)
    }
  })

  t.test(`${engine}: a head over the limit is 431`, async (t) => {
    const running = await newEngine({ engine, headerBytes: 4096 })
    t.teardown(() => running.close())
    const long = 'x'.repeat(5000)
    for (const bytes of [
      `GET / HTTP/1.1\r\nHost: h\r\nX: ${long}\r\n\r\n`,
      `GET /${long} HTTP/1.1\r\nHost: h\r\n\r\n`
    ]) {
      const answer = (await exchange(running.at, bytes + HIDDEN)).toString('latin1')
      t.match(answer, /^HTTP\/1\.1 431 /)
      t.equal(running.requests.length, 0)
    }
  })

  t.test(`${engine}: what looks odd and is clear is taken`, async (t) => {
    const running = await newEngine({ engine })
    t.teardown(() => running.close())
    const close = 'Connection: close\r\n\r\n'
    const cases: readonly (readonly [string, string, string, string])[] = [
      ['an empty line before it', `\r\nGET /a HTTP/1.1\r\nHost: h\r\n${close}`, '/a', ''],
      ['absolute-form', `GET http://x:80/a?b HTTP/1.1\r\nHost: h\r\n${close}`, '/a?b', ''],
      ['absolute-form without a path', `GET http://x HTTP/1.1\r\nHost: h\r\n${close}`, '/', ''],
      ['leading zeros', `POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0005\r\n${close}hello`, '/a', 'hello'],
      [
        'chunked in capitals',
        `POST /a HTTP/1.1\r\nHost: h\r\nTRANSFER-ENCODING:CHUNKED\r\n${close}005\r\nhello\r\n0\r\n\r\n`,
        '/a',
        'hello'
      ],
      [
        'extensions and trailers',
        `POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n${close}5;a=b;c="d\\"e"\r\nhello\r\n0;x\r\nX: y\r\n\r\n`,
        '/a',
        'hello'
      ],
      ['an empty host', `GET /a HTTP/1.1\r\nHost:\r\n${close}`, '/a', ''],
      ['an address as host', `GET /a HTTP/1.1\r\nHost: [::1]:8443\r\n${close}`, '/a', ''],
      ['a host with an empty port', `GET /a HTTP/1.1\r\nHost: under_score.x:\r\n${close}`, '/a', ''],
      ['no host in HTTP/1.0', 'GET /a HTTP/1.0\r\n\r\n', '/a', ''],
      ['braces in the target', `GET /{{id}} HTTP/1.1\r\nHost: h\r\n${close}`, '/{{id}}', ''],
      ['obs-text in a value', `GET /a HTTP/1.1\r\nHost: h\r\nX: \xe4\r\n${close}`, '/a', '']
    ]
    for (const [name, bytes, target, body] of cases) {
      const answer = (await exchange(running.at, bytes)).toString('latin1')
      t.match(answer, /^HTTP\/1\.1 200 /, name)
      t.equal(running.requests.at(-1)?.client.head.target, target, name)
      t.equal(running.requests.at(-1)?.body, body, name)
    }
  })
}
