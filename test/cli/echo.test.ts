import { spawn } from 'node:child_process'
import { randomBytes, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { runEcho, startEcho } from '../../lib/cli/echo.ts'
import { certificates, newAuthority } from '../kit/certificates.ts'
import { newClient } from '../kit/client.ts'

t.test('answers with the end-to-end headers and the body byte for byte', async (t) => {
  const echo = await startEcho({ host: '127.0.0.1', port: 0, tls: null })
  t.teardown(() => echo.close())
  const client = await newClient({ port: echo.port })
  t.teardown(() => client.destroy())
  const response = await client.request(
    'POST /any?x=1 HTTP/1.1\r\nHost: a.test\r\nX-One: 1\r\nx-two: a\r\nx-two: b\r\nConnection: x-private, keep-alive\r\n' +
      'X-Private: no\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nContent-Type: application/x-www-form-urlencoded\r\n' +
      'Content-Length: 5\r\n\r\na\0\xff\r\n'
  )
  t.equal(response.status, 200)
  t.equal(response.body.toString('latin1'), 'a\0\xff\r\n')
  t.equal(response.header('content-length'), '5', 'the length is kept and exact')
  t.equal(response.header('X-One'), '1')
  t.ok(response.rawHeaders.includes('X-One'), 'names keep their case')
  t.strictSame(response.headers('x-two'), ['a', 'b'], 'repeated fields stay apart')
  t.equal(response.header('content-type'), 'application/x-www-form-urlencoded')
  t.equal(response.header('host'), 'a.test')
  t.strictSame(response.headers('x-private'), [], 'fields named by Connection stay on their hop')
  t.strictSame(response.headers('te'), [])
  t.strictSame(response.headers('x-ditto-client-cert-serial'), [])

  const empty = await client.request('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n')
  t.equal(empty.header('content-length'), '0', 'a request without a body is answered without one')
  const head = await client.request('HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n')
  t.equal(head.framing, 'none')
  t.equal((await client.request('GET / HTTP/1.1\r\nHost: b.test\r\n\r\n')).header('host'), 'b.test')
})

t.test('streams a chunked body back while it still arrives', async (t) => {
  const echo = await startEcho({ host: '127.0.0.1', port: 0, tls: null })
  t.teardown(() => echo.close())
  const client = await newClient({ port: echo.port })
  t.teardown(() => client.destroy())
  await client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n')
  await client.receives('first')
  await client.send('4\r\nlast\r\n0\r\n\r\n')
  const response = await client.response()
  t.equal(response.framing, 'chunked')
  t.equal(response.body.toString(), 'firstlast')
})

t.test('holds a large body back for a slow reader and loses nothing', async (t) => {
  const echo = await startEcho({ host: '127.0.0.1', port: 0, tls: null })
  t.teardown(() => echo.close())
  const client = await newClient({ port: echo.port })
  t.teardown(() => client.destroy())
  const body = randomBytes(24 << 20)
  client.pause()
  const sent = client.send(
    Buffer.concat([Buffer.from(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`), body])
  )
  const early = await Promise.race([sent.then(() => 'sent'), setTimeout(300, 'held')])
  t.equal(early, 'held', 'a reader that does not read stops the writer')
  client.resume()
  await sent
  t.ok((await client.response()).body.equals(body))
})

t.test('over TLS names the serial of a client certificate in decimal', async (t) => {
  const { ca, server, client: own } = await certificates()
  const echo = await startEcho({ host: '127.0.0.1', port: 0, tls: server, mtls: {} })
  t.teardown(() => echo.close())
  t.match(echo.url, /^https:\/\/127\.0\.0\.1:\d+$/)
  const serial = BigInt(`0x${new X509Certificate(own.cert).serialNumber}`).toString()
  const request = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'

  const known = await newClient({ port: echo.port, tls: { ca, ...own } })
  t.equal((await known.request(request)).header('x-ditto-client-cert-serial'), serial)
  known.destroy()
  const anonymous = await newClient({ port: echo.port, tls: { ca } })
  t.equal((await anonymous.request(request)).header('x-ditto-client-cert-serial'), undefined)
  anonymous.destroy()
})

t.test('with an authority given lets in only its certificates', async (t) => {
  const { ca, server, client: own } = await certificates()
  const other = await newAuthority('another')
  const request = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
  for (const [authority, admitted] of [
    [ca, true],
    [other.cert, false]
  ] as const) {
    const echo = await startEcho({ host: '127.0.0.1', port: 0, tls: server, mtls: { ca: authority } })
    t.teardown(() => echo.close())
    const client = await newClient({ port: echo.port, tls: { ca, ...own } })
    const status = await client.request(request).then(
      (response) => response.status,
      () => 'refused'
    )
    t.equal(status, admitted ? 200 : 'refused')
    client.destroy()
  }
})

t.test('the command serves until a signal, and says what is wrong with its flags', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-echo-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const { ca, server } = await certificates()
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  writeFileSync(cert, server.cert)
  writeFileSync(key, server.key)

  const program = `import { runEcho } from ${JSON.stringify(import.meta.resolve('../../lib/cli/echo.js'))}
    process.exitCode = await runEcho(process.argv.slice(1))`
  const child = spawn(process.execPath, [
    '--input-type=module',
    '-e',
    program,
    '--',
    '--port',
    '0',
    '--tls-cert',
    cert,
    '--tls-key',
    key,
    '--mtls'
  ])
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string]
  const port = Number(/^echo destination on https:\/\/localhost:(\d+)\n$/.exec(line)?.[1])
  const client = await newClient({ port, host: 'localhost', tls: { ca } })
  t.equal((await client.request('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi')).body.toString(), 'hi')
  child.kill('SIGTERM')
  t.same(await once(child, 'exit'), [0, null])
  client.destroy()

  const said = t.capture(process.stderr, 'write', () => true)
  for (const argv of [['--nope'], ['--port', 'x'], ['--port', '65536'], ['--tls-cert', cert], ['--mtls'], ['stray']]) {
    t.equal(await runEcho(argv), 2, `${argv.join(' ')}: wrong usage`)
  }
  t.equal(await runEcho(['--port', '0', '--tls-cert', join(folder, 'none'), '--tls-key', key]), 1)
  t.equal(said().length, 7, 'one message each')
})
