/** A stored configuration of the vault proxy: what one holds, and how a body says it. `spec/footprint.md` A.10. */
import * as z from 'zod'
import { SluiceError } from '../../errors.ts'
import type { JsonObject } from './wire.ts'

export interface StoredConfig {
  readonly id: string
  /** Made with a live key: test keys do not see it, and the other way round. */
  readonly live: boolean
  readonly name: string
  readonly enabled: boolean
  readonly url: string
  readonly method: string
  readonly access_reason: string | null
  readonly headers: readonly Header[]
  /** Their values are never shown. */
  readonly secret_headers: readonly Header[]
  /** Its key is never shown. */
  readonly client_identity: { readonly certificate: string; readonly key: string } | null
  readonly pinned_server_certificates: readonly string[]
  readonly ingress_settings: { readonly content_type: string; readonly rules: readonly StoredRule[] } | null
  readonly created_at: string
  readonly modified_at: string
}

export interface Header {
  readonly name: string
  readonly value: string
}

/** A rule without its user. */
interface StoredRule {
  /** Data identifier. */
  readonly token: string
  /** Path and filters. */
  readonly target: string
}

/** What a caller may set. */
export type ConfigParts = Omit<StoredConfig, 'id' | 'live' | 'created_at' | 'modified_at'>

/** The parts of a new configuration. Throws ERR_INPUT with the fault of each field. */
export function readNewConfig(body: JsonObject): ConfigParts {
  const given = checked(NEW.safeParse(body))
  return { ...given, secret_headers: given.secret_headers.map((header) => withValue(header, [])) }
}

/** A configuration with what the body changes. A secret header without a value keeps the one it has. */
export function readChanges(body: JsonObject, was: StoredConfig): ConfigParts {
  const { id: _id, live: _live, created_at: _created, modified_at: _modified, ...parts } = was
  const { secret_headers: secrets, ...changes } = checked(CHANGES.safeParse(body))
  const kept = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)) as object
  return {
    ...parts,
    ...kept,
    ...(secrets === undefined ? {} : { secret_headers: secrets.map((header) => withValue(header, was.secret_headers)) })
  }
}

/** As it is shown: without secrets. */
export function viewOf(config: StoredConfig): Omit<StoredConfig, 'secret_headers' | 'client_identity'> & {
  readonly secret_headers: readonly { readonly name: string }[]
  readonly client_identity: { readonly certificate: string } | null
} {
  const { client_identity: identity, secret_headers: secrets } = config
  return {
    ...config,
    secret_headers: secrets.map(({ name }) => ({ name })),
    client_identity: identity === null ? null : { certificate: identity.certificate }
  }
}

function withValue(header: { name: string; value?: string | undefined }, before: readonly Header[]): Header {
  const { name, value } = header
  const known = value ?? before.find((other) => other.name.toLowerCase() === name.toLowerCase())?.value
  if (known !== undefined) return { name, value: known }
  const why = `The secret header ${name} needs a value`
  throw new SluiceError('ERR_INPUT', why, { fields: { secret_headers: [why] } })
}

function checked<T>(result: z.ZodSafeParseResult<T>): T {
  if (result.success) return result.data
  const fields: Record<string, string[]> = {}
  for (const { path, message } of result.error.issues) {
    const field = path.join('.') || 'body'
    fields[field] = [...(fields[field] ?? []), message]
  }
  throw new SluiceError('ERR_INPUT', `Not valid: ${Object.keys(fields).join(', ')}`, { fields })
}

const NAME = z.string().regex(/^[A-Za-z0-9_-]{1,100}$/, 'must be the name of a header')
const VALUE = z.string().max(8192)
const FIELDS = {
  name: z.string().min(1).max(200),
  enabled: z.boolean(),
  url: z.string().max(8192),
  method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD']),
  access_reason: z.string().max(500).nullable(),
  headers: z.array(z.strictObject({ name: NAME, value: VALUE })).max(50),
  secret_headers: z.array(z.strictObject({ name: NAME, value: VALUE.optional() })).max(50),
  client_identity: z.strictObject({ certificate: z.string().max(65_536), key: z.string().max(65_536) }).nullable(),
  pinned_server_certificates: z.array(z.string().max(65_536)).max(20),
  ingress_settings: z
    .strictObject({
      content_type: z.string(),
      rules: z.array(z.strictObject({ token: z.string().max(250), target: z.string().max(2000) })).max(64)
    })
    .nullable()
}
const NEW = z.strictObject({
  ...FIELDS,
  enabled: FIELDS.enabled.default(true),
  method: FIELDS.method.default('POST'),
  access_reason: FIELDS.access_reason.default(null),
  headers: FIELDS.headers.default([]),
  secret_headers: FIELDS.secret_headers.default([]),
  client_identity: FIELDS.client_identity.default(null),
  pinned_server_certificates: FIELDS.pinned_server_certificates.default([]),
  ingress_settings: FIELDS.ingress_settings.default(null)
})
const CHANGES = z.strictObject(FIELDS).partial()
