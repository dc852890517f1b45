import { SluiceError } from '../errors.ts'
import { equalsIgnoringCase } from './head.ts'

/* Hot: per request. */

/**
 * What a request says about its connection and its body, as bits: KEPT when the connection may be kept behind it (RFC 9112,
 * 9.3), UNMET when it expects something other than `100-continue` (RFC 9110, 10.1.1).
 *
 * @param minor 0 for HTTP/1.0, else 1
 */
export function readConnection(fields: readonly string[], minor: number): number {
  let keep = minor > 0
  let close = false
  let unmet = 0
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    if (name.length === 10 && equalsIgnoringCase(name, 'connection')) {
      const value = fields[at + 1] as string
      if (equalsIgnoringCase(value, 'keep-alive')) {
        keep = true
        continue
      }
      for (const option of value.toLowerCase().split(',')) {
        const word = option.trim()
        if (word === 'close') close = true
        else if (word === 'keep-alive') keep = true
      }
    } else if (name.length === 6 && minor > 0 && equalsIgnoringCase(name, 'expect')) {
      if (!equalsIgnoringCase(fields[at + 1] as string, '100-continue')) unmet = UNMET
    }
  }
  return keep && !close ? KEPT | unmet : unmet
}

/** The refusal of a request that is UNMET. */
export function unmetExpectation(): SluiceError {
  return new SluiceError('ERR_EXPECTATION', 'Expect takes 100-continue and nothing else')
}

export const KEPT = 1
export const UNMET = 2
