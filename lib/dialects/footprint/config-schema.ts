/**
 * What the body of a stored configuration may hold. A module of its own, loaded at the first call: the schema library takes
 * a tenth of a second's start and some MiB, and most servers never need it.
 */
import * as z from 'zod'

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
export const NEW = z.strictObject({
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
export const CHANGES = z.strictObject(FIELDS).partial()
