import { networkInterfaces } from 'node:os'
import { SluiceError } from '../errors.ts'
import { type Address, type Cidr, covers, isWithin, parseAddress, parseCidr } from './address.ts'

/** `egress.allowPrivateNetworks`: none, the private ones, or exactly these blocks. */
export type AllowedNetworks = boolean | readonly string[]

/** Where this process listens. */
export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/**
 * Decides which addresses a destination's name may resolve to. Only public unicast addresses pass; others pass when
 * `allowPrivateNetworks` says so:
 * - `true` lets RFC 1918, loopback, shared (RFC 6598) and unique local addresses pass, and nothing else;
 * - a list of CIDRs lets these pass. A link-local or metadata address passes only by a CIDR that lies wholly in the
 *   guarded block, so that `0.0.0.0/0` does not open them by accident.
 *
 * An IPv6 address that carries an IPv4 one (mapped, 6to4, Teredo, NAT64 …) passes only by a CIDR, and when the address
 * in it passes too. Addresses on which we listen never pass.
 */
export class AddressPolicy {
  readonly #privateNetworks: boolean
  readonly #allowed: readonly Cidr[]
  #listening: readonly ListenAddress[] = []

  /** Throws ERR_CONFIG for a block that does not parse. */
  constructor(allowed: AllowedNetworks) {
    this.#privateNetworks = allowed === true
    this.#allowed = typeof allowed === 'boolean' ? [] : allowed.map(configuredCidr)
  }

  /** Tells where we listen ourselves; a wildcard host stands for every address of this machine. */
  set listening(addresses: readonly ListenAddress[]) {
    this.#listening = addresses
  }

  /**
   * Why a connection to this address is refused, or null.
   *
   * @param relaxed The destination may resolve to anything but ourselves: the echo destination of `sluice dev`.
   */
  refusal(text: string, port: number, relaxed = false): string | null {
    const address = parseAddress(text)
    if (address === null) return 'not an address'
    for (const own of this.#listening) {
      if (own.port === port && listensOn(own.host, address)) return 'an address of Sluice itself'
    }
    return relaxed || this.#passes(address) ? null : 'not a public address'
  }

  #passes(address: Address): boolean {
    for (const guarded of GUARDED) {
      if (covers(guarded, address))
        return this.#allowed.some((cidr) => isWithin(cidr, guarded) && covers(cidr, address))
    }
    for (const carrier of CARRIERS) {
      if (!covers(carrier.block, address)) continue
      return this.#isListed(address) && this.#passes(carrier.inner(address))
    }
    if (isPublic(address) || this.#isListed(address)) return true
    return this.#privateNetworks && PRIVATE.some((block) => covers(block, address))
  }

  #isListed(address: Address): boolean {
    return this.#allowed.some((cidr) => covers(cidr, address))
  }
}

/** IPv6 is public inside 2000::/3 only: everything else is unassigned or special (RFC 4291 section 2.4). */
function isPublic(address: Address): boolean {
  if (address.length === 16 && !covers(GLOBAL_UNICAST, address)) return false
  return !SPECIAL.some((block) => covers(block, address))
}

function listensOn(host: string, address: Address): boolean {
  const own = parseAddress(host)
  if (own === null) return isLoopback(address)
  if (!own.every((byte) => byte === 0)) return isSame(own, address) || (isLoopback(own) && isLoopback(address))
  if (isLoopback(address) || address.every((byte) => byte === 0)) return true
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address: text } of addresses ?? []) {
      const local = parseAddress(text)
      if (local !== null && isSame(local, address)) return true
    }
  }
  return false
}

/** Loopback in either family, or the unspecified address, which the kernel takes for it. */
function isLoopback(address: Address): boolean {
  const plain = covers(MAPPED, address) ? address.subarray(12) : address
  return LOOPBACK.some((block) => covers(block, plain))
}

function isSame(a: Address, b: Address): boolean {
  const left = covers(MAPPED, a) ? a.subarray(12) : a
  const right = covers(MAPPED, b) ? b.subarray(12) : b
  return left.length === right.length && left.every((byte, i) => byte === right[i])
}

function configuredCidr(text: string): Cidr {
  const cidr = parseCidr(text)
  if (cidr === null) throw new SluiceError('ERR_CONFIG', 'egress.allowPrivateNetworks holds a block that is no CIDR')
  return cidr
}

function cidr(text: string): Cidr {
  const parsed = parseCidr(text)
  if (parsed === null) throw new Error(`malformed table row ${text}`)
  return parsed
}

const last4 = (address: Address): Address => address.subarray(12)

const MAPPED = cidr('::ffff:0:0/96')
const GLOBAL_UNICAST = cidr('2000::/3')
const LOOPBACK = ['127.0.0.0/8', '0.0.0.0/32', '::1', '::'].map(cidr)

/** Link-local networks, and metadata services wherever clouds put them: need a CIDR of their own. */
const GUARDED = [
  '169.254.0.0/16', // link-local; the metadata service of most clouds
  'fe80::/10', // link-local
  'fd00:ec2::/32', // AWS metadata and resolver
  'fd20:ce::254', // Google metadata
  '100.100.100.200', // Alibaba metadata
  '168.63.129.16', // Azure wire server
  '192.0.0.192' // Oracle metadata
].map(cidr)

/** IPv6 blocks of which each address carries an IPv4 one, and how to take it out. */
const CARRIERS: readonly { readonly block: Cidr; readonly inner: (address: Address) => Address }[] = [
  { block: MAPPED, inner: last4 }, // RFC 4291 section 2.5.5.2
  { block: cidr('::ffff:0:0:0/96'), inner: last4 }, // RFC 2765 section 2.1
  { block: cidr('64:ff9b::/96'), inner: last4 }, // NAT64, RFC 6052
  { block: cidr('2002::/16'), inner: (address) => address.subarray(2, 6) }, // 6to4, RFC 3056
  { block: cidr('2001::/32'), inner: (address) => address.subarray(12).map((byte) => byte ^ 0xff) } // Teredo, RFC 4380
]

/** What `allowPrivateNetworks: true` lets pass. */
const PRIVATE = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '127.0.0.0/8',
  '100.64.0.0/10',
  '::1',
  'fc00::/7'
].map(cidr)

/** IANA's special-purpose registries of both families, beside what GUARDED and CARRIERS hold. */
const SPECIAL = [
  '0.0.0.0/8', // this network, RFC 791
  '10.0.0.0/8', // private, RFC 1918
  '100.64.0.0/10', // shared, RFC 6598
  '127.0.0.0/8', // loopback, RFC 1122
  '172.16.0.0/12', // private, RFC 1918
  '192.0.0.0/24', // protocol assignments, RFC 6890
  '192.0.2.0/24', // documentation, RFC 5737
  '192.31.196.0/24', // AS112, RFC 7535
  '192.52.193.0/24', // AMT, RFC 7450
  '192.88.99.0/24', // 6to4 relays, RFC 7526
  '192.168.0.0/16', // private, RFC 1918
  '192.175.48.0/24', // AS112, RFC 7534
  '198.18.0.0/15', // benchmarking, RFC 2544
  '198.51.100.0/24', // documentation, RFC 5737
  '203.0.113.0/24', // documentation, RFC 5737
  '224.0.0.0/4', // multicast, RFC 5771
  '240.0.0.0/4', // reserved and broadcast, RFC 1112, RFC 919
  '2001::/23', // protocol assignments, RFC 2928: benchmarking, ORCHID …
  '2001:db8::/32', // documentation, RFC 3849
  '2620:4f:8000::/48', // AS112, RFC 7534
  '3fff::/20' // documentation, RFC 9637
].map(cidr)
