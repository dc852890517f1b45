/** Program: http-proxy, as its documentation sets it up, with a keep-alive agent. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Agent } from 'node:https'
import { createRequire } from 'node:module'
import { CONNECTIONS, peerSetup, servePeer } from './_peer.ts'

/** The part of it that is used here; the package ships no types. */
interface HttpProxy {
  createProxyServer(options: object): {
    web(request: IncomingMessage, response: ServerResponse): void
    on(event: 'error', listener: (error: Error) => void): void
  }
}

const require = createRequire(import.meta.url)
const httpProxy = require('http-proxy') as HttpProxy
const setup = peerSetup()
const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS, ca: setup.ca })
const proxy = httpProxy.createProxyServer({ target: setup.upstream, agent, secure: true, changeOrigin: true })
proxy.on('error', (error) => process.stderr.write(`${error.message}\n`))
servePeer(setup, (request, response) => proxy.web(request, response))
