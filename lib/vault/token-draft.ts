/**
 * From what a caller asks for to what is stored: the defaults of the type, the id, the fingerprint and the search
 * terms, each evaluated from the data. A cvc is taken out first and enters none of them.
 */
import type { KeyObject } from 'node:crypto'
import { compileTemplate, evaluateStructure } from '../expr/template.ts'
import { SluiceError } from '../errors.ts'
import { formatJson, type Json, LosslessNumber, numberText, parseJson } from '../json.ts'
import type { DestinationRule } from './destinations.ts'
import { metadataTerm, searchTerms } from './index-terms.ts'
import { macOf } from './keyring.ts'
import type { Cvc, TokenHeader } from './token.ts'
import type { TokenRest } from './token-rest.ts'
import { idFault, typeOf } from './token-types.ts'

/** What is asked for: everything but who and when. */
export interface Draft {
  readonly type: string
  readonly container: string
  /** JSON text. */
  readonly data: string
  /** True: the data is a card verification code, all of it. */
  readonly isCvc?: boolean
  /** undefined: the type's; null: none. */
  readonly mask?: Json
  readonly metadata?: Readonly<Record<string, string>>
  readonly privacy?: Readonly<Record<string, string>>
  /** undefined: the type's. */
  readonly searchIndexes?: readonly string[]
  /** undefined: the type's. */
  readonly fingerprintExpression?: string
  readonly destinations?: readonly DestinationRule[]
  readonly expiresAt: number | null
}

/** What is stored. */
export interface Made {
  readonly header: TokenHeader
  /** JSON text, without a cvc. */
  readonly data: string
  readonly cvc: Cvc | null
}

export interface Stamp {
  readonly createdAt: number
  readonly createdBy: string
  readonly modifiedAt?: number
  readonly modifiedBy?: string
  /** When a cvc in the data was taken. */
  readonly cvcTakenAt: number
}

/** Throws ERR_INPUT with the faults of each field. `key` is the tenant's. */
export function makeToken(draft: Draft, stamp: Stamp, key: KeyObject): Made {
  const { type, container, expiresAt, metadata, privacy, destinations } = draft
  const meaning = typeOf(type)
  const split = takeCvc(draft, stamp.cvcTakenAt)
  const faults: Record<string, string[]> = {}
  const attempt = <T>(field: string, evaluate: () => T): T | undefined => {
    try {
      return evaluate()
    } catch (thrown) {
      if (!(thrown instanceof SluiceError) || !thrown.code.startsWith('ERR_EXPR')) throw thrown
      faults[field] = [thrown.message]
      return undefined
    }
  }
  const variables = { data: split.value }
  const mask = draft.mask === undefined ? meaning.mask : draft.mask
  if (mask !== null) attempt('mask', () => evaluateStructure(mask, variables))
  const expression = draft.fingerprintExpression ?? meaning.fingerprintExpression
  const fingerprint =
    draft.isCvc === true
      ? undefined
      : attempt('fingerprint_expression', () => fingerprintOf(key, type, expression, split.value, metadata))
  const terms = new Set<string>()
  if (metadata !== undefined)
    for (const [name, value] of Object.entries(metadata)) terms.add(metadataTerm(key, name, value))
  const indexes = draft.isCvc === true ? [] : (draft.searchIndexes ?? meaning.searchIndexes)
  indexes.forEach((source, at) => {
    const value = attempt(`search_indexes[${at}]`, () => compileTemplate(source).render(variables))
    const text = value === undefined ? null : scalarText(value)
    if (text !== null && text !== '') for (const term of searchTerms(key, text)) terms.add(term)
    else if (draft.searchIndexes !== undefined)
      faults[`search_indexes[${at}]`] ??= ['The search index must yield one value that is not empty']
  })
  if (Object.keys(faults).length > 0)
    throw new SluiceError('ERR_INPUT', `Not valid: ${Object.keys(faults).join(', ')}`, { fields: faults })
  const rest: { -readonly [name in keyof TokenRest]: TokenRest[name] } = {
    createdBy: stamp.createdBy,
    terms: [...terms]
  }
  if (stamp.modifiedBy !== undefined) rest.modifiedBy = stamp.modifiedBy
  if (stamp.modifiedAt !== undefined) rest.modifiedAt = stamp.modifiedAt
  if (metadata !== undefined) rest.metadata = metadata
  if (mask !== null) rest.mask = mask
  if (privacy !== undefined) rest.privacy = privacy
  if (indexes.length > 0) rest.searchIndexes = indexes
  if (draft.isCvc !== true) rest.fingerprintExpression = expression
  if (fingerprint !== undefined) rest.fingerprint = fingerprint
  if (destinations !== undefined) rest.destinations = destinations
  return { header: { type, container, createdAt: stamp.createdAt, expiresAt, rest }, data: split.text, cvc: split.cvc }
}

function takeCvc(draft: Draft, takenAt: number): { text: string; value: Json; cvc: Cvc | null } {
  const { data, type } = draft
  if (draft.isCvc === true) return { text: 'null', value: null, cvc: { text: data, kind: 'whole', takenAt } }
  const value = parseJson(data)
  if (!CARDS.has(type) || !isObject(value) || !Object.hasOwn(value, 'cvc')) return { text: data, value, cvc: null }
  const { cvc, ...rest } = value
  const text = formatJson(rest)
  if (cvc === null || cvc === undefined) return { text, value: rest, cvc: null }
  return { text, value: rest, cvc: { text: formatJson(cvc), kind: 'property', takenAt } }
}

/** undefined when the expression yields nothing. */
function fingerprintOf(
  key: KeyObject,
  type: string,
  expression: string,
  data: Json,
  metadata: Json | undefined
): string | undefined {
  const value = compileTemplate(expression).render({ data, metadata: metadata ?? {} })
  const text =
    value === null || typeof value !== 'object' || value instanceof LosslessNumber
      ? scalarText(value)
      : formatJson(value)
  if (text === null || text === '') return undefined
  return base58(macOf(key, ['fingerprint', type, text]))
}

function scalarText(value: Json): string | null {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || value instanceof LosslessNumber) return numberText(value)
  return typeof value === 'boolean' ? String(value) : null
}

/**
 * The id that an expression yields for the data; each call draws anew where it is random. Throws ERR_INPUT when it is no
 * id, or gives the data away.
 */
export function aliasOf(source: string, data: string): string {
  const fields = (why: string) => new SluiceError('ERR_INPUT', `The id is not valid: ${why}`, { fields: { id: [why] } })
  let value: Json
  try {
    value = compileTemplate(source).render({ data: parseJson(data) })
  } catch (thrown) {
    throw thrown instanceof SluiceError ? fields(thrown.message) : thrown
  }
  const id = scalarText(value) ?? ''
  const fault = idFault(id) ?? idDataFault(id, data)
  if (fault !== null) throw fields(fault)
  return id
}

/** An id that is the data itself would carry it into every log. */
export function idDataFault(id: string, data: string): string | null {
  const value = parseJson(data)
  const leaves = isObject(value) ? Object.values(value) : [value]
  return leaves.some((leaf) => leaf !== undefined && scalarText(leaf) === id)
    ? 'The id must not be the data itself'
    : null
}

export function isObject(value: Json | undefined): value is { [key: string]: Json } {
  return (
    value !== undefined &&
    value !== null &&
    typeof value === 'object' &&
    !Array.isArray(value) &&
    !(value instanceof LosslessNumber)
  )
}

/** 32 bytes as 44 characters: long division by 58^5 over limbs of 22 bits, the first of 14. */
function base58(bytes: Buffer): string {
  limbs[0] = bytes.readUInt16BE() >>> 2
  for (let at = 1, from = 2, held = 2, bits = (bytes[1] as number) & 3; at < LIMBS; at++) {
    for (; held < 22; held += 8) bits = (bits << 8) | (bytes[from++] as number)
    held -= 22
    limbs[at] = bits >>> held
    bits &= (1 << held) - 1
  }
  let first = 0
  for (let end = 45; end > 0; ) {
    let rest = 0
    for (let at = first; at < LIMBS; at++) {
      // Below 2^52. By multiplying, the quotient may be one beside the right one.
      const value = rest * 0x400000 + (limbs[at] as number)
      let quotient = (value * PART_OF_FIVE) | 0
      rest = value - quotient * FIVE_DIGITS
      if (rest < 0) {
        quotient--
        rest += FIVE_DIGITS
      } else if (rest >= FIVE_DIGITS) {
        quotient++
        rest -= FIVE_DIGITS
      }
      limbs[at] = quotient
    }
    while (first < LIMBS && limbs[first] === 0) first++
    // Whole numbers below 2^31: the compiler divides them by multiplying.
    for (let digit = 0, part = rest | 0; digit < 5; digit++) {
      const left = (part / 58) | 0
      digits[--end] = BASE58[part - left * 58] as number
      part = left
    }
  }
  return digits.toString('latin1', 1)
}

const FIVE_DIGITS = 58 ** 5
const PART_OF_FIVE = 1 / FIVE_DIGITS
const LIMBS = 12
const BASE58 = Buffer.from('123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz')
const limbs = new Int32Array(LIMBS)
const digits = Buffer.alloc(45)
const CARDS = new Set(['card', 'network_token'])
