import type { TLSSocket } from 'node:tls'

/**
 * Tells, for a body that only the end of its connection delimits, whether that end was TLS's own (a close_notify alert) or
 * the network's, which anybody on the way can forge (RFC 9112 section 9.8). Node shows both as `end`.
 *
 * A close_notify comes with the last bytes, and then the end is told in the same turn of the event loop; or in a record of
 * its own, and then the wire has given more bytes than at the last read. Never wrong about a missing one, except that a
 * reset which arrives together with the last bytes looks orderly.
 */
export class CloseNotifyWatch {
  #wireBytes = 0
  #readThisTurn = false

  /** After each read of such a body. */
  noteRead(socket: TLSSocket): void {
    this.#wireBytes = wireBytesOf(socket)
    if (this.#readThisTurn) return
    this.#readThisTurn = true
    setImmediate(() => {
      this.#readThisTurn = false
    })
  }

  /** At the end of the connection. */
  sawCloseNotify(socket: TLSSocket): boolean {
    return this.#readThisTurn || wireBytesOf(socket) > this.#wireBytes
  }
}

/** Bytes that have come over the wire, TLS records and all; NOTE: through a handle that Node does not document. */
function wireBytesOf(socket: TLSSocket): number {
  const { _handle: handle } = socket as unknown as { _handle?: { _parent?: { bytesRead?: number } } }
  return handle?._parent?.bytesRead ?? 0
}
