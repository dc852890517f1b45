import t from 'tap'
import { settleContext } from '../../lib/scan/context.ts'
import { parseMediaType } from '../../lib/scan/media-type.ts'

/** The kind, `pass` for a type that holds no expressions, or the code of the error; `ascii` is marked by a star. */
function settle(type: string | undefined, first: string | Buffer = '', last: string | Buffer | null = first): string {
  const bytes = (text: string | Buffer): Buffer => (typeof text === 'string' ? Buffer.from(text, 'latin1') : text)
  try {
    const context = settleContext(type, bytes(first), last === null ? null : bytes(last))
    return context === null ? 'pass' : `${context.kind}${context.ascii === true ? '*' : ''}`
  } catch (thrown) {
    return (thrown as { code: string }).code
  }
}

t.test('declared types', async (t) => {
  for (const [kind, ...types] of [
    ['json', 'application/json', 'APPLICATION/JSON', 'application/json; charset=utf-8', 'application/problem+json'],
    [
      'json',
      'application/x-ndjson',
      'application/jsonl',
      'application/json-seq',
      'application/geo+json-seq',
      'text/json'
    ],
    ['json', 'application/x-amz-json-1.1', 'application/vnd.api+json; version="1;2"'],
    ['form', 'application/x-www-form-urlencoded', 'application/x-www-form-urlencoded;charset=UTF-8'],
    ['xml', 'application/xml', 'text/xml', 'application/soap+xml; action="a,b"'],
    ['csv', 'text/csv', 'text/csv; header=present', 'text/tab-separated-values'],
    ['text', 'text/plain', 'text/html', 'SALEM05210/SLM', 'nonsense', 'application/graphql', 'application/jsonp'],
    ['pass', 'image/png', 'image/svg+xml', 'audio/ogg', 'video/mp4', 'font/woff2', 'application/pdf'],
    ['pass', 'application/zip', 'application/octet-stream', 'Application/Octet-Stream; x=y'],
    ['multipart', 'multipart/form-data; boundary=x', 'multipart/mixed; charset=utf-8; boundary="a b"']
  ]) {
    for (const type of types) t.equal(settle(type, 'a=1'), kind, type)
  }
})

t.test('types that are refused', async (t) => {
  for (const type of [
    'application/json, text/plain',
    'text/plain; charset=utf-8; charset=latin1',
    'text/plain; charset',
    'multipart/form-data',
    'multipart/form-data; boundary=',
    'multipart/form-data; boundary=a; boundary=b',
    `multipart/form-data; boundary=${'x'.repeat(71)}`,
    'multipart/form-data; boundary="a\r\nb"',
    'multipart/form-data; boundary="a '
  ]) {
    t.equal(settle(type), 'ERR_CONTENT_TYPE', type)
  }
})

t.test('bodies without a type', async (t) => {
  for (const [first, kind] of [
    ['{"a":1}', 'json'],
    [' \r\n[1]', 'json'],
    ['\xef\xbb\xbf{"a":1}', 'json'],
    ['[{{id}}]', 'json'],
    ['{', 'json'],
    ['{{ id }}', 'text'],
    ['hello {', 'text'],
    ['', 'text'],
    ['a=b', 'text']
  ] as const) {
    t.equal(settle(undefined, first), kind, JSON.stringify(first))
    t.equal(settle('', first), kind, JSON.stringify(first))
  }
})

t.test('JSON that is labelled as a form', async (t) => {
  const form = 'application/x-www-form-urlencoded'
  for (const [first, kind] of [
    ['{"a":1}', 'json'],
    [' { "a" : 1 } \n', 'json'],
    ['[1,2]', 'json'],
    ['[-1]', 'json'],
    ['[{"a":{{id}}}]', 'json'],
    ['[true]', 'json'],
    ['{}', 'json'],
    ['[]', 'json'],
    ['{"a":"b"}=c', 'form'],
    ['{"a":1]', 'form'],
    ['[a]=1&[b]', 'form'],
    ['{a}', 'form'],
    ['{{id}}', 'form'],
    ['a={"b":1}', 'form'],
    ['', 'form'],
    ['{', 'form']
  ] as const) {
    t.equal(settle(form, first), kind, first)
  }
  t.equal(settle(form, '{"a":', null), 'json', 'the last byte of a stream is not waited for')
  t.equal(settle(form, '{"a":', '1} '), 'json', 'the end may be another buffer')
  t.equal(settle(form, '{"a":', '1&b'), 'form')
})

t.test('charsets', async (t) => {
  for (const charset of ['utf-16', 'UTF-16LE', 'utf-32', 'utf16', 'UCS-2', 'ISO-10646-UCS-2', 'csUnicode']) {
    t.equal(settle(`text/plain; charset=${charset}`), 'ERR_CHARSET', charset)
  }
  for (const first of ['\xfe\xff\0{', '\xff\xfe{\0', '\0\0\xfe\xff', '\xff\xfe\0\0']) {
    for (const type of ['application/json', 'text/plain', 'text/csv', undefined]) {
      t.equal(settle(type, first), 'ERR_CHARSET', `${type}: ${JSON.stringify(first)}`)
    }
    t.equal(settle('application/octet-stream', first), 'pass')
    t.equal(settle('application/x-unknown', first), 'text', 'bytes of an unknown type may be anything')
  }
  t.equal(settle('application/json', '{\0"\0'), 'ERR_CHARSET', 'UTF-16 without a mark')
  t.equal(settle('text/xml', '\0<\0a'), 'ERR_CHARSET')
  t.equal(settle('text/plain; charset=iso-8859-1'), 'text*')
  t.equal(settle('text/plain; charset="us-ascii"'), 'text*')
  t.equal(settle('application/json; charset=UTF8'), 'json')
  t.equal(settle('image/png; charset=utf-16'), 'pass')
})

t.test('the encoding of XML', async (t) => {
  for (const [declaration, kind] of [
    ['<?xml version="1.0"?>', 'xml'],
    ['<?xml version="1.0" encoding="UTF-8"?>', 'xml'],
    ["\xef\xbb\xbf<?xml version='1.0' encoding = 'utf-8' standalone='yes'?>", 'xml'],
    ['<?xml version="1.0" encoding="US-ASCII"?>', 'xml*'],
    ['<?xml version="1.0" encoding="ISO-8859-1"?>', 'ERR_CHARSET'],
    ['<?xml version="1.0"\nencoding=\'UTF-16\'?>', 'ERR_CHARSET'],
    ['<?xml version="1.0"?><a encoding="x"/>', 'xml'],
    ['<a encoding="ISO-8859-1"/>', 'xml']
  ] as const) {
    t.equal(settle('application/xml', declaration), kind, declaration)
  }
})

t.test('parameters', async (t) => {
  t.strictSame(parseMediaType('a/B ; Charset="U\\"TF" ;; boundary=x ; y="\\\\";'), {
    essence: 'a/b',
    charset: 'u"tf',
    boundary: 'x',
    isBinary: false
  })
  t.strictSame(parseMediaType(undefined), {
    essence: '',
    charset: undefined,
    boundary: undefined,
    isBinary: false
  })
})
