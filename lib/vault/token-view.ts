/** A token as it is shown to somebody, and its JSON. */
import { formatJson, type Json, parseJson } from '../json.ts'
import { evaluateStructure } from '../expr/template.ts'
import { Secret } from '../secret.ts'
import type { Caller } from './access.ts'
import type { Transform } from './permissions.ts'
import type { TokenHeader } from './token.ts'

export interface TokenView extends TokenHeader {
  readonly tenant: string
  readonly id: string
  /** As the reader may see it: plain, masked, or null when redacted. */
  readonly shown: Secret | null
  /** False: the reader may not know the fingerprint of this token, nor whether it was deduplicated. */
  readonly mayKnow: boolean
  /** True: the reader may see that there is a token, and nothing about it. */
  readonly isBare?: boolean
  /** Set in the answer to a create that asked for it. */
  readonly deduplicated?: boolean
}

/**
 * The JSON text of a token object. It holds the plaintext of `shown`: treat it as one. `data` stands as it was
 * stored, digit for digit.
 */
export function tokenText(view: TokenView): string {
  const { rest } = view
  if (view.isBare === true) return bareText(view)
  const members: Record<string, Json | undefined> = {
    metadata: rest.metadata,
    mask: rest.mask,
    privacy: rest.privacy,
    search_indexes: rest.searchIndexes as Json | undefined,
    fingerprint: view.mayKnow ? rest.fingerprint : undefined,
    fingerprint_expression: rest.fingerprintExpression,
    container: view.container,
    containers: [view.container],
    created_by: rest.createdBy,
    created_at: isoTime(view.createdAt),
    modified_by: rest.modifiedBy,
    modified_at: rest.modifiedAt === undefined ? undefined : isoTime(rest.modifiedAt),
    expires_at: view.expiresAt === null ? undefined : isoTime(view.expiresAt),
    _extras: view.deduplicated === undefined || !view.mayKnow ? undefined : { deduplicated: view.deduplicated }
  }
  let text = `{"id":${JSON.stringify(view.id)},"tenant_id":"${view.tenant}","type":"${view.type}","data":`
  text += view.shown === null ? 'null' : view.shown.exposeText()
  for (const name in members) {
    const value = members[name]
    if (value !== undefined) text += `,"${name}":${formatJson(value)}`
  }
  return `${text}}`
}

function bareText({ id, tenant, type, container }: TokenView): string {
  return formatJson({ id, tenant_id: tenant, type, data: null, container, containers: [container] })
}

/**
 * What of a token the caller may see: by `token:read`; without that the mask at most, and never the plain data.
 *
 * @param text The data without a cvc, of which masks are made, and the whole of it.
 */
export function viewOf(
  caller: Caller,
  id: string,
  header: TokenHeader,
  permission: string,
  text: { readonly data: string; readonly whole: string }
): TokenView {
  const read = caller.allows('token:read', header.container)
  const transform = read ?? (caller.allows(permission, header.container) === 'redact' ? 'redact' : 'mask')
  const shown = transform === 'reveal' ? new Secret(text.whole) : masked(header, transform, text.data)
  // Spelled out: this costs a tenth of spreading the header.
  const { type, container, createdAt, expiresAt, rest } = header
  const { tenant } = caller
  return { type, container, createdAt, expiresAt, rest, tenant, id, shown, mayKnow: read !== null }
}

/** A token that `caller` was shown, as it is shown to whoever may see its mask at most. */
export function maskedView(caller: Caller, view: TokenView): TokenView {
  if (view.shown === null || caller.allows('token:read', view.container) !== 'reveal') return view
  const data = view.shown.expose()
  // Masks are made without it.
  const whole = typeof data === 'object' && data !== null && 'cvc' in data ? { ...data, cvc: null } : data
  return { ...view, shown: masked(view, 'mask', formatJson(whole)) }
}

function masked({ rest }: TokenHeader, transform: Transform, data: string): Secret | null {
  if (transform === 'redact' || rest.mask === undefined || rest.privacy?.restriction_policy === 'redact') return null
  try {
    return new Secret(formatJson(evaluateStructure(rest.mask, { data: parseJson(data) })))
  } catch {
    return null
  }
}

/** ISO 8601 in UTC, without fractions where there are none. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z')
}
