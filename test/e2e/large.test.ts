import t from 'tap'
import { type LargeSubject, largeContest } from '../../bench/kit/large-contest.ts'
import { newScene, startPeer } from '../../bench/kit/scene.ts'
import { populate, startSluice } from '../../bench/kit/sluice.ts'
import { tokenId, tokenValue } from '../../bench/data/small-json.ts'
import { newDestination } from '../kit/destination.ts'
import { memoryIsVisible, sampleMemory } from '../kit/memory.ts'
import { newProxy, proxyRequest } from '../kit/proxy.ts'

/*
 * Memory is bounded by windows, not by bodies: `sluice serve` as a process of its own against a bare Node pipe that is
 * given the same bytes, and slow readers on each side.
 */

t.test('256 MiB with a token in the first, middle and last hundred bytes', { timeout: 240_000 }, async (t) => {
  process.argv.push('--rounds=1')
  const scene = await newScene(new URL('../../bench/kit/large-upstream.ts', import.meta.url))
  t.teardown(() => scene.close())
  const population = await populate(scene, 'aes-256-gcm', 8)
  const subjects: LargeSubject[] = [
    { name: 'pipe', start: () => startPeer(scene, 'pipe'), forwards: null },
    {
      name: 'sluice',
      start: () => startSluice(scene, population),
      forwards: [tokenValue(0), tokenValue(1), tokenValue(2)]
    }
  ]
  // It compares every byte that arrives, and throws at the first that is wrong.
  const rows = await largeContest(
    'large',
    scene,
    [
      {
        name: '256 MiB',
        direction: 'up',
        kind: 'text',
        bytes: 256 * 2 ** 20,
        chunked: true,
        sent: [`{{ ${tokenId(0)} }}`, `{{ ${tokenId(1)} }}`, `{{ ${tokenId(2)} }}`]
      }
    ],
    subjects
  )
  const memory = (name: string): number =>
    rows.find((row) => row.subject === name)?.figures['anonymous MiB'] ?? Number.NaN
  t.ok(memory('sluice') > 0)
  if (memoryIsVisible) {
    t.ok(memory('sluice') - memory('pipe') <= 24, `${memory('sluice')} MiB against the pipe's ${memory('pipe')} MiB`)
  }
})

t.test('a slow reader on each side holds the sender, not our memory', async (t) => {
  const proxy = await newProxy()
  t.teardown(() => proxy.close())
  const bytes = 64 * 2 ** 20
  const id = await proxy.token('revealed')
  const expression = `{{${id}}}`
  for (const [what, begin] of [
    ['bytes', ''],
    ['expressions in every block', expression]
  ] as const) {
    t.test(`a destination that does not read ${what}`, async (t) => {
      const destination = await newDestination({
        keep: 'count',
        script: (connection) => {
          connection.pause()
        }
      })
      t.teardown(() => destination.close())
      const client = await proxy.client()
      t.teardown(() => client.destroy())
      const head = `POST /proxy HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${proxy.key}\r\nBT-PROXY-URL: ${destination.url}\r\nContent-Type: text/plain\r\nContent-Length: ${bytes}\r\n\r\n`
      void client.send(head)
      const memory = sampleMemory(process.pid)
      const before = memory.peakAnonymousBytes
      let taken = 0
      const block = Buffer.alloc(65_536, 0x61)
      block.write(begin)
      // Sends until nothing is taken for half a second: then every buffer on the way is full.
      for (let sent = 0; sent < bytes; sent += block.length) {
        const late = Symbol('late')
        const outcome = await Promise.race([
          client.send(block),
          new Promise((resolve) => {
            setTimeout(() => resolve(late), 500)
          })
        ])
        if (outcome === late) break
        taken += block.length
      }
      memory.stop()
      t.ok(taken < bytes / 2, `the client was held after ${taken} bytes`)
      if (memoryIsVisible) t.ok(memory.peakAnonymousBytes - before < 24 * 2 ** 20, 'memory stayed')
    })
  }
  t.test('a client that does not read', async (t) => {
    let sent = 0
    const destination = await newDestination({
      script: async (connection) => {
        await connection.receives('\r\n\r\n')
        await connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`)
        const block = Buffer.alloc(65_536, 0x61)
        while (sent < bytes) {
          await connection.send(block)
          sent += block.length
        }
      }
    })
    t.teardown(() => destination.close())
    const client = await proxy.client()
    t.teardown(() => client.destroy())
    client.pause()
    const memory = sampleMemory(process.pid)
    const before = memory.peakAnonymousBytes
    void client.send(proxyRequest(proxy.key, destination.url, '{}'))
    for (let last = -1; sent === 0 || sent !== last; ) {
      last = sent
      await new Promise((resolve) => {
        setTimeout(resolve, 500)
      })
    }
    memory.stop()
    t.ok(sent < bytes / 2, `the destination was held after ${sent} bytes`)
    if (memoryIsVisible) t.ok(memory.peakAnonymousBytes - before < 24 * 2 ** 20, 'memory stayed')
  })
})
