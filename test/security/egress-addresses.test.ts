/*
 * Server-side request forgery: a caller names a host whose name leads to where only Sluice can go, such as a metadata
 * service, the loopback interface, or Sluice itself. The name is resolved here, every address is judged, and the
 * connection goes to an address that was judged and to no other.
 */
import { BlockList, isIP, isIPv4 } from 'node:net'
import { networkInterfaces } from 'node:os'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { covers, isWithin, parseAddress, parseCidr } from '../../lib/egress/address.ts'
import type { EgressOptions } from '../../lib/egress/egress.ts'
import { AddressPolicy, type AllowedNetworks } from '../../lib/egress/policy.ts'
import { SluiceError } from '../../lib/errors.ts'
import { answering, newDestination, OK } from '../kit/destination.ts'
import { exchangeOnce, newEgress, newMessage, newPeer } from '../kit/exchange.ts'

const passes = (allowed: AllowedNetworks, address: string) => new AddressPolicy(allowed).refusal(address, 443) === null

const PUBLIC = [
  '8.8.8.8',
  '1.1.1.1',
  '93.184.216.34',
  '172.32.0.1',
  '100.128.0.1',
  '192.0.1.1',
  '198.20.0.1',
  '223.255.255.255',
  '2606:4700::1111',
  '2a00:1450:4001::1',
  '2400::1',
  '2003::1'
]

const PRIVATE = [
  '10.0.0.1',
  '10.255.255.255',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '127.0.0.1',
  '127.255.255.255',
  '100.64.0.1',
  '::1',
  'fc00::1',
  'fdff::1'
]

const SPECIAL = [
  '0.0.0.0',
  '0.1.2.3',
  '192.0.0.1',
  '192.0.2.1',
  '192.31.196.1',
  '192.52.193.1',
  '192.88.99.1',
  '192.175.48.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::2',
  '::127.0.0.1',
  '100::1',
  '100:0:0:1::1',
  '2001:2::1',
  '2001:10::1',
  '2001:20::1',
  '2001:1ff::1',
  '2001:db8::1',
  '2620:4f:8000::1',
  '3fff::1',
  '4000::1',
  '5f00::1',
  '64:ff9b:1::1',
  'fec0::1',
  'ff02::1',
  'e000::1'
]

const GUARDED = [
  '169.254.169.254',
  '169.254.0.1',
  '169.254.170.2',
  'fe80::1',
  'febf::1',
  'fe80::1%eth0',
  'fd00:ec2::254',
  'fd20:ce::254',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192'
]

/** IPv6 addresses that carry an IPv4 one; the first of each pair carries 127.0.0.1, the second 8.8.8.8. */
const CARRIERS = [
  ['::ffff:127.0.0.1', '::ffff:8.8.8.8'],
  ['::ffff:7f00:1', '::ffff:808:808'],
  ['::ffff:0:127.0.0.1', '::ffff:0:8.8.8.8'],
  ['64:ff9b::127.0.0.1', '64:ff9b::808:808'],
  ['2002:7f00:1::1', '2002:808:808::1'],
  ['2001:0:1:2:3:4:80ff:fffe', '2001:0:1:2:3:4:f7f7:f7f7']
] as const

t.test('only public addresses pass', async (t) => {
  for (const address of PUBLIC) t.ok(passes(false, address), address)
  for (const address of [...PRIVATE, ...SPECIAL, ...GUARDED, ...CARRIERS.flat()])
    t.notOk(passes(false, address), address)
  for (const text of ['', 'localhost', '127.1', '0x7f.0.0.1', '1.2.3.4.5', '[::1]', '8.8.8.8/32'])
    t.notOk(passes(true, text), text)
})

t.test('`true` lets private networks pass, and nothing else', async (t) => {
  for (const address of [...PUBLIC, ...PRIVATE]) t.ok(passes(true, address), address)
  for (const address of [...SPECIAL, ...GUARDED, ...CARRIERS.flat()]) t.notOk(passes(true, address), address)
})

t.test('a list lets its blocks pass', async (t) => {
  const list = ['10.1.0.0/16', 'fd12::/16', '192.0.2.7']
  for (const address of ['10.1.0.0', '10.1.255.255', 'fd12::1', '192.0.2.7', ...PUBLIC])
    t.ok(passes(list, address), address)
  for (const address of ['10.0.255.255', '10.2.0.0', 'fd13::1', '192.0.2.8', '127.0.0.1', '::1'])
    t.notOk(passes(list, address), address)
})

t.test('link-local and metadata addresses need a block of their own', async (t) => {
  for (const address of GUARDED) {
    t.notOk(passes(['0.0.0.0/0', '::/0'], address), `${address}: not by a block around theirs`)
    const bare = address.split('%')[0] ?? ''
    t.ok(passes([bare], address), `${address}: by itself`)
  }
  t.ok(passes(['169.254.0.0/16'], '169.254.169.254'))
  t.ok(passes(['169.254.169.0/24'], '169.254.169.254'))
  t.notOk(passes(['169.254.0.0/15'], '169.254.169.254'))
  t.notOk(passes(['169.254.169.254'], '169.254.169.253'))
})

t.test('an address that carries another needs both to be allowed', async (t) => {
  for (const [loopback, open] of CARRIERS) {
    t.notOk(passes(['127.0.0.0/8'], loopback), `${loopback}: only the inner one`)
    t.notOk(passes(['::/0'], loopback), `${loopback}: only the outer one`)
    t.ok(passes(['::/0', '127.0.0.0/8'], loopback), `${loopback}: both`)
    t.ok(passes(['::/0'], open), `${open}: the inner one is public`)
  }
  t.notOk(passes(['::/0', '0.0.0.0/0'], '::ffff:169.254.169.254'))
})

t.test('our own addresses never pass', async (t) => {
  const policy = new AddressPolicy(['0.0.0.0/0', '::/0'])
  policy.listening = [
    { host: '127.0.0.1', port: 8443 },
    { host: '192.168.7.7', port: 9443 },
    { host: '0.0.0.0', port: 9090 },
    { host: 'localhost', port: 8080 }
  ]
  const own = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .map(({ address }) => address)
  const refused: readonly (readonly [string, number])[] = [
    ['127.0.0.1', 8443],
    ['127.0.0.2', 8443],
    ['::1', 8443],
    ['::ffff:127.0.0.1', 8443],
    ['0.0.0.0', 8443],
    ['::', 8443],
    ['192.168.7.7', 9443],
    ['::ffff:192.168.7.7', 9443],
    ['127.0.0.1', 9090],
    ['127.0.0.1', 8080],
    ['::1', 8080],
    ...own.map((address): [string, number] => [address, 9090])
  ]
  for (const [address, port] of refused) {
    t.equal(policy.refusal(address, port), 'an address of Sluice itself', `${address} ${port}`)
    t.equal(policy.refusal(address, port, true), 'an address of Sluice itself', `${address} ${port} relaxed`)
  }
  t.equal(policy.refusal('127.0.0.1', 443), null)
  t.equal(policy.refusal('192.168.7.8', 9443), null)
})

t.test('a block that is none is a fault of the configuration', async (t) => {
  for (const text of [
    '',
    'a',
    '10.0.0.0/33',
    '10.0.0.1/8',
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '::/129',
    'fd00::1/8',
    '10.0.0.0/8/8',
    '1.2.3'
  ]) {
    t.throws(() => new AddressPolicy([text]), { code: 'ERR_CONFIG' }, text)
  }
})

t.test('addresses and blocks are read as Node reads them', async (t) => {
  const v4 = fc.ipV4()
  const v6 = fc.ipV6()
  fc.assert(
    fc.property(fc.oneof(v4, v6), fc.oneof(v4, v6), fc.nat(128), (address, base, length) => {
      const bytes = parseAddress(address)
      const start = parseAddress(base)
      if (bytes === null || start === null) throw new Error('not read')
      const bits = Math.min(length, start.length * 8)
      const masked = start.map((byte, i) =>
        bits >= i * 8 + 8 ? byte : bits <= i * 8 ? 0 : byte & (0xff << (i * 8 + 8 - bits))
      )
      const block = { address: masked, bits }
      if (bytes.length !== start.length) return !covers(block, bytes)
      const family = isIPv4(address) ? 'ipv4' : 'ipv6'
      const list = new BlockList()
      list.addSubnet(base, bits, family)
      return list.check(address, family) === covers(block, bytes)
    }),
    { numRuns: 2000 }
  )
  t.same(parseCidr('10.0.0.0/8'), { address: Uint8Array.of(10, 0, 0, 0), bits: 8 })
  const inner = parseCidr('10.1.0.0/16')
  const outer = parseCidr('10.0.0.0/8')
  t.ok(inner !== null && outer !== null && isWithin(inner, outer) && !isWithin(outer, inner) && isWithin(inner, inner))
})

/** An egress with rules of its own, before a real destination. */
async function newPair(t: Test, addresses: readonly string[], options: Partial<EgressOptions> = {}) {
  const destination = await newDestination({ script: answering(OK) })
  let asked = 0
  const egress = await newEgress({
    port: destination.port,
    allowPrivateNetworks: false,
    lookup: (_host, _options, done) => {
      asked++
      done(
        null,
        addresses.map((address) => ({ address, family: isIPv4(address) ? 4 : 6 }))
      )
    },
    ...options
  })
  t.teardown(async () => {
    egress.destroy()
    await destination.close()
  })
  const peer = newPeer(destination.port)
  const reach = async (host = peer.host, port = peer.port): Promise<string> => {
    try {
      await egress.reach({ ...peer, host, port })
    } catch (thrown) {
      if (!(thrown instanceof SluiceError)) throw thrown
      t.equal(thrown.forwarded, 'no')
      return thrown.code
    }
    return 'none'
  }
  const send = async () => exchangeOnce(egress, peer, newMessage())
  return { destination, egress, peer, reach, send, asked: () => asked }
}

t.test('a destination with a forbidden address is refused before and at sending, and hears nothing', async (t) => {
  const rows: readonly (readonly [readonly string[], Partial<EgressOptions>])[] = [
    [['127.0.0.1'], {}],
    [['8.8.8.8', '127.0.0.1'], {}],
    [['127.0.0.1', '8.8.8.8'], {}],
    [['::ffff:127.0.0.1'], {}],
    [['169.254.169.254'], { allowPrivateNetworks: true }]
  ]
  for (const [addresses, options] of rows) {
    const { destination, egress, reach, send } = await newPair(t, addresses, options)
    t.equal(await reach(), 'ERR_DESTINATION_FORBIDDEN', addresses.join(' '))
    const { error } = await send()
    t.equal(error?.code, 'ERR_DESTINATION_FORBIDDEN')
    t.equal(error?.forwarded, 'no')
    t.equal(destination.attempts, 0)
    t.same([egress.waiting, egress.opening], [0, 0])
  }
})

t.test('a name that does not resolve', async (t) => {
  const { reach, send } = await newPair(t, [])
  t.equal(await reach(), 'ERR_DESTINATION_DNS')
  t.equal((await send()).error?.code, 'ERR_DESTINATION_DNS')
  const silent = await newPair(t, [], { lookup: () => {}, connectTimeoutMs: 50 })
  t.equal(await silent.reach(), 'ERR_DESTINATION_DNS')
  const failing = await newPair(t, [], {
    lookup: (_h, _o, done) => done(Object.assign(new Error(), { code: 'ENOTFOUND' }), [])
  })
  t.equal(await failing.reach(), 'ERR_DESTINATION_DNS')
})

t.test('hosts and ports that are not allowed', async (t) => {
  const { reach, egress, destination } = await newPair(t, ['127.0.0.1'], {
    allowsHost: (host) => host === 'localhost',
    allowPrivateNetworks: true
  })
  t.equal(await reach(), 'none')
  t.equal(await reach('example.com'), 'ERR_DESTINATION_FORBIDDEN')
  t.equal(await reach('localhost', destination.port + 1), 'ERR_DESTINATION_URL')
  egress.listening = [{ host: '127.0.0.1', port: destination.port }]
  t.equal(await reach(), 'ERR_DESTINATION_FORBIDDEN')
})

t.test('a relaxed destination may be anywhere, but for ourselves', async (t) => {
  const destination = await newDestination({ script: answering(OK) })
  t.teardown(() => destination.close())
  const relaxed = [`localhost:${destination.port}`]
  const pair = await newPair(t, ['127.0.0.1'], { relaxed, ports: [443], allowsHost: () => false })
  const peer = newPeer(destination.port)
  t.equal((await exchangeOnce(pair.egress, peer, newMessage())).status, 200)
  t.equal(await pair.reach('other.localhost', destination.port), 'ERR_DESTINATION_FORBIDDEN')
})

t.test(
  'the connection goes to an address that was checked: a second answer of the resolver changes nothing',
  async (t) => {
    let answers = ['127.0.0.1']
    const { destination, egress, reach, send } = await newPair(t, [], {
      allowPrivateNetworks: ['127.0.0.1'],
      lookup: (_host, _options, done) =>
        done(
          null,
          answers.map((address) => ({ address, family: 4 }))
        )
    })
    t.equal(await reach(), 'none')
    answers = ['127.0.0.9']
    t.equal((await send()).status, 200)
    t.equal(destination.connections.length, 1)
    t.equal(egress.idle, 1)
  }
)

t.test('one question at a time for a name, and short memory for the answer', async (t) => {
  const { asked, reach, send } = await newPair(t, ['127.0.0.1'], { allowPrivateNetworks: true })
  await Promise.all([reach(), reach(), send(), send()])
  t.equal(asked(), 1)
})

t.test('a text is an address exactly when Node says so', async (t) => {
  const pieces = [
    ':',
    ':',
    ':',
    '::',
    '0',
    '1',
    'f',
    'ffff',
    'FFFF',
    '12345',
    'g',
    '1.2.3.4',
    '.',
    '%',
    'eth0',
    '-',
    ' ',
    ''
  ]
  const texts = fc.array(fc.constantFrom(...pieces), { maxLength: 20 }).map((words) => words.join(''))
  const groups = fc
    .array(fc.constantFrom('0', 'abcd', '', '1', '1.2.3.4'), { maxLength: 10 })
    .map((words) => words.join(':'))
  fc.assert(
    fc.property(
      fc.oneof(texts, groups, fc.ipV6(), fc.ipV4()),
      (text) => (parseAddress(text) !== null) === (isIP(text) !== 0)
    ),
    { numRuns: 20_000 }
  )
  for (const text of ['1:2:3:4:5:6:7::', '::', '1::8', '::1.2.3.4', '1:2:3:4:5:6:1.2.3.4', 'fe80::1%eth0']) {
    t.ok(parseAddress(text), text)
  }
})
