/**
 * Scanning, beside what the bare search for the delimiters costs. Budgets: at least 5 GB/s for text without an opener,
 * 1 GB/s for JSON, and 3 µs for a JSON body of 1 KiB with four expressions. The bodies of 1 MiB come in chunks of
 * 64 KiB, as sockets give them.
 */
import type { Context } from '../../../lib/scan/context.ts'
import { ALL_PAIRS } from '../../../lib/scan/delimiters.ts'
import { Scanner, type Spot } from '../../../lib/scan/scanner.ts'
import { ID_BYTES, requestBody, tokenId } from '../../data/small-json.ts'
import { type MicroCase, micro } from '../../kit/micro.ts'

const LARGE = 1024 * 1024
const CHUNK = 64 * 1024
const EXPRESSION_BYTES = 16384
const OPENERS = [Buffer.from('{{'), Buffer.from('<<')] as const
/** An expression that is the whole of a JSON string. */
const WHOLE_BYTES = '"{{  }}"'.length + ID_BYTES
const IDS = [1, 2, 3, 4].map(tokenId)

/** Counts what it gets; `spots` and `bytes` show that the output is right. */
class Counter {
  spots = 0
  bytesSeen = 0
  sources = ''

  bytes(_chunk: Buffer, start: number, end: number): void {
    this.bytesSeen += end - start
  }

  expression(spot: Spot): void {
    this.spots++
    this.sources = spot.source
  }
}

interface Expected {
  readonly spots: number
  readonly bytes: number
  readonly literals?: number
}

function streamed(name: string, kind: Context['kind'], unit: string, expected: Partial<Expected> = {}): MicroCase {
  const body = repeated(unit)
  const chunks: Buffer[] = []
  for (let at = 0; at < body.length; at += CHUNK) chunks.push(body.subarray(at, at + CHUNK))
  const context: Context = kind === 'multipart' ? { kind, boundary: 'xxBOUNDARYxx' } : { kind }
  return scan(name, context, body.length, { spots: 0, bytes: body.length, ...expected }, (scanner) => {
    for (const chunk of chunks) scanner.write(chunk)
    scanner.end()
  })
}

function whole(name: string, kind: Context['kind'], text: string, expected: Expected): MicroCase {
  const body = Buffer.from(text)
  const context: Context = kind === 'multipart' ? { kind, boundary: 'xxBOUNDARYxx' } : { kind }
  return scan(name, context, body.length, expected, (scanner) => scanner.end(body))
}

function scan(
  name: string,
  context: Context,
  bytes: number,
  expected: Expected,
  feed: (scanner: Scanner) => void
): MicroCase {
  const run = (): Counter => {
    const sink = new Counter()
    const scanner = new Scanner({ context, delimiters: ALL_PAIRS, expressionBytes: EXPRESSION_BYTES, sink })
    feed(scanner)
    literals = scanner.literalOpeners
    return sink
  }
  let literals = 0
  const check = (): void => {
    const { spots, bytesSeen } = run()
    const found = JSON.stringify({ spots, bytes: bytesSeen, literals })
    const wanted = JSON.stringify({ spots: expected.spots, bytes: expected.bytes, literals: expected.literals ?? 0 })
    if (found !== wanted) throw new Error(`${name}: found ${found}, expected ${wanted}`)
  }
  return { name, run, bytes, check }
}

function repeated(unit: string): Buffer {
  return Buffer.from(unit.repeat(Math.ceil(LARGE / unit.length)), 'latin1').subarray(0, LARGE)
}

const search = (text: Buffer): MicroCase => ({
  name: 'bare search',
  bytes: text.length,
  run: () => {
    let found = 0
    for (let at = 0; at < text.length; at += CHUNK) {
      const chunk = text.subarray(at, at + CHUNK)
      for (const opener of OPENERS) if (chunk.includes(opener)) found++
    }
    return found
  }
})

const PROSE = 'The quick brown fox jumps over the lazy dog, so it is said; and then it rests. '
const BRACES = 'The quick brown fox jumps over the lazy dog; {so} it is <said>. '
const RECORD =
  '{"id":"4kx81","name":"John Smith","amount":120.5,"address":{"line1":"1 Main Street","city":"Springfield"},"tags":["a","b"],"ok":true},\n'
const ESCAPED =
  '{"text":"He said \\"no\\" to the path C:\\\\new\\\\table and left;\\n then all was quiet for a while","n":1},\n'
const XML = '<item id="17" kind="a"><name>John &amp; Mary Smith</name><amount currency="EUR">120.50</amount></item>\n'
const FORM = 'name=John+Smith&address=1%20Main+Street&amount=120.50&city=Springfield&note=100%25+sure&'
const CSV = '17,"Smith, John",120.50,2026-01-31,"1 Main Street",Springfield\n'
const SMALL = requestBody(IDS)
const SMALL_BYTES = SMALL.length - 4 * WHOLE_BYTES
const PLAIN = SMALL.replace(/[{}]{2}/g, '..')
const PART = `--xxBOUNDARYxx\r\nContent-Disposition: form-data; name="a"\r\n\r\n{{ ${tokenId(1)} }}\r\n`
const UPLOAD = `--xxBOUNDARYxx\r\nContent-Type: image/png\r\n\r\n${'\x89PNG\r\n\x1a\n{{'.repeat(LARGE / 10 - 20)}\r\n--xxBOUNDARYxx--`

micro('micro/scan/scanner', [
  search(repeated(PROSE)),
  { ...streamed('text', 'text', PROSE), against: 'bare search', budget: 3 },
  streamed('text, many single braces', 'text', BRACES),
  streamed('JSON', 'json', RECORD),
  streamed('JSON, many escapes', 'json', ESCAPED),
  streamed('JSON, an expression every 4 KiB', 'json', `${RECORD.repeat(30)}"{{ ${tokenId(1)} }}",`, {
    spots: 256,
    bytes: LARGE - 256 * WHOLE_BYTES
  }),
  streamed('XML', 'xml', XML),
  streamed('form', 'form', FORM),
  streamed('CSV', 'csv', CSV),
  whole('multipart, a binary part', 'multipart', UPLOAD, { spots: 0, bytes: Buffer.byteLength(UPLOAD) }),
  whole('1 KiB of JSON, four expressions', 'json', SMALL, { spots: 4, bytes: SMALL_BYTES }),
  whole('1 KiB of JSON, none', 'json', PLAIN, { spots: 0, bytes: PLAIN.length }),
  whole('1 KiB of text, none', 'text', PLAIN, { spots: 0, bytes: PLAIN.length }),
  whole('multipart, four small parts', 'multipart', `${PART.repeat(4)}--xxBOUNDARYxx--`, {
    spots: 4,
    bytes: 4 * (PART.length - ID_BYTES - 6) + 16
  }),
  whole('an empty body', 'json', '', { spots: 0, bytes: 0 }),
  streamed('hostile: openers', 'text', '{{ ', { literals: Math.floor(LARGE / 3) }),
  streamed('hostile: quotes', 'json', '"'),
  streamed('hostile: backslashes', 'json', '"\\\\')
])
