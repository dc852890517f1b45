import { Worker } from 'node:worker_threads'
import { asSluiceError } from '../errors.ts'
import { threadFile } from '../thread-file.ts'
import type { Job, RunResult, SandboxLimits } from './job.ts'
import type { Charge, Interpreter, Order, Report, RunLimits } from './messages.ts'

/** One thread of the sandbox, as the main thread sees it. One run at a time. */
export class SandboxThread {
  readonly #worker: Worker
  /** Whose code it has run; empty: nobody's. */
  tenant = ''
  /** It has run code before. */
  isWarm = false
  /** It crossed a limit or ended: not to be used again. */
  isSpoiled = false
  /** It has begun: what it is told from now on, it does at once. */
  isReady = false
  #hear: (report: Report) => void = () => {}
  #resting: NodeJS.Timeout | undefined

  /** @param interpreter What an earlier thread has compiled. `compiled` hears of it when this one has. */
  constructor(limits: RunLimits, interpreter: Interpreter | null, compiled: (interpreter: Interpreter) => void) {
    const { memoryBytes, cpuMs, textLength, callsLength, hostCalls } = limits
    const charge: Charge = {
      limits: { memoryBytes, cpuMs, textLength, callsLength, hostCalls },
      interpreter
    }
    this.#worker = new Worker(threadFile(new URL('./guest-thread.ts', import.meta.url)), {
      workerData: charge,
      env: {},
      execArgv: [],
      stdout: true,
      stderr: true,
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 }
    })
    this.#worker.on('message', (report: Report) => {
      if (report.kind === 'ready') {
        this.isReady = true
        if (report.interpreter !== null) compiled(report.interpreter)
      }
      this.#hear(report)
    })
    this.#worker.on('error', () => this.#broken())
    this.#worker.on('exit', () => this.#broken())
    this.#worker.unref()
  }

  run(job: Job, limits: SandboxLimits): Promise<RunResult> {
    clearTimeout(this.#resting)
    this.#worker.ref()
    return new Promise<RunResult>((resolve) => {
      const { promise, resolve: settle } = defer<RunResult>()
      const wall = setTimeout(() => this.#overTime(settle), job.wallMs ?? limits.wallMs)
      // The interpreter looks at the clock between its steps; a single step that takes for ever is for us to end.
      let guard = this.isReady ? this.#guard(limits, settle) : undefined
      this.#hear = (report) => {
        switch (report.kind) {
          case 'ready':
            guard = this.#guard(limits, settle)
            return
          case 'waiting':
            clearTimeout(guard)
            return
          case 'call':
            void answer(job, report.name, report.text, limits, sleeping).then(({ isFine, text }) => {
              if (isSettled) return
              clearTimeout(guard)
              guard = this.#guard(limits, settle)
              this.#say({ kind: 'reply', number: report.number, isFine, text })
            })
            return
          case 'over':
            this.isSpoiled = true
            settle(report)
            return
          default:
            settle(report)
        }
      }
      const sleeping = new Set<NodeJS.Timeout>()
      let isSettled = false
      if (this.isSpoiled) settle({ kind: 'over', overrun: 'memory' })
      else this.#say({ kind: 'run', code: job.code, input: job.input })
      void promise.then((result) => {
        isSettled = true
        clearTimeout(wall)
        clearTimeout(guard)
        for (const timer of sleeping) clearTimeout(timer)
        this.#hear = () => {}
        this.#worker.unref()
        resolve(result)
      })
    })
  }

  /** Calls back when nothing ran for as long. */
  restUntil(idleMs: number, over: () => void): void {
    this.#resting = setTimeout(over, idleMs)
    this.#resting.unref()
  }

  async end(): Promise<void> {
    clearTimeout(this.#resting)
    this.isSpoiled = true
    this.#hear({ kind: 'over', overrun: 'shutdown' })
    await this.#worker.terminate()
  }

  #say(order: Order): void {
    this.#worker.postMessage(order)
  }

  #guard(limits: SandboxLimits, settle: (result: RunResult) => void): NodeJS.Timeout {
    return setTimeout(() => this.#overTime(settle), limits.cpuMs + GRACE_MS)
  }

  #overTime(settle: (result: RunResult) => void): void {
    this.isSpoiled = true
    void this.#worker.terminate()
    settle({ kind: 'over', overrun: 'time' })
  }

  #broken(): void {
    this.isSpoiled = true
    this.#hear({ kind: 'over', overrun: 'memory' })
  }
}

/** What the world says to a call of the code. Never rejects. A timer that it leaves is in `sleeping`. */
async function answer(
  job: Job,
  name: string,
  asked: string,
  limits: SandboxLimits,
  sleeping: Set<NodeJS.Timeout>
): Promise<{ isFine: boolean; text: string }> {
  try {
    if (name === 'sleep') {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, Math.min(Math.max(Number(asked) || 0, 0), job.wallMs ?? limits.wallMs))
        sleeping.add(timer.unref())
      })
      return { isFine: true, text: 'null' }
    }
    const text = await job.host(name, asked)
    if (text.length <= limits.textLength) return { isFine: true, text }
    return { isFine: false, text: JSON.stringify({ name: 'Error', message: 'The reply is too long' }) }
  } catch (thrown) {
    const error = asSluiceError(thrown)
    const { message, status, code } = error
    return { isFine: false, text: JSON.stringify({ name: 'Error', message, status, code }) }
  }
}

function defer<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {}
  const promise = new Promise<T>((settled) => {
    resolve = settled
  })
  return { promise, resolve }
}

/** Beyond the limit that the interpreter keeps by itself. */
const GRACE_MS = 250
