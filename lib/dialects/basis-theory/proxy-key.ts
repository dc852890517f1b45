/** The keys of stored proxies: how they are made, and where a request names one. */
import { randomInt } from 'node:crypto'
import { SluiceError } from '../../errors.ts'

/** 22 characters of base 58: 128 bits. Whoever has it may call a proxy that asks for no API key. */
export function newProxyKey(): string {
  return Array.from({ length: KEY_LENGTH }, () => BASE_58[randomInt(BASE_58.length)]).join('')
}

/** Can it be the key of a stored proxy? Says nothing about whether there is such a proxy. */
export function looksLikeProxyKey(text: string): boolean {
  return KEY.test(text)
}

/** The stored proxy that a request names, and its query without that. */
export interface NamedProxy {
  readonly key: string
  /** With the question mark, or empty. */
  readonly query: string
}

/**
 * The stored proxy that a request names by its header or by the member `bt-proxy-key` of its query, in whatever case or
 * percent-encoding; null when by none. Hot: per request.
 *
 * @param header the value of BT-PROXY-KEY
 * @param query with the question mark, or empty
 * @throws ERR_HTTP_SYNTAX when it is named twice and differently
 */
export function namedProxy(header: string | undefined, query: string): NamedProxy | null {
  if (query.length < NAME.length) return header === undefined ? null : { key: header, query }
  let key = header
  let kept = ''
  for (let at = 1; at <= query.length; ) {
    const ampersand = query.indexOf('&', at)
    const end = ampersand < 0 ? query.length : ampersand
    const member = query.slice(at, end)
    const value = valueOfKey(member)
    if (value === null) kept += `${kept === '' ? '?' : '&'}${member}`
    else if (key === undefined || key === value) key = value
    else throw new SluiceError('ERR_HTTP_SYNTAX', 'The request names two stored proxies')
    at = end + 1
  }
  if (key === undefined) return null
  return { key, query: kept }
}

/** null when it is another member. */
function valueOfKey(member: string): string | null {
  const equals = member.indexOf('=')
  const name = equals < 0 ? member : member.slice(0, equals)
  if (name.length !== NAME.length && !name.includes('%')) return null
  if (decoded(name).toLowerCase() !== NAME) return null
  return equals < 0 ? '' : decoded(member.slice(equals + 1))
}

function decoded(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

const NAME = 'bt-proxy-key'
const KEY_LENGTH = 22
const BASE_58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
const KEY = /^[1-9A-HJ-NP-Za-km-z]{22}$/
