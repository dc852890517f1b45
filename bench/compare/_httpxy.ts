/** Program: httpxy, the maintained successor of http-proxy, with a keep-alive agent. */
import { Agent } from 'node:https'
import { createProxyServer } from 'httpxy'
import { CONNECTIONS, peerSetup, servePeer } from './_peer.ts'

const setup = peerSetup()
const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS, ca: setup.ca })
const proxy = createProxyServer({ target: setup.upstream, agent, secure: true, changeOrigin: true })
proxy.on('error', (error) => process.stderr.write(`${error.message}\n`))
servePeer(setup, (request, response) => void proxy.web(request, response))
