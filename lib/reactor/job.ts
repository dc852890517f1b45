/** A run of code, and what becomes of it. */
import type { Overrun, RunLimits } from './messages.ts'

export interface SandboxLimits extends RunLimits {
  /** From the start of a run to its end, waiting for replies included. */
  readonly wallMs: number
  /** Runs at the same time. */
  readonly threads: number
  /** Of these, for one tenant: its code must not keep all others waiting. */
  readonly threadsPerTenant: number
  /** Runs that may wait for a thread, of all and of one tenant. */
  readonly waiting: number
  readonly waitingPerTenant: number
}

export interface Job {
  readonly tenant: string
  readonly code: string
  /**
   * JSON `{args, configuration, hasBt, side?}`; `null`: the code is only read, and its function not called. With a side,
   * `request` or `response`, the arguments are a message of a proxy.
   */
  readonly input: string
  /** In the stead of the limit's. */
  readonly wallMs?: number
  /** Answers what the code asks of the world: the JSON of a reply. A rejection reaches the code as an error. */
  host(name: string, text: string): Promise<string>
}

/** In one word. */
export type RunOutcome = 'done' | 'syntax' | 'stuck' | 'refused' | Overrun

/** What a sandbox does now. */
export interface SandboxReading {
  readonly busy: number
  /** Threads that rest, and belong to a tenant. */
  readonly idle: number
  /** Threads that stand ready for any. */
  readonly ready: number
  readonly waiting: number
}

/** What became of a run. `text` is JSON that the code made: anything may be in it. */
export type RunResult =
  | { readonly kind: 'done'; readonly text: string }
  | { readonly kind: 'syntax'; readonly why: string; readonly line: number; readonly column: number }
  | { readonly kind: 'stuck' }
  | { readonly kind: 'over'; readonly overrun: Overrun }
