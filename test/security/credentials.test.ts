/**
 * The mistake: a caller brings its vault key where the other dialect looks for it, or under a name that no dialect knows, and the
 * key travels on to the destination with everything else, which may then read the vault. A key of ours goes to no
 * destination, at no door; a destination's own credentials, which look alike to a reader in a hurry, all do.
 */
import t, { type Test } from 'tap'
import { answering, newDestination } from '../kit/destination.ts'
import { footprint } from '../kit/footprint.ts'
import { newProxy } from '../kit/proxy.ts'
import { call, invoke, newApplication, newStoredProxy } from '../kit/stored-proxy.ts'

const proxy = await newProxy()
const destination = await newDestination({
  script: answering(() => Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}'))
})
t.teardown(() => Promise.all([proxy.close(), destination.close()]))
const { key } = proxy
const other = await proxy.newKey(['token:use'])
const basic = (user: string, password = ''): string => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

/** Header fields that hold a key of ours. */
const OURS: readonly (readonly [string, string])[] = [
  ['X-Footprint-Secret-Key', key],
  ['x-footprint-secret-key', other],
  ['Authorization', basic(key)],
  ['Authorization', basic('x', other)],
  ['authorization', `Bearer ${key}`],
  ['Authorization', key],
  ['X-API-KEY', key],
  ['X-API-KEY', `Bearer ${other}`],
  ['BT-API-KEY', key],
  ['Api-Key', key],
  ['Cookie', `theme=dark; session=${other}`]
]

/** What a destination asks for: it goes on as it is. */
const THEIRS: readonly (readonly [string, string])[] = [
  ['X-Footprint-Secret-Key', 'sk_live_4fS8a'],
  ['Authorization', basic('merchant', 'of the destination, and quite long, longer than any key of ours: 0123456789')],
  ['Authorization', `Bearer ${'eyJhbGciOiJIUzI1NiJ9.'.repeat(8)}`],
  ['X-API-KEY', 'AQEyhmfxLI3MaxFLw0m'],
  // One character off: the checksum does not hold.
  ['X-Footprint-Secret-Key', `${key.slice(0, -1)}${key.endsWith('a') ? 'b' : 'a'}`],
  ['Cookie', 'key_live_pvt_=1; key_='.repeat(20)]
]

/** What the destination got last, or '' when it has got nothing since. */
async function heard(act: () => Promise<{ readonly status: number }>): Promise<{ status: number; head: string }> {
  const before = destination.requests.length
  const { status } = await act()
  const request = destination.requests.slice(before).at(-1)
  const fields = request?.rawHeaders ?? []
  let head = ''
  for (let at = 0; at < fields.length; at += 2) head += `${fields[at]}: ${fields[at + 1]}\r\n`
  return { status, head }
}

/** No part of a key, in any of the spellings that it came in. */
function holdsNone(t: Test, head: string, what: string): void {
  const decoded = head.replace(/basic (\S+)/gi, (_, pair: string) => Buffer.from(pair, 'base64').toString())
  for (const one of [key, other]) t.notOk(decoded.includes(one.slice(20, 60)), what)
}

function ephemeral(name: string, value: string): Promise<{ readonly status: number }> {
  const credential = name.toLowerCase() === 'bt-api-key' ? '' : `BT-API-KEY: ${key}\r\n`
  return proxy.request(
    `POST /proxy HTTP/1.1\r\nHost: x\r\n${credential}BT-PROXY-URL: ${destination.url}\r\n${name}: ${value}\r\nContent-Length: 2\r\n\r\n{}`
  )
}

t.test('/proxy: a field that holds a key of ours stays here', async (t) => {
  for (const [name, value] of OURS) {
    const { status, head } = await heard(() => ephemeral(name, value))
    t.equal(status, 200, name)
    t.match(head, 'Via:')
    holdsNone(t, head, `${name}: ${value.slice(0, 8)}`)
  }
  for (const [name, value] of THEIRS) {
    const { status, head } = await heard(() => ephemeral(name, value))
    t.equal(status, 200, name)
    t.ok(head.includes(`${name}: ${value}\r\n`), `the destination's own ${name} goes on`)
  }
})

t.test('a stored proxy, with a key asked for and without: the same', async (t) => {
  const application = await newApplication(proxy, { destinations: [`${destination.host}:${destination.port}`] })
  for (const more of [{}, { require_auth: false, application: { id: application } }]) {
    const stored = await newStoredProxy(proxy, destination.url, more)
    const asked = 'require_auth' in more ? null : key
    for (const [name, value] of OURS) {
      if (name === 'BT-API-KEY') continue
      const headers = { [name]: value }
      const { status, head } = await heard(() => invoke(proxy, stored.key, { apiKey: asked, headers, body: '{}' }))
      t.equal(status, 200, name)
      holdsNone(t, head, name)
    }
    const [[name, value] = ['', '']] = THEIRS
    const { head } = await heard(() => invoke(proxy, stored.key, { apiKey: asked, headers: { [name]: value } }))
    t.ok(head.includes(`${name}: ${value}\r\n`))
  }
})

t.test(
  '/vault_proxy: nothing goes on unasked, and what is asked for by name is refused when it is a key of ours',
  async (t) => {
    for (const [name, value] of OURS) {
      if (/^(authorization|x-footprint-secret-key|bt-api-key)$/i.test(name)) continue
      const headers: [string, string][] = [
        ['x-fp-proxy-target-url', destination.url],
        [name, value]
      ]
      const { status, head } = await heard(() => footprint(proxy, '/vault_proxy/jit', { headers, body: '{}' }))
      t.equal(status, 200, name)
      holdsNone(t, head, name)
    }
    const before = destination.attempts
    for (const [name, value] of OURS) {
      const headers: [string, string][] = [
        ['x-fp-proxy-target-url', destination.url],
        [`x-fp-proxy-fwd-${name}`, value]
      ]
      t.match(await footprint(proxy, '/vault_proxy/jit', { headers, body: '{}' }), { status: 400 }, name)
    }
    t.equal(destination.attempts, before, 'the destination hears nothing')
    for (const [name, value] of THEIRS) {
      const headers: [string, string][] = [
        ['x-fp-proxy-target-url', destination.url],
        [`x-fp-proxy-fwd-${name}`, value]
      ]
      const { head } = await heard(() => footprint(proxy, '/vault_proxy/jit', { headers, body: '{}' }))
      t.ok(head.includes(`${name}: ${value}\r\n`), name)
    }
  }
)

t.test('a stored configuration takes no key of ours into its headers', async (t) => {
  const config = { name: 'c', url: destination.url, method: 'POST' }
  for (const headers of [
    { headers: [{ name: 'Authorization', value: basic(key) }] },
    { secret_headers: [{ name: 'Api-Key', value: other }] }
  ]) {
    const body = { ...config, ...headers }
    t.match(await footprint(proxy, '/vault_proxy/configs', { body }), { status: 400 })
  }
  const body = { ...config, secret_headers: [{ name: 'Api-Key', value: 'theirs' }] }
  t.equal((await footprint(proxy, '/vault_proxy/configs', { body })).status, 200)
})

t.test('at the other door a key is no credential, and the answer does not say it', async (t) => {
  const asFootprint = `POST /proxy HTTP/1.1\r\nHost: x\r\nX-Footprint-Secret-Key: ${key}\r\nAuthorization: ${basic(key)}\r\nBT-PROXY-URL: ${destination.url}\r\nContent-Length: 2\r\n\r\n{}`
  const refused = await proxy.request(asFootprint)
  t.equal(refused.status, 401)
  t.notOk(refused.raw.toString('latin1').includes(key.slice(20, 60)))
  t.match(await call(proxy, 'GET', '/users', undefined, key), { status: 401 })
})
