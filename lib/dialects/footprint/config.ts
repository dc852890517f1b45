/** A stored configuration of the vault proxy: what one holds, and how a body says it. `spec/footprint.md` A.10. */
import type { ZodSafeParseResult } from 'zod'
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
export async function readNewConfig(body: JsonObject): Promise<ConfigParts> {
  const { NEW } = await import('./config-schema.ts')
  const given = checked(NEW.safeParse(body))
  return { ...given, secret_headers: given.secret_headers.map((header) => withValue(header, [])) }
}

/** A configuration with what the body changes. A secret header without a value keeps the one it has. */
export async function readChanges(body: JsonObject, was: StoredConfig): Promise<ConfigParts> {
  const { CHANGES } = await import('./config-schema.ts')
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

function checked<T>(result: ZodSafeParseResult<T>): T {
  if (result.success) return result.data
  const fields: Record<string, string[]> = {}
  for (const { path, message } of result.error.issues) {
    const field = path.join('.') || 'body'
    fields[field] = [...(fields[field] ?? []), message]
  }
  throw new SluiceError('ERR_INPUT', `Not valid: ${Object.keys(fields).join(', ')}`, { fields })
}
