import { X509Certificate } from 'node:crypto'
import { generate } from 'selfsigned'
import t from 'tap'
import { startEcho } from '../../lib/cli/echo.ts'
import { certificates, issue, newAuthority } from '../kit/certificates.ts'
import { footprint, newUser } from '../kit/footprint.ts'
import { newProxy } from '../kit/proxy.ts'

/*
 * Client certificates and pins per call, over real TLS, against the echo destination that tells whose certificate it saw.
 */

type Headers = [string, string][]

const serialOf = (cert: string) => BigInt(`0x${new X509Certificate(cert).serialNumber}`).toString()

t.test('mutual TLS and pinning', async (t) => {
  const proxy = await newProxy()
  const { authority, client, server, ca } = await certificates()
  const other = await issue(authority, 'other client', ['other.localhost'])
  const stranger = await newAuthority('a stranger')
  const lone = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] }]
  })
  const mtls = await startEcho({ host: 'localhost', port: 0, tls: server, mtls: {} })
  const selfSigned = await startEcho({
    host: 'localhost',
    port: 0,
    tls: { cert: lone.cert, key: lone.private },
    mtls: {}
  })
  t.teardown(() => Promise.all([proxy.close(), mtls.close(), selfSigned.close()]))
  const jane = await newUser(proxy, { 'id.dob': '1988-12-30' })
  const jit = (url: string, headers: Headers) =>
    footprint(proxy, '/vault_proxy/jit', {
      body: '{{ id.dob }}',
      headers: [['x-fp-proxy-target-url', url], ['x-fp-id', jane], ...headers]
    })
  const identity = (
    pair: { cert: string; key: string },
    encode: (pem: string) => string = encodeURIComponent
  ): Headers => [
    ['x-fp-proxy-client-cert', encode(pair.cert)],
    ['x-fp-proxy-client-key', encode(pair.key)]
  ]
  const pin = (pem: string): Headers => [['x-fp-proxy-pin-cert', encodeURIComponent(pem)]]
  const failed = (response: { body: Buffer }) =>
    JSON.parse(response.body.toString()) as { message: string; code: string; context: Record<string, unknown> }

  t.test('the destination sees the certificate of the call, in each spelling of its PEM', async (t) => {
    const encodings: ((pem: string) => string)[] = [
      encodeURIComponent,
      (pem) => encodeURIComponent(pem).replaceAll('%20', '+'),
      (pem) => encodeURIComponent(pem.replaceAll('\n', '\r\n')),
      (pem) => Buffer.from(pem).toString('base64')
    ]
    for (const encode of encodings) {
      const response = await jit(mtls.url, identity(client, encode))
      t.equal(response.status, 200)
      t.equal(response.body.toString(), '1988-12-30')
      t.equal(response.header('x-ditto-client-cert-serial'), serialOf(client.cert))
    }
  })

  t.test('a connection with one identity never serves another', async (t) => {
    const serials: (string | undefined)[] = []
    for (let round = 0; round < 3; round++) {
      for (const headers of [identity(client), identity(other), [], identity(client)]) {
        serials.push((await jit(mtls.url, headers)).header('x-ditto-client-cert-serial'))
      }
    }
    const expected = [serialOf(client.cert), serialOf(other.cert), undefined, serialOf(client.cert)]
    t.strictSame(serials, [...expected, ...expected, ...expected])
  })

  t.test('pins replace the trust roots', async (t) => {
    t.match(
      failed(await jit(selfSigned.url, [])),
      { code: 'ERR_DESTINATION_TLS', context: { forwarded: 'no' } },
      'unknown'
    )
    t.equal((await jit(selfSigned.url, pin(lone.cert))).body.toString(), '1988-12-30', 'a self-signed leaf')
    t.equal((await jit(mtls.url, pin(ca))).status, 200, 'a root')
    t.match(
      failed(await jit(mtls.url, pin(stranger.cert))),
      { code: 'ERR_DESTINATION_TLS' },
      'another root, though ours is trusted'
    )
    t.match(failed(await jit(mtls.url, pin(lone.cert))), { code: 'ERR_DESTINATION_TLS' })
    t.equal((await jit(selfSigned.url, [...pin(stranger.cert), ...pin(lone.cert)])).status, 200, 'any one of several')
    const joined: Headers = [['x-fp-proxy-pin-cert', [stranger.cert, lone.cert].map(encodeURIComponent).join(', ')]]
    t.equal((await jit(selfSigned.url, joined)).status, 200, 'joined by commas')
    const both = await jit(selfSigned.url, [...pin(lone.cert), ...identity(other)])
    t.equal(both.header('x-ditto-client-cert-serial'), serialOf(other.cert))
  })

  t.test('material that is wrong: 400 that says which, and nothing is sent', async (t) => {
    const expired = await generate([{ name: 'commonName', value: 'old' }], {
      keyType: 'ec',
      algorithm: 'sha256',
      notBeforeDate: new Date(Date.now() - 20 * 86_400_000),
      notAfterDate: new Date(Date.now() - 86_400_000)
    })
    const [certificate, key] = identity(client) as [[string, string], [string, string]]
    const [, otherKey] = identity(other) as [[string, string], [string, string]]
    const cases: [Headers, RegExp][] = [
      [[certificate], /client key is missing/],
      [[key], /client certificate is missing/],
      [[certificate, otherKey], /client key does not belong/],
      [identity({ cert: expired.cert, key: expired.private }), /client certificate has expired/],
      [pin(expired.cert), /pinned certificate has expired/],
      [[['x-fp-proxy-client-cert', 'nonsense'], key], /x-fp-proxy-client-cert holds no PEM/],
      [[['x-fp-proxy-client-cert', '%2d%zz'], key], /x-fp-proxy-client-cert holds no PEM/],
      [pin('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'), /pinned certificate does not parse/],
      [[certificate, ['x-fp-proxy-client-key', certificate[1]]], /client key does not parse/],
      [[certificate, certificate, key], /x-fp-proxy-client-cert is there twice/]
    ]
    for (const [headers, message] of cases) {
      const response = await jit(mtls.url, headers)
      t.equal(response.status, 400, String(message))
      t.match(failed(response).message, message)
      t.match(failed(response).context, { forwarded: 'no' })
      t.notMatch(response.body.toString(), /PRIVATE|MIG|AAAA/)
    }
  })
})
