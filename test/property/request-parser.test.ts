import { createServer } from 'node:http'
import { Duplex } from 'node:stream'
import fc from 'fast-check'
import t from 'tap'
import { type RequestHead, readHead } from '../../lib/listen/head.ts'
import { RequestParser } from '../../lib/listen/request-parser.ts'

/*
 * The parser against llhttp, by way of Node's own HTTP server on a stream in memory: what we take, Node takes, with the
 * same method, target, fields and body. What we refuse and Node takes stands in STRICTER, with the reason for it.
 */

const FACTOR = Number(process.env['SLUICE_FUZZ'] ?? 1)
const HEAD_BYTES = 4096

/** What we refuse and llhttp takes: the fault's text. */
const STRICTER = [
  // One spelling of a message is enough; every other one is read differently by somebody.
  /^The (target|version|method|request line) is /,
  /^The method is not allowed here$/,
  /^A bare (CR|LF)$/,
  /^A tab behind a value$/,
  /^A field name is malformed$/,
  /^A control byte in a value$/,
  /^A chunk (extension|size) is /,
  /^The chunk extensions are too long$/,
  /^A framing field in the trailers$/,
  /^The trailers are too large$/,
  /^The header section is over /,
  // `readHead`, which both engines ask.
  /^Transfer-Encoding /,
  /^Content-Length /,
  /^Host is (missing|there twice|no host)$/,
  /^The request target is no path$/
]

interface Taken {
  readonly method: string
  readonly target: string
  readonly fields: readonly string[]
  readonly body: string
}

interface Reading {
  readonly taken: readonly Taken[]
  /** The text of the fault; null when all is well, or more is to come. */
  readonly fault: string | null
  /** The bytes end inside a head. */
  readonly waits: boolean
  /** A request said that it is the connection's last; nothing behind it was read. */
  readonly last: boolean
}

/** What our parser makes of these pieces of a connection. */
function read(pieces: readonly Buffer[]): Reading {
  const taken: Taken[] = []
  let head: RequestHead | null = null
  let body: Buffer[] = []
  let last = false
  const complete = () => {
    if (head === null) throw new Error('a body without a head')
    taken.push({ ...head, body: Buffer.concat(body).toString('latin1') })
    head = null
    body = []
  }
  const parser = new RequestParser(
    {
      requestHead(given, minor) {
        if (head !== null) throw new Error('a head in a body')
        head = given
        last = !persists(given, minor)
        if (head.bodyBytes === 0) complete()
      },
      requestBody(chunk, start, end) {
        if (start >= end) throw new Error('an empty piece')
        body.push(Buffer.from(chunk.subarray(start, end)))
        return body.length % 2 === 0
      },
      requestComplete: complete
    },
    HEAD_BYTES
  )
  for (const piece of pieces) {
    let at = 0
    while (at < piece.length && !(last && head === null)) {
      const next = parser.write(piece, at, piece.length)
      if (next <= at || next > piece.length) throw new Error(`stuck at ${at}`)
      at = next
    }
  }
  return {
    taken: taken.map(plain),
    fault: parser.fault?.message ?? null,
    waits: parser.started,
    last: last && head === null
  }
}

function persists(head: RequestHead, minor: number): boolean {
  const said = head.fields.filter((_, at) => at % 2 === 1 && /^connection$/i.test(head.fields[at - 1] as string)).join()
  return !/close/i.test(said) && (minor > 0 || /keep-alive/i.test(said))
}

type Theirs = Taken & { readonly minor: number }

/** What Node makes of the same bytes. */
class Reference {
  #taken: Theirs[] = []
  #refused = false
  readonly #server = createServer({ requireHostHeader: false, maxHeaderSize: 65536, keepAliveTimeout: 0 })

  constructor() {
    this.#server.on('request', (request, response) => {
      const body: Buffer[] = []
      request.on('data', (chunk: Buffer) => body.push(chunk))
      request.on('end', () => {
        const { method, url, rawHeaders, httpVersionMinor: minor } = request
        const text = Buffer.concat(body).toString('latin1')
        this.#taken.push({ method: method ?? '', target: url ?? '', fields: rawHeaders, body: text, minor })
        response.end()
      })
    })
    const refuse = () => {
      this.#refused = true
    }
    this.#server.on('checkContinue', (request, response) => this.#server.emit('request', request, response))
    this.#server.on('checkExpectation', (request, response) => this.#server.emit('request', request, response))
    this.#server.on('clientError', refuse)
    this.#server.on('connect', refuse)
  }

  async read(bytes: Buffer): Promise<{ readonly taken: readonly Theirs[]; readonly refused: boolean }> {
    this.#taken = []
    this.#refused = false
    const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
    stream.on('error', () => {})
    this.#server.emit('connection', stream)
    stream.push(bytes)
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
    const result = { taken: this.#taken, refused: this.#refused }
    stream.destroy()
    return result
  }
}

function plain(taken: Taken): Taken {
  return { method: taken.method, target: taken.target, fields: taken.fields, body: taken.body }
}

/** The reference's requests as the node engine hands them on; one that it would refuse stays as it is. */
function throughHead(taken: readonly Theirs[]): readonly Taken[] {
  return taken.map((each) => {
    try {
      const head = readHead(each.method, each.target, each.fields, each.minor)
      return { ...plain(each), target: head.target }
    } catch {
      return plain(each)
    }
  })
}

function split(bytes: Buffer, at: number): Buffer[] {
  return [bytes.subarray(0, at), bytes.subarray(at)]
}

t.test('every byte at every place of a long value is taken or refused as it is in a short one', (t) => {
  const reading = (value: string) => read([Buffer.from(`GET / HTTP/1.1\r\nHost: h\r\nX-A: ${value}\r\n\r\n`, 'latin1')])
  for (let code = 0; code < 0x100; code++) {
    const byte = String.fromCharCode(code)
    if (byte === '\r' || byte === '\n') continue
    const short = reading(`a${byte}b`)
    for (let place = 1; place < 24; place++) {
      const value = `${'a'.repeat(place)}${byte}${'b'.repeat(24 - place)}`
      const long = reading(value)
      if (long.fault !== short.fault) t.equal(long.fault, short.fault, `byte ${code} at ${place}`)
      if (long.fault === null && long.taken[0]?.fields[3] !== value) t.fail(`byte ${code} at ${place} arrives`)
    }
  }
  t.end()
})

// Requests, well-formed and nearly so.

const often = <T>(usual: T, ...others: T[]) =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) })

const eol = fc.oneof(
  { weight: 60, arbitrary: fc.constant('\r\n') },
  { weight: 1, arbitrary: fc.constantFrom('\n', '\r', '\r\r\n', '\n\r') }
)
const requestLine = fc
  .tuple(
    fc.constantFrom(
      'GET',
      'POST',
      'PUT',
      'DELETE',
      'HEAD',
      'PATCH',
      'OPTIONS',
      'get',
      'CONNECT',
      'PROPFIND',
      'P@ST',
      ''
    ),
    often(' ', '  ', '\t', ''),
    fc.constantFrom(
      '/',
      '/a/b?c=%20d',
      'http://h/x',
      'http://u@h/x',
      'http:///x',
      'http://[::1]:8/x',
      'ftp://h/',
      'HTTPS://h',
      '*',
      'h:443',
      '/a#b',
      '/\x80',
      '/{{ x }}',
      '/{{x}}',
      '//x',
      '',
      'x'
    ),
    often(' ', '  ', '\t', ''),
    often('HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/0.9', 'http/1.1', 'HTTP/1.10', 'HTTP/1.1 ', 'HTTP/1.2', '')
  )
  .map((parts) => parts.join(''))
const otherField = fc
  .tuple(
    fc.constantFrom(
      'Accept',
      'X-A',
      'x_b',
      'Content-Type',
      'content-type',
      'Expect',
      'Connection',
      'Trailer',
      'X Y',
      'X\t',
      '',
      'H(st',
      '\x00',
      'Upgrade'
    ),
    often(':', ' :', ':\t', ''),
    fc.constantFrom(
      'a',
      ' b',
      '\tc \t',
      '',
      ' ',
      'close',
      'keep-alive, x',
      '100-continue',
      'é',
      '\x7f',
      'a\x00b',
      'a\rb',
      '"q\\""',
      'a\r\n fold',
      ' chunked'
    )
  )
  .map((parts) => parts.join(''))
const hostField = often(
  'Host: h',
  'host:h',
  'Host: h\r\nHost: h',
  'X: y',
  'Host : h',
  'Host:',
  'Host: [::1]:1',
  'Host: h/a',
  'Host: h, h'
)
const lengthField = fc.constantFrom(
  'Content-Length: 5',
  'Content-Length: 0',
  'content-length:3',
  'Content-Length: +5',
  'Content-Length: 5, 5',
  'Content-Length: 0x5',
  'Content-Length: 5 ',
  'Content-Length: ',
  'Content-Length: 005',
  'Content-Length: 9007199254740993',
  'Content-Length: 5\r\nContent-Length: 5',
  'Content-Length: -1',
  'Content-Length : 5'
)
const codingField = fc.constantFrom(
  'Transfer-Encoding: chunked',
  'transfer-encoding: Chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: identity',
  'Transfer-Encoding:\tchunked',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
  'Transfer-Encoding : chunked',
  'Transfer-Encoding: "chunked"',
  'Transfer-Encoding:'
)
const chunk = fc
  .tuple(
    often(
      '5',
      '05',
      '0000000000000000005',
      '5 ',
      ' 5',
      '0x5',
      '-5',
      '',
      'g',
      '4',
      '6',
      'fffffffffffffffff',
      '20000000000001'
    ),
    often('', ';a', ';a=b', ';a="b;\\"c"', '; a=b', ';', ';a="', ';a=b;c', ' ;a', ';a="b"c', ';a==', '\t'),
    eol,
    often('hello', 'hell', 'hello!'),
    eol
  )
  .map((parts) => parts.join(''))
const chunkedBody = fc
  .tuple(
    fc.array(chunk, { maxLength: 2 }),
    often('0', '00', '0;x', ''),
    eol,
    often('', 'X-T: 1\r\n', 'Content-Length: 5\r\n', 'Host: x\r\n', 'bad\r\n', ' fold\r\n'),
    eol
  )
  .map(([chunks, ...end]) => chunks.join('') + end.join(''))
const request = fc
  .tuple(
    often('', '\r\n', '\r\n\r\n', '\n', ' '),
    requestLine,
    eol,
    hostField,
    eol,
    fc
      .array(
        fc.tuple(otherField, eol).map((parts) => parts.join('')),
        { maxLength: 2 }
      )
      .map((fields) => fields.join('')),
    fc.oneof(
      { weight: 2, arbitrary: fc.tuple(eol).map(([end]) => end) },
      {
        weight: 2,
        arbitrary: fc.tuple(lengthField, eol, eol, fc.constantFrom('hello', 'hell', '')).map((parts) => parts.join(''))
      },
      { weight: 2, arbitrary: fc.tuple(codingField, eol, eol, chunkedBody).map((parts) => parts.join('')) },
      {
        weight: 1,
        arbitrary: fc.tuple(lengthField, eol, codingField, eol, eol, chunkedBody).map((parts) => parts.join(''))
      }
    )
  )
  .map((parts) => parts.join(''))
const clean = fc
  .tuple(
    fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'HEAD'),
    fc.constantFrom('/', '/a?b=c', 'http://h/x?y'),
    fc.array(fc.constantFrom('Accept: */*', 'X-A:\t b c \t', 'x-empty:', 'Cookie: é=1'), { maxLength: 4 }),
    fc.constantFrom(
      '\r\n',
      'Content-Length: 5\r\n\r\nhello',
      'content-length: 0\r\n\r\n',
      'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a="b"\r\n!\r\n0\r\nX-T: 1\r\n\r\n',
      'transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n'
    )
  )
  .map(
    ([method, target, fields, rest]) =>
      `${method} ${target} HTTP/1.1\r\n${['Host: h', ...fields].join('\r\n')}\r\n${rest}`
  )

const mutation = fc.tuple(
  fc.nat(),
  fc.constantFrom('insert', 'delete', 'replace', 'double'),
  fc.oneof(
    fc.constantFrom('\r', '\n', ' ', '\t', ':', ';', ',', '=', '0', '\x00', '\x7f', '"'),
    fc.constantFrom('\r\n', '\r\n\r\n', '\xff')
  )
)
const connection = fc
  .tuple(fc.array(fc.oneof(request, clean), { minLength: 1, maxLength: 3 }), fc.array(mutation, { maxLength: 2 }))
  .map(([requests, mutations]) => {
    let text = requests.join('')
    for (const [place, what, bytes] of mutations) {
      const at = text.length === 0 ? 0 : place % text.length
      const kept = what === 'delete' || what === 'replace' ? text.slice(at + 1) : text.slice(at)
      const put = what === 'delete' ? '' : what === 'double' ? text.slice(at, at + 8) : bytes
      text = text.slice(0, at) + put + kept
    }
    return Buffer.from(text, 'latin1')
  })

/** Heads of one client: alike, with a line changed, added, lost or moved now and then, and one byte wrong here and there. */
const alike = fc
  .tuple(
    fc.array(fc.constantFrom('Accept: */*', 'X-A:\t b c \t', 'x-empty:', 'Cookie: é=1', 'Content-Length: 0'), {
      minLength: 1,
      maxLength: 6
    }),
    fc.array(
      fc.tuple(
        fc.nat(),
        fc.constantFrom('none', 'none', 'value', 'add', 'drop', 'swap', 'line', 'byte', 'lf'),
        fc.constantFrom('\r', '\n', '\t', '\x00', ':', 'x', ' ')
      ),
      { minLength: 3, maxLength: 8 }
    )
  )
  .map(([fields, changes]) =>
    changes.map(([place, what, byte], nth) => {
      const lines = ['POST /v1?a HTTP/1.1', 'Host: h', ...fields]
      const at = 1 + (place % (lines.length - 1))
      const line = lines[at] as string
      if (what === 'value') lines[at] = `${line}${place % 7}`
      if (what === 'add') lines.splice(at, 0, `X-N: ${nth}`)
      if (what === 'drop') lines.splice(at, 1)
      if (what === 'swap') lines.push(...lines.splice(at, 1))
      if (what === 'line') lines[0] = place % 2 === 0 ? 'GET /v1?a HTTP/1.1' : 'POST /v1?a HTTP/1.0'
      const text = `${lines.join('\r\n')}\r\n\r\n`
      if (what === 'lf') return Buffer.from(text.replace('\r\n', place % 2 === 0 ? '\n' : '\r'), 'latin1')
      if (what !== 'byte') return Buffer.from(text, 'latin1')
      const wrong = place % text.length
      return Buffer.from(text.slice(0, wrong) + byte + text.slice(wrong + 1), 'latin1')
    })
  )

t.test('a head is read as if none had come before it, however like those it is, whole or in two pieces', (t) => {
  let after = 0
  fc.assert(
    fc.property(alike, fc.nat(), (heads, place) => {
      for (let nth = 1; nth < heads.length; nth++) {
        const before = heads.slice(0, nth)
        const past = read(before)
        if (past.fault !== null || past.waits || past.last || past.taken.length !== nth) break
        const bytes = heads[nth] as Buffer
        const alone = read([bytes])
        for (const pieces of [[bytes], split(bytes, place % bytes.length).filter((piece) => piece.length > 0)]) {
          const together = read([...before, ...pieces])
          const expected = { ...alone, taken: [...past.taken, ...alone.taken] }
          if (JSON.stringify(together) !== JSON.stringify(expected)) {
            throw new Error(`behind others ${JSON.stringify(together)}, alone ${JSON.stringify(alone)}`)
          }
        }
        after++
      }
    }),
    { numRuns: 3000 * FACTOR }
  )
  t.ok(after > 3000, `${after} heads behind others`)
  t.end()
})

t.test('what we take, llhttp takes, with the same meaning', async (t) => {
  const reference = new Reference()
  const reasons = new Set<string>()
  await fc.assert(
    fc.asyncProperty(connection, async (bytes) => {
      const ours = read([bytes])
      const theirs = await reference.read(bytes)
      const passed = throughHead(theirs.taken)
      for (const [at, taken] of ours.taken.entries()) {
        if (JSON.stringify(taken) !== JSON.stringify(passed[at])) {
          throw new Error(`we take ${JSON.stringify(taken)}, they ${JSON.stringify(passed[at])}`)
        }
      }
      if (ours.last) return
      if (ours.fault === null) {
        // A method that is none is one for us until its line ends.
        if (theirs.refused && !ours.waits) throw new Error('they refuse what we take')
        if (passed.length !== ours.taken.length) throw new Error('they take more')
      } else if (!theirs.refused) {
        reasons.add(ours.fault)
        if (!STRICTER.some((each) => each.test(ours.fault as string))) throw new Error(`we alone refuse: ${ours.fault}`)
      }
    }),
    { numRuns: 2500 * FACTOR }
  )
  t.pass(`stricter than llhttp in ${reasons.size} ways`)
})

t.test('a split changes nothing', async (t) => {
  fc.assert(
    fc.property(connection, fc.array(fc.nat(), { maxLength: 4 }), (bytes, cuts) => {
      const whole = JSON.stringify(read([bytes]))
      const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
      const pieces = [...places, bytes.length].map((place, at) => bytes.subarray(places[at - 1] ?? 0, place))
      if (JSON.stringify(read(pieces)) !== whole) throw new Error(`split at ${places.join()} it reads differently`)
    }),
    { numRuns: 2500 * FACTOR }
  )
  fc.assert(
    fc.property(connection, (bytes) => {
      const whole = JSON.stringify(read([bytes]))
      for (let at = 0; at <= bytes.length; at++) {
        if (JSON.stringify(read(split(bytes, at))) !== whole) throw new Error(`split at ${at} it reads differently`)
      }
      if (JSON.stringify(read([...bytes].map((byte) => Buffer.of(byte)))) !== whole)
        throw new Error('byte by byte it reads differently')
    }),
    { numRuns: 200 * FACTOR }
  )
  t.pass()
})

t.test('the bytes behind a request are the next one’s', async (t) => {
  fc.assert(
    fc.property(fc.array(clean, { minLength: 1, maxLength: 5 }), (requests) => {
      const { taken, fault } = read([Buffer.from(requests.join(''), 'latin1')])
      return fault === null && taken.length === requests.length
    }),
    { numRuns: 500 * FACTOR }
  )
  t.pass()
})
