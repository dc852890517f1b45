import { X509Certificate } from 'node:crypto'
import type { LookupAddress } from 'node:dns'
import { isIPv4 } from 'node:net'
import * as tls from 'node:tls'
import { LRUCache } from 'lru-cache'
import { SluiceError } from '../errors.ts'
import { certificatesIn, type TlsIdentity } from './identity.ts'
import type { Peer, PeerKey } from './peer.ts'

export interface ConnectorOptions {
  /** PEM of authorities beside the default roots. */
  readonly ca: readonly string[]
  /** The address to connect from; null lets the system choose. */
  readonly localAddress: string | null
  readonly connectTimeoutMs: number
  /** Milliseconds since 1970, for the dates of certificates. Default: the system's. */
  readonly wallClock?: () => number
}

/** Who waits for a connection. Exactly one of the two is called, once. */
export interface Opener {
  /** For `onread`. */
  readonly nextBuffer: () => Buffer
  readonly onRead: (size: number, buffer: Uint8Array) => boolean
  /** The handshake is done; name, dates and pins are checked. Errors from now on go to `onError`. */
  opened(socket: tls.TLSSocket, resumed: boolean): void
  openFailed(error: SluiceError): void
  onError(error: NodeJS.ErrnoException): void
}

/** A TLS session, and the certificate that was verified when it began: a resumed handshake shows none. */
interface Session {
  readonly session: Buffer
  readonly certificate: X509Certificate
}

/** Opens TLS connections to checked addresses and verifies who answers, also when a session is resumed. */
export class Connector {
  readonly #options: ConnectorOptions
  /** PEM, one certificate each. */
  readonly #authorities: readonly string[]
  readonly #defaultContext: tls.SecureContext
  // :: digest of an identity → its context
  readonly #contexts = new LRUCache<string, tls.SecureContext>({ max: 256 })
  readonly #sessions = new LRUCache<PeerKey, Session>({ max: 2048 })
  /** Ways to fail the connections that are being opened. */
  readonly #opening = new Set<(error: SluiceError) => void>()

  /** Throws ERR_CONFIG when a CA does not parse. */
  constructor(options: ConnectorOptions) {
    this.#options = options
    this.#authorities = options.ca.flatMap(parseAuthorities)
    this.#defaultContext = newContext({}, this.#authorities)
  }

  /** Throws ERR_INPUT when TLS cannot use the identity, such as a key that is too weak. */
  prepare(identity: TlsIdentity): void {
    this.#context(identity)
  }

  /**
   * Connects to one of `addresses`, which are the only ones that it may reach: in their order, alternating families, the
   * next one when one fails or is slow.
   */
  open(peer: Peer, key: PeerKey, addresses: readonly LookupAddress[], opener: Opener): void {
    const { localAddress, connectTimeoutMs } = this.#options
    const usable =
      localAddress === null ? addresses : addresses.filter(({ address }) => isIPv4(address) === isIPv4(localAddress))
    if (usable.length === 0) {
      opener.openFailed(unreachable('no address of the family of egress.localAddress'))
      return
    }
    let context: tls.SecureContext
    try {
      context = this.#context(peer.identity)
    } catch (thrown) {
      opener.openFailed(thrown as SluiceError)
      return
    }
    const offered = this.#sessions.get(key)
    const socket = tls.connect({
      host: peer.host,
      port: peer.port,
      servername: peer.host,
      lookup: pinnedLookup(usable),
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
      ...(localAddress === null ? {} : { localAddress }),
      ALPNProtocols: ['http/1.1'],
      secureContext: context,
      ...(offered === undefined ? {} : { session: offered.session }),
      rejectUnauthorized: true,
      onread: { buffer: opener.nextBuffer, callback: opener.onRead }
    } as tls.ConnectionOptions)
    this.#watch(socket, peer, key, usable, offered, opener, connectTimeoutMs)
  }

  /** Fails every connection that is being opened. */
  destroy(): void {
    for (const fail of this.#opening) fail(unreachable('closed by Sluice'))
  }

  /** Follows a connection from the first packet to the end of the handshake. */
  #watch(
    socket: tls.TLSSocket,
    peer: Peer,
    key: PeerKey,
    addresses: readonly LookupAddress[],
    offered: Session | undefined,
    opener: Opener,
    timeoutMs: number
  ): void {
    let settled = false
    let connected = false
    let certificate: X509Certificate | undefined
    let early: Buffer | undefined
    const fail = (error: SluiceError): void => {
      if (settled) return
      settled = true
      clearTimeout(late)
      this.#opening.delete(fail)
      // A session that the other side chokes on must not spoil the next attempt.
      if (connected) this.#sessions.delete(key)
      socket.destroy()
      opener.openFailed(error)
    }
    this.#opening.add(fail)
    const late = setTimeout(
      () => fail(unreachable(connected ? 'no TLS handshake in time' : 'no connection in time')),
      timeoutMs
    )
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (settled) opener.onError(error)
      else fail(connected || isTlsFault(error) ? tlsFailed(error.code) : unreachable(error.code ?? 'unknown'))
    })
    socket.on('close', () => fail(connected ? tlsFailed('closed') : unreachable('closed')))
    socket.on('connect', () => {
      connected = true
      // NOTE: tls.connect drops the option `noDelay`; with Nagle's algorithm a second small write waits 40 ms.
      socket.setNoDelay(true)
    })
    socket.on('session', (session: Buffer) => {
      if (certificate === undefined) early = session
      else this.#remember(key, session, certificate)
    })
    socket.on('secureConnect', () => {
      if (settled) return
      try {
        certificate = verified(socket, peer, addresses, offered, (this.#options.wallClock ?? Date.now)())
      } catch (thrown) {
        fail(thrown as SluiceError)
        return
      }
      settled = true
      clearTimeout(late)
      this.#opening.delete(fail)
      socket.disableRenegotiation()
      if (early !== undefined) this.#remember(key, early, certificate)
      opener.opened(socket, socket.isSessionReused())
    })
  }

  /** Keeps a session with its certificate, if it is that certificate which the session holds. */
  #remember(key: PeerKey, session: Buffer, certificate: X509Certificate): void {
    if (session.includes(certificate.raw)) this.#sessions.set(key, { session, certificate })
  }

  #context(identity: TlsIdentity | null): tls.SecureContext {
    if (identity === null) return this.#defaultContext
    const known = this.#contexts.get(identity.digest)
    if (known !== undefined) return known
    const { certificate, key, pins } = identity.exposeMaterial()
    let context: tls.SecureContext
    try {
      const client = certificate === null || key === null ? {} : { cert: certificate, key }
      context =
        pins.length === 0
          ? newContext(client, this.#authorities)
          : // NOTE: with a CA-issued leaf or an intermediate as pin, OpenSSL must be told to stop there.
            tls.createSecureContext({ ...CONTEXT, ...client, ca: [...pins], allowPartialTrustChain: true })
    } catch (thrown) {
      const message = `The TLS material cannot be used (${codeOf(thrown)})`
      throw new SluiceError('ERR_INPUT', message, {
        names: ['clientCertificate'],
        fields: { clientCertificate: [message] }
      })
    }
    this.#contexts.set(identity.digest, context)
    return context
  }
}

/**
 * Checks by ourselves, on every connection, what Node checks on a full handshake only: name, dates, pins. Returns the
 * peer's certificate; throws ERR_DESTINATION_TLS.
 */
function verified(
  socket: tls.TLSSocket,
  peer: Peer,
  addresses: readonly LookupAddress[],
  offered: Session | undefined,
  nowMs: number
): X509Certificate {
  const protocol = socket.getProtocol()
  if (!socket.authorized || (protocol !== 'TLSv1.3' && protocol !== 'TLSv1.2')) throw tlsFailed('not authorized')
  if (socket.alpnProtocol !== false && socket.alpnProtocol !== 'http/1.1') throw tlsFailed('protocol')
  if (!addresses.some(({ address }) => address === socket.remoteAddress)) throw tlsFailed('unexpected address')
  const resumed = socket.isSessionReused()
  const certificate = resumed ? offered?.certificate : shownCertificate(socket, peer.identity)
  if (certificate === undefined) throw tlsFailed('no certificate')
  if (certificate.checkHost(peer.host) === undefined) throw tlsFailed('ERR_TLS_CERT_ALTNAME_INVALID')
  if (nowMs > Date.parse(certificate.validTo)) throw tlsFailed('CERT_HAS_EXPIRED')
  if (nowMs < Date.parse(certificate.validFrom)) throw tlsFailed('CERT_NOT_YET_VALID')
  return certificate
}

/**
 * The certificate of a full handshake. Throws when there are pins and none of them stands in the chain that was verified.
 * Pins are part of the key under which sessions are kept, so a resumed session has passed this too.
 */
function shownCertificate(socket: tls.TLSSocket, identity: TlsIdentity | null): X509Certificate | undefined {
  const pinned = identity === null ? [] : identity.pinned
  // NOTE: not `getPeerX509Certificate`, which takes the certificate off the chain: whoever asks next finds none.
  const leaf = socket.getPeerCertificate(pinned.length > 0) as Partial<tls.DetailedPeerCertificate>
  if (leaf.raw === undefined) return undefined
  if (pinned.length > 0 && !isPinned(leaf, pinned)) throw tlsFailed('not pinned')
  return new X509Certificate(leaf.raw)
}

function isPinned(leaf: Partial<tls.DetailedPeerCertificate>, pinned: readonly X509Certificate[]): boolean {
  let certificate: Partial<tls.DetailedPeerCertificate> | undefined = leaf
  for (let depth = 0; certificate !== undefined && depth < MAX_CHAIN; depth++) {
    const { raw, issuerCertificate }: Partial<tls.DetailedPeerCertificate> = certificate
    if (raw !== undefined && pinned.some((pin) => pin.raw.equals(raw))) return true
    certificate = issuerCertificate === certificate ? undefined : issuerCertificate
  }
  return false
}

/** A context that trusts the default roots and `authorities`. */
function newContext(client: tls.SecureContextOptions, authorities: readonly string[]): tls.SecureContext {
  const context = tls.createSecureContext({ ...CONTEXT, ...client })
  const { addCACert } = context.context as { addCACert?: (pem: string) => void }
  if (addCACert !== undefined) {
    // NOTE: what `ca` does inside Node, and the only way to add to the default roots without parsing all of them anew:
    // 1 ms instead of 60.
    for (const authority of authorities) addCACert.call(context.context, authority)
    return context
  }
  return tls.createSecureContext({ ...CONTEXT, ...client, ca: [...tls.rootCertificates, ...authorities] })
}

function parseAuthorities(pem: string): string[] {
  let authorities: string[]
  try {
    authorities = certificatesIn(pem).map(String)
  } catch (cause) {
    throw new SluiceError('ERR_CONFIG', 'egress.ca holds a certificate that does not parse', { cause })
  }
  if (authorities.length === 0) throw new SluiceError('ERR_CONFIG', 'egress.ca holds a text without a PEM certificate')
  return authorities
}

type LookupDone = (error: null, addresses: string | readonly LookupAddress[], family?: number) => void

/** Answers with the checked addresses, whatever name is asked for. */
function pinnedLookup(addresses: readonly LookupAddress[]) {
  return (_host: string, options: { all?: boolean }, done: LookupDone): void => {
    const first = addresses[0] as LookupAddress
    if (options.all === true) done(null, addresses)
    else done(null, first.address, first.family)
  }
}

function isTlsFault(error: NodeJS.ErrnoException): boolean {
  const code = error.code ?? ''
  return code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_') || code === 'EPROTO'
}

function codeOf(thrown: unknown): string {
  return (thrown as NodeJS.ErrnoException).code ?? 'unknown'
}

function tlsFailed(why: string | undefined): SluiceError {
  const message = `The TLS connection to the destination failed (${why ?? 'unknown'})`
  return new SluiceError('ERR_DESTINATION_TLS', message, { forwarded: 'no' })
}

function unreachable(why: string): SluiceError {
  const message = `The destination cannot be reached (${why})`
  return new SluiceError('ERR_DESTINATION_UNREACHABLE', message, { forwarded: 'no' })
}

/** What all connections have in common. Level 2 refuses RSA below 2048 bits, SHA-1 signatures and other old strength. */
const CONTEXT: tls.SecureContextOptions = { minVersion: 'TLSv1.2', ciphers: `${tls.DEFAULT_CIPHERS}:@SECLEVEL=2` }

/** How long one address may take before the next is tried. */
const NEXT_ADDRESS_MS = 500
const MAX_CHAIN = 10
