import cluster, { type Worker } from 'node:cluster'
import type { Config } from '../config/schema.ts'
import { type AdminServer, startAdmin } from '../observe/admin.ts'
import type { Log } from '../observe/log.ts'
import { METRICS_TYPE, Metrics, type MetricsSnapshot, mergedText, NOTHING_TO_READ } from '../observe/metrics.ts'
import { Refusal } from './guard.ts'
import type { Server } from './server.ts'
import type { ToPrimary, ToWorker } from './worker.ts'

/** What the primary of several workers needs. */
export interface PrimaryParts {
  readonly workers: number
  /** Handed to each worker over its channel. */
  readonly masterKey: string
  readonly log: Log
  readonly version: string
}

/**
 * Starts workers that share the listeners, and the admin listener of this process, which adds up their metrics. A worker
 * that dies is replaced. Throws what the first worker that cannot start says.
 */
export async function startWorkers(config: Config, parts: PrimaryParts): Promise<Server> {
  const primary = new Primary(config, parts)
  try {
    await primary.start()
  } catch (error) {
    await primary.close()
    throw error
  }
  return primary
}

class Primary implements Server {
  readonly #parts: PrimaryParts
  readonly #metrics: Metrics
  #config: Config
  #admin: AdminServer | null = null
  #closing = false
  // :: worker → its start, done or failed
  readonly #starting = new Map<number, { done: () => void; failed: (error: Error) => void }>()
  readonly #ready = new Set<number>()
  // :: number of a question → who waits for answers to it
  readonly #asked = new Map<number, (worker: number, snapshot: MetricsSnapshot) => void>()
  #questions = 0

  constructor(config: Config, parts: PrimaryParts) {
    this.#config = config
    this.#parts = parts
    this.#metrics = new Metrics(NOTHING_TO_READ, parts.version)
    cluster.setupPrimary({ args: ['worker'] })
    cluster.on('message', (worker, message: ToPrimary) => this.#hear(worker, message))
    cluster.on('exit', (worker) => this.#died(worker))
  }

  async start(): Promise<void> {
    await Promise.all(Array.from({ length: this.#parts.workers }, () => this.#fork()))
    this.#admin = await startAdmin({
      ...this.#config.admin,
      metrics: () => this.#text(),
      metricsType: METRICS_TYPE,
      ready: () => !this.#closing && this.#ready.size > 0,
      done: (route, outcome) => this.#metrics.adminRequest(route, outcome)
    })
    const { address, port } = this.#admin.address
    this.#parts.log.event('info', 'listening', { setting: 'admin', address, port })
  }

  reload(config: Config): void {
    this.#config = config
    for (const worker of living()) say(worker, { kind: 'reload', config })
  }

  /** Drains all workers; one that is not through a little after `listen.drainMs` is killed. */
  async close(): Promise<void> {
    this.#closing = true
    const gone = living().map((worker) => new Promise<void>((resolve) => worker.once('exit', () => resolve())))
    for (const worker of living()) say(worker, { kind: 'drain' })
    const late = setTimeout(() => {
      for (const worker of living()) worker.process.kill('SIGKILL')
    }, this.#config.listen.drainMs + GRACE_MS)
    await Promise.all(gone)
    clearTimeout(late)
    await this.#admin?.close()
  }

  #fork(): Promise<void> {
    const worker = cluster.fork()
    return new Promise((done, failed) => {
      this.#starting.set(worker.id, { done, failed })
    })
  }

  #hear(worker: Worker, message: ToPrimary): void {
    const { masterKey, version } = this.#parts
    switch (message.kind) {
      case 'hello':
        say(worker, { kind: 'start', config: this.#config, masterKey, version })
        break
      case 'ready':
        this.#ready.add(worker.id)
        this.#starting.get(worker.id)?.done()
        this.#starting.delete(worker.id)
        break
      case 'failed':
        this.#starting.get(worker.id)?.failed(new Refusal(message.lines.join('\n')))
        this.#starting.delete(worker.id)
        break
      case 'metrics':
        this.#asked.get(message.id)?.(worker.id, message.snapshot)
    }
  }

  #died(worker: Worker): void {
    const served = this.#ready.delete(worker.id)
    this.#starting.get(worker.id)?.failed(new Refusal('a worker died while it started'))
    this.#starting.delete(worker.id)
    if (this.#closing || !served) return
    this.#parts.log.event('error', 'worker died', { worker: worker.id })
    this.#replace()
  }

  /** Starts another worker, and tries until one starts. */
  #replace(): void {
    this.#fork().then(
      () => this.#parts.log.event('info', 'worker replaced', { workers: this.#ready.size }),
      () => {
        if (!this.#closing) setTimeout(() => this.#replace(), RETRY_MS)
      }
    )
  }

  /** The metrics of all workers that answer in time, and of this process. */
  async #text(): Promise<string> {
    const id = this.#questions++
    const asked = living().filter((worker) => this.#ready.has(worker.id))
    const snapshots = await new Promise<MetricsSnapshot[]>((resolve) => {
      const answers = new Map<number, MetricsSnapshot>()
      const finish = (): void => {
        clearTimeout(late)
        this.#asked.delete(id)
        resolve([...answers.values()])
      }
      const late = setTimeout(finish, ANSWER_MS)
      this.#asked.set(id, (worker, snapshot) => {
        answers.set(worker, snapshot)
        if (answers.size === asked.length) finish()
      })
      for (const worker of asked) say(worker, { kind: 'metrics', id })
      if (asked.length === 0) finish()
    })
    return mergedText([...snapshots, await this.#metrics.snapshot()])
  }
}

function living(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((worker): worker is Worker => worker?.isConnected() === true)
}

function say(worker: Worker, message: ToWorker): void {
  worker.send(message)
}

const GRACE_MS = 2000
const RETRY_MS = 1000
const ANSWER_MS = 5000
