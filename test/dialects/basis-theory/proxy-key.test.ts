import fc from 'fast-check'
import t from 'tap'
import { looksLikeProxyKey, namedProxy, newProxyKey } from '../../../lib/dialects/basis-theory/proxy-key.ts'
import type { SluiceError } from '../../../lib/errors.ts'

const KEY = 'TDEyQmkhQMpGiZd13FSRQ9'

t.test('a new key looks like one, and is another each time', async (t) => {
  const keys = new Set(Array.from({ length: 1000 }, newProxyKey))
  t.equal(keys.size, 1000)
  for (const key of keys) if (!looksLikeProxyKey(key)) t.fail(key)
  for (const other of ['', KEY.slice(1), `${KEY}x`, `${KEY.slice(1)}0`, `${KEY.slice(1)}\n`])
    t.notOk(looksLikeProxyKey(other), JSON.stringify(other))
})

t.test('where a request names a stored proxy', async (t) => {
  const table: [string | undefined, string, ReturnType<typeof namedProxy>][] = [
    [undefined, '', null],
    [undefined, '?', null],
    [undefined, '?a=bt-proxy-key&bt-proxy-kez=1', null],
    [KEY, '?a=b', { key: KEY, query: '?a=b' }],
    [KEY, '', { key: KEY, query: '' }],
    ['', '?a=b', { key: '', query: '?a=b' }],
    [undefined, `?bt-proxy-key=${KEY}`, { key: KEY, query: '' }],
    [undefined, `?a=b&BT-PROXY-KEY=${KEY}&c`, { key: KEY, query: '?a=b&c' }],
    [undefined, `?a=%20&&bt-proxy-key=${KEY}&=`, { key: KEY, query: '?a=%20&&=' }],
    [undefined, '?bt-proxy-key', { key: '', query: '' }],
    [undefined, '?bt-proxy-key=', { key: '', query: '' }],
    [undefined, '?bt-proxy-key=a=b', { key: 'a=b', query: '' }],
    [undefined, `?%62t%2dproxy%2Dkey=%54${KEY.slice(1)}`, { key: KEY, query: '' }],
    [undefined, '?%zz=1&bt-proxy-key=%zz', { key: '%zz', query: '?%zz=1' }],
    [KEY, `?bt-proxy-key=${KEY}&x&bt-proxy-key=${KEY}`, { key: KEY, query: '?x' }]
  ]
  for (const [header, query, named] of table) t.strictSame(namedProxy(header, query), named, query)
  for (const [header, query] of [
    [KEY, '?bt-proxy-key=x'],
    [KEY, '?bt-proxy-key'],
    [undefined, '?bt-proxy-key=x&bt-proxy-key=y']
  ] as const) {
    try {
      namedProxy(header, query)
      t.fail(query)
    } catch (error) {
      t.equal((error as SluiceError).code, 'ERR_HTTP_SYNTAX', query)
    }
  }
})

t.test('every other member stays, in its place and byte for byte; none that names a proxy does', async () => {
  const escaped = (text: string) =>
    fc
      .array(fc.boolean(), { minLength: text.length, maxLength: text.length })
      .map((which) =>
        Array.from(text, (sign, at) => (which[at] === true ? `%${sign.charCodeAt(0).toString(16)}` : sign)).join('')
      )
  const naming = fc
    .mixedCase(fc.constant('bt-proxy-key'))
    .chain(escaped)
    .map((name) => `${name}=${KEY}`)
  const other = fc.stringMatching(/^[a-z%=.-]{0,14}$/).filter((member) => !/bt-proxy-key/i.test(decodedOf(member)))
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          naming.map((member) => ({ member, names: true })),
          other.map((member) => ({ member, names: false }))
        ),
        { minLength: 1, maxLength: 6 }
      ),
      (members) => {
        const query = `?${members.map(({ member }) => member).join('&')}`
        const kept = members.filter(({ names }) => !names).map(({ member }) => member)
        const named = namedProxy(undefined, query)
        if (kept.length === members.length) return named === null
        // An empty member at the front is not told from none.
        return named?.key === KEY && named.query.replace(/^\?&*/, '') === kept.join('&').replace(/^&*/, '')
      }
    ),
    { numRuns: 2000 }
  )
})

function decodedOf(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
