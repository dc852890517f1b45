import type { TlsIdentity } from './identity.ts'

/** Whom a connection leads to: every fact that must be equal for one connection to serve two requests. */
export interface Peer {
  /** Connections of one tenant never serve another. */
  readonly tenant: string
  /** DNS name in the form of `plan/destination`; verified against the certificate, sent as SNI. */
  readonly host: string
  readonly port: number
  /** Client certificate and pins; null for none of both. */
  readonly identity: TlsIdentity | null
}

/** A peer as a string: the key of its pool and of its TLS session. Reveals no key material. */
export type PeerKey = string

/**
 * The key of a peer. Facts that all peers of one `Egress` share need no part in it: address policy, extra CAs, ALPN,
 * TLS versions, local address; a reload makes a new `Egress`.
 */
export function peerKey(peer: Peer): PeerKey {
  // A new member of Peer that is missing here fails to compile; all that is here gets into the key.
  const parts: { readonly [part in keyof Peer]-?: string } = {
    tenant: peer.tenant,
    host: peer.host,
    port: String(peer.port),
    identity: peer.identity === null ? '' : peer.identity.digest
  }
  let key = ''
  for (const part in parts) key += `${parts[part as keyof Peer]}\n`
  return key
}
