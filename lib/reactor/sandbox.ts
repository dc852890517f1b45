/**
 * Runs code that users wrote, in threads with an interpreter of their own. A thread belongs to the tenant whose code it
 * ran first, until it ends: what its memory may still hold was that tenant's. One thread stands ready for the next one.
 */
import { SluiceError } from '../errors.ts'
import type { Job, RunOutcome, RunResult, SandboxLimits, SandboxReading } from './job.ts'
import type { Interpreter } from './messages.ts'
import { SandboxThread } from './sandbox-thread.ts'

export const SANDBOX_LIMITS: SandboxLimits = {
  memoryBytes: 64 * 1024 * 1024,
  cpuMs: 10_000,
  wallMs: 30_000,
  textLength: 2 * 1024 * 1024,
  callsLength: 8 * 1024 * 1024,
  hostCalls: 200,
  threads: 8,
  threadsPerTenant: 6,
  waiting: 256,
  waitingPerTenant: 128
}

/** @param ms From having a thread to the end; NaN: it got none. */
type Ran = (outcome: RunOutcome, isWarm: boolean, ms: number) => void

export class Sandbox {
  readonly #limits: SandboxLimits
  readonly #idle: SandboxThread[] = []
  readonly #busy = new Set<SandboxThread>()
  #spare: SandboxThread | null = null
  #interpreter: Interpreter | null = null
  #running = 0
  #queue: { readonly tenant: string; readonly go: () => void }[] = []
  #isClosed = false
  readonly #ran: Ran

  /** @param ran Hears of every run when it is over. */
  constructor(limits: SandboxLimits = SANDBOX_LIMITS, ran: Ran = () => {}) {
    this.#limits = limits
    this.#ran = ran
  }

  get reading(): SandboxReading {
    return {
      busy: this.#running,
      idle: this.#idle.length,
      ready: this.#spare?.isReady === true ? 1 : 0,
      waiting: this.#queue.length
    }
  }

  /** Whose threads rest. */
  get tenants(): readonly string[] {
    return this.#idle.map((thread) => thread.tenant)
  }

  /** Rejects with ERR_OVERLOAD when as many runs as may wait do so already. */
  async run(job: Job): Promise<RunResult> {
    while (this.#isFull(job.tenant)) await this.#turn(job.tenant)
    if (this.#isClosed) throw this.#refused('Sluice is shutting down')
    this.#running++
    const began = performance.now()
    const thread = this.#threadFor(job.tenant)
    const isWarm = thread.isWarm
    thread.isWarm = true
    const result = await thread.run(job, this.#limits)
    this.#running--
    this.#rest(thread)
    for (const { go } of this.#queue.splice(0)) go()
    this.#ran(result.kind === 'over' ? result.overrun : result.kind, isWarm, performance.now() - began)
    return result
  }

  #refused(why: string): SluiceError {
    this.#ran('refused', false, Number.NaN)
    return new SluiceError('ERR_OVERLOAD', why)
  }

  /** Makes a thread ready for the next tenant whose code runs. */
  prepare(): void {
    if (this.#isClosed || this.#spare?.isSpoiled === false) return
    this.#spare = this.#newThread()
  }

  /** Ends every thread, and what runs in it. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const { go } of this.#queue.splice(0)) go()
    const threads = [...this.#idle.splice(0), ...(this.#spare === null ? [] : [this.#spare]), ...this.#busy]
    this.#spare = null
    await Promise.all(threads.map((thread) => thread.end()))
  }

  #isFull(tenant: string): boolean {
    const { threads, threadsPerTenant } = this.#limits
    if (this.#isClosed || this.#running < Math.min(threads, threadsPerTenant)) return false
    if (this.#running >= threads) return true
    let own = 0
    for (const thread of this.#busy) if (thread.tenant === tenant) own++
    return own >= threadsPerTenant
  }

  #turn(tenant: string): Promise<void> {
    const { waiting, waitingPerTenant } = this.#limits
    const own = this.#queue.reduce((sum, one) => (one.tenant === tenant ? sum + 1 : sum), 0)
    if (this.#queue.length >= waiting || own >= waitingPerTenant)
      throw this.#refused('Too many runs wait for a sandbox')
    return new Promise((go) => this.#queue.push({ tenant, go }))
  }

  #threadFor(tenant: string): SandboxThread {
    // One that ended by itself while it rested is of no use.
    for (const thread of this.#idle.filter(({ isSpoiled }) => isSpoiled)) this.#retire(thread)
    const at = this.#idle.findLastIndex((thread) => thread.tenant === tenant)
    const thread = at >= 0 ? (this.#idle.splice(at, 1)[0] ?? this.#fresh()) : this.#fresh()
    thread.tenant = tenant
    this.#busy.add(thread)
    return thread
  }

  /** The one that stands ready; another one is made in its place once this run is under way. */
  #fresh(): SandboxThread {
    const oldest = this.#idle[0]
    if (oldest !== undefined && this.#idle.length + this.#running > this.#limits.threads) this.#retire(oldest)
    const thread = this.#spare?.isSpoiled === false ? this.#spare : this.#newThread()
    this.#spare = null
    // Not at once: the start of another thread would take its time from the run that this one is for.
    setTimeout(() => this.prepare(), PREPARED_AFTER_MS).unref()
    return thread
  }

  #newThread(): SandboxThread {
    return new SandboxThread(this.#limits, this.#interpreter, (interpreter) => {
      this.#interpreter = interpreter
    })
  }

  #rest(thread: SandboxThread): void {
    this.#busy.delete(thread)
    if (thread.isSpoiled || this.#isClosed) {
      void thread.end()
      return
    }
    this.#idle.push(thread)
    thread.restUntil(IDLE_MS, () => this.#retire(thread))
  }

  #retire(thread: SandboxThread): void {
    const at = this.#idle.indexOf(thread)
    if (at < 0) return
    this.#idle.splice(at, 1)
    void thread.end()
  }
}

const PREPARED_AFTER_MS = 250
const IDLE_MS = 60_000
