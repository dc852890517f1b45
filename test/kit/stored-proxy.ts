import type { RawResponse } from './message.ts'
import type { TestProxy } from './proxy.ts'

/** One call of the Basis Theory API. `body` is an object of JSON's, or empty when there is none. */
export async function call(
  proxy: TestProxy,
  method: string,
  path: string,
  json?: object,
  key: string = proxy.key
): Promise<{ status: number; text: string; body: Record<string, unknown> }> {
  const bytes = json === undefined ? '' : JSON.stringify(json)
  const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
  const head = `${method} ${path} HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${key}\r\nContent-Type: ${type}\r\n`
  const answer = await proxy.request(Buffer.from(`${head}Content-Length: ${Buffer.byteLength(bytes)}\r\n\r\n${bytes}`))
  const text = answer.body.toString()
  return { status: answer.status, text, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) }
}

export interface StoredProxyMade {
  readonly id: string
  readonly key: string
}

/** Makes a stored proxy by the API. */
export async function newStoredProxy(
  proxy: TestProxy,
  destinationUrl: string,
  more: object = {}
): Promise<StoredProxyMade> {
  const { status, text, body } = await call(proxy, 'POST', '/proxies', {
    name: 'stored',
    destination_url: destinationUrl,
    ...more
  })
  if (status !== 201) throw new Error(`no proxy: ${status} ${text}`)
  return { id: String(body['id']), key: String(body['key']) }
}

/** Makes an application by the API and gives its id. */
export async function newApplication(proxy: TestProxy, more: object): Promise<string> {
  const { status, text, body } = await call(proxy, 'POST', '/applications', {
    name: 'attached',
    type: 'private',
    permissions: ['token:use'],
    ...more
  })
  if (status !== 201) throw new Error(`no application: ${status} ${text}`)
  return String(body['id'])
}

export interface Invocation {
  readonly method?: string
  /** Path and query, `/proxy` included. */
  readonly path?: string
  /** null: none. */
  readonly apiKey?: string | null
  readonly body?: string | Buffer | null
  readonly headers?: Readonly<Record<string, string>>
}

/** Calls a stored proxy by its key in the header; null: in no header. */
export function invoke(proxy: TestProxy, proxyKey: string | null, given: Invocation = {}): Promise<RawResponse> {
  const { method = 'POST', path = '/proxy', apiKey = proxy.key, body = '{}' } = given
  const bytes = body === null ? Buffer.alloc(0) : Buffer.from(body)
  const headers: Record<string, string> = {
    Host: 'sluice.test',
    ...(apiKey === null ? {} : { 'BT-API-KEY': apiKey }),
    ...(proxyKey === null ? {} : { 'BT-PROXY-KEY': proxyKey }),
    ...(body === null ? {} : { 'Content-Type': 'application/json', 'Content-Length': String(bytes.length) }),
    ...given.headers
  }
  let head = `${method} ${path} HTTP/1.1\r\n`
  for (const [name, value] of Object.entries(headers)) head += `${name}: ${value}\r\n`
  return proxy.request(Buffer.concat([Buffer.from(`${head}\r\n`, 'latin1'), bytes]))
}

/** The members of a proxy error. */
export function proxyError(response: RawResponse): { code: string; status: number; detail: string; forwarded: string } {
  const { proxy_error: error } = JSON.parse(response.body.toString()) as { proxy_error: ReturnType<typeof proxyError> }
  return error
}
