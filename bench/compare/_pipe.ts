/**
 * Program: a bare pipe from TLS to TLS in Node, which understands nothing of what it carries: the least that any proxy
 * in Node can cost. The streaming benchmarks' yardstick.
 */
import { pipeline } from 'node:stream'
import { connect, createServer } from 'node:tls'
import { listenOnLoopback, serveCommands } from '../kit/child.ts'
import { peerSetup } from './_peer.ts'

const { cert, key, ca, upstreamPort } = peerSetup()
const server = createServer({ cert, key, ALPNProtocols: ['http/1.1'] }, (client) => {
  const upstream = connect({
    host: '127.0.0.1',
    port: upstreamPort,
    servername: 'localhost',
    ca,
    ALPNProtocols: ['http/1.1']
  })
  client.setNoDelay(true)
  upstream.setNoDelay(true)
  pipeline(client, upstream, () => {})
  pipeline(upstream, client, () => {})
})
serveCommands({
  listen: () => listenOnLoopback(server)
})
