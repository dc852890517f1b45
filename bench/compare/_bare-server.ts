/** Program: a bare node:https server that answers every request itself: what a connection costs in Node at least. */
import { servePeer, peerSetup } from './_peer.ts'

servePeer(peerSetup(), (request, response) => {
  request.resume()
  request.on('end', () => response.writeHead(200, { 'content-length': 2 }).end('ok'))
})
