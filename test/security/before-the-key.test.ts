import t from 'tap'
import type { Caller } from '../../lib/vault/access.ts'
import type { KeyMemo } from '../../lib/vault/vault.ts'
import { newProxy } from '../kit/proxy.ts'

/*
 * What does one request cost before it is known who sends it? Anybody may send heads of `listen.headerBytes`. What is in
 * them must not matter: work that grows with the square of a head lets a stranger stop everybody else's requests. Nor may a
 * request that was given up stay under way: `limits.inFlight` would be used up one by one.
 */

const proxy = await newProxy()
t.teardown(() => proxy.close())

/** CPU time of one refused request, in ms: the least of some. */
async function costOf(fields: string): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let time = 0; time < 5; time++) {
    const before = process.cpuUsage()
    const { status } = await proxy.request(`GET /proxy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${fields}\r\n`)
    const { user, system } = process.cpuUsage(before)
    if (status !== 401) throw new Error(`answered ${status}`)
    least = Math.min(least, (user + system) / 1000)
  }
  return least
}

t.test('many Connection fields of many names cost about what other fields cost', async (t) => {
  let named = 0
  const lines = (name: string) => {
    let text = ''
    for (let line = 0; line < 990; line++) {
      const names = Array.from({ length: 12 }, () => (named++).toString(36).padStart(3, 'a'))
      text += `${name}: ${names.join()}\r\n`
    }
    return text
  }
  const others = await costOf(lines('X-Other-Na'))
  const listed = await costOf(lines('Connection'))
  t.ok(listed < 15 * others + 15, `${listed} ms against ${others} ms`)
})

for (const engine of ['raw', 'node']) {
  t.test(`the ${engine} engine: a client that leaves while its key is looked up is over`, async (t) => {
    const own = await newProxy({ listen: { engine } })
    t.teardown(() => own.close())
    const authenticate = own.vault.authenticate.bind(own.vault)
    let asked = (): void => {}
    let answer = (): void => {}
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve
    })
    const isAnswered = new Promise<void>((resolve) => {
      answer = resolve
    })
    // As over PostgreSQL.
    const slow = async (key: string, memo: KeyMemo): Promise<Caller> => {
      asked()
      await isAnswered
      return authenticate(key, memo)
    }
    Object.assign(own.vault, { authenticate: slow })
    const client = await own.client()
    await client.send(
      `POST /proxy HTTP/1.1\r\nHost: h\r\nBT-API-KEY: ${own.key}\r\nBT-PROXY-URL: https://localhost:9443\r\nContent-Length: 5\r\n\r\nhe`
    )
    await isAsked
    client.destroy()
    // Its end has been read when another connection has come and gone.
    for (let time = 0; time < 3; time++) {
      t.equal((await own.request('GET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n')).status, 404)
    }
    answer()
    let metrics = ''
    for (let turn = 0; turn < 200 && !metrics.includes('sluice_in_flight 0\n'); turn++) {
      metrics = await (await fetch(`http://127.0.0.1:${own.adminPort}/metrics`)).text()
    }
    t.match(metrics, /^sluice_in_flight 0$/m)
  })
}
