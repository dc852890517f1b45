/** Reads the body of a token, as `POST /tokens` and `POST /tokenize` take it, into what the vault makes. */
import { SluiceError } from '../../errors.ts'
import { formatJson, type Json, LosslessNumber, parseJson } from '../../json.ts'
import { DestinationList, type DestinationRule } from '../../vault/destinations.ts'
import type { TokenHeader } from '../../vault/token.ts'
import type { NewToken } from '../../vault/creates.ts'
import type { Revision } from '../../vault/tokens.ts'
import { type Classification, CONTAINER, idFault, type ImpactLevel, typeOf } from '../../vault/token-types.ts'

export type JsonObject = Record<string, Json | undefined>

/** Faults by field, gathered over a whole body. */
export class Faults {
  readonly #fields: Record<string, string[]> = {}

  add(field: string, why: string): void {
    const list = Object.hasOwn(this.#fields, field) ? (this.#fields[field] as string[]) : []
    this.#fields[field] = [...list, why]
  }

  addAll(fields: Readonly<Record<string, readonly string[]>>): void {
    for (const [field, whys] of Object.entries(fields)) for (const why of whys) this.add(field, why)
  }

  /** Throws ERR_INPUT when there is any. */
  settle(): void {
    const names = Object.keys(this.#fields)
    if (names.length > 0) throw new SluiceError('ERR_INPUT', `Not valid: ${names.join(', ')}`, { fields: this.#fields })
  }
}

/** The JSON value of a body. Throws ERR_INPUT. */
export function readBody(body: string | null): Json {
  if (body === null || body.trim() === '') throw malformed('A JSON body is required')
  if (isDeeperThan(DEPTH, body)) throw malformed(`The body is nested deeper than ${DEPTH}`)
  try {
    return parseJson(body)
  } catch {
    throw malformed('The body is not valid JSON')
  }
}

/** Whether brackets outside of strings nest deeper: what walks a value later walks it recursively. */
function isDeeperThan(limit: number, text: string): boolean {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at)
    if (character === QUOTE) {
      for (at++; at < text.length && text.charCodeAt(at) !== QUOTE; at++) if (text.charCodeAt(at) === BACKSLASH) at++
    } else if (character === BRACKET || character === BRACE) {
      if (++depth > limit) return true
    } else if (character === BRACKET + 2 || character === BRACE + 2) depth--
  }
  return false
}

/** The same, of which only an object will do. */
export function readObject(body: string | null): JsonObject {
  const value = readBody(body)
  const object = asObject(value)
  if (object === null) throw malformed('The body must be a JSON object')
  return object
}

export function asObject(value: Json | undefined): JsonObject | null {
  if (value === undefined || value === null || typeof value !== 'object') return null
  return Array.isArray(value) || value instanceof LosslessNumber ? null : value
}

/** Throws ERR_INPUT with the faults of each field. */
export function readNewToken(body: JsonObject): NewToken {
  const faults = new Faults()
  const type = readType(body.type, faults)
  const data = body.data
  if (data === undefined || data === null) faults.add('data', 'The data field is required')
  else faults.addAll(typeOf(type).faults(data))
  const { container, privacy } = readPrivacy(body, type, faults)
  const metadata = readMetadata(body.metadata, faults)
  const searchIndexes = readSearchIndexes(body.search_indexes, 10, faults)
  const destinations = readDestinations(body.destinations, faults)
  const id = body.id === undefined || body.id === null ? undefined : body.id
  if (id !== undefined) checkId(id, faults)
  const deduplicate = readFlag(body.deduplicate_token, 'deduplicate_token', faults)
  const expression = readExpression(body.fingerprint_expression, faults)
  const mask = body.mask === null ? undefined : body.mask
  if (mask !== undefined && privacy?.restriction_policy === 'redact')
    faults.add('mask', 'A mask goes with the restriction policy mask only')
  const expiresAt = readExpiry(body.expires_at, faults)
  faults.settle()
  return {
    ...(typeof id === 'string' ? { id } : {}),
    type,
    container,
    data: formatJson(data ?? null),
    ...(mask === undefined ? {} : { mask }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(privacy === undefined ? {} : { privacy }),
    ...(searchIndexes === undefined ? {} : { searchIndexes }),
    ...(expression === undefined ? {} : { fingerprintExpression: expression }),
    ...(destinations === undefined ? {} : { destinations }),
    ...(deduplicate ? { deduplicate } : {}),
    expiresAt
  }
}

/** What a merge patch (RFC 7396) makes of a token. Throws ERR_INPUT with the faults of each field. */
export function readRevision(body: JsonObject): Revision {
  return ({ header, data: before }) => {
    const faults = new Faults()
    const { type, rest } = header
    const patched = (name: string, was: Json): Json => (body[name] === undefined ? was : mergePatch(was, body[name]))
    const data = patched('data', before)
    if (data === null) faults.add('data', 'The data field is required')
    else faults.addAll(typeOf(type).faults(data))
    const isNew = body.data !== undefined && (asObject(body.data) === null || asObject(before) === null)
    const { container, privacy } = revisedPrivacy(body, header, faults)
    const metadata = readMetadata(patched('metadata', rest.metadata ?? null), faults)
    const searchIndexes =
      body.search_indexes === undefined ? rest.searchIndexes : readSearchIndexes(body.search_indexes, 5, faults)
    const destinations =
      body.destinations === undefined ? rest.destinations : readDestinations(body.destinations, faults)
    const expression =
      body.fingerprint_expression === undefined
        ? rest.fingerprintExpression
        : readExpression(body.fingerprint_expression, faults)
    const expiresAt = body.expires_at === undefined ? header.expiresAt : readExpiry(body.expires_at, faults)
    faults.settle()
    const draft = {
      type,
      container,
      data: formatJson(data),
      mask: patched('mask', rest.mask ?? null),
      ...(metadata === undefined ? {} : { metadata }),
      ...(privacy === undefined ? {} : { privacy }),
      searchIndexes: searchIndexes ?? [],
      ...(expression === undefined ? {} : { fingerprintExpression: expression }),
      ...(destinations === undefined ? {} : { destinations }),
      expiresAt
    }
    return { draft, keepsData: !isNew, isReading: !isNew && READING.some((name) => body[name] !== undefined) }
  }
}

/** The classification of a token never changes, and its impact level only rises above the least of its type. */
function revisedPrivacy(
  body: JsonObject,
  { type, container: was, rest }: TokenHeader,
  faults: Faults
): { container: string; privacy: Readonly<Record<string, string>> | undefined } {
  const given = readPrivacyFields(body.privacy, faults)
  const named = readContainer(body, faults)
  const level = given?.impact_level
  if (given?.classification !== undefined) faults.add('privacy.classification', 'The classification cannot be changed')
  if (named !== undefined && level !== undefined)
    faults.add('privacy', 'The impact level does not go together with containers')
  if (level !== undefined && IMPACTS.indexOf(level) < IMPACTS.indexOf(typeOf(type).leastImpact)) {
    faults.add('privacy.impact_level', 'The impact level is below the least of the type')
  }
  const [, classification = 'general', impact = 'high'] = was.split('/')
  const container = named ?? (level === undefined ? was : `/${classification}/${level}/`)
  if (given === undefined) return { container, privacy: rest.privacy }
  const before = rest.privacy ?? {
    classification,
    impact_level: impact,
    restriction_policy: typeOf(type).restrictionPolicy
  }
  return { container, privacy: { ...before, ...given } }
}

function mergePatch(target: Json, patch: Json): Json {
  const changes = asObject(patch)
  if (changes === null) return patch
  const merged = new Map(Object.entries(asObject(target) ?? {}))
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined) merged.delete(name)
    else merged.set(name, mergePatch(merged.get(name) ?? null, value))
  }
  return Object.fromEntries(merged) as Json
}

function readExpression(value: Json | undefined, faults: Faults): string | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'string' && value !== '' && value.length <= 400) return value
  faults.add('fingerprint_expression', 'The fingerprint expression must be a string of at most 400 characters')
  return undefined
}

function readFlag(value: Json | undefined, field: string, faults: Faults): boolean {
  if (value === undefined || value === null || value === false) return false
  if (value !== true) faults.add(field, 'The value must be true or false')
  return value === true
}

function readType(type: Json | undefined, faults: Faults): string {
  if (type === undefined || type === null) return 'token'
  if (typeof type === 'string' && /^[A-Za-z_]{1,50}$/.test(type)) return type
  faults.add('type', 'The type must be 1 to 50 letters and underscores')
  return 'token'
}

/** A literal id; one with an expression in it is judged when it is evaluated. */
function checkId(id: Json, faults: Faults): void {
  if (typeof id === 'string' && id.includes('{{')) return
  const fault = typeof id !== 'string' ? 'The id must be a string' : idFault(id)
  if (fault !== null) faults.add('id', fault)
}

function readPrivacy(
  body: JsonObject,
  type: string,
  faults: Faults
): { container: string; privacy: Record<string, string> | undefined } {
  const { classification, impactLevel, leastImpact, restrictionPolicy } = typeOf(type)
  const given = readPrivacyFields(body.privacy, faults)
  const named = readContainer(body, faults)
  const level = (given?.impact_level ?? impactLevel) as ImpactLevel
  const asked = (given?.classification ?? classification) as Classification
  if (named !== undefined && (given?.classification !== undefined || given?.impact_level !== undefined)) {
    faults.add('privacy', 'Classification and impact level do not go together with containers')
  }
  if (asked !== classification && classification !== 'general')
    faults.add('privacy.classification', 'The classification can only be raised')
  if (IMPACTS.indexOf(level) < IMPACTS.indexOf(leastImpact))
    faults.add('privacy.impact_level', 'The impact level is below the least of the type')
  if (given === undefined) return { container: named ?? `/${classification}/${impactLevel}/`, privacy: undefined }
  const policy = given.restriction_policy ?? restrictionPolicy
  if (policy === 'mask' && type === 'token' && (body.mask === undefined || body.mask === null)) {
    faults.add('mask', 'The restriction policy mask needs a mask')
  }
  const privacy = { classification: asked, impact_level: level, restriction_policy: policy }
  return { container: named ?? `/${asked}/${level}/`, privacy }
}

function readPrivacyFields(value: Json | undefined, faults: Faults): Record<string, string> | undefined {
  if (value === undefined || value === null) return undefined
  const given = asObject(value)
  const fields: Record<string, string> = {}
  for (const [name, text] of Object.entries(given ?? { '': '' })) {
    if (text === null || text === undefined) continue
    const allowed = Object.hasOwn(PRIVACY, name) ? PRIVACY[name as keyof typeof PRIVACY] : []
    if (typeof text === 'string' && (allowed as readonly string[]).includes(text)) fields[name] = text
    else faults.add(given === null ? 'privacy' : `privacy.${name}`, 'The privacy setting is not valid')
  }
  return fields
}

function readContainer(body: JsonObject, faults: Faults): string | undefined {
  let value = body.containers ?? body.container
  if (value === undefined || value === null) return undefined
  if (Array.isArray(value)) {
    if (value.length === 0) return undefined
    if (value.length > 1) faults.add('containers', 'A token lies in one container')
    value = value[0]
  }
  const container = typeof value === 'string' ? value.toLowerCase() : ''
  if (CONTAINER.test(container) && container.length <= 400) return container
  faults.add('containers', 'A container is a path of names that begins and ends with a slash')
  return undefined
}

function readMetadata(value: Json | undefined, faults: Faults): Record<string, string> | undefined {
  if (value === undefined || value === null) return undefined
  const given = asObject(value)
  if (given === null) {
    faults.add('metadata', 'The metadata must be an object of strings')
    return undefined
  }
  const metadata: Record<string, string> = {}
  for (const [name, text] of Object.entries(given)) {
    if (typeof text !== 'string') faults.add(`metadata.${name}`, 'A metadata value must be a string')
    else Object.defineProperty(metadata, name, { value: text, enumerable: true, configurable: true, writable: true })
  }
  return metadata
}

function readSearchIndexes(value: Json | undefined, most: number, faults: Faults): string[] | undefined {
  if (value === undefined || value === null) return undefined
  if (!Array.isArray(value) || value.length > most || value.some((text) => typeof text !== 'string')) {
    faults.add('search_indexes', `The search indexes must be at most ${most} strings`)
    return undefined
  }
  return value as string[]
}

function readDestinations(value: Json | undefined, faults: Faults): DestinationRule[] | undefined {
  if (value === undefined || value === null) return undefined
  const rules = value as unknown as DestinationRule[]
  try {
    if (!Array.isArray(value) || value.length > 50) throw malformed('The destinations must be a list of at most 50')
    for (const rule of value) {
      if (typeof rule !== 'string' && typeof asObject(rule)?.host !== 'string')
        throw malformed('A destination needs a host')
    }
    new DestinationList(rules)
    return rules
  } catch (thrown) {
    if (!(thrown instanceof SluiceError)) throw thrown
    faults.addAll(thrown.fields ?? { destinations: [thrown.message] })
    return undefined
  }
}

/** Milliseconds. ISO 8601, or `8/26/2030 7:23:57 PM -07:00`, or `9/27/2030`; without an offset in UTC. */
function readExpiry(value: Json | undefined, faults: Faults): number | null {
  if (value === undefined || value === null) return null
  const at = typeof value === 'string' ? parseTime(value) : Number.NaN
  if (Number.isNaN(at)) faults.add('expires_at', 'The time must be ISO 8601')
  else if (at <= Date.now()) faults.add('expires_at', 'The time must be in the future')
  else if (at > LATEST) faults.add('expires_at', 'The time is too far away')
  return Number.isNaN(at) ? null : at
}

export function parseTime(text: string): number {
  const iso = ISO.exec(text)
  if (iso !== null) {
    const [, day = '', time = 'T00:00:00', offset = 'Z'] = iso
    return Date.parse(`${day}${time.replace(' ', 'T')}${offset.toUpperCase()}`)
  }
  const american = AMERICAN.exec(text)
  if (american === null) return Number.NaN
  const [, month = '', day = '', year = '', hour = '0', minute = '00', second = '00', half, offset = 'Z'] = american
  if (half !== undefined && (Number(hour) < 1 || Number(hour) > 12)) return Number.NaN
  const hours = half === undefined ? Number(hour) : (Number(hour) % 12) + (half.toUpperCase() === 'PM' ? 12 : 0)
  const pad = (part: string | number) => String(part).padStart(2, '0')
  return Date.parse(`${year}-${pad(month)}-${pad(day)}T${pad(hours)}:${minute}:${second}${offset}`)
}

const malformed = (why: string) => new SluiceError('ERR_INPUT', why, { fields: { '': [why] } })
/** What of a token, when it changes, could show its data. */
const READING = [
  'mask',
  'fingerprint_expression',
  'search_indexes',
  'privacy',
  'containers',
  'container',
  'destinations'
]
const DEPTH = 500
const QUOTE = 0x22
const BRACKET = 0x5b
const BACKSLASH = 0x5c
const BRACE = 0x7b
const IMPACTS = ['low', 'moderate', 'high']
const PRIVACY = {
  classification: ['general', 'bank', 'pci', 'pii'],
  impact_level: IMPACTS,
  restriction_policy: ['mask', 'redact']
} as const
const ISO = /^(\d{4}-\d{2}-\d{2})(?:([T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,7})?)?)(Z|[+-]\d{2}:\d{2})?)?$/i
const AMERICAN =
  /^(\d{1,2})\/(\d{1,2})\/(\d{4})(?: (\d{1,2}):(\d{2})(?::(\d{2}))?(?: (AM|PM))?(?: ([+-]\d{2}:\d{2}))?)?$/i
const LATEST = Date.UTC(3000, 0)
