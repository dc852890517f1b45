import { brotliCompressSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { SluiceError } from '../../lib/errors.ts'
import type { Revealed, Transforms, WholeRequest, WholeResponse } from '../../lib/plan/transforms.ts'
import { answering, type Destination, echoing, newDestination, type Script } from '../kit/destination.ts'
import { newTransforming, plainRequest, type Transforming, type TransformingOptions } from '../kit/transforming.ts'

/*
 * What the proxy guarantees around a transform, whatever the transform does: exact framing of what it made, nothing let
 * go before it is done, and no lie about what the destination has.
 */

type Request = NonNullable<Transforms['request']>
type Response = NonNullable<Transforms['response']>

const ENGINES = ['raw', 'node'] as const

/** A proxy and its destination, closed with the test. */
async function newPair(
  t: Tap,
  transforms: Partial<Transforms>,
  script: Script = echoing,
  more: Partial<TransformingOptions> = {}
): Promise<{ proxy: Transforming; destination: Destination }> {
  const destination = await newDestination({ script })
  const all = { request: null, response: null, ...transforms }
  const proxy = await newTransforming({ destination, transforms: () => all, ...more })
  t.teardown(async () => {
    await proxy.close()
    await destination.close()
  })
  return { proxy, destination }
}

type Tap = Pick<typeof t, 'teardown'>

const responding = (head: string, body: string | Buffer = ''): Script =>
  answering(
    Buffer.concat([Buffer.from(`HTTP/1.1 ${head}\r\nContent-Length: ${body.length}\r\n\r\n`), Buffer.from(body)])
  )

const upper: Response = async (response) => ({
  ...response,
  body: Buffer.from(response.body.toString().toUpperCase()),
  fields: [...response.fields, 'X-Made', 'yes']
})

interface ProxyError {
  readonly code: string
  readonly status: number
  readonly forwarded: string
}

const errorOf = (body: Buffer) => (JSON.parse(body.toString()) as { proxy_error: ProxyError }).proxy_error

for (const engine of ENGINES) {
  t.test(`the ${engine} engine: a request is made anew, with values in it and an exact length`, async (t) => {
    let seen: WholeRequest | null = null
    let told: readonly Revealed[] = []
    const request: Request = async (given, revealed) => {
      seen = given
      told = revealed
      return { fields: [...given.fields, 'X-Signed', 'ö'], body: Buffer.concat([given.body, Buffer.from(' + more')]) }
    }
    const { proxy, destination } = await newPair(t, { request }, echoing, { engine })
    const [token] = await proxy.vault.create(
      proxy.by,
      [{ type: 'token', container: '/general/high/', data: '"4242424242424242"', expiresAt: null }],
      'trace'
    )
    const response = await proxy.request(plainRequest(`{"n":"{{ ${token?.id} }}"}`, { 'X-Own': 'kept' }))
    t.equal(response.status, 200)
    t.equal(response.body.toString(), '{"n":"4242424242424242"} + more')
    const [sent] = destination.requests
    t.equal(sent?.header('content-length'), String(sent?.body.length))
    t.equal(sent?.header('x-signed'), 'ö')
    t.equal(sent?.header('x-own'), 'kept')
    t.equal(sent?.header('via'), '1.1 sluice-test')
    t.equal(sent?.startLine, 'POST /a?b=c HTTP/1.1')
    const names = (seen as WholeRequest | null)?.fields.filter((_, at) => at % 2 === 0)
    t.strictSame(names, ['Content-Type', 'X-Own'], 'it sees neither framing nor what is ours')
    t.strictSame(
      told.map(({ id, data }) => [id, data.expose()]),
      [[token?.id, '4242424242424242']]
    )
    t.equal((await proxy.record(0)).outcome, 'ok')
  })

  t.test(`the ${engine} engine: a response is held, decoded, made anew and framed exactly`, async (t) => {
    const body = gzipSync(`{"a":"${'b'.repeat(5000)}"}`)
    const head = [
      '200 Fine',
      'Content-Type: application/json',
      'Content-Encoding: gzip',
      'ETag: "1"',
      'Content-MD5: x',
      'Accept-Ranges: bytes',
      'X-Kept: 1'
    ]
    const { proxy, destination } = await newPair(t, { response: upper }, responding(head.join('\r\n'), body), {
      engine
    })
    const response = await proxy.request(
      plainRequest('{}', { 'Accept-Encoding': 'zstd, br;q=0.5, gzip', Range: 'bytes=0-1' })
    )
    t.equal(response.startLine, 'HTTP/1.1 200 Fine')
    t.equal(response.body.toString(), `{"A":"${'B'.repeat(5000)}"}`)
    t.equal(response.framing, 'length')
    for (const gone of ['content-encoding', 'etag', 'content-md5', 'accept-ranges'])
      t.equal(response.header(gone), undefined, gone)
    t.equal(response.header('x-kept'), '1')
    t.equal(response.header('x-made'), 'yes')
    t.equal(response.header('bt-proxy-destination-status'), '200')
    t.equal(destination.requests[0]?.header('accept-encoding'), 'br;q=0.5, gzip', 'what can be undone')
    t.equal(destination.requests[0]?.header('range'), undefined, 'all of it')
    t.equal(proxy.buffers.heldBytes, 0)
  })

  t.test(`the ${engine} engine: an answer in the destination's stead`, async (t) => {
    const request: Request = async () => ({
      status: 451,
      reason: 'No',
      fields: ['X-Why', 'because', 'Content-Length', '9', 'BT-Secret', 'x'],
      body: Buffer.from('refused'),
      isBodiless: false
    })
    const { proxy, destination } = await newPair(t, { request, response: upper }, echoing, { engine })
    const response = await proxy.request(plainRequest('{}'))
    t.equal(response.status, 451)
    t.equal(response.body.toString(), 'refused', 'the response transform is not called')
    t.equal(response.header('x-why'), 'because')
    t.equal(response.header('bt-secret'), undefined)
    t.equal(response.header('bt-proxy-destination-status'), undefined, 'the destination never answered')
    t.equal(response.header('bt-trace-id'), 'trace')
    t.equal(destination.attempts, 0)
    const record = await proxy.record(0)
    t.strictSame([record.status, record.destinationStatus, record.outcome], [451, 0, 'ok'])
  })

  t.test(`the ${engine} engine: a client that leaves in the middle of a step`, async (t) => {
    const gates: (() => void)[] = []
    let calls = 0
    const pause = async <T>(message: T): Promise<T> => {
      calls++
      await new Promise<void>((resolve) => gates.push(resolve))
      return message
    }
    for (const side of ['request', 'response'] as const) {
      calls = 0
      const { proxy, destination } = await newPair(t, { [side]: pause }, echoing, { engine })
      const client = await proxy.client()
      void client.send(plainRequest('{"a":1}'))
      while (calls === 0) await new Promise((resolve) => setImmediate(resolve))
      client.destroy()
      const record = await proxy.record(0)
      t.equal(record.outcome, 'aborted', side)
      for (const open of gates.splice(0)) open()
      await new Promise((resolve) => setImmediate(resolve))
      t.equal(destination.attempts, side === 'request' ? 0 : 1, side)
      t.equal(proxy.buffers.heldBytes, 0, side)
      t.equal(proxy.records.length, 1, side)
    }
  })
}

t.test('a failure before the destination is asked costs it nothing', async (t) => {
  const failures: [thrown: Error, code: string, status: number][] = [
    [new SluiceError('ERR_TRANSFORM', 'no'), 'ERR_TRANSFORM', 400],
    [new SluiceError('ERR_PERMISSION', 'no'), 'ERR_PERMISSION', 403],
    [new SluiceError('ERR_CODE_RUNTIME', 'no'), 'ERR_CODE_RUNTIME', 500],
    [new Error('4242424242424242'), 'ERR_INTERNAL', 500]
  ]
  for (const [thrown, code, status] of failures) {
    const { proxy, destination } = await newPair(t, { request: async () => Promise.reject(thrown) })
    const response = await proxy.request(plainRequest('{}'))
    t.equal(response.status, status, code)
    t.match(errorOf(response.body), { code, status, forwarded: 'no' })
    t.notMatch(response.body.toString(), '4242')
    t.equal(response.header('bt-proxy-destination-status'), undefined)
    t.equal(destination.attempts, 0)
    t.equal(proxy.bugs.length, code === 'ERR_INTERNAL' ? 1 : 0)
  }
})

t.test('a failure after the destination answered says so, and lets nothing of the answer go', async (t) => {
  for (const code of ['ERR_TRANSFORM', 'ERR_PERMISSION', 'ERR_INPUT'] as const) {
    const response: Response = async () => Promise.reject(new SluiceError(code, 'no'))
    const { proxy } = await newPair(t, { response }, responding('201 Created\r\nX-Secret: s', 'secret'))
    const answer = await proxy.request(plainRequest('{}'))
    t.equal(answer.status, 502, code)
    t.match(errorOf(answer.body), { code, forwarded: 'yes' })
    t.equal(answer.header('bt-proxy-destination-status'), '201')
    t.equal(answer.header('x-secret'), undefined)
    t.notMatch(answer.body.toString(), 'secret')
    t.equal((await proxy.record(0)).destinationStatus, 201)
  }
})

t.test('only a success is transformed; all else streams as it came', async (t) => {
  for (const status of ['199', '300', '304', '404', '500']) {
    if (status === '199') continue
    const { proxy } = await newPair(
      t,
      { response: upper },
      responding(`${status} Other`, status === '304' ? '' : 'as it is')
    )
    const response = await proxy.request(plainRequest('{}'))
    t.equal(response.status, Number(status))
    t.equal(response.body.toString(), status === '304' ? '' : 'as it is', status)
    t.equal(response.header('x-made'), undefined, status)
  }
})

t.test('a response that has no body gets none, and no length of one', async (t) => {
  const seen: WholeResponse[] = []
  const response: Response = async (given) => {
    seen.push(given)
    return { ...given, body: Buffer.from('made up'), fields: [...given.fields, 'X-Made', 'yes'] }
  }
  const none = await newPair(t, { response }, answering('HTTP/1.1 204 No Content\r\nX-Kept: 1\r\n\r\n'))
  const empty = await none.proxy.request(plainRequest('{}'))
  t.strictSame([empty.status, empty.framing, empty.body.length, empty.header('x-made')], [204, 'none', 0, 'yes'])
  t.equal(empty.header('x-kept'), '1')

  const head = await newPair(
    t,
    { response },
    answering('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Encoding: gzip\r\nETag: "1"\r\n\r\n')
  )
  const client = await head.proxy.client()
  t.teardown(() => client.destroy())
  const first = await client.request(plainRequest(null, {}, 'HEAD'))
  t.strictSame([first.status, first.body.length, first.header('x-made')], [200, 0, 'yes'])
  t.equal(first.header('content-length'), undefined, 'that of another body')
  t.equal(first.header('etag'), undefined)
  t.strictSame(
    seen.map(({ isBodiless, body }) => [isBodiless, body.length]),
    [
      [true, 0],
      [true, 0]
    ]
  )
})

t.test('a request without a body stays without one, unless it is given one', async (t) => {
  const bodies: (string | null)[] = []
  for (const made of ['', 'made']) {
    const request: Request = async (given) => {
      bodies.push(given.body.toString())
      return { ...given, body: Buffer.from(made) }
    }
    const { proxy, destination } = await newPair(t, { request })
    const response = await proxy.request(plainRequest(null, {}, 'GET'))
    t.equal(response.status, 200)
    t.equal(destination.requests[0]?.framing, made === '' ? 'none' : 'length')
    t.equal(destination.requests[0]?.body.toString(), made)
  }
  t.strictSame(bodies, ['', ''])
})

t.test(
  'a body of unknown length, of a binary type, or with nothing to look for is held whole all the same',
  async (t) => {
    const request: Request = async (given) => ({ ...given, body: Buffer.from(`${given.body.length}`) })
    const { proxy } = await newPair(t, { request })
    const chunked = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n'
    t.equal((await proxy.request(chunked)).body.toString(), '5')
    const pdf = plainRequest('{{ x }}', { 'Content-Type': 'application/pdf' })
    t.equal((await proxy.request(pdf)).body.toString(), '7', 'no expression is looked for')
    const packed = plainRequest(gzipSync('x'.repeat(100)), { 'Content-Encoding': 'gzip' })
    const unpacked = await proxy.request(packed)
    t.equal(unpacked.body.toString(), '100')
    const literal = await newPair(t, { request: async (given) => given }, echoing, { delimiters: 0 })
    t.equal((await literal.proxy.request(plainRequest('"{{ x }}"'))).body.toString(), '"{{ x }}"')
  }
)

t.test('a body that is too large to hold is refused, and so is the wish to stream it', async (t) => {
  const { proxy, destination } = await newPair(t, { request: async (given) => given })
  const large = 'x'.repeat(65_537)
  t.equal((await proxy.request(plainRequest(large))).status, 413, 'of known length')
  const chunked = `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n${large}\r\n0\r\n\r\n`
  t.equal((await proxy.request(chunked)).status, 413, 'of unknown length')
  t.equal((await proxy.request(plainRequest('{}', { 'Sluice-Body-Mode': 'stream' }))).status, 400)
  t.equal(destination.attempts, 0)
})

t.test('a response that is too large, cut, or not in the coding that it names is none', async (t) => {
  const scripts: [name: string, script: Script][] = [
    ['large', responding('200 OK', 'x'.repeat(65_537))],
    ['large once decoded', responding('200 OK\r\nContent-Encoding: br', brotliCompressSync('x'.repeat(65_537)))],
    ['no gzip', responding('200 OK\r\nContent-Encoding: gzip', 'plain')],
    ['half a gzip', responding('200 OK\r\nContent-Encoding: gzip', gzipSync('abcdefgh').subarray(0, 15))],
    ['an unknown coding', responding('200 OK\r\nContent-Encoding: zstd', 'x')],
    ['two codings', responding('200 OK\r\nContent-Encoding: gzip, gzip', gzipSync(gzipSync('x')))],
    ['a part', responding('206 Partial\r\nContent-Range: bytes 0-3/9', 'part')],
    [
      'cut',
      async (connection) => {
        await connection.request()
        await connection.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')
        connection.destroy()
      }
    ]
  ]
  for (const [name, script] of scripts) {
    let calls = 0
    const response: Response = async (given) => {
      calls++
      return given
    }
    const { proxy } = await newPair(t, { response }, script)
    const answer = await proxy.request(plainRequest('{}'))
    t.equal(answer.status, 502, name)
    t.match(errorOf(answer.body), { code: 'ERR_DESTINATION_RESPONSE', forwarded: 'yes' }, name)
    t.equal(calls, 0, name)
    t.equal(proxy.buffers.heldBytes, 0, name)
  }
})

t.test('what a transform makes is bounded, on both sides', async (t) => {
  const huge = Buffer.alloc(65_537, 'x')
  const request = await newPair(t, { request: async (given) => ({ ...given, body: huge }) })
  const refused = await request.proxy.request(plainRequest('{}'))
  t.match(errorOf(refused.body), { code: 'ERR_BODY_SIZE', forwarded: 'no', status: 413 })
  t.equal(request.destination.attempts, 0)
  const response = await newPair(t, { response: async (given) => ({ ...given, body: huge }) })
  const failed = await response.proxy.request(plainRequest('{}'))
  t.match(errorOf(failed.body), { code: 'ERR_BODY_SIZE', forwarded: 'yes', status: 502 })
  const fields = Array.from({ length: 4000 }, (_, at) => (at % 2 === 0 ? 'X-A' : 'y'.repeat(40)))
  const heads = await newPair(t, { response: async (given) => ({ ...given, fields }) })
  t.match(errorOf((await heads.proxy.request(plainRequest('{}'))).body), { code: 'ERR_HEAD_SIZE', forwarded: 'yes' })
})

t.test('what a transform made counts as held until the call is over', async (t) => {
  let held = 0
  let proxy: Transforming | null = null
  const script = answering(() => {
    held = proxy?.buffers.heldBytes ?? 0
    return 'HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n'
  })
  const request: Request = async (given) => ({ ...given, body: Buffer.alloc(50_000, 'x') })
  const response: Response = async (given) => ({ ...given, body: Buffer.from('no') })
  proxy = (await newPair(t, { request, response }, script)).proxy
  const answer = await proxy.request(plainRequest('{}'))
  t.strictSame([answer.status, answer.body.length], [205, 0], 'nor is there a body where none may be')
  t.equal(held, 50_000)
  await proxy.record(0)
  t.equal(proxy.buffers.heldBytes, 0)
})

t.test('headers that a transform makes stay in their field, and never frame', async (t) => {
  const bad: [name: string, value: string][] = [
    ['X-A', 'b\r\nX-C: d'],
    ['X-A', 'b\nc'],
    ['X-A', 'b\0c'],
    ['X-A', 'b\u0007c'],
    ['X-A', 'b\u007fc'],
    ['X-A', 'b\u2028c'],
    ['X-A: b\r\nX-C', 'd'],
    ['X A', 'b'],
    ['', 'b']
  ]
  for (const [name, value] of bad) {
    const add = <M extends { readonly fields: readonly string[] }>(given: M): Promise<M> =>
      Promise.resolve({ ...given, fields: [...given.fields, name, value] })
    const request = await newPair(t, { request: add })
    t.match(errorOf((await request.proxy.request(plainRequest('{}'))).body), {
      code: 'ERR_HTTP_SYNTAX',
      forwarded: 'no'
    })
    t.equal(request.destination.attempts, 0)
    const response = await newPair(t, { response: add })
    t.match(errorOf((await response.proxy.request(plainRequest('{}'))).body), {
      code: 'ERR_HTTP_SYNTAX',
      forwarded: 'yes'
    })
  }
  const framing = [
    'Content-Length',
    'Transfer-Encoding',
    'Connection',
    'Keep-Alive',
    'Trailer',
    'Upgrade',
    'Host',
    'TE',
    'Expect',
    'Content-Encoding',
    'Via',
    'BT-API-KEY',
    'Bt-Trace-Id',
    'Sluice-Trace-Id'
  ].flatMap((name) => [name, 'chunked'])
  const all = await newPair(t, {
    request: async (given) => ({ ...given, fields: [...given.fields, ...framing] }),
    response: async (given) => ({ ...given, fields: [...given.fields, ...framing] })
  })
  const response = await all.proxy.request(plainRequest('{"a":1}'))
  const [sent] = all.destination.requests
  t.equal(sent?.header('content-length'), '7')
  t.equal(sent?.header('host'), `localhost:${all.destination.port}`)
  t.equal(sent?.header('via'), '1.1 sluice-test')
  t.equal(sent?.header('bt-trace-id'), 'trace')
  for (const name of ['transfer-encoding', 'te', 'expect', 'content-encoding', 'bt-api-key', 'trailer', 'upgrade']) {
    t.equal(sent?.header(name), undefined, name)
  }
  t.equal(response.header('content-length'), '7')
  for (const name of ['transfer-encoding', 'content-encoding', 'trailer', 'upgrade']) {
    t.equal(response.header(name), undefined, name)
  }
  t.equal(response.header('sluice-trace-id'), 'trace')
})

t.test('a status that is none is not answered', async (t) => {
  for (const status of [99, 101, 199, 600, 200.5, Number.NaN]) {
    const { proxy } = await newPair(t, { response: async (given) => ({ ...given, status }) })
    t.equal((await proxy.request(plainRequest('{}'))).status, 502, String(status))
  }
  const { proxy } = await newPair(t, { response: async (given) => ({ ...given, status: 418, reason: 'Teapot' }) })
  const response = await proxy.request(plainRequest('{}'))
  t.equal(response.status, 418)
  t.equal(response.header('bt-proxy-destination-status'), '200', 'the destination’s own')
})

t.test('a destination that answers early, in several pieces, and closes', async (t) => {
  const script: Script = async (connection) => {
    await connection.receives('POST /a')
    await connection.send('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nab')
    await connection.send('cd')
    connection.end()
  }
  const { proxy } = await newPair(t, { request: async (given) => given, response: upper }, script)
  const response = await proxy.request(plainRequest(`"${'x'.repeat(60_000)}"`))
  t.equal(response.status, 200)
  t.equal(response.body.toString(), 'ABCD')
  t.equal(response.framing, 'length')
})

t.test('a 1xx goes no way around what is made of the response', async (t) => {
  const script = answering(
    'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na'
  )
  for (const [transforms, first] of [
    [{ response: upper }, 200],
    [{ request: async (given: WholeRequest) => given }, 103]
  ] as const) {
    const { proxy } = await newPair(t, transforms, script)
    const client = await proxy.client()
    t.teardown(() => client.destroy())
    await client.send(plainRequest('{}'))
    t.equal((await client.response()).status, first)
  }
})

t.test('a connection is used again after a transformed exchange', async (t) => {
  const { proxy, destination } = await newPair(t, { request: async (given) => given, response: upper })
  const client = await proxy.client()
  t.teardown(() => client.destroy())
  for (const body of ['a', 'b', 'c']) {
    t.equal((await client.request(plainRequest(`"${body}"`))).body.toString(), `"${body.toUpperCase()}"`)
  }
  t.equal(destination.attempts, 1)
})
