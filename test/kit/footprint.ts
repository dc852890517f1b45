import type { RawResponse } from './message.ts'
import type { TestProxy } from './proxy.ts'

/** What a call of the Footprint dialect may say beside its path. */
export interface FootprintCall {
  readonly method?: string
  readonly key?: string
  /** Name and value, in order; a name may stand twice. */
  readonly headers?: readonly (readonly [string, string])[]
  /** An object is sent as JSON. */
  readonly body?: string | Buffer | object | null
}

/** The bytes of a call with the key as user name. */
export function footprintRequest(key: string, path: string, call: FootprintCall = {}): Buffer {
  const { body = null, headers = [] } = call
  const bytes =
    body === null
      ? Buffer.alloc(0)
      : Buffer.isBuffer(body)
        ? body
        : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
  let head = `${call.method ?? 'POST'} ${path} HTTP/1.1\r\nHost: sluice.test\r\n`
  head += `Authorization: Basic ${Buffer.from(`${call.key ?? key}:`).toString('base64')}\r\n`
  for (const [name, value] of headers) head += `${name}: ${value}\r\n`
  head += `Content-Length: ${bytes.length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head, 'latin1'), bytes])
}

/** Sends a call on a connection of its own. */
export function footprint(proxy: TestProxy, path: string, call: FootprintCall = {}): Promise<RawResponse> {
  return proxy.request(footprintRequest(proxy.key, path, call))
}

/** The same, and the JSON of its answer. */
export async function footprintJson(
  proxy: TestProxy,
  path: string,
  call: FootprintCall = {}
): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
  const response = await footprint(proxy, path, call)
  return { status: response.status, body: JSON.parse(response.body.toString()) as Record<string, unknown> }
}

/** A new user with these fields. */
export async function newUser(proxy: TestProxy, fields: object | null = null, path = '/users'): Promise<string> {
  const { status, body } = await footprintJson(proxy, path, { body: fields })
  if (status !== 200) throw new Error(`no user: ${status} ${JSON.stringify(body)}`)
  return String(body['id'])
}
