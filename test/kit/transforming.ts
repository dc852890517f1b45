import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { basisTheoryVoice } from '../../lib/dialects/basis-theory/voice.ts'
import { Egress } from '../../lib/egress/egress.ts'
import type { Peer } from '../../lib/egress/peer.ts'
import { asSluiceError, type SluiceError } from '../../lib/errors.ts'
import type { Client as ListenClient } from '../../lib/listen/client.ts'
import { type EngineHandler, nodeEngine } from '../../lib/listen/node-engine.ts'
import { rawEngine } from '../../lib/listen/raw-engine.ts'
import { bodyModeOf } from '../../lib/plan/controls.ts'
import { fieldLine, fieldValue, requestField } from '../../lib/plan/headers.ts'
import { type Limits, planRequest } from '../../lib/plan/plan.ts'
import type { Transforms } from '../../lib/plan/transforms.ts'
import { BufferBudget } from '../../lib/proxy/buffer-budget.ts'
import { Execution } from '../../lib/proxy/execute.ts'
import type { RequestRecord } from '../../lib/proxy/phases.ts'
import { CURLY } from '../../lib/scan/delimiters.ts'
import type { Caller } from '../../lib/vault/access.ts'
import { certificates } from './certificates.ts'
import { type Client, newClient } from './client.ts'
import type { Destination } from './destination.ts'
import type { RawResponse } from './message.ts'
import { newVault, type TestVault } from './vault.ts'

/** A plan with transforms on every request, carried out on real sockets; no dialect but its voice. */
export interface Transforming extends TestVault {
  readonly port: number
  readonly buffers: BufferBudget
  /** Of each request that is over. */
  readonly records: readonly RequestRecord[]
  readonly bugs: readonly unknown[]
  /** Whoever the requests come from. */
  readonly by: Caller
  /** The `index`-th record, once it is there. */
  record(index: number): Promise<RequestRecord>
  client(): Promise<Client>
  request(bytes: Buffer | string): Promise<RawResponse>
}

export interface TransformingOptions {
  readonly destination: Destination
  readonly transforms: () => Transforms | null
  readonly engine?: 'raw' | 'node'
  readonly limits?: Partial<Limits>
  readonly delimiters?: number
}

export async function newTransforming(options: TransformingOptions): Promise<Transforming> {
  const { destination, transforms, engine = 'raw', delimiters = CURLY } = options
  const testVault = await newVault()
  const by = await testVault.caller()
  const { ca } = await certificates()
  const egress = new Egress({
    allowsHost: () => true,
    ports: [destination.port],
    allowPrivateNetworks: ['127.0.0.0/8', '::1/128'],
    ca: [ca],
    localAddress: null,
    connectTimeoutMs: 5000,
    idleTimeoutMs: 5000,
    maxConnectionsPerPeer: 16
  })
  const buffers = new BufferBudget(64 * 1024 * 1024)
  const limits = { ...LIMITS, ...options.limits }
  const records: RequestRecord[] = []
  const bugs: unknown[] = []
  let waiting: (() => void)[] = []
  const parts = {
    vault: testVault.vault,
    egress,
    buffers,
    voice: basisTheoryVoice,
    done: (record: RequestRecord) => {
      records.push(record)
      for (const wake of waiting.splice(0)) wake()
    },
    bug: (thrown: unknown) => void bugs.push(thrown)
  }
  const refused = (error: SluiceError) => basisTheoryVoice.failure(error, error.status, 'trace', 0)
  const serve = (client: ListenClient): void => {
    const { head } = client
    let fieldLines = ''
    for (let at = 0; at < head.fields.length; at += 2) {
      const [name, value] = [head.fields[at] as string, head.fields[at + 1] as string]
      if ([0, 3, 6].includes(requestField(name.toLowerCase()))) fieldLines += fieldLine(name, value)
    }
    const { host, port } = destination
    const plan = planRequest<Peer, never>(
      {
        door: 'proxy',
        dialect: 'basis_theory',
        route: '/proxy',
        proxy: null,
        grammar: 'liquid',
        user: null,
        delimiters,
        delimitersNamed: false,
        bodyMode: bodyModeOf(fieldValue(head.fields, 'sluice-body-mode')),
        subjects: null,
        method: head.method,
        target: head.target,
        destination: { host, port, method: head.method, path: head.path },
        peer: { tenant: by.tenant, host, port, identity: null },
        fieldLines: `${fieldLines}Via: 1.1 sluice-test\r\nBt-Trace-Id: trace\r\n`,
        headTemplate: null,
        contentTypes: [fieldValue(head.fields, 'content-type')].filter((type) => type !== undefined),
        contentEncoding: fieldValue(head.fields, 'content-encoding'),
        bodyBytes: head.bodyBytes,
        close: false,
        isIdempotent: false,
        traceId: 'trace',
        reason: null,
        responseRules: null,
        configuration: null,
        transforms: transforms()
      },
      limits,
      { connectTimeoutMs: 5000, timeoutMs: 5000, bodyIdleTimeoutMs: 5000 }
    )
    new Execution(client, plan, by, parts).start()
  }
  const handler: EngineHandler = {
    request(client) {
      try {
        serve(client)
      } catch (thrown) {
        const error = asSluiceError(thrown)
        const { fields, body } = refused(error)
        client.answer(error.status, fields, body)
      }
    },
    refusal: refused,
    dropped: () => {}
  }
  const timeouts = { headersTimeoutMs: 10_000, bodyIdleTimeoutMs: 10_000, idleTimeoutMs: 10_000 }
  const settings = { tls: null, headerBytes: 65_536, maxConnections: 0, ...timeouts }
  const server = engine === 'raw' ? rawEngine(settings, handler) : nodeEngine(settings, handler)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = (): Promise<Client> => newClient({ port })
  return {
    ...testVault,
    port,
    buffers,
    records,
    bugs,
    by,
    async record(index) {
      while (records.length <= index) await new Promise<void>((resolve) => waiting.push(resolve))
      return records[index] as RequestRecord
    },
    client,
    async request(bytes) {
      const one = await client()
      try {
        return await one.request(bytes)
      } finally {
        one.destroy()
      }
    },
    async close() {
      waiting = []
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
      egress.destroy()
      await testVault.close()
    }
  }
}

/** The bytes of a request with an exact Content-Length; null: no body. */
export function plainRequest(
  body: string | Buffer | null,
  headers: Readonly<Record<string, string>> = {},
  method = 'POST'
): Buffer {
  const bytes = body === null ? Buffer.alloc(0) : Buffer.from(body)
  const all = {
    Host: 'sluice.test',
    ...(body === null ? {} : { 'Content-Type': 'application/json', 'Content-Length': String(bytes.length) }),
    ...headers
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.concat([Buffer.from(`${method} /a?b=c HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1'), bytes])
}

const LIMITS: Limits = {
  tokensPerRequest: 100,
  expressionBytes: 16_384,
  wholeBodyBytes: 65_536,
  decodedBytes: 10_485_760
}
