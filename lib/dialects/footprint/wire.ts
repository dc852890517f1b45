/** The envelope of the Footprint dialect, and how its bodies are read. */
import { type Forwarded, SluiceError } from '../../errors.ts'
import { type Json, LosslessNumber, parseJson } from '../../json.ts'

export type JsonObject = Readonly<Record<string, Json | undefined>>

/**
 * The JSON text of an error: `{message, code, context}`. The context holds the fault of each field, the offset of the
 * expression, and for a proxied call whether the destination received it.
 */
export function errorBody(error: SluiceError, forwarded?: Forwarded): string {
  const context: Record<string, string | number | boolean> = {}
  for (const [field, whys] of Object.entries(error.fields ?? {})) context[field] = whys.join('; ')
  if (error.offset !== undefined) context['offset'] = error.offset
  if (forwarded !== undefined) {
    context['forwarded'] = forwarded
    context['upstream_called'] = forwarded === 'yes'
  }
  return JSON.stringify({ message: error.message, code: error.code, context })
}

/** The object in a body; an empty one when there is no body. Throws ERR_INPUT. */
export function readObject(body: string | null): JsonObject {
  if (body === null || body.trim() === '') return {}
  let value: Json
  try {
    value = parseJson(body)
  } catch {
    throw new SluiceError('ERR_INPUT', 'The body is not valid JSON')
  }
  const object = asObject(value)
  if (object === null) throw new SluiceError('ERR_INPUT', 'The body must be a JSON object')
  return object
}

function asObject(value: Json | undefined): JsonObject | null {
  if (value === undefined || value === null || typeof value !== 'object') return null
  return Array.isArray(value) || value instanceof LosslessNumber ? null : value
}

/** Throws ERR_INPUT unless the value is a list of texts. */
export function readTexts(value: Json | undefined, field: string): string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  throw invalid(field, 'must be a list of texts')
}

export function invalid(field: string, why: string): SluiceError {
  return new SluiceError('ERR_INPUT', `${field} ${why}`, { fields: { [field]: [why] } })
}
