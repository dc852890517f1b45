/** What each type of token means: its container, its rules, and what is made of its data when nothing else is asked. */
import { type Json, LosslessNumber, numberText } from '../json.ts'

/** What a container looks like: `/` or a lower-case path of names that ends in a slash. */
export const CONTAINER = /^\/(?:[a-z0-9_-]+\/)*$/

export type Classification = 'general' | 'bank' | 'pci' | 'pii'
export type ImpactLevel = 'low' | 'moderate' | 'high'

export interface TokenType {
  readonly classification: Classification
  readonly impactLevel: ImpactLevel
  /** The lowest impact level that a caller may ask for. */
  readonly leastImpact: ImpactLevel
  readonly restrictionPolicy: 'mask' | 'redact'
  readonly mask: Json
  readonly fingerprintExpression: string
  readonly searchIndexes: readonly string[]
  /** Faults by field; empty when the data is acceptable. */
  readonly faults: (data: Json) => Record<string, string[]>
}

const none = (): Record<string, string[]> => ({})
const fault = (field: string, why: string): Record<string, string[]> => ({ [field]: [why] })

const LAST_FOUR = '{{ data | reveal_last: 4 }}'
const WITHOUT_DASHES = "{{ data | remove: '-' }}"
const SSN_INDEXES = ['{{ data }}', WITHOUT_DASHES, '{{ data | last4 }}']
const CARD_MASK = {
  number: '{{ data.number | reveal_last: 4 }}',
  expiration_month: '{{ data.expiration_month }}',
  expiration_year: '{{ data.expiration_year }}'
}

const row = (
  classification: Classification,
  impactLevel: ImpactLevel,
  leastImpact: ImpactLevel,
  restrictionPolicy: 'mask' | 'redact',
  mask: Json,
  fingerprintExpression: string,
  searchIndexes: readonly string[],
  faults: TokenType['faults']
): TokenType => ({
  classification,
  impactLevel,
  leastImpact,
  restrictionPolicy,
  mask,
  fingerprintExpression,
  searchIndexes,
  faults
})

// :: name of a type → its meaning; a type that is not here is like `token`
const TYPES = new Map<string, TokenType>([
  ['token', row('general', 'high', 'low', 'redact', null, '{{ data | stringify }}', [], none)],
  ['card', row('pci', 'high', 'high', 'mask', CARD_MASK, '{{ data.number }}', [], cardFaults)],
  [
    'bank',
    row(
      'bank',
      'high',
      'high',
      'mask',
      { routing_number: '{{ data.routing_number }}', account_number: '{{ data.account_number | reveal_last: 4 }}' },
      '{{ data.account_number }}|{{ data.routing_number }}',
      [],
      bankFaults
    )
  ],
  [
    'card_number',
    row('pci', 'high', 'high', 'mask', LAST_FOUR, '{{ data }}', [], (data) =>
      check('data', data, isCardNumber, CARD_NUMBER)
    )
  ],
  [
    'us_bank_account_number',
    row('bank', 'high', 'low', 'mask', LAST_FOUR, '{{ data }}', [], (data) =>
      check('data', data, (text) => /^\d{3,17}$/.test(text), 'The account number must have 3 to 17 digits')
    )
  ],
  [
    'us_bank_routing_number',
    row('bank', 'low', 'low', 'redact', LAST_FOUR, '{{ data }}', [], (data) =>
      check('data', data, isRoutingNumber, ROUTING_NUMBER)
    )
  ],
  [
    'social_security_number',
    row('pii', 'high', 'low', 'mask', LAST_FOUR, WITHOUT_DASHES, SSN_INDEXES, (data) =>
      check('data', data, (text) => /^(?:\d{9}|\d{3}-\d{2}-\d{4})$/.test(text), 'The number must have 9 digits')
    )
  ],
  [
    'employer_id_number',
    row('pii', 'high', 'low', 'mask', LAST_FOUR, WITHOUT_DASHES, SSN_INDEXES, (data) =>
      check('data', data, (text) => /^(?:\d{9}|\d{2}-\d{7})$/.test(text), 'The number must have 9 digits')
    )
  ],
  ['network_token', row('pci', 'high', 'high', 'mask', CARD_MASK, '{{ data.number }}', [], none)]
])

export function typeOf(name: string): TokenType {
  return TYPES.get(name) ?? (TYPES.get('token') as TokenType)
}

function check(
  field: string,
  value: Json | undefined,
  holds: (text: string) => boolean,
  why: string
): Record<string, string[]> {
  let text: string | null = null
  if (typeof value === 'string') text = value
  else if (typeof value === 'number' || value instanceof LosslessNumber) text = numberText(value)
  return text !== null && holds(text) ? {} : fault(field, why)
}

function cardFaults(data: Json): Record<string, string[]> {
  const card = asObject(data)
  if (card === null) return fault('data', 'The data of a card must be an object')
  const faults = check('data.number', card.number, isCardNumber, CARD_NUMBER)
  if (typeof card.number !== 'string') faults['data.number'] = [CARD_NUMBER]
  const { expiration_month: month, expiration_year: year, cvc } = card
  if (month !== undefined && month !== null && !isWhole(month, 1, 12))
    faults['data.expiration_month'] = ['The month must be 1 to 12']
  if (year !== undefined && year !== null && !isWhole(year, 2000, 9999))
    faults['data.expiration_year'] = ['The year must have four digits']
  if (cvc !== undefined && cvc !== null && !(typeof cvc === 'string' && /^\d{3,4}$/.test(cvc))) {
    faults['data.cvc'] = ['The cvc must be a string of 3 or 4 digits']
  }
  return faults
}

function bankFaults(data: Json): Record<string, string[]> {
  const bank = asObject(data)
  if (bank === null) return fault('data', 'The data of a bank account must be an object')
  return {
    ...check('data.routing_number', bank.routing_number, isRoutingNumber, ROUTING_NUMBER),
    ...check(
      'data.account_number',
      bank.account_number,
      (text) => /^\d{1,17}$/.test(text),
      'The account number must have up to 17 digits'
    )
  }
}

function asObject(data: Json): Record<string, Json | undefined> | null {
  if (data === null || typeof data !== 'object' || Array.isArray(data) || data instanceof LosslessNumber) return null
  return data
}

const isWhole = (value: Json, from: number, to: number): boolean => {
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isInteger(number) && number >= from && number <= to
}

/** 13 to 19 digits with a right Luhn check digit. */
function isCardNumber(text: string): boolean {
  if (!/^\d{13,19}$/.test(text)) return false
  let sum = 0
  for (let at = text.length - 1, double = false; at >= 0; at--, double = !double) {
    const digit = text.charCodeAt(at) - 0x30
    sum += double ? (digit > 4 ? digit * 2 - 9 : digit * 2) : digit
  }
  return sum % 10 === 0
}

/** 9 digits with a right ABA check digit: weights 3, 7, 1. */
function isRoutingNumber(text: string): boolean {
  if (!/^\d{9}$/.test(text)) return false
  let sum = 0
  for (let at = 0; at < 9; at++) sum += (text.charCodeAt(at) - 0x30) * ([3, 7, 1][at % 3] as number)
  return sum % 10 === 0
}

const CARD_NUMBER = 'The card number is not valid'
const ROUTING_NUMBER = 'The routing number is not valid'

/** Why a text cannot be a token id; null when it can. */
export function idFault(id: string): string | null {
  if (id.length < 3 || id.length > 400) return 'The id must have 3 to 400 characters'
  if (FORBIDDEN.test(id)) return 'The id holds a forbidden character'
  if (id.startsWith('fp_')) return 'The id must not begin with fp_'
  if (id.startsWith('.') || id.trim() !== id) return 'The id must not begin with a dot, or begin or end with a space'
  return null
}

/** The characters that no id may hold: the vendor's list, control characters, and half a surrogate pair. */
// oxlint-disable-next-line no-control-regex
const FORBIDDEN = /[#/\\+?[\]|&=%<>{}^\u0000-\u001f\u007f]|\p{Surrogate}/u
