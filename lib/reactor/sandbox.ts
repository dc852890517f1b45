/**
 * Runs code that users wrote, in threads with an interpreter of their own. A thread belongs to the tenant whose code it
 * ran first, until it ends: what its memory may still hold was that tenant's. One thread stands ready for the next one.
 */
import { SluiceError } from '../errors.ts'
import type { Job, RunResult, SandboxLimits } from './job.ts'
import type { Interpreter } from './messages.ts'
import { SandboxThread } from './sandbox-thread.ts'

export const SANDBOX_LIMITS: SandboxLimits = {
  memoryBytes: 64 * 1024 * 1024,
  cpuMs: 10_000,
  wallMs: 30_000,
  textLength: 2 * 1024 * 1024,
  hostCalls: 200,
  threads: 8,
  threadsPerTenant: 6,
  waiting: 256
}

export class Sandbox {
  readonly #limits: SandboxLimits
  readonly #idle: SandboxThread[] = []
  readonly #busy = new Set<SandboxThread>()
  #spare: SandboxThread | null = null
  #interpreter: Interpreter | null = null
  #running = 0
  #queue: (() => void)[] = []
  #isClosed = false

  constructor(limits: SandboxLimits = SANDBOX_LIMITS) {
    this.#limits = limits
  }

  /** Threads that run code now. */
  get running(): number {
    return this.#running
  }

  /** Whose threads rest. */
  get tenants(): readonly string[] {
    return this.#idle.map((thread) => thread.tenant)
  }

  /** Rejects with ERR_OVERLOAD when as many runs as may wait do so already. */
  async run(job: Job): Promise<RunResult> {
    while (this.#isFull(job.tenant)) await this.#turn()
    if (this.#isClosed) throw new SluiceError('ERR_OVERLOAD', 'Sluice is shutting down')
    this.#running++
    const thread = this.#threadFor(job.tenant)
    try {
      return await thread.run(job, this.#limits)
    } finally {
      this.#running--
      this.#rest(thread)
      for (const go of this.#queue.splice(0)) go()
    }
  }

  /** Makes a thread ready for the next tenant whose code runs. */
  prepare(): void {
    if (this.#isClosed || this.#spare?.isSpoiled === false) return
    this.#spare = this.#newThread()
  }

  /** Ends every thread, and what runs in it. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const go of this.#queue.splice(0)) go()
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

  #turn(): Promise<void> {
    if (this.#queue.length >= this.#limits.waiting) {
      throw new SluiceError('ERR_OVERLOAD', 'Too many runs wait for a sandbox')
    }
    return new Promise((resolve) => this.#queue.push(resolve))
  }

  #threadFor(tenant: string): SandboxThread {
    const at = this.#idle.findLastIndex((thread) => thread.tenant === tenant)
    const thread = at >= 0 ? (this.#idle.splice(at, 1)[0] ?? this.#fresh()) : this.#fresh()
    thread.tenant = tenant
    this.#busy.add(thread)
    return thread
  }

  /** The one that stands ready; another one is made in its place once this run is under way. */
  #fresh(): SandboxThread {
    const thread = this.#spare ?? this.#newThread()
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
    if (this.#idle.length > IDLE_THREADS) this.#retire(this.#idle[0] ?? thread)
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
const IDLE_THREADS = 4
