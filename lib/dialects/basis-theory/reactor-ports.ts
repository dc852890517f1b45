import type { Job, RunResult } from '../../reactor/job.ts'
import type { InboundAnswer, Outbound } from '../../reactor/outbound.ts'
import type { Vault } from '../../vault/vault.ts'

/** What reactors need of the rest, as `app.ts` hands it in. */
export interface ReactorPorts {
  readonly vault: Vault
  readonly tokensPerRequest: number
  run(job: Job): Promise<RunResult>
  /** What code asks for by `fetch`, read and checked; reveals and sends nothing. */
  readOutbound(text: string): Outbound
  /** By our own egress, under its policy; cut when `over` says so. */
  send(tenant: string, request: Outbound, over: AbortSignal): Promise<InboundAnswer>
}

/** The most that code is given in one call: the arguments of a reactor, or the body of a message. */
export const PAYLOAD_BYTES: number = 1024 * 1024
