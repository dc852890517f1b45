import t from 'tap'
import { SluiceError } from '../../lib/errors.ts'
import {
  hostMatches,
  joinTarget,
  normalizeHost,
  normalizeHostPattern,
  parseDestinationUrl
} from '../../lib/plan/destination.ts'

const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (thrown) {
    return thrown instanceof SluiceError ? thrown.code : String(thrown)
  }
  return 'none'
}

t.test('reads a destination URL', async (t) => {
  const read = (raw: string) => parseDestinationUrl(raw, [443, 8443])
  t.same(read('https://example.com/api'), { host: 'example.com', port: 443, path: '/api', query: '' })
  t.same(read('https://example.com'), { host: 'example.com', port: 443, path: '', query: '' })
  t.same(read('HTTPS://API.Example.COM.:8443/a%2Fb/?y=2&z=%20'), {
    host: 'api.example.com',
    port: 8443,
    path: '/a%2Fb/',
    query: 'y=2&z=%20'
  })
  t.same(read('https://h.com?y=2'), { host: 'h.com', port: 443, path: '', query: 'y=2' })
  t.equal(read('https://bücher.example/').host, 'xn--bcher-kva.example')
  t.equal(read('https://xn--bcher-kva.example/').host, 'xn--bcher-kva.example')
  t.equal(read('https://under_score.example/').host, 'under_score.example')
  t.same(read('https://h.com/%7B%7Bid%7D%7D/{{id}}?q={{id}}').path, '/%7B%7Bid%7D%7D/{{id}}')
  t.ok(Object.isFrozen(read('https://h.com')))
})

t.test('an exempt destination may use any port', async (t) => {
  t.equal(parseDestinationUrl('https://localhost:9443', [443], ['localhost:9443']).port, 9443)
  t.equal(
    codeOf(() => parseDestinationUrl('https://other:9443', [443], ['localhost:9443'])),
    'ERR_DESTINATION_URL'
  )
})

t.test('refuses every other spelling', async (t) => {
  const refused = [
    undefined,
    '',
    'http://example.com',
    'ftp://example.com',
    'example.com',
    '//example.com',
    'https:example.com',
    'https:/example.com',
    'https:\\\\example.com',
    'https:/\\example.com',
    ' https://example.com',
    'https://example.com ',
    '\thttps://example.com',
    'https://exa\tmple.com',
    'https://exa\nmple.com',
    'https://example.com/a b',
    'https://example.com/a\tb',
    'https://example.com/a\r\nb',
    'https://example.com/a\u0000b',
    'https://example.com/\u007f',
    'https://example.com/é',
    'https://example.com?é',
    'https://',
    'https:///',
    'https:///path',
    'https://?q',
    'https://.',
    'https://..',
    'https://.example.com',
    'https://example..com',
    'https://example.com..',
    'https://-example.com',
    'https://example-.com',
    `https://${'a'.repeat(64)}.com`,
    `https://${'a.'.repeat(127)}com`,
    'https://user@example.com',
    'https://user:pass@example.com',
    'https://@example.com',
    'https://example.com@evil.com',
    'https://example.com:443@evil.com',
    'https://example.com/#f',
    'https://example.com#f',
    'https://example.com?q#f',
    'https://example.com:80',
    'https://example.com:',
    'https://example.com:/',
    'https://example.com:0',
    'https://example.com:0443',
    'https://example.com:+443',
    'https://example.com:443:443',
    'https://example.com:65536',
    'https://example.com:4 43',
    'https://example.com:999999443',
    'https://[example.com]',
    'https://[example.com]/',
    'https://example.com]',
    'https://[::1]',
    'https://[::ffff:127.0.0.1]',
    'https://10.0.0.1',
    'https://127.0.0.1/',
    'https://127.1',
    'https://127.0.0.1.',
    'https://2130706433',
    'https://0x7f000001',
    'https://0x7f.1',
    'https://0X7F.1',
    'https://0177.0.0.1',
    'https://0x',
    'https://example.0x1',
    'https://1.2.3',
    'https://example.123',
    'https://①②⑦.0.0.1',
    'https://127。0。0。1',
    'https://１２７.0.0.1',
    'https://ｅxample.com',
    'https://example。com',
    'https://exa\u00admple.com',
    'https://exa%6dple.com',
    'https://%31%32%37.0.0.1',
    'https://exam ple.com',
    'https://exa<mple.com',
    'https://exa!mple.com',
    'https://example.com/a/../b',
    'https://example.com/..',
    'https://example.com/.',
    'https://example.com/./a',
    'https://example.com/a/%2e%2e/b',
    'https://example.com/a/%2E./b',
    'https://example.com/a/.%2e',
    'https://example.com/%2e',
    'https://example.com\\@evil.com',
    'https://example.com\\a',
    'https://example.com/a\\b',
    'https://example.com?a\\b',
    `https://example.com/${'a'.repeat(9000)}`
  ]
  for (const raw of refused) {
    t.equal(
      codeOf(() => parseDestinationUrl(raw, [443])),
      'ERR_DESTINATION_URL',
      JSON.stringify(raw)?.slice(0, 60)
    )
  }
})

t.test('what passes is what the URL parser would reach', async (t) => {
  for (const raw of [
    'https://a.b',
    'https://A.B./x',
    'https://a_b.c:443/?q',
    'https://1a.2b',
    'https://bücher.de/',
    'https://a.0xg'
  ]) {
    const { host, port } = parseDestinationUrl(raw, [443])
    const url = new URL(raw)
    t.equal(host, url.hostname.replace(/\.$/, ''))
    t.equal(port, Number(url.port || 443))
  }
})

t.test('joins the inbound tail to the base', async (t) => {
  const join = (tail: string, base: string) => joinTarget(parseDestinationUrl(base, [443]), tail).text
  t.equal(join('', 'https://example.com/api'), '/api')
  t.equal(join('/foo/bar?param=value', 'https://example.com/api'), '/api/foo/bar?param=value')
  t.equal(join('/foo', 'https://example.com/api/'), '/api/foo')
  t.equal(join('', 'https://example.com/api/'), '/api')
  t.equal(join('?x=1', 'https://h.com/a?y=2'), '/a?y=2&x=1')
  t.equal(join('/foo?x=1', 'https://h.com/a?y=2'), '/a/foo?y=2&x=1')
  t.equal(join('/a?x=1', 'https://h.com'), '/a?x=1')
  t.equal(join('/a%2Fb?q=%20z', 'https://h.com'), '/a%2Fb?q=%20z')
  t.equal(join('/secure_cards', 'https://sandbox.dlocal.com'), '/secure_cards')
  t.equal(join('/chat/completions', 'https://airlock.example/v1'), '/v1/chat/completions')
  t.equal(join('', 'https://h.com'), '/')
  t.equal(join('', 'https://h.com/'), '/')
  t.equal(join('/', 'https://h.com/api'), '/api/')
  t.equal(join('', 'https://h.com/api///'), '/api')
  t.equal(join('?', 'https://h.com/a?y=2'), '/a?y=2')
  t.equal(join('?x=1', 'https://h.com'), '/?x=1')
  t.equal(join('?y=2', 'https://h.com/a?y=2'), '/a?y=2&y=2')
  t.equal(join('/?a?b', 'https://h.com'), '/?a?b')
  t.same(joinTarget({ path: '/a', query: 'y=2' }, '/b?x=1'), { path: '/a/b', query: 'y=2&x=1', text: '/a/b?y=2&x=1' })
})

t.test('refuses a tail that could leave the base', async (t) => {
  const base = parseDestinationUrl('https://h.com/api', [443])
  for (const tail of [
    '/..',
    '/../b',
    '/a/..',
    '/%2e%2e/b',
    '/%2E%2e',
    '/..%2fb',
    '/a%2F..%2fb',
    '/a%2f%2e%2E',
    '/..%5cb',
    '/a%5C.%5Cb',
    '/..;/b',
    '/..;a=b/c',
    '/%2e%2e;/b',
    '/..%3B/b',
    '/.%2E/',
    '/.',
    '/a/./b',
    '/%2e',
    '/a\\b',
    '\\',
    'a',
    '/a#b',
    '/a?b#c',
    '/a b',
    '/é',
    '/a\r\nb',
    '/a?b\\c'
  ]) {
    t.equal(
      codeOf(() => joinTarget(base, tail)),
      'ERR_DESTINATION_URL',
      JSON.stringify(tail)
    )
  }
  for (const tail of ['/...', '/..a', '/a..', '/%2e%2ea', '/a?..', '/a?/../b', '/%252e']) {
    t.equal(
      codeOf(() => joinTarget(base, tail)),
      'none',
      JSON.stringify(tail)
    )
  }
})

t.test('host patterns', async (t) => {
  const rows: [string, string, boolean][] = [
    ['*', 'example.com', true],
    ['example.com', 'example.com', true],
    ['example.com', 'a.example.com', false],
    ['*.example.com', 'a.example.com', true],
    ['*.example.com', 'a.b.c.example.com', true],
    ['*.example.com', 'example.com', false],
    ['*.example.com', '.example.com', false],
    ['*.example.com', 'notexample.com', false],
    ['*.example.com', 'example.com.evil.com', false],
    ['*example.com', 'notexample.com', false],
    ['a*', 'ab', false]
  ]
  for (const [pattern, host, expected] of rows) t.equal(hostMatches(pattern, host), expected, `${pattern} ${host}`)
  t.equal(normalizeHostPattern('*.Bücher.Example.'), '*.xn--bcher-kva.example')
  t.equal(normalizeHostPattern('*'), '*')
  t.equal(normalizeHostPattern('Example.COM.'), 'example.com')
  for (const bad of ['', '*.', '**', '*a.com', '*.*.com', '10.0.0.1', 'a b', 'a/b', 'a:443', '*.10.0.0.1']) {
    t.equal(normalizeHostPattern(bad), null, bad)
  }
  t.equal(normalizeHost('EXAMPLE.com.'), 'example.com')
})
