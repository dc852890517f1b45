/** Stored proxies: what a body says, what is stored, what is shown. `spec/basis-theory.md` B. */
import { asSluiceError } from '../../errors.ts'
import type { Json } from '../../json.ts'
import { parseDestinationUrl } from '../../plan/destination.ts'
import {
  asBody,
  patched,
  readConfiguration,
  readName,
  showConfiguration,
  type Stamped,
  showStamp,
  type Stored
} from './stored-documents.ts'
import { asObject, type Faults, type JsonObject } from './token-input.ts'
import { readTransforms, type Side, showTransforms, type Transform } from './transforms/documents.ts'

export interface StoredProxy extends Stamped {
  readonly kind: 'proxy'
  /** By which requests name it. */
  readonly key: string
  readonly destination_url: string
  readonly request_transforms: readonly Transform[]
  readonly response_transforms: readonly Transform[]
  readonly application: string | null
  /** Write-only. */
  readonly configuration: Readonly<Record<string, string>>
  readonly require_auth: boolean
  readonly disable_detokenization: boolean
  /** Write-only; PEM. */
  readonly client_certificate: { readonly certificate: string; readonly key: string } | null
  /** Seconds for the destination to begin its answer; null: `egress.timeoutMs`. */
  readonly timeout: number | null
  /** `idempotency-key`: a request with an Idempotency-Key may be repeated whatever its method. */
  readonly retry: 'idempotency-key' | null
}

/** What a body alone decides. */
export type ProxyParts = Omit<StoredProxy, 'kind' | 'key' | 'application' | keyof Omit<Stamped, 'name'>>

/** TLS material as `egress/identity` takes it. */
interface TlsMaterial {
  readonly certificate: string | null
  readonly key: string | null
  readonly pins: readonly string[]
}

/** What is needed to check a proxy before it is kept, and to make it ready. */
export interface ProxyChecks<Identity = unknown> {
  /** Ports that a destination may have, and origins that may have any. */
  readonly ports: readonly number[]
  readonly exemptOrigins: readonly string[]
  /** Throws ERR_INPUT that names the part at fault. */
  identity(material: TlsMaterial): Identity
}

/** @param was the document that is replaced; null for a new one */
export function readProxy(body: JsonObject, was: StoredProxy | null, checks: ProxyChecks, faults: Faults): ProxyParts {
  for (const gone of ['request_reactor_id', 'response_reactor_id']) {
    if (body[gone] !== undefined && body[gone] !== null) faults.add(gone, 'Reactors are no longer attached by their id')
  }
  return {
    name: readName(body, faults),
    destination_url: readDestinationUrl(body.destination_url, checks, faults),
    request_transforms: readTransforms(body, 'request', faults),
    response_transforms: readTransforms(body, 'response', faults),
    configuration: readConfiguration(body.configuration, was?.configuration ?? {}, faults),
    require_auth: readFlag(body, 'require_auth', true, faults),
    disable_detokenization: readFlag(body, 'disable_detokenization', false, faults),
    client_certificate: readCertificate(body.client_certificate, was?.client_certificate ?? null, checks, faults),
    timeout: readTimeout(body.timeout, faults),
    retry: readRetry(body.retry, faults)
  }
}

/** A document as a merge patch (RFC 7396) makes it, as a body. Transforms of one side are replaced as a whole. */
export function patchedBody({ document }: Stored<StoredProxy>, patch: JsonObject): JsonObject {
  const { name, destination_url, configuration, application, require_auth, disable_detokenization } = document
  const { client_certificate, timeout, retry } = document
  const kept = (side: Side): object => {
    const isReplaced = patch[`${side}_transform`] !== undefined || patch[`${side}_transforms`] !== undefined
    return isReplaced ? {} : showTransforms(document[`${side}_transforms`], side)
  }
  const before = {
    name,
    destination_url,
    ...kept('request'),
    ...kept('response'),
    configuration,
    ...(application === null ? {} : { application: { id: application } }),
    require_auth,
    disable_detokenization,
    client_certificate,
    timeout,
    retry
  }
  return patched(asBody(before), patch)
}

export function showProxy({ id, document }: Stored<StoredProxy>, tenant: string): object {
  const { name, key, destination_url, configuration, application, require_auth, disable_detokenization } = document
  const { client_certificate, timeout, retry } = document
  return {
    id,
    tenant_id: tenant,
    name,
    key,
    destination_url,
    ...showTransforms(document.request_transforms, 'request'),
    ...showTransforms(document.response_transforms, 'response'),
    configuration: showConfiguration(configuration),
    ...(application === null ? {} : { application_id: application, application: { id: application } }),
    require_auth,
    disable_detokenization,
    ...(client_certificate === null ? {} : { client_certificate: HIDDEN }),
    ...(timeout === null ? {} : { timeout }),
    ...(retry === null ? {} : { retry }),
    ...showStamp(document)
  }
}

/**
 * Says of secrets that stay while the destination moves to another origin: whoever may change a proxy, but was never told
 * its secrets, would have them sent to himself.
 *
 * @param given the body or patch as it came
 */
export function checkMoved(
  given: JsonObject,
  was: StoredProxy,
  is: ProxyParts,
  { ports, exemptOrigins }: ProxyChecks,
  faults: Faults
): void {
  const [before, after] = [was, is].map(({ destination_url: url }) => originOf(url, ports, exemptOrigins))
  if (after === null || before === after) return
  const named = asObject(given.configuration) ?? {}
  for (const name of Object.keys(is.configuration)) {
    const isGiven = Object.hasOwn(named, name) && named[name] !== undefined && named[name] !== null
    if (!isGiven) faults.add(`configuration.${name}`, MOVED)
  }
  if (is.client_certificate !== null && !givesKey(given.client_certificate)) faults.add('client_certificate', MOVED)
}

function givesKey(value: Json | undefined): boolean {
  if (typeof value === 'string') return value !== HIDDEN
  return typeof asObject(value)?.key === 'string'
}

/** null for a URL that is not acceptable under the settings of today. */
function originOf(url: string, ports: readonly number[], exempt: readonly string[]): string | null {
  try {
    const { host, port } = parseDestinationUrl(url, ports, exempt)
    return `${host}:${port}`
  } catch {
    return null
  }
}

function readDestinationUrl(value: Json | undefined, { ports, exemptOrigins }: ProxyChecks, faults: Faults): string {
  const url = typeof value === 'string' ? value : ''
  if (url === '' || url.length > URL_LENGTH) {
    faults.add('destination_url', `A URL of 1 to ${URL_LENGTH} characters was expected`)
    return url
  }
  try {
    parseDestinationUrl(url, ports, exemptOrigins)
  } catch (thrown) {
    faults.add('destination_url', asSluiceError(thrown).message)
  }
  return url
}

function readFlag(body: JsonObject, name: string, otherwise: boolean, faults: Faults): boolean {
  const value = body[name]
  if (typeof value === 'boolean') return value
  if (value !== undefined && value !== null) faults.add(name, 'true or false was expected')
  return otherwise
}

/** One text with certificate, chain and key, or an object of both. What is shown in its stead, given back, keeps it. */
function readCertificate(
  value: Json | undefined,
  was: StoredProxy['client_certificate'],
  checks: ProxyChecks,
  faults: Faults
): StoredProxy['client_certificate'] {
  if (value === undefined || value === null) return null
  if (value === HIDDEN && was !== null) return was
  const { certificate, key } = asObject(value) ?? split(value)
  if (typeof certificate !== 'string' || typeof key !== 'string' || certificate.length + key.length > PEM_LENGTH) {
    faults.add('client_certificate', `PEM of a certificate and its key was expected, ${PEM_LENGTH} characters at most`)
    return null
  }
  try {
    checks.identity({ certificate, key, pins: [] })
  } catch (thrown) {
    faults.add('client_certificate', asSluiceError(thrown).message)
  }
  return { certificate, key }
}

/** The key of a PEM text, and the rest. */
function split(value: Json): JsonObject {
  const text = typeof value === 'string' ? value : ''
  const key = PRIVATE_KEY.exec(text)?.[0]
  return key === undefined ? {} : { certificate: text.replace(key, ''), key }
}

function readTimeout(value: Json | undefined, faults: Faults): number | null {
  if (value === undefined || value === null) return null
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= LONGEST) return value
  faults.add('timeout', `A whole number of seconds from 1 to ${LONGEST} was expected`)
  return null
}

function readRetry(value: Json | undefined, faults: Faults): StoredProxy['retry'] {
  if (value === undefined || value === null) return null
  if (value === 'idempotency-key') return value
  faults.add('retry', 'idempotency-key is the only value')
  return null
}

/** Stands for a value that is never shown. */
const HIDDEN = '«redacted»'
const MOVED = 'The value must be given anew with a destination of another origin'
const URL_LENGTH = 400
const PEM_LENGTH = 65_536
const LONGEST = 300
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----[^-]+-----END (?:[A-Z]+ )?PRIVATE KEY-----\s*/
