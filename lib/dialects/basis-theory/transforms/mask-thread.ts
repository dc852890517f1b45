import { Worker } from 'node:worker_threads'
import { SluiceError } from '../../../errors.ts'
import { threadFile } from '../../../thread-file.ts'
import type { Order, Report } from './masking-thread.ts'

interface Waiting {
  readonly tenant: string
  readonly order: Order
  readonly resolve: (masked: string) => void
  readonly reject: (error: SluiceError) => void
}

/**
 * A thread for what would hold the event loop up: one expression on one text after another, the tenants in turn. It is made
 * when it is first needed, and made anew after an expression that took longer than its time.
 */
export class MaskThread {
  readonly #limitMs: number
  readonly #queue: Waiting[] = []
  #worker: Worker | null = null
  #running: Waiting | null = null
  /** Whose text was the last. */
  #tenant = ''
  #guard: NodeJS.Timeout | undefined
  #isClosed = false

  /** @param limitMs for one text */
  constructor(limitMs: number = LIMIT_MS) {
    this.#limitMs = limitMs
  }

  /** Rejects with ERR_TRANSFORM when it takes too long, with ERR_OVERLOAD when too many wait. */
  mask(tenant: string, expression: string, text: string, replacement: string): Promise<string> {
    const theirs = this.#queue.filter((one) => one.tenant === tenant).length
    if (this.#isClosed || theirs >= WAITING_OF_ONE || this.#queue.length >= WAITING) {
      return Promise.reject(new SluiceError('ERR_OVERLOAD', 'Too many masks are waiting'))
    }
    return new Promise((resolve, reject) => {
      const order = { expression, text, replacement, limitMs: this.#limitMs }
      this.#queue.push({ tenant, order, resolve, reject })
      this.#next()
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#end(new SluiceError('ERR_OVERLOAD', 'Sluice is shutting down'))
  }

  #next(): void {
    if (this.#running !== null) return
    const other = this.#queue.findIndex(({ tenant }) => tenant !== this.#tenant)
    const [next] = this.#queue.splice(Math.max(0, other), 1)
    if (next === undefined) {
      this.#worker?.unref()
      return
    }
    this.#running = next
    this.#tenant = next.tenant
    if (this.#worker === null) this.#worker = this.#start()
    else this.#give(this.#worker, next.order)
    this.#worker.ref()
  }

  #give(worker: Worker, order: Order): void {
    // The thread looks at the clock between two finds; a single find that takes for ever is for us to end.
    this.#guard = setTimeout(() => void this.#end(tooLong()), this.#limitMs + SPARE_MS)
    worker.postMessage(order)
  }

  #start(): Worker {
    const worker = new Worker(threadFile(new URL('./masking-thread.ts', import.meta.url)), {
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 128 }
    })
    worker.on('message', (said: Report) => {
      if (worker !== this.#worker) return
      if (said.masked !== undefined) this.#settle(said.masked)
      else if (this.#running !== null) this.#give(worker, this.#running.order)
    })
    worker.on('error', () => {
      if (worker === this.#worker) void this.#end(tooLong())
    })
    worker.unref()
    return worker
  }

  #settle(masked: string | null): void {
    clearTimeout(this.#guard)
    const running = this.#running
    this.#running = null
    if (masked === null) running?.reject(tooLong())
    else running?.resolve(masked)
    this.#next()
  }

  /** Ends the thread; what waits goes on with another. */
  async #end(error: SluiceError): Promise<void> {
    clearTimeout(this.#guard)
    const worker = this.#worker
    const running = this.#running
    this.#worker = null
    this.#running = null
    running?.reject(error)
    if (this.#isClosed) for (const { reject } of this.#queue.splice(0)) reject(error)
    this.#next()
    await worker?.terminate()
  }
}

const tooLong = () => new SluiceError('ERR_TRANSFORM', 'The expression of a mask takes too long on this body')
const LIMIT_MS = 5000
/** Beyond that, for a find that is under way. */
const SPARE_MS = 1000
const WAITING = 256
const WAITING_OF_ONE = 64
