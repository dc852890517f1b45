/** Program: opens many keep-alive TLS connections, sends one request on each, and then keeps them open and silent. */
import { readFileSync } from 'node:fs'
import { connect, type TLSSocket } from 'node:tls'
import { serveCommands } from './child.ts'

/** Argument of `open`. */
export interface IdleTarget {
  readonly port: number
  readonly ca: string
  readonly connections: number
  /** The whole request. */
  readonly request: string
}

const sockets: TLSSocket[] = []

serveCommands({
  /** Resolves when every connection has had its answer. */
  open: async (target: IdleTarget) => {
    const ca = readFileSync(target.ca)
    let left = target.connections
    const lane = async () => {
      while (left-- > 0) sockets.push(await openOne(target, ca))
    }
    await Promise.all(Array.from({ length: AT_ONCE }, lane))
  },
  /** How many are still open. */
  alive: () => sockets.filter((socket) => !socket.destroyed && socket.readable).length,
  close: () => {
    for (const socket of sockets.splice(0)) socket.destroy()
  }
})

function openOne(target: IdleTarget, ca: Buffer): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const { port } = target
    const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca, ALPNProtocols: ['http/1.1'] })
    socket.setNoDelay(true)
    socket.once('secureConnect', () => socket.write(target.request))
    socket.once('data', (answer: Buffer) => {
      if (answer.toString('latin1', 0, 13) === 'HTTP/1.1 200 ') resolve(socket)
      else reject(new Error(answer.toString('latin1', 0, 600)))
    })
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('closed without an answer')))
  })
}

const AT_ONCE = 64
