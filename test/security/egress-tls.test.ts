/*
 * Whoever stands between Sluice and a destination must not be taken for it, nor one client's identity for another's: not
 * on a first connection, not on a resumed one (on which Node itself verifies nothing), not on a pooled one.
 */
import { inspect } from 'node:util'
import { generate } from 'selfsigned'
import t, { type Test } from 'tap'
import type { EgressOptions } from '../../lib/egress/egress.ts'
import type { TlsMaterial } from '../../lib/egress/identity.ts'
import { certificates, issue, type KeyPair, newAuthority } from '../kit/certificates.ts'
import { answering, type DestinationOptions, newDestination, OK, type Script } from '../kit/destination.ts'
import { exchangeOnce, newEgress, newMessage, newPeer } from '../kit/exchange.ts'

const CLOSING = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'
const DAY_MS = 86_400_000

async function newPair(
  t: Test,
  tls: DestinationOptions['tls'] = {},
  options: Partial<EgressOptions> = {},
  answer = OK
) {
  // :: connection → whether it resumed a session, and the serial number of the client's certificate
  const resumed: boolean[] = []
  const serials: (string | null)[] = []
  const script: Script = (connection) => {
    resumed.push(connection.resumed)
    serials.push(connection.peerSerial)
    return answering(answer)(connection)
  }
  const destination = await newDestination({ script, tls: tls ?? {} })
  const egress = await newEgress({ port: destination.port, ...options })
  t.teardown(async () => {
    egress.destroy()
    await destination.close()
  })
  const send = (material: Partial<TlsMaterial> | null = null, host = 'localhost') => {
    const identity = material === null ? null : egress.identity({ certificate: null, key: null, pins: [], ...material })
    return exchangeOnce(egress, newPeer(destination.port, { host, identity }), newMessage())
  }
  return { destination, egress, send, resumed, serials }
}

/** A leaf for localhost that says what it is told to. */
async function odd(authority: KeyPair | null, options: Parameters<typeof generate>[1]): Promise<KeyPair> {
  const made = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] }],
    notBeforeDate: new Date(Date.now() - DAY_MS),
    notAfterDate: new Date(Date.now() + DAY_MS),
    ...(authority === null ? {} : { ca: authority }),
    ...options
  })
  return { cert: made.cert, key: made.private }
}

t.test('a certificate that does not hold fails the handshake, and nothing of the request leaves', async (t) => {
  const { authority } = await certificates()
  const stranger = await newAuthority('A stranger')
  const old = new Date(Date.now() - 9 * DAY_MS)
  const short = await odd(null, { keyType: 'rsa', keySize: 1024 })
  const rows: readonly (readonly [string, DestinationOptions['tls'], RegExp])[] = [
    ['an unknown authority', await issue(stranger, 'localhost', ['localhost']), /UNABLE_TO_VERIFY_LEAF_SIGNATURE/],
    ['self-signed', await odd(null, {}), /DEPTH_ZERO_SELF_SIGNED_CERT/],
    ['another name', await issue(authority, 'localhost', ['example.com']), /ALTNAME_INVALID/],
    ['a name below', await issue(authority, 'localhost', ['a.localhost', '*.localhost']), /ALTNAME_INVALID/],
    [
      'expired',
      await odd(authority, { notBeforeDate: old, notAfterDate: new Date(Date.now() - 1000) }),
      /CERT_HAS_EXPIRED/
    ],
    ['not valid yet', await odd(authority, { notBeforeDate: new Date(Date.now() + DAY_MS) }), /CERT_NOT_YET_VALID/],
    ['RSA of 1024 bits', { ...short, ciphers: 'DEFAULT:@SECLEVEL=0' }, /UNSPECIFIED/],
    [
      'a SHA-1 signature',
      { ...(await odd(authority, { algorithm: 'sha1' })), ciphers: 'DEFAULT:@SECLEVEL=0' },
      /UNSPECIFIED/
    ],
    ['TLS 1.1', { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' }, /ERR_SSL|EPROTO/],
    ['HTTP/2 alone', { ALPNProtocols: ['h2'] }, /ERR_SSL|EPROTO/]
  ]
  for (const [name, tls, why] of rows) {
    const { destination, egress, send } = await newPair(t, tls, name.startsWith('RSA') ? { ca: [short.cert] } : {})
    const { error } = await send()
    t.equal(error?.code, 'ERR_DESTINATION_TLS', name)
    t.equal(error?.forwarded, 'no', name)
    t.match(error?.message, why, name)
    t.equal(destination.requests.length, 0, name)
    t.ok(
      destination.connections.every(({ arrived }) => arrived === 0),
      name
    )
    t.same([egress.idle, egress.busy, egress.opening], [0, 0, 0], name)
  }
})

t.test('no ALPN, TLS 1.2 and TLS 1.3 will do', async (t) => {
  for (const tls of [{ ALPNProtocols: [] }, { maxVersion: 'TLSv1.2' }, { minVersion: 'TLSv1.3' }] as const) {
    const { send } = await newPair(t, tls)
    t.equal((await send()).status, 200)
  }
})

t.test('sessions are resumed, and checked again', async (t) => {
  for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
    let nowMs = Date.now()
    const { ca } = await certificates()
    const { egress, send, resumed } = await newPair(t, { maxVersion }, { wallClock: () => nowMs }, CLOSING)
    for (let i = 0; i < 3; i++) t.equal((await send()).status, 200)
    t.same(resumed.slice(), [false, true, true], maxVersion)
    t.equal(egress.counters.resumed, 2)

    t.equal((await send({ pins: [ca] })).status, 200)
    t.equal(resumed[3], false, 'no session crosses from one peer to another')
    t.equal((await send({ pins: [ca] })).status, 200)
    t.equal(resumed[4], true, 'a pinned one is resumed too')

    nowMs += 31 * DAY_MS
    const { error } = await send()
    t.match(error?.message, /CERT_HAS_EXPIRED/)
    t.equal(error?.forwarded, 'no')
    nowMs -= 31 * DAY_MS
    t.equal((await send()).status, 200)
    t.equal(resumed.at(-1), false, 'the session was forgotten')
  }
})

t.test('pins replace the trust roots', async (t) => {
  const { ca, authority, server } = await certificates()
  const stranger = await newAuthority('A stranger')
  const strange = await issue(stranger, 'localhost', ['localhost'])
  const selfSigned = await odd(null, {})
  const rows: readonly (readonly [string, DestinationOptions['tls'], readonly string[], boolean])[] = [
    ['the root', {}, [ca], true],
    ['the leaf that the root issued', {}, [server.cert], true],
    ['one of several', {}, [stranger.cert, ca], true],
    ['several in one text', {}, [`${stranger.cert}\n${ca}`], true],
    ['a self-signed leaf', selfSigned, [selfSigned.cert], true],
    ['the root of a destination that is not trusted otherwise', strange, [stranger.cert], true],
    ['another root, though the trusted one signed', {}, [stranger.cert], false],
    ['another leaf of the same root', {}, [(await issue(authority, 'localhost', ['localhost'])).cert], false],
    ['the trusted root, when a stranger answers', strange, [ca], false],
    ['another self-signed leaf of the same name', selfSigned, [(await odd(null, {})).cert], false]
  ]
  for (const [name, tls, pins, holds] of rows) {
    const { destination, send } = await newPair(t, tls)
    const { error, status } = await send({ pins })
    if (holds) t.equal(status, 200, name)
    else t.equal(error?.code, 'ERR_DESTINATION_TLS', name)
    t.equal(destination.requests.length, holds ? 1 : 0, name)
  }
  await t.test('and the name is verified all the same', async (t) => {
    const { send } = await newPair(t)
    t.match((await send({ pins: [ca] }, 'elsewhere.test')).error?.message, /ALTNAME_INVALID/)
  })
})

t.test('a client identity', async (t) => {
  const { ca, authority, client } = await certificates()
  const other = await issue(authority, 'other', ['other.test'])
  const mutual = { requestCert: true, rejectUnauthorized: true, ca }
  await t.test('is shown, and its connection serves nobody else', async (t) => {
    const { destination, egress, send, serials } = await newPair(t, { ...mutual, rejectUnauthorized: false })
    const mine = { certificate: client.cert, key: client.key }
    const yours = { certificate: other.cert, key: other.key }
    for (const material of [mine, yours, null, mine, yours, null, { ...mine, pins: [ca] }]) {
      t.equal((await send(material)).status, 200)
    }
    t.equal(destination.connections.length, 4)
    t.equal(serials[0], serials[3])
    t.equal(new Set(serials).size, 3)
    t.notOk(serials[2])
    t.equal(egress.idle, 4)
  })
  await t.test('resumed, is still that one', async (t) => {
    const { resumed, send } = await newPair(t, mutual, {}, CLOSING)
    for (let i = 0; i < 2; i++) t.equal((await send({ certificate: client.cert, key: client.key })).status, 200)
    t.equal(resumed[1], true)
  })
  await t.test('that is missing: the destination’s alert says that the request was not read', async (t) => {
    for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
      const { destination, send } = await newPair(t, { ...mutual, maxVersion })
      const { error } = await send()
      t.equal(error?.code, 'ERR_DESTINATION_TLS')
      t.equal(error?.forwarded, 'no')
      t.equal(destination.requests.length, 0)
    }
  })
  await t.test('that is not accepted', async (t) => {
    const stranger = await issue(await newAuthority('A stranger'), 'client', ['client'])
    const { destination, send } = await newPair(t, mutual)
    const { error } = await send({ certificate: stranger.cert, key: stranger.key })
    // A destination on Node cuts such a connection without an alert: nothing tells that it did not read the request.
    t.match(error?.code, /ERR_DESTINATION_(TLS|UNREACHABLE)/)
    t.not(error?.forwarded, 'yes')
    t.equal(destination.requests.length, 0)
  })
})

t.test('TLS material is checked before anything is sent', async (t) => {
  const { authority, client, server } = await certificates()
  const { egress } = await newPair(t)
  const expired = await odd(authority, {
    notBeforeDate: new Date(Date.now() - 9 * DAY_MS),
    notAfterDate: new Date(Date.now() - 1000)
  })
  const weak = await odd(null, { keyType: 'rsa', keySize: 1024 })
  const encrypted = await odd(authority, { passphrase: 'secret' })
  const none = { certificate: null, key: null, pins: [] }
  const rows: readonly (readonly [string, Partial<TlsMaterial>, string, RegExp])[] = [
    ['a certificate without a key', { certificate: client.cert }, 'clientKey', /missing/],
    ['a key without a certificate', { key: client.key }, 'clientCertificate', /missing/],
    ['a key of another certificate', { certificate: client.cert, key: server.key }, 'clientKey', /belong/],
    ['text', { certificate: 'hello', key: client.key }, 'clientCertificate', /no PEM/],
    ['a key for a certificate', { certificate: client.key, key: client.key }, 'clientCertificate', /no PEM/],
    [
      'a broken certificate',
      { certificate: client.cert.replace(/\n[^-\n]{20}/, '\nAAAAAAAAAAAAAAAAAAAA'), key: client.key },
      'clientCertificate',
      /parse/
    ],
    ['a broken key', { certificate: client.cert, key: client.key.slice(0, 80) }, 'clientKey', /parse/],
    ['an encrypted key', { certificate: encrypted.cert, key: encrypted.key }, 'clientKey', /parse/],
    ['an expired certificate', { certificate: expired.cert, key: expired.key }, 'clientCertificate', /expired/],
    ['a weak key', { certificate: weak.cert, key: weak.key }, 'clientCertificate', /used/],
    ['an expired pin', { pins: [expired.cert] }, 'pins', /expired/],
    ['a pin that is none', { pins: [client.cert, 'x'] }, 'pins', /no PEM/]
  ]
  for (const [name, material, part, why] of rows) {
    t.throws(() => egress.identity({ ...none, ...material }), { code: 'ERR_INPUT', names: [part], message: why }, name)
  }
  const mine = { ...none, certificate: client.cert, key: client.key }
  const identity = egress.identity(mine)
  t.equal(egress.identity({ ...mine }), identity, 'the same material is the same identity')
  t.not(egress.identity({ ...mine, pins: [authority.cert] }).digest, identity.digest)
  t.not(
    egress.identity({ ...none, pins: [authority.cert, client.cert] }).digest,
    egress.identity({ ...none, pins: [authority.cert + client.cert] }).digest
  )
  const key = client.key.split('\n')[1] ?? ''
  for (const print of [inspect(identity, { depth: 9, showHidden: true }), JSON.stringify(identity)]) {
    t.notOk(print.includes(key), 'the key never shows')
  }
})

t.test('an identity that expires is refused the next time', async (t) => {
  const { client } = await certificates()
  let nowMs = Date.now()
  const { egress } = await newPair(t, {}, { wallClock: () => nowMs })
  const material = { certificate: client.cert, key: client.key, pins: [] }
  egress.identity(material)
  nowMs += 40 * DAY_MS
  t.throws(() => egress.identity(material), { code: 'ERR_INPUT' })
})

t.test('an authority that does not parse is a fault of the configuration', async (t) => {
  await t.rejects(newEgress({ port: 443, ca: ['hello'] }), { code: 'ERR_CONFIG' })
})
