/** From what a caller wants to keep to the tokens that hold it: checked, normalised, and with the derived fields. */
import { SluiceError } from '../../errors.ts'
import { formatJson, type Json, LosslessNumber, numberText } from '../../json.ts'
import type { FieldWrite } from '../../vault/fields.ts'
import {
  aliasOf,
  containerOf,
  type Identifier,
  identifierOf,
  issuerOf,
  monthOf,
  readExpiration,
  splitField,
  Unfit,
  yearOf
} from './identifiers.ts'

/** What is to be kept of one user: data identifier → value; of several: `<user>.<data identifier>` → value. */
export type Given = Readonly<Record<string, Json | undefined>>

/**
 * The writes for one user's values. A value is text, or a number, whose text is kept digit for digit.
 *
 * @throws ERR_INPUT with the fault of each field
 */
export function writesFor(user: string, given: Given): FieldWrite[] {
  const faults = Object.create(null) as Record<string, string[]>
  // :: identifier → JSON text of its value, null: removed
  const values = new Map<string, string | null>()
  for (const [text, value] of Object.entries(given)) {
    const kept = keep(user, text, value)
    if (kept instanceof Unfit) faults[text] = [kept.why]
    else values.set(text, kept)
  }
  const clash = compose(values)
  if (clash !== null) faults[clash] ??= ['does not go together with exp_month and exp_year']
  const names = Object.keys(faults)
  if (names.length > 0) throw new SluiceError('ERR_INPUT', `Not valid: ${names.join(', ')}`, { fields: faults })
  return [...values].map(([text, data]) => writeOf(user, text, data))
}

/** The same for values of several users. Throws ERR_INPUT also for a name that is no field of a user. */
export function writesForFields(given: Given): FieldWrite[] {
  // :: user → its values
  const users = new Map<string, Record<string, Json | undefined>>()
  for (const [name, value] of Object.entries(given)) {
    const field = splitField(name)
    if (field === null) throw new SluiceError('ERR_INPUT', 'A field begins with the id of its user')
    const values = users.get(field.user) ?? {}
    values[field.identifier] = value
    users.set(field.user, values)
  }
  return [...users].flatMap(([user, values]) => writesFor(user, values))
}

/** Is the identifier one that may be written for this user? null, or why not. */
export function targetFault(user: string, identifier: Identifier | null): string | null {
  if (identifier === null) return 'is no data identifier'
  if (identifier.isDerived) return 'is derived from other fields'
  const owner = user.startsWith('fp_bid_') ? 'business' : 'user'
  return identifier.owner === 'both' || identifier.owner === owner ? null : `is no field of a ${owner}`
}

function keep(user: string, text: string, value: Json | undefined): string | Unfit {
  const identifier = identifierOf(text)
  const fault = targetFault(user, identifier)
  if (fault !== null || identifier === null) return new Unfit(fault ?? '')
  if (typeof value === 'string') return quoted(identifier.normalize(value))
  if (typeof value === 'number' || value instanceof LosslessNumber) {
    return quoted(identifier.normalize(numberText(value)))
  }
  if (identifier.isStructured && value !== null && value !== undefined) return formatJson(value)
  return new Unfit('must be text')
}

const quoted = (text: string | Unfit): string | Unfit => (text instanceof Unfit ? text : JSON.stringify(text))

/** Adds what follows from the values. Gives the name of an expiration that contradicts its parts, or null. */
function compose(values: Map<string, string | null>): string | null {
  const textOf = (identifier: string): string | null => {
    const json = values.get(identifier)
    return json === undefined || json === null ? null : (JSON.parse(json) as string)
  }
  const set = (identifier: string, text: string | null) =>
    values.set(identifier, text === null ? null : JSON.stringify(text))
  let clash: string | null = null
  const cards = new Set([...values.keys()].filter((text) => text.startsWith('card.')).map(aliasOf))
  for (const alias of cards) {
    const card = `card.${alias}.`
    const number = textOf(`${card}number`)
    if (number !== null) {
      set(`${card}number_last4`, number.slice(-4))
      set(`${card}issuer`, issuerOf(number))
    }
    const month = textOf(`${card}exp_month`)
    const year = textOf(`${card}exp_year`)
    const whole = textOf(`${card}expiration`)
    if (whole !== null) {
      const parts = readExpiration(whole)
      if (parts === null) continue
      if (month !== null && monthOf(month) !== parts.month) clash = `${card}expiration`
      if (year !== null && yearOf(year) !== parts.year) clash = `${card}expiration`
      set(`${card}exp_month`, month ?? parts.month)
      set(`${card}exp_year`, year ?? parts.year)
      set(`${card}expiration_month`, parts.month)
      set(`${card}expiration_year`, parts.year)
      continue
    }
    if (month === null && year === null) continue
    if (month !== null) set(`${card}expiration_month`, monthOf(month))
    if (year !== null) set(`${card}expiration_year`, yearOf(year))
    // One part alone leaves no whole that would be true.
    set(`${card}expiration`, month === null || year === null ? null : `${monthOf(month)}/${yearOf(year)}`)
  }
  const ssn9 = textOf('id.ssn9')
  if (ssn9 !== null && textOf('id.ssn4') === null) set('id.ssn4', ssn9.slice(-4))
  return clash
}

function writeOf(user: string, text: string, data: string | null): FieldWrite {
  const identifier = identifierOf(text)
  if (identifier === null) throw new SluiceError('ERR_INTERNAL', 'A derived field has no identifier')
  const fingerprint = FINGERPRINTED.exec(text)
  return {
    id: `${user}.${text}`,
    type: identifier.type,
    container: containerOf(user, identifier),
    data,
    searchIndexes: identifier.isSearched ? ['{{ data }}'] : [],
    ...(CVC.test(text) ? { isCvc: true } : {}),
    ...(fingerprint === null ? {} : { fingerprintId: `${user}.${fingerprint[1]}.fingerprint` })
  }
}

const FINGERPRINTED = /^(card\.[^.]+|bank\.[^.]+)\.(?:number|ach_account_number)$/
const CVC = /^card\.[^.]+\.cvc$/
