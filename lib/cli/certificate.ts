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
  const day = 86_400_000
  const now = Date.now()
  const common = {
    keyType: 'ec' as const,
    curve: 'P-256' as const,
    algorithm: 'sha256',
    notBeforeDate: new Date(now - day)
  }
  // The authority signs this one certificate, and its key is forgotten: nothing else can be signed with it.
  const ca = await generate([{ name: 'commonName', value: 'Sluice development authority' }], {
    ...common,
    notAfterDate: new Date(now + 398 * day),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, critical: true }
    ]
  })
  const leaf = await generate([{ name: 'commonName', value: 'localhost' }], {
    ...common,
    notAfterDate: new Date(now + 397 * day),
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

function isGood(files: CertificateFiles): boolean {
  if (![files.ca, files.cert, files.key].every((file) => existsSync(file))) return false
  try {
    const cert = new X509Certificate(readFileSync(files.cert))
    const signed = cert.checkIssued(new X509Certificate(readFileSync(files.ca)))
    return signed && Date.parse(cert.validTo) > Date.now() + 7 * 86_400_000
  } catch {
    return false
  }
}

const ALT_NAMES: SubjectAltNameEntry[] = [
  { type: 2, value: 'localhost' },
  { type: 7, ip: '127.0.0.1' },
  { type: 7, ip: '::1' }
]
