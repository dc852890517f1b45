/** Program: fast-proxy with its own keep-alive agent. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import { CONNECTIONS, peerSetup, servePeer } from './_peer.ts'

/** The part of it that is used here. Its settings go to https.Agent as they are, so `ca` works; its own types lack it. */
type FastProxy = (options: object) => {
  proxy(request: IncomingMessage, response: ServerResponse, source: string, options: object): void
}

const require = createRequire(import.meta.url)
const fastProxy = require('fast-proxy') as FastProxy
const setup = peerSetup()
const { proxy } = fastProxy({ base: setup.upstream, maxSockets: CONNECTIONS, ca: setup.ca })
servePeer(setup, (request, response) => proxy(request, response, request.url ?? '/', {}))
