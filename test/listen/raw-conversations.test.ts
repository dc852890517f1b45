import t from 'tap'
import { newClient } from '../kit/client.ts'
import { type EngineName, type Heard, newEngine } from './_engines.ts'

/*
 * Random conversations: pipelines of requests of every framing, cut into random pieces, before a server that takes and
 * answers each in its own way and time. Whatever happens, the answers come in order and each is the right one.
 */

const FACTOR = Number(process.env['SLUICE_FUZZ'] ?? 1)
const SEED = Number(process.env['SLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

/** The server's ways, by the first segment of the target; each answers with the body's length and check sum, or the body. */
const WAYS: Readonly<Record<string, (heard: Heard) => void>> = {
  whole(heard) {
    heard.after = (call) => {
      if (call === 'end') heard.client.answer(200, [], sum(Buffer.concat(heard.chunks)))
    }
    heard.client.receive()
  },
  late(heard) {
    heard.after = (call) => {
      if (call === 'end') setTimeout(() => heard.client.answer(200, [], sum(Buffer.concat(heard.chunks))), 1)
    }
    setTimeout(() => heard.client.receive(), 1)
  },
  early(heard) {
    heard.client.answer(200, [], 'early')
  },
  earlyLate(heard) {
    setImmediate(() => heard.client.answer(200, [], 'early'))
  },
  middle(heard) {
    heard.after = (call) => {
      if (heard.after === null) return
      heard.after = null
      heard.client.answer(200, [], call === 'left' ? '' : 'early')
    }
    heard.client.receive()
  },
  stream(heard) {
    heard.client.begin(200, 'OK', [], heard.client.head.bodyBytes)
    heard.after = (call) => {
      if (call === 'chunk') {
        for (const chunk of heard.chunks.splice(0)) if (!heard.client.send(chunk)) heard.client.pause()
      } else if (call === 'drained') heard.client.resume()
      else if (call === 'end') heard.client.finish([])
    }
    heard.client.receive()
  },
  paced(heard) {
    heard.after = (call) => {
      if (call === 'chunk') {
        heard.client.pause()
        setImmediate(() => heard.client.resume())
      } else if (call === 'end') {
        heard.client.inform(103, [])
        heard.client.begin(200, 'OK', [], -1)
        heard.client.send(Buffer.from(sum(Buffer.concat(heard.chunks))))
        setImmediate(() => heard.client.finish(['X-T', 'u']))
      }
    }
    heard.client.receive()
  }
}

for (const [engineName, tls, rounds] of [
  ['raw', false, 25],
  ['raw', true, 15],
  ['node', false, 10]
] as [EngineName, boolean, number][]) {
  t.test(`${engineName}${tls ? ', TLS' : ''}: seed ${SEED}`, async (t) => {
    const serve = (heard: Heard) => WAYS[heard.client.head.path.split('/')[1] as string]?.(heard)
    const engine = await newEngine({ engine: engineName, tls, serve })
    t.teardown(() => engine.close())
    for (let round = 0; round < rounds * FACTOR; round++) {
      const random = newRandom(SEED + round)
      const requests = Array.from({ length: 1 + random(8) }, () => newRequest(random))
      const bytes = Buffer.concat(requests.map((request) => request.bytes))
      const client = await newClient(engine.at)
      void sendInPieces(client, bytes, random)
      for (const [at, request] of requests.entries()) {
        let answer = await client.response()
        while (answer.status < 200) answer = await client.response()
        const right = answer.status === 200 && request.expected(answer.body)
        if (!right)
          t.fail(
            `seed ${SEED}, round ${round}: request ${at} (${request.way}, ${request.size} bytes) got another answer`
          )
      }
      client.destroy()
    }
    t.pass()
  })
}

interface Planned {
  readonly way: string
  readonly size: number
  readonly bytes: Buffer
  expected(body: Buffer): boolean
}

function newRequest(random: (below: number) => number): Planned {
  const names = Object.keys(WAYS)
  const way = names[random(names.length)] as string
  const size = [0, 1, random(100), random(5000), random(60_000), random(200_000)][random(6)] as number
  const body = Buffer.alloc(size)
  for (let at = 0; at < size; at++) body[at] = random(256)
  const head = `${random(2) === 0 ? '\r\n' : ''}POST /${way}/${random(1000)} HTTP/1.1\r\nHost: h\r\n`
  const bytes: Buffer[] = []
  if (random(2) === 0) {
    bytes.push(Buffer.from(`${head}Content-Length: ${size}\r\n\r\n`), body)
  } else {
    bytes.push(Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\n`))
    for (let at = 0; at < size; ) {
      const end = Math.min(size, at + 1 + random(random(3) === 0 ? 10 : 30_000))
      bytes.push(
        Buffer.from(`${(end - at).toString(16)}${random(5) === 0 ? ';x=y' : ''}\r\n`),
        body.subarray(at, end),
        Buffer.from('\r\n')
      )
      at = end
    }
    bytes.push(Buffer.from(random(3) === 0 ? '0\r\nX: y\r\n\r\n' : '0\r\n\r\n'))
  }
  const expected = (answer: Buffer): boolean => {
    if (way === 'stream') return answer.equals(body)
    return answer.toString() === (way === 'whole' || way === 'late' || way === 'paced' ? sum(body) : 'early')
  }
  return { way, size, bytes: Buffer.concat(bytes), expected }
}

async function sendInPieces(
  client: { send(bytes: Buffer): Promise<void> },
  bytes: Buffer,
  random: (below: number) => number
): Promise<void> {
  const largest = [1 + random(200), 5000, 100_000][random(3)] as number
  for (let at = 0; at < bytes.length; ) {
    // Not too many of the small pieces.
    const end = Math.min(bytes.length, at + 1 + random(at > 2000 ? Math.max(largest, 20_000) : largest))
    const sent = client.send(bytes.subarray(at, end))
    const pace = random(3)
    if (pace === 0) await sent
    else if (pace === 1) await new Promise((resolve) => setImmediate(resolve))
    at = end
  }
}

function sum(bytes: Buffer): string {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return `${bytes.length} ${hash}`
}

/** mulberry32 */
function newRandom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}
