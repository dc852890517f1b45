import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { SluiceError } from '../errors.ts'

/** What a caller or a stored configuration brings for TLS. All PEM. */
export interface TlsMaterial {
  /** The client certificate, its chain behind it; null for none. */
  readonly certificate: string | null
  /** Its private key, not encrypted; null exactly when there is no certificate. */
  readonly key: string | null
  /** Roots, intermediates or leaves, one certificate or more each, that replace the trust roots; empty for none. */
  readonly pins: readonly string[]
}

/**
 * Checked TLS material. Made once, kept by the caller, compared by `digest`; the key never shows in a print.
 */
export class TlsIdentity {
  /** SHA-256 of all of the material: equal exactly when the material is. */
  readonly digest: string
  readonly #material: TlsMaterial
  readonly #pinned: readonly X509Certificate[]
  readonly #validUntilMs: number

  /** Throws ERR_INPUT that names the part at fault: `clientCertificate`, `clientKey` or `pins`. */
  constructor(material: TlsMaterial, nowMs: number) {
    this.digest = digestOf(material)
    this.#material = material
    const chain = material.certificate === null ? [] : parseChain(material.certificate, CERTIFICATE, nowMs)
    checkKey(chain[0], material.key)
    this.#pinned = material.pins.flatMap((pem) => parseChain(pem, PINS, nowMs))
    this.#validUntilMs = Math.min(...[...chain, ...this.#pinned].map((certificate) => Date.parse(certificate.validTo)))
  }

  /** For `tls.createSecureContext` alone. */
  exposeMaterial(): TlsMaterial {
    return this.#material
  }

  /** The pinned certificates; empty when the trust roots hold. */
  get pinned(): readonly X509Certificate[] {
    return this.#pinned
  }

  /** False once any certificate of it has expired. */
  isValidAt(nowMs: number): boolean {
    return nowMs <= this.#validUntilMs
  }
}

/** Every certificate of a PEM text; empty when there is none. Throws when one does not parse. */
export function certificatesIn(pem: string): X509Certificate[] {
  return (pem.match(CERTIFICATE_BLOCK) ?? []).map((block) => new X509Certificate(block))
}

/** SHA-256 over the parts, each with its length before it. */
export function digestOf(material: TlsMaterial): string {
  const hash = createHash('sha256')
  for (const part of [material.certificate ?? '', material.key ?? '', ...material.pins]) {
    hash.update(`${part.length}:`).update(part)
  }
  return hash.digest('hex')
}

function parseChain(pem: string, what: Part, nowMs: number): X509Certificate[] {
  let chain: X509Certificate[]
  try {
    chain = certificatesIn(pem)
  } catch (cause) {
    throw refuse(what, 'does not parse', cause)
  }
  if (chain.length === 0) throw refuse(what, 'holds no PEM certificate')
  for (const { validFrom, validTo } of chain) {
    if (nowMs > Date.parse(validTo)) throw refuse(what, 'has expired')
    if (nowMs < Date.parse(validFrom)) throw refuse(what, 'is not valid yet')
  }
  return chain
}

function checkKey(certificate: X509Certificate | undefined, pem: string | null): void {
  if (certificate === undefined && pem === null) return
  if (certificate === undefined) throw refuse(CERTIFICATE, 'is missing')
  if (pem === null) throw refuse(KEY, 'is missing')
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    // No cause: OpenSSL's text may quote what it read.
    throw refuse(KEY, 'does not parse')
  }
  if (!certificate.checkPrivateKey(key)) throw refuse(KEY, 'does not belong to the client certificate')
}

interface Part {
  readonly name: string
  readonly title: string
}

function refuse(part: Part, why: string, cause?: unknown): SluiceError {
  return new SluiceError('ERR_INPUT', `${part.title} ${why}`, {
    names: [part.name],
    fields: { [part.name]: [`${part.title} ${why}`] },
    cause
  })
}

const CERTIFICATE: Part = { name: 'clientCertificate', title: 'The client certificate' }
const KEY: Part = { name: 'clientKey', title: 'The client key' }
const PINS: Part = { name: 'pins', title: 'A pinned certificate' }
const CERTIFICATE_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g
