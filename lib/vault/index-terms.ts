/**
 * Rows of the table `index`, by which tokens are found and listed. Each is a key without value:
 *
 *     tenant : kind : what : time : id
 *
 *     c  a container: all tokens, in the order of v2 lists      t  a type        f  a fingerprint
 *     m  a metadata pair, s i  a search value: as the HMAC under the tenant's key, so that the store gives neither away
 *
 * `time` runs backwards, so that newer tokens come first. No part but the id may hold a colon.
 */
import type { KeyObject } from 'node:crypto'
import { macOf } from './keyring.ts'
import type { TokenHeader } from './token.ts'

/** Every term of a token. */
export function termsOf({ container, type, rest }: TokenHeader): string[] {
  const { fingerprint, terms } = rest
  return fingerprint === undefined
    ? [containerTerm(container), typeTerm(type), ...terms]
    : [containerTerm(container), typeTerm(type), fingerprintTerm(fingerprint), ...terms]
}

export const containerTerm = (container: string): string => `c:${container}`
export const typeTerm = (type: string): string => `t:${type}`
export const fingerprintTerm = (fingerprint: string): string => `f:${fingerprint}`

export function metadataTerm(key: KeyObject, name: string, value: string): string {
  return `m:${shortMac(key, ['metadata', name.toLowerCase(), value.toLowerCase()])}`
}

/** The terms under which a search value is kept: as it is, and, where that differs, without regard to case. */
export function searchTerms(key: KeyObject, value: string): string[] {
  const folded = value.toLowerCase()
  const exact = exactTerm(key, value)
  return folded === value ? [exact] : [exact, `i:${shortMac(key, ['search', folded])}`]
}

/** What finds a value exactly. */
export function exactTerm(key: KeyObject, value: string): string {
  return `s:${shortMac(key, ['search', value])}`
}

/** What finds a value without regard to case: any of these. */
export function foldedTerms(key: KeyObject, value: string): string[] {
  const mac = shortMac(key, ['search', value.toLowerCase()])
  return [`s:${mac}`, `i:${mac}`]
}

/** Rows that say what is over when: `!x:` an expiry, `!v:` the time of a cvc. In no tenant, in the order of time. */
export function dueKey(kind: 'x' | 'v', at: number, tenant: string, id: string): string {
  return `!${kind}:${String(at).padStart(15, '0')}:${tenant}:${id}`
}

/** The parts of such a row's key. */
export function dueOf(key: string): { at: number; tenant: string; id: string } {
  const [, at = '', tenant = ''] = key.split(':', 3)
  return { at: Number(at), tenant, id: key.slice(at.length + tenant.length + 5) }
}

/** The row's key for a token under a term. */
export function indexKey(tenant: string, term: string, createdAt: number, id: string): string {
  if (createdAt !== backwardsOf) {
    backwardsOf = createdAt
    backwards = `:${(LATEST - createdAt).toString(36).padStart(9, '0')}:`
  }
  return `${tenant}:${term}${backwards}${id}`
}

/** The token id at the end of a row's key. */
export function idOfIndexKey(key: string): string {
  let at = -1
  for (let colons = 0; colons < 4; colons++) at = key.indexOf(':', at + 1)
  return key.slice(at + 1)
}

const shortMac = (key: KeyObject, parts: readonly string[]) => macOf(key, parts).subarray(0, 18).toString('base64url')
const LATEST = 2 ** 46 - 1
/** Of many rows that are made in one millisecond the time is written once. */
let backwardsOf = -1
let backwards = ''
