import type { ReactorPorts } from '../../lib/dialects/basis-theory/reactor-ports.ts'
import { Faults, type JsonObject } from '../../lib/dialects/basis-theory/token-input.ts'
import { readTransforms } from '../../lib/dialects/basis-theory/transforms/documents.ts'
import type { MaskThread } from '../../lib/dialects/basis-theory/transforms/mask-thread.ts'
import { readySteps, transformsFor } from '../../lib/dialects/basis-theory/transforms/pipeline.ts'
import type { TransformCall } from '../../lib/dialects/basis-theory/transforms/run.ts'
import type { Transforms, WholeResponse } from '../../lib/plan/transforms.ts'
import type { Caller } from '../../lib/vault/access.ts'
import type { Vault } from '../../lib/vault/vault.ts'
import { newSandbox } from './reactor.ts'

/** Transforms as a document writes them, over a real vault, sandbox and thread for masks. */
export interface TransformBench {
  /** Throws ERR_INPUT for a document that is refused. `lines`: the headers of the call. */
  transforms(document: object, call?: Partial<TransformCall>, lines?: string): Transforms | null
  close(): Promise<void>
}

export function newTransformBench(vault: Vault, caller: Caller, masks: MaskThread): TransformBench {
  const { sandbox, close } = newSandbox({ cpuMs: 2000 })
  const code: ReactorPorts = {
    vault,
    tokensPerRequest: 100,
    run: (job) => sandbox.run(job),
    readOutbound: () => {
      throw new Error('nothing is sent')
    },
    send: () => Promise.reject(new Error('nothing is sent'))
  }
  return {
    transforms(document, call = {}, lines = '') {
      const faults = new Faults()
      const body = document as JsonObject
      const steps = readySteps(readTransforms(body, 'request', faults), readTransforms(body, 'response', faults))
      faults.settle()
      const all = {
        caller,
        attached: null,
        configuration: {},
        traceId: 'trace',
        method: 'POST',
        path: '/charges',
        query: '?a=b',
        ...call
      }
      return transformsFor(steps, all, lines, true, { code, masks }).transforms
    },
    async close() {
      await masks.close()
      await close()
    }
  }
}

/** A response as the proxy hands it over. */
export function wholeResponse(body: string | Buffer, more: Partial<WholeResponse> = {}): WholeResponse {
  return {
    status: 200,
    reason: 'OK',
    fields: ['Content-Type', 'application/json'],
    body: Buffer.from(body),
    isBodiless: false,
    ...more
  }
}
