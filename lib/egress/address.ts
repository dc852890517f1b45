import { isIPv4 } from 'node:net'

/** An IP address as bytes in network order: 4 of them, or 16. */
export type Address = Uint8Array

/** A block of addresses: those that share the first `bits` bits. */
export interface Cidr {
  readonly address: Address
  readonly bits: number
}

/** Reads an IPv4 or IPv6 address in its usual spellings; a zone (`%eth0`) is dropped. Null when it is none. */
export function parseAddress(text: string): Address | null {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number)
  return text.includes(':') ? parseIPv6(text) : null
}

/** Reads `10.0.0.0/8`, or a lone address as a block of one. Null when it is none, or bits are set behind the prefix. */
export function parseCidr(text: string): Cidr | null {
  const slash = text.indexOf('/')
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash))
  if (address === null) return null
  const width = address.length * 8
  if (slash < 0) return { address, bits: width }
  const digits = text.slice(slash + 1)
  const bits = Number(digits)
  if (String(bits) !== digits || !Number.isInteger(bits) || bits < 0 || bits > width) return null
  for (let bit = bits; bit < width; bit++) if (bitAt(address, bit) !== 0) return null
  return { address, bits }
}

/** True when the address lies in the block. Addresses of different families never do. */
export function covers(block: Cidr, address: Address): boolean {
  if (block.address.length !== address.length) return false
  const whole = block.bits >> 3
  for (let i = 0; i < whole; i++) if (block.address[i] !== address[i]) return false
  const rest = block.bits & 7
  if (rest === 0) return true
  const shift = 8 - rest
  return (block.address[whole] as number) >> shift === (address[whole] as number) >> shift
}

/** True when every address of `inner` lies in `outer`. */
export function isWithin(inner: Cidr, outer: Cidr): boolean {
  return inner.bits >= outer.bits && covers(outer, inner.address)
}

/** NOTE: `isIPv6` is a large regular expression that takes milliseconds of a start to compile. */
function parseIPv6(text: string): Address | null {
  const [bare = '', zone = '0', ...more] = text.split('%')
  if (!ZONE.test(zone) || more.length > 0) return null
  const [before = '', after, ...others] = bare.split('::')
  const head = groupsOf(before, after === undefined)
  const tail = groupsOf(after ?? '', true)
  if (head === null || tail === null || others.length > 0) return null
  const length = head.length + tail.length
  if (after === undefined ? length !== 16 : length > 14) return null
  const address = new Uint8Array(16)
  address.set(head, 0)
  address.set(tail, 16 - tail.length)
  return address
}

/** The bytes of groups of four hexadecimal digits; the last may be an IPv4 address. */
function groupsOf(text: string, mayEndInIPv4: boolean): number[] | null {
  if (text === '') return []
  const groups = text.split(':')
  const bytes: number[] = []
  for (const [at, group] of groups.entries()) {
    if (GROUP.test(group)) {
      const value = Number.parseInt(group, 16)
      bytes.push(value >> 8, value & 0xff)
    } else if (mayEndInIPv4 && at === groups.length - 1 && isIPv4(group)) {
      bytes.push(...group.split('.').map(Number))
    } else {
      return null
    }
  }
  return bytes
}

function bitAt(address: Address, bit: number): number {
  return ((address[bit >> 3] as number) >> (7 - (bit & 7))) & 1
}

const GROUP = /^[\da-f]{1,4}$/i
const ZONE = /^[\da-z.:-]+$/i
