import t from 'tap'
import { newProxy } from '../kit/proxy.ts'

/*
 * What does one request cost before it is known who sends it? Anybody may send heads of `listen.headerBytes`. What is in
 * them must not matter: work that grows with the square of a head lets a stranger stop everybody else's requests.
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
