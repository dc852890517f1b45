/** Program: a proxy of fifty lines over undici's `dispatch`, the fastest client that Node's own people offer. */
import type { ServerResponse } from 'node:http'
import { type Dispatcher, Pool } from 'undici'
import { CONNECTIONS, forwardedHeaders, peerSetup, servePeer } from './_peer.ts'

const setup = peerSetup()
const host = `localhost:${setup.upstreamPort}`
const pool = new Pool(setup.upstream, { connections: CONNECTIONS, pipelining: 1, connect: { ca: setup.ca } })

servePeer(setup, (request, response) => {
  const hasBody = request.method !== 'GET' && request.method !== 'HEAD'
  pool.dispatch(
    {
      path: request.url ?? '/',
      method: request.method ?? 'GET',
      headers: forwardedHeaders(request, host),
      body: hasBody ? request : null
    },
    relay(response)
  )
})

function relay(response: ServerResponse): Dispatcher.DispatchHandler {
  return {
    onRequestStart(controller) {
      response.on('close', () => {
        if (!response.writableFinished) controller.abort(new Error('the client left'))
      })
      response.on('drain', () => controller.resume())
    },
    onResponseStart(controller, status) {
      const raw = (controller as { rawHeaders?: readonly (string | Buffer)[] }).rawHeaders ?? []
      const headers: string[] = []
      for (let at = 0; at < raw.length; at += 2) {
        const name = String(raw[at])
        if (!CONNECTION_FIELDS.has(name.toLowerCase())) headers.push(name, String(raw[at + 1]))
      }
      response.writeHead(status, headers)
    },
    onResponseData(controller, chunk) {
      if (!response.write(chunk)) controller.pause()
    },
    onResponseEnd() {
      response.end()
    },
    onResponseError(_controller, error) {
      if (response.headersSent) response.destroy()
      else response.writeHead(502).end(error.message)
    }
  }
}

const CONNECTION_FIELDS = new Set(['connection', 'keep-alive', 'transfer-encoding'])
