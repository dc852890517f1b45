import t from 'tap'
import {
  type Context,
  PLACE_HEADER,
  PLACE_JSON_STRING,
  PLACE_URL_PATH,
  PLACE_URL_QUERY
} from '../../lib/scan/context.ts'
import { ALL_PAIRS, CURLY } from '../../lib/scan/delimiters.ts'
import { scanHead } from '../../lib/scan/head.ts'
import { Scanner, type Spot } from '../../lib/scan/scanner.ts'
import { cut, type Outcome, random, scanChunks, scanWhole } from './run.ts'

const LIMIT = 1024
/** Beside the expression: look-ahead for a key, a cut escape, the beginning of a part and its boundary. */
const CONSTANT = 512

const DROP = { bytes: () => undefined, expression: () => undefined }

const multipart: Context = { kind: 'multipart', boundary: 'b' }

// :: name → context, and what is repeated to make a hostile body
const HOSTILE: Record<string, readonly [Context, string]> = {
  braces: [{ kind: 'text' }, '{'],
  openers: [{ kind: 'text' }, '{{ '],
  'openers of both pairs': [{ kind: 'text' }, '{{a<<b'],
  'quotes that hide the closer': [{ kind: 'text' }, "{{a|'}}"],
  'quotes of each kind': [{ kind: 'text' }, `{{a|'<<b|"`],
  'impossible subjects': [{ kind: 'text' }, '<</>>'],
  'ill-formed text': [{ kind: 'text' }, '{{\xff}}'],
  halves: [{ kind: 'text' }, '{a<'],
  expressions: [{ kind: 'text' }, '{{a}}'],
  'JSON quotes': [{ kind: 'json' }, '"'],
  'JSON braces': [{ kind: 'json' }, '{"'],
  'JSON openers outside strings': [{ kind: 'json' }, '{{"'],
  'JSON backslashes': [{ kind: 'json' }, '"\\'],
  'JSON escapes': [{ kind: 'json' }, '\\u007b'],
  'JSON escapes in a string': [{ kind: 'json' }, '"\\u007ba\\u003c'],
  'JSON whole strings': [{ kind: 'json' }, '"{{a}}"   '],
  'JSON brackets': [{ kind: 'json' }, '['],
  'JSON surrogates': [{ kind: 'json' }, '"{{\\ud800}}"'],
  'percent signs': [{ kind: 'form' }, '%'],
  'encoded openers': [{ kind: 'form' }, '%7B'],
  ampersands: [{ kind: 'xml' }, '&'],
  references: [{ kind: 'xml' }, '&#x00000000'],
  'less-than signs': [{ kind: 'xml' }, '<'],
  declarations: [{ kind: 'xml' }, '<!a'],
  comments: [{ kind: 'xml' }, '<!---->'],
  CDATA: [{ kind: 'xml' }, '<![CDATA[]]'],
  'CSV quotes': [{ kind: 'csv' }, '"'],
  'CSV fields': [{ kind: 'csv' }, ',"'],
  boundaries: [multipart, '\r\n--b\r\n\r\n'],
  'almost boundaries': [multipart, '\r\n--bb'],
  'line ends': [multipart, '\r\n'],
  dashes: [multipart, '\n--'],
  'parts that are settled': [multipart, '--b\r\n\r\n{"a":"{{\r\n']
}

t.test('no body makes a scan superlinear', async (t) => {
  const [small, large] = [32 * 1024, 256 * 1024]
  for (const [name, [context, unit]] of Object.entries(HOSTILE)) {
    const body = Buffer.from(unit.repeat(Math.ceil(large / unit.length)), 'latin1').subarray(0, large)
    const ratio = (): number => time(body, context) / (time(body.subarray(0, small), context) * (large / small))
    // A quadratic scan is 8 times slower per byte here; noise is tried away.
    let best = ratio()
    for (let tries = 0; tries < 3 && best >= 4; tries++) best = Math.min(best, ratio())
    t.ok(best < 4, `${name}: ${best.toFixed(2)}`)
  }
})

t.test('what is held is bounded, whatever the body and its cuts', async (t) => {
  for (const [name, [context, unit]] of Object.entries(HOSTILE)) {
    const body = Buffer.from(unit.repeat(Math.ceil(20_000 / unit.length)), 'latin1')
    let most = 0
    for (const size of [1, 7, 1000]) {
      const scanner = new Scanner({ context, delimiters: ALL_PAIRS, expressionBytes: LIMIT, sink: DROP })
      for (let at = 0; at < body.length; at += size) {
        scanner.write(body.subarray(at, at + size))
        most = Math.max(most, scanner.heldBytes)
      }
      scanner.end()
      t.equal(scanner.heldBytes, 0)
    }
    t.ok(most <= LIMIT + CONSTANT, `${name}: ${most}`)
  }
})

t.test('an unclosed opener lets go of its bytes at the limit', async (t) => {
  const scanner = new Scanner({ context: { kind: 'text' }, delimiters: ALL_PAIRS, expressionBytes: LIMIT, sink: DROP })
  scanner.write(Buffer.from(`{{${'x'.repeat(LIMIT - 3)}`))
  t.equal(scanner.heldBytes, LIMIT - 1)
  t.equal(scanner.literalOpeners, 0)
  scanner.write(Buffer.from('x'))
  t.equal(scanner.heldBytes, 0)
  t.equal(scanner.literalOpeners, 1)
})

t.test('untouched bytes are not copied, but for those held across an edge', async (t) => {
  for (const context of [{ kind: 'text' }, { kind: 'json' }, { kind: 'xml' }] as const) {
    const body = Buffer.from('{"a":"b","c":[1,2]} <a b="c">d</a>\n'.repeat(2000))
    const chunks = cut(body, random(7), 4096)
    let [copied, seen] = [0, 0]
    const scanner = new Scanner({
      context,
      delimiters: ALL_PAIRS,
      expressionBytes: LIMIT,
      sink: {
        bytes(chunk, start, end) {
          seen += end - start
          if (!chunks.includes(chunk)) copied += end - start
        },
        expression: () => t.fail('there is none')
      }
    })
    for (const chunk of chunks) scanner.write(chunk)
    scanner.end()
    t.equal(seen, body.length)
    t.ok(copied <= chunks.length * 130, `${context.kind}: ${copied} bytes copied for ${chunks.length} chunks`)
  }
})

t.test('what the sink was given is never written to', async (t) => {
  const body = Buffer.from('x{{ a }}y"{{ b"z<< /c >>{{{{ <d> '.repeat(50))
  for (const most of [1, 3, 50]) {
    const given: [Buffer, string][] = []
    const scanner = new Scanner({
      context: { kind: 'json' },
      delimiters: ALL_PAIRS,
      expressionBytes: 64,
      sink: {
        bytes(chunk, start, end) {
          const slice = chunk.subarray(start, end)
          given.push([slice, slice.toString('latin1')])
        },
        expression: () => undefined
      }
    })
    for (const chunk of cut(body, random(most), most)) scanner.write(chunk)
    scanner.end()
    t.ok(given.every(([slice, text]) => slice.toString('latin1') === text))
  }
})

t.test('offsets count over the whole body', async (t) => {
  const spots: Spot[] = []
  const scanner = new Scanner({
    context: { kind: 'json' },
    delimiters: ALL_PAIRS,
    expressionBytes: LIMIT,
    sink: { bytes: () => undefined, expression: (spot) => spots.push(spot) }
  })
  const filler = Buffer.alloc(1 << 20, '[1,2]')
  for (let at = 0; at < 5; at++) scanner.write(filler)
  scanner.write(Buffer.from('"x{'))
  scanner.write(Buffer.from('{a}}"'))
  scanner.end()
  t.strictSame(
    spots.map(({ offset, source, place }) => ({ offset, source, place })),
    [{ offset: 5 * (1 << 20) + 2, source: 'a', place: PLACE_JSON_STRING }]
  )
})

t.test('a spot says what encoding needs to know', async (t) => {
  const spots: Spot[] = []
  const sink = { bytes: () => undefined, expression: (spot: Spot) => spots.push(spot) }
  const options = { delimiters: ALL_PAIRS, expressionBytes: LIMIT, sink }
  new Scanner({ ...options, context: { kind: 'text', ascii: true } }).end(Buffer.from('<<a>>'))
  new Scanner({ ...options, context: { kind: 'multipart', boundary: 'o' } }).end(
    Buffer.from(
      '--o\r\nX: {{b}}\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\nContent-Type: text/plain; charset=latin1\r\n\r\n{{c}}\r\n--i--\r\n--o--'
    )
  )
  t.strictSame(
    spots.map(({ source, angle, ascii, boundaries }) => ({ source, angle, ascii, boundaries })),
    [
      { source: 'a', angle: true, ascii: true, boundaries: [] },
      { source: 'b', angle: false, ascii: false, boundaries: ['o'] },
      { source: 'c', angle: false, ascii: true, boundaries: ['o', 'i'] }
    ]
  )
})

t.test('an id of plain letters, digits, hyphens and underscores is told to be one', async (t) => {
  const isWord = (source: string, context: Context) => {
    const spots: Spot[] = []
    const sink = { bytes: () => undefined, expression: (spot: Spot) => spots.push(spot) }
    new Scanner({ delimiters: ALL_PAIRS, expressionBytes: LIMIT, sink, context }).end(Buffer.from(source, 'latin1'))
    return spots.some((spot) => spot.isWord)
  }
  const uuid = '26818785-547b-4b28-b0fa-531377e99f4e'
  for (const kind of ['text', 'json', 'form', 'csv'] as const) {
    for (const id of [uuid, uuid.toUpperCase(), 'tok_', 'tok_1', 'tok_12', 'tok_123']) {
      t.ok(isWord(`"{{ ${id} }}"`, { kind }), `${kind} ${id}`)
      t.ok(isWord(`<<${id}>>`, { kind }), `${kind} ${id}`)
    }
    for (let at = 0; at < 9; at++) {
      for (const odd of ['.', '@', ' ', '|', ':', '[', '{', '\xe9', '\x80']) {
        const id = `${'abcdefghi'.slice(0, at)}${odd}${'jklmnopqr'.slice(at)}`
        t.notOk(at > 0 && isWord(`{{${id}}}`, { kind }), `${kind} ${id}`)
      }
    }
  }
  t.notOk(isWord('"{{ \\u0061bcd }}"', { kind: 'json' }), 'one that is spelled with an escape')
})

t.test('a body by its type is settled on the same bytes however it is cut', async (t) => {
  const filler = ' '.repeat(300)
  for (const [contentType, text, places] of [
    ['application/x-www-form-urlencoded', '{"a":"{{b}}"}', 'json-whole'],
    ['application/x-www-form-urlencoded', '{"a":"{{b}}"}=c', 'form'],
    ['application/x-www-form-urlencoded', `{"a":"{{b}}"}${filler}=c`, 'json-whole'],
    [undefined, `${filler}{"a":"{{b}}"}`, 'text'],
    [undefined, ' {"a":"{{b}}"}', 'json-whole'],
    [undefined, '{{b}}', 'text'],
    ['text/xml', `<?xml version="1.0" encoding="latin1"?>`, 'ERR_CHARSET'],
    ['text/plain', '\xff\xfe{', 'ERR_CHARSET'],
    ['multipart/mixed; boundary=b', '--b\r\n\r\n["{{b}}"]', 'json-whole'],
    ['image/png', '{{b}}', ''],
    ['text/csv', '', '']
  ] as const) {
    const body = Buffer.from(text, 'latin1')
    for (const most of [1, 2, 7, 100, 1000]) {
      const context = { kind: 'by-type', contentType } as const
      t.equal(
        attempt(() => scanChunks(cut(body, random(most), most), context)),
        places,
        text
      )
      t.equal(
        attempt(() => scanWhole(body, context)),
        places,
        text
      )
    }
  }
  const context = { kind: 'by-type', contentType: 'image/png' } as const
  t.equal(
    attempt(() => scanWhole(Buffer.from('{{b}}'), context, { scanBinary: true })),
    'text'
  )
})

t.test('multipart bodies are nested only so deep', async (t) => {
  let body = 'x'
  for (let depth = 0; depth < 6; depth++)
    body = `--${depth}\r\nContent-Type: multipart/mixed; boundary=${depth - 1}\r\n\r\n${body}`
  const scan = (): unknown => scanWhole(Buffer.from(body), { kind: 'multipart', boundary: '5' })
  t.throws(scan, { code: 'ERR_CONTENT_TYPE' })
})

t.test('the head of a part is bounded', async (t) => {
  for (const size of [8180, 8300]) {
    const body = Buffer.from(`--b\r\nX: ${'y'.repeat(size - 7)}\r\n\r\nz\r\n--b--`)
    const scans = [
      () => scanWhole(body, multipart),
      () => {
        const scanner = new Scanner({ context: multipart, delimiters: ALL_PAIRS, expressionBytes: LIMIT, sink: DROP })
        for (const byte of body) scanner.write(Buffer.of(byte))
        scanner.end()
      }
    ]
    for (const scan of scans) {
      if (size < 8192) t.doesNotThrow(scan)
      else t.throws(scan, { code: 'ERR_HTTP_SYNTAX' })
    }
  }
})

t.test('heads', async (t) => {
  const options = { delimiters: ALL_PAIRS, expressionBytes: LIMIT }
  const scan = (text: string, place: Parameters<typeof scanHead>[1]): unknown =>
    scanHead(text, place, options)?.map((piece) =>
      typeof piece === 'string' ? piece : { source: piece.source, offset: piece.offset, place: piece.place }
    ) ?? null
  t.equal(scan('/a/b?c=d', PLACE_URL_PATH), null)
  t.equal(scan('{{ never', PLACE_HEADER), null)
  t.strictSame(scan('/a/%7B%7Bb+%20c%7D%7D/d', PLACE_URL_PATH), [
    '/a/',
    { source: 'b+ c', offset: 3, place: PLACE_URL_PATH },
    '/d'
  ])
  t.strictSame(scan('/{{a}}', PLACE_URL_PATH), ['/', { source: 'a', offset: 1, place: PLACE_URL_PATH }])
  t.strictSame(scan('x=%7b%7bb+%20c%7d%7d', PLACE_URL_QUERY), [
    'x=',
    { source: 'b  c', offset: 2, place: PLACE_URL_QUERY }
  ])
  t.strictSame(scan('Bearer << \xc3\xa9 >>', PLACE_HEADER), [
    'Bearer ',
    { source: 'é', offset: 7, place: PLACE_HEADER }
  ])
  t.strictSame(scan('%7B%7Ba%7D%7D {{b}}', PLACE_HEADER), [
    '%7B%7Ba%7D%7D ',
    { source: 'b', offset: 14, place: PLACE_HEADER }
  ])
  t.equal(scanHead('<<a>>', PLACE_HEADER, { ...options, delimiters: CURLY }), null)
})

/** The places of the expressions, or the code of the error. */
function attempt(scan: () => Outcome): string {
  try {
    return scan()
      .pieces.flatMap((piece) => (typeof piece === 'string' ? [] : [piece.place]))
      .join()
  } catch (thrown) {
    return (thrown as { code: string }).code
  }
}

/** The best of a few runs, in µs of CPU time: other processes do not count. */
function time(body: Buffer, context: Context): number {
  let best = Number.POSITIVE_INFINITY
  for (let run = 0; run < 3; run++) {
    const scanner = new Scanner({ context, delimiters: ALL_PAIRS, expressionBytes: LIMIT, sink: DROP })
    const start = process.cpuUsage()
    scanner.write(body)
    scanner.end()
    const { user, system } = process.cpuUsage(start)
    best = Math.min(best, user + system)
  }
  // The clock ticks in µs.
  return Math.max(best, 20)
}
