/** Data identifiers: which there are, what their values must be, where they are kept. `spec/footprint.md` A.11. */
import { isCountry } from './countries.ts'
import { typeOf } from '../../vault/token-types.ts'

/** What an identifier means. */
export interface Identifier {
  readonly text: string
  /** The first part of its container. */
  readonly classification: 'pci' | 'pii' | 'bank' | 'general'
  readonly owner: 'user' | 'business' | 'both'
  /** Made from other fields; nobody writes it. */
  readonly isDerived: boolean
  /** The type of its token. */
  readonly type: string
  /** Users are found by its value. */
  readonly isSearched: boolean
  /** Its value may be a list or an object. */
  readonly isStructured: boolean
  /** The value as it is kept, or why it cannot be. */
  readonly normalize: (value: string) => string | Unfit
}

/** Why a value cannot be kept. */
export class Unfit {
  readonly why: string

  constructor(why: string) {
    this.why = why
  }
}

/** null when there is no such identifier. */
export function identifierOf(text: string): Identifier | null {
  if (text.length > MOST || !FORM.test(text)) return null
  const [family = '', second = ''] = text.split('.')
  const rest = text.slice(family.length + second.length + 2)
  switch (family) {
    case 'id':
      return rest === '' && ID.has(second) ? made(text, { ...ID.get(second), owner: 'user' }) : null
    case 'business':
      return rest === '' && BUSINESS.has(second) ? made(text, { ...BUSINESS.get(second), owner: 'business' }) : null
    case 'investor_profile':
      return rest === '' && INVESTOR.has(second) ? made(text, { owner: 'user', isStructured: true }) : null
    case 'card':
      return CARD.has(rest) ? made(text, { ...CARD.get(rest), classification: 'pci' }) : null
    case 'bank':
      return BANK.has(rest) ? made(text, { ...BANK.get(rest), classification: 'bank' }) : null
    case 'document':
      return DOCUMENTS.has(second) && rest !== '' ? made(text, { normalize: anything }) : null
    case 'custom':
      return made(text, { classification: 'general', normalize: anything, isStructured: true })
    default:
      return null
  }
}

/** The user and the identifier of `fp_id_x.card.primary.number`; null when it is no such text. */
export function splitField(text: string): { readonly user: string; readonly identifier: string } | null {
  const match = FIELD.exec(text)
  return match === null ? null : { user: match[1] as string, identifier: match[2] as string }
}

/** The container of a field: its class, then its user. */
export function containerOf(user: string, { classification }: Identifier): string {
  return `/${classification}/fp/${user.toLowerCase()}/`
}

/** The alias in `card.<alias>.number`. */
export function aliasOf(identifier: string): string {
  return identifier.split('.')[1] ?? ''
}

/** The network of a card by the first digits of its number. */
export function issuerOf(number: string): string {
  return ISSUERS.find(([pattern]) => pattern.test(number))?.[1] ?? 'unknown'
}

/** The parts of an expiration in one of the spellings that are read; null when it is none. */
export function readExpiration(value: string): { readonly month: string; readonly year: string } | null {
  const match = /^(\d{1,2})\s?[/-]\s?(\d{2}|\d{4})$/.exec(value.trim())
  const month = match === null ? null : monthOf(match[1] as string)
  return month === null ? null : { month, year: yearOf(match?.[2] ?? '') as string }
}

/** Two digits; null when it is no month. */
export function monthOf(value: string): string | null {
  const month = /^\d{1,2}$/.test(value) ? Number(value) : 0
  return month >= 1 && month <= 12 ? String(month).padStart(2, '0') : null
}

/** Four digits of two or four; null when it is neither. */
export function yearOf(value: string): string | null {
  if (/^\d{2}$/.test(value)) return `20${value}`
  return /^20\d{2}$/.test(value) ? value : null
}

function made(text: string, more: Partial<Identifier>): Identifier {
  return {
    text,
    classification: 'pii',
    owner: 'both',
    isDerived: false,
    type: 'token',
    isSearched: false,
    isStructured: false,
    normalize: short,
    ...more
  }
}

const anything = (value: string): string => value

function short(value: string): string | Unfit {
  if (value.trim() === '') return new Unfit('must not be empty')
  return value.length < 1024 && Buffer.byteLength(value) < 1024 ? value : new Unfit('must be below 1 KB')
}

const matching = (pattern: RegExp, why: string) => (value: string) => (pattern.test(value) ? value : new Unfit(why))

/** Digits, hyphens and white space between them taken out. */
const digits = (count: number) => (value: string) => {
  const bare = value.replace(/[-\s]/g, '')
  return bare.length === count && /^\d+$/.test(bare) ? bare : new Unfit(`must have ${count} digits`)
}

function date(value: string): string | Unfit {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(value)
  const day = match === null ? null : new Date(`${value}T00:00:00Z`)
  const isReal = day !== null && !Number.isNaN(day.getTime()) && day.toISOString().startsWith(value)
  return isReal ? value : new Unfit('must be a date as YYYY-MM-DD')
}

function country(value: string): string | Unfit {
  return isCountry(value.toUpperCase()) ? value.toUpperCase() : new Unfit('must be a country as ISO 3166 alpha-2')
}

function phone(value: string): string | Unfit {
  const bare = value.replace(/[-\s().]/g, '')
  return /^\+[1-9]\d{6,14}$/.test(bare) ? bare : new Unfit('must be a phone number as E.164')
}

const ofType = (type: string, why: string) => (value: string) =>
  Object.keys(typeOf(type).faults(value)).length === 0 ? value : new Unfit(why)

function expiration(value: string): string | Unfit {
  const parts = readExpiration(value)
  return parts === null ? new Unfit('must be MM/YYYY') : `${parts.month}/${parts.year}`
}

const email = matching(/^[^\s@]{1,64}@[^\s@]+\.[^\s@.]+$/u, 'must be an email address')
const searched: Partial<Identifier> = { isSearched: true }
const dated: Partial<Identifier> = { normalize: date }
const derived: Partial<Identifier> = { isDerived: true }
const structured: Partial<Identifier> = { isStructured: true }
const plain: Partial<Identifier> = {}

// :: what stands behind `id.` → its meaning
const ID = new Map<string, Partial<Identifier>>([
  ['first_name', searched],
  ['middle_name', plain],
  ['last_name', searched],
  ['dob', dated],
  ['ssn4', { normalize: digits(4) }],
  ['ssn9', { normalize: digits(9), isSearched: true, type: 'social_security_number' }],
  ['address_line1', plain],
  ['address_line2', plain],
  ['city', plain],
  ['state', plain],
  ['zip', plain],
  ['country', { normalize: country }],
  ['email', { normalize: email, isSearched: true }],
  ['phone_number', { normalize: phone, isSearched: true }],
  ['us_legal_status', plain],
  ['visa_kind', plain],
  ['visa_expiration_date', dated],
  ['nationality', { normalize: country }],
  ['citizenships', structured],
  ['drivers_license_number', searched],
  ['drivers_license_state', plain],
  ['itin', { normalize: digits(9), isSearched: true }],
  ['us_tax_id', { normalize: digits(9), isSearched: true }]
])

const BUSINESS = new Map<string, Partial<Identifier>>([
  ['name', searched],
  ['dba', searched],
  ['website', plain],
  ['phone_number', { normalize: phone, isSearched: true }],
  ['tin', { normalize: digits(9), isSearched: true }],
  ['address_line1', plain],
  ['address_line2', plain],
  ['city', plain],
  ['state', plain],
  ['zip', plain],
  ['country', { normalize: country }],
  ['corporation_type', plain],
  ['formation_state', plain],
  ['formation_date', dated],
  ['beneficial_owners', structured],
  ['kyced_beneficial_owners', structured]
])

const INVESTOR: ReadonlySet<string> = new Set([
  'employment_status',
  'occupation',
  'employer',
  'annual_income',
  'net_worth',
  'investment_goals',
  'risk_tolerance',
  'declarations',
  'brokerage_firm_employer',
  'senior_executive_symbols',
  'family_member_names',
  'political_organization',
  'funding_sources'
])

const CARD = new Map<string, Partial<Identifier>>([
  ['number', { type: 'card_number', normalize: ofType('card_number', 'must be a card number') }],
  ['expiration', { normalize: expiration }],
  ['exp_month', { normalize: (value) => monthOf(value) ?? new Unfit('must be a month') }],
  ['exp_year', { normalize: (value) => (yearOf(value) === null ? new Unfit('must be YY or YYYY') : value) }],
  ['cvc', { normalize: matching(/^\d{3,4}$/, 'must have 3 or 4 digits') }],
  ['name', plain],
  ['billing_address.zip', plain],
  ['billing_address.country', { normalize: country }],
  ['expiration_month', derived],
  ['expiration_year', derived],
  ['number_last4', derived],
  ['issuer', derived],
  ['fingerprint', derived]
])

const BANK = new Map<string, Partial<Identifier>>([
  ['name', plain],
  [
    'ach_routing_number',
    {
      type: 'us_bank_routing_number',
      normalize: ofType('us_bank_routing_number', 'must be a routing number of 9 digits')
    }
  ],
  [
    'ach_account_number',
    { type: 'us_bank_account_number', normalize: matching(/^\d{3,17}$/, 'must have 3 to 17 digits') }
  ],
  ['ach_account_id', plain],
  ['account_type', { normalize: matching(/^(?:checking|savings)$/, 'must be checking or savings') }],
  ['fingerprint', derived]
])

const DOCUMENTS: ReadonlySet<string> = new Set([
  'id_card',
  'drivers_license',
  'passport',
  'passport_card',
  'permit',
  'visa',
  'residence_document',
  'voter_identification',
  'proof_of_address',
  'ssn_card',
  'finra_compliance_letter',
  'custom'
])

const ISSUERS: readonly (readonly [RegExp, string])[] = [
  [/^4/, 'visa'],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, 'mastercard'],
  [/^3[47]/, 'american_express'],
  [/^(?:6011|64[4-9]|65)/, 'discover'],
  [/^35(?:2[89]|[3-8])/, 'jcb'],
  [/^3(?:0[0-5]|[689])/, 'diners_club'],
  [/^62/, 'unionpay'],
  [/^(?:5018|5020|5038|6304|6759|676[1-3])/, 'maestro']
]

/** As the grammar of references has it. */
const FORM = /^[a-z_]+(?:\.[A-Za-z0-9_-]+)+$/
const FIELD = /^(fp_(?:id|bid)_[A-Za-z0-9_]{1,64})\.([a-z_]+(?:\.[A-Za-z0-9_-]+)+)$/
const MOST = 250
