import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import * as tls from 'node:tls'
import { certificates } from './certificates.ts'

/** A connection to a scripted destination. */
export interface RawConnection {
  readonly socket: tls.TLSSocket
  /** Which one it is, from 1. */
  readonly number: number
  /** Everything received so far, latin1. */
  received: string
}

/** A TLS server that does what the test says, byte by byte. */
export interface RawDestination {
  readonly port: number
  readonly server: tls.Server
  /** All connections so far. */
  readonly connections: RawConnection[]
  close(): Promise<void>
}

/**
 * Listens on 127.0.0.1 with the run's certificate for `localhost`.
 *
 * @param onData Called for each piece that comes; `received` holds it already.
 */
export async function newRawDestination(
  onData: (connection: RawConnection, piece: string) => void,
  options: tls.TlsOptions = {},
  onConnection: (connection: RawConnection) => void = () => {}
): Promise<RawDestination> {
  const { server: pair } = await certificates()
  const connections: RawConnection[] = []
  const server = tls.createServer(
    { cert: pair.cert, key: pair.key, ALPNProtocols: ['http/1.1'], ...options },
    (socket) => {
      const connection: RawConnection = { socket, number: connections.length + 1, received: '' }
      connections.push(connection)
      socket.on('error', () => {})
      socket.on('data', (bytes) => {
        const piece = bytes.toString('latin1')
        connection.received += piece
        onData(connection, piece)
      })
      onConnection(connection)
    }
  )
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    server,
    connections,
    async close() {
      for (const { socket } of connections) socket.destroy()
      server.close()
      await once(server, 'close')
    }
  }
}
