import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { createServer } from 'node:tls'
import { setTimeout as sleep } from 'node:timers/promises'
import { DOMParser } from '@xmldom/xmldom'
import t from 'tap'
import { comparedWithBaseline } from '../bench/kit/baseline.ts'
import { listenOnLoopback, startProgram } from '../bench/kit/child.ts'
import { BodyCount } from '../bench/kit/body-count.ts'
import { graphs } from '../bench/kit/graphs.ts'
import type { Row } from '../bench/kit/report.ts'
import { svg } from '../bench/kit/svg.ts'
import { certificates } from './kit/certificates.ts'
import { memoryIsVisible } from './kit/memory.ts'
import { ROOT } from './kit/sources.ts'

/** The harness of the benchmarks: what it says must hold, whoever runs it. */

function counted(instructions: number, figure = 'user instructions'): Row {
  const figures = { [figure]: instructions, 'CPU µs': instructions }
  return { bench: 'compare/instructions', case: '1 KiB', subject: 'sluice', figures }
}

t.test('15 % more instructions are let pass, more are not, and times are never compared', (t) => {
  const before = [counted(100_000)]
  t.same(comparedWithBaseline([counted(115_000)], before), { counted: 1, grown: [] })
  t.match(comparedWithBaseline([counted(115_001)], before), { counted: 1, grown: [/1 KiB.*100000 → 115001/] })
  t.same(comparedWithBaseline([counted(115_001, 'user instructions in valgrind')], before), { counted: 0, grown: [] })
  t.same(comparedWithBaseline([{ ...counted(1), figures: { 'CPU µs': 9e9 } }], before), { counted: 0, grown: [] })
  t.same(comparedWithBaseline([{ ...counted(9e9), subject: 'http-proxy' }], before), { counted: 0, grown: [] })
  t.end()
})

t.test('a body is counted and hashed the same wherever its bytes are split', (t) => {
  const chunked = Buffer.from('3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\nNEXT')
  const exact = Buffer.from('abc0123456789abcdefNEXT')
  const whole = new BodyCount(19, true)
  t.equal(whole.write(exact, 0), 19)
  const digest = whole.digest()
  for (const [bytes, length] of [
    [chunked, null],
    [exact, 19]
  ] as const) {
    for (let split = 0; split < bytes.length; split++) {
      const body = new BodyCount(length, true)
      const at = body.write(bytes.subarray(0, split), 0)
      const end = body.done ? at : split + body.write(bytes.subarray(split), 0)
      t.equal(body.done && bytes.toString('latin1', end), 'NEXT')
      t.same([body.bytes, body.digest()], [19, digest])
    }
  }
  t.end()
})

t.test('a graph is well-formed, and its marks stand within its axes', (t) => {
  const sizes = [100, 16_000, 1e8]
  const rows = ['http-proxy', 'Sluice <&> pipe'].flatMap((subject) =>
    sizes.map((x): Row => ({ bench: 'e2e/by-body-size', case: '', subject, x, figures: { 'CPU µs': 90 + x / 700 } }))
  )
  const drawn = graphs(rows)
  t.same(
    drawn.map(({ file }) => file),
    ['by-body-size.svg']
  )
  for (const { graph } of drawn) {
    const document = new DOMParser({ onError: (_level, why) => t.fail(why) }).parseFromString(svg(graph), 'text/xml')
    const circles = [...document.getElementsByTagName('circle')]
    t.equal(circles.length, sizes.length)
    for (const circle of circles) {
      const [x, y] = [Number(circle.getAttribute('cx')), Number(circle.getAttribute('cy'))]
      t.ok(x >= 84 && x <= 620 && y >= 70 && y <= 396, `${x}, ${y}`)
    }
    t.match(document.documentElement?.textContent, 'Sluice <&> pipe')
    t.match(document.documentElement?.textContent, /100 B.*100 MB.*10 µs.*1 s/s)
  }
  t.end()
})

t.test('of many connections each carries a request at once: no server takes it for a silent one', async (t) => {
  const { ca, server: tls } = await certificates()
  const folder = t.testdir({ 'ca.pem': ca })
  const connections = new Set<Duplex>()
  let requests = 0
  const server = createServer(tls, (socket) => {
    connections.add(socket)
    socket.once('data', () => {
      requests++
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    })
  })
  const load = startProgram('load', 'anywhere', new URL('../bench/kit/load.ts', import.meta.url))
  t.teardown(() => load.stop())
  t.teardown(() => {
    for (const socket of connections) socket.destroy()
    server.close()
  })
  const port = await listenOnLoopback(server)
  const head = 'POST / HTTP/1.1\r\nHost: localhost\r\n'
  const target = { port, ca: join(folder, 'ca.pem'), head, texts: ['hello'], ids: null, idBytes: 0, answer: 'ok' }
  await load.ask('connect', { ...target, connections: 70 })
  t.equal(requests, 70)
  await load.ask('grow', 80)
  t.same([connections.size, requests], [150, 150])
})

t.test('npm run bench says how it is used, and refuses what it does not know', async (t) => {
  const help = run('--help')
  const [said, ended] = await Promise.all([text(help.stdout), once(help, 'close')])
  t.match(said, /usage: npm run bench/)
  t.same(ended, [0, null])
  const wrong = run('--qick')
  const [complaint, refused] = await Promise.all([text(wrong.stderr), once(wrong, 'close')])
  t.match(complaint, /there is no option --qick/)
  t.same(refused, [2, null])
})

t.test('SIGTERM ends a run and every process that it started', async (t) => {
  // Elsewhere no file names a process's children.
  if (!memoryIsVisible) return
  const bench = run('e2e/small-json')
  t.teardown(() => bench.kill('SIGKILL'))
  const closed = once(bench, 'close')
  let started: number[] = []
  for (let waited = 0; waited < 60_000 && started.length < 3; waited += 50) {
    await sleep(50)
    started = descendants(bench.pid as number)
  }
  t.ok(started.length >= 3, 'the program, a proxy and the destination run')
  bench.kill('SIGTERM')
  t.same(await closed, [130, null])
  for (let waited = 0; waited < 10_000 && started.some(isAlive); waited += 50) await sleep(50)
  t.same(started.filter(isAlive), [])
})

function run(...args: string[]): ChildProcessByStdio<null, Readable, Readable> {
  return spawn(process.execPath, [join(ROOT, 'dist/bench/run.js'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
}

function descendants(pid: number): number[] {
  try {
    const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').split(' ').filter(Boolean).map(Number)
    )
    return children.flatMap((child) => [child, ...descendants(child)])
  } catch {
    return []
  }
}

function isAlive(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')
  } catch {
    return false
  }
}
