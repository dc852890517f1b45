import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import { generate, type SubjectAltNameEntry } from 'selfsigned'

/** Files of the localhost certificate and of the authority that signed it, PEM. */
export interface CertificateFiles {
  /** What `curl --cacert` takes. */
  readonly ca: string
  readonly cert: string
  readonly key: string
}

/**
 * Makes a certificate for localhost (with 127.0.0.1 and ::1) and an authority of its own, or keeps those of the folder
 * while they are good for another week. Keys are readable by their owner alone; P-256.
 */
export async function localhostCertificate(folder: string): Promise<CertificateFiles> {
  const files = { ca: join(folder, 'ca.pem'), cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  if (isGood(files)) return files
  const now = Date.now()
  const common = {
    keyType: 'ec' as const,
    curve: 'P-256' as const,
    algorithm: 'sha256',
    notBeforeDate: new Date(now - DAY_MS)
  }
  // The authority signs this one certificate, and its key is forgotten: nothing else can be signed with it.
  const ca = await generate([{ name: 'commonName', value: 'Sluice development authority' }], {
    ...common,
    notAfterDate: new Date(now + 398 * DAY_MS),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, critical: true }
    ]
  })
  const leaf = await generate([{ name: 'commonName', value: 'localhost' }], {
    ...common,
    notAfterDate: new Date(now + 397 * DAY_MS),
    ca: { cert: ca.cert, key: ca.private },
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames: ALT_NAMES }
    ]
  })
  writeFileSync(files.ca, ca.cert)
  writeFileSync(files.cert, leaf.cert)
  writeFileSync(files.key, leaf.private, { mode: 0o600 })
  return files
}

/** A certificate and its key, PEM. */
export interface KeyPair {
  readonly cert: string
  readonly key: string
}

/**
 * Makes a certificate that nobody else signed, or keeps that of the folder while it is good for another week. The key is
 * readable by its owner alone; P-256.
 *
 * @param name of the files: `NAME.crt` and `NAME.key`
 * @param commonName `localhost` makes it good for a server there
 */
export async function selfSignedCertificate(folder: string, name: string, commonName: string): Promise<KeyPair> {
  const [cert, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)]
  if (existsSync(cert) && existsSync(key)) {
    const kept = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
    if (Date.parse(new X509Certificate(kept.cert).validTo) > Date.now() + 7 * DAY_MS) return kept
  }
  const made = await generate([{ name: 'commonName', value: commonName }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() - DAY_MS),
    notAfterDate: new Date(Date.now() + 397 * DAY_MS),
    ...(commonName === 'localhost' ? { extensions: [{ name: 'subjectAltName', altNames: ALT_NAMES }] } : {})
  })
  writeFileSync(cert, made.cert)
  writeFileSync(key, made.private, { mode: 0o600 })
  return { cert: made.cert, key: made.private }
}

function isGood(files: CertificateFiles): boolean {
  if (![files.ca, files.cert, files.key].every((file) => existsSync(file))) return false
  try {
    const cert = new X509Certificate(readFileSync(files.cert))
    const signed = cert.checkIssued(new X509Certificate(readFileSync(files.ca)))
    return signed && Date.parse(cert.validTo) > Date.now() + 7 * DAY_MS
  } catch {
    return false
  }
}

const ALT_NAMES: SubjectAltNameEntry[] = [
  { type: 2, value: 'localhost' },
  { type: 7, ip: '127.0.0.1' },
  { type: 7, ip: '::1' }
]
const DAY_MS = 86_400_000
