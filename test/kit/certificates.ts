import { type CertificateExtension, generate } from 'selfsigned'

/** A certificate and its private key, PEM. */
export interface KeyPair {
  readonly cert: string
  readonly key: string
}

/** The certificates of one run: one authority, a server's leaf for `localhost`, and a client's leaf. */
export interface Certificates {
  /** The authority's certificate, PEM: what the other side must trust. */
  readonly ca: string
  readonly authority: KeyPair
  /** For `localhost`, `other.localhost`, 127.0.0.1 and ::1. */
  readonly server: KeyPair
  /** For mutual TLS; signed by the same authority. */
  readonly client: KeyPair
}

let made: Promise<Certificates> | null = null

/** The run's certificates, made once in a process (P-256; some 20 ms). */
export function certificates(): Promise<Certificates> {
  made ??= newCertificates()
  return made
}

/** New certificates under an authority of their own. */
export async function newCertificates(): Promise<Certificates> {
  const authority = await newAuthority('Sluice test authority')
  const [server, client] = await Promise.all([
    issue(authority, 'localhost', ['localhost', 'other.localhost']),
    issue(authority, 'client.localhost', ['client.localhost'])
  ])
  return { ca: authority.cert, authority, server, client }
}

/** A self-signed authority. */
export async function newAuthority(name: string): Promise<KeyPair> {
  const made = await generate([{ name: 'commonName', value: name }], {
    ...common(),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true }
    ]
  })
  return { cert: made.cert, key: made.private }
}

/** A leaf for `names` (and the loopback addresses), good for servers and clients; valid from yesterday for `days`. */
export async function issue(
  authority: KeyPair,
  commonName: string,
  names: readonly string[],
  days = 30
): Promise<KeyPair> {
  const extensions: CertificateExtension[] = [
    { name: 'basicConstraints', cA: false },
    { name: 'keyUsage', digitalSignature: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
    {
      name: 'subjectAltName',
      altNames: [
        ...names.map((value) => ({ type: 2 as const, value })),
        { type: 7 as const, ip: '127.0.0.1' },
        { type: 7 as const, ip: '::1' }
      ]
    }
  ]
  const made = await generate([{ name: 'commonName', value: commonName }], {
    ...common(days),
    extensions,
    ca: authority
  })
  return { cert: made.cert, key: made.private }
}

function common(days = 30) {
  const now = Date.now()
  return {
    keyType: 'ec' as const,
    curve: 'P-256' as const,
    algorithm: 'sha256',
    notBeforeDate: new Date(now - DAY_MS),
    notAfterDate: new Date(now + days * DAY_MS)
  }
}

const DAY_MS = 86_400_000
