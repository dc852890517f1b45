import { createHash, createHmac, randomBytes } from 'node:crypto'
import { setPriority } from 'node:os'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { QuickJSHandle } from 'quickjs-emscripten'
import { compileInterpreter, FILE, Machine, type Master } from './machine.ts'
import type { Charge, Order, Overrun, Report, RunLimits } from './messages.ts'

/*
 * The thread that code of users runs in. Of the guest's objects nothing is read here: it calls `post` and `ask` with
 * texts, which are measured before they are copied out. After a limit was crossed the main thread ends this one.
 */

class Run implements Master {
  readonly #machine: Machine
  readonly #limits: RunLimits
  readonly #report: (report: Report) => void
  /** When the code of this segment began; the time that earlier segments took. */
  #began = performance.now()
  #usedMs = 0
  #waiting = 0
  #calls = 0
  #callsLength = 0
  isOver = false
  /** It crossed a limit. */
  isSpoiled = false

  constructor(machine: Machine, limits: RunLimits, report: (report: Report) => void) {
    this.#machine = machine
    this.#limits = limits
    this.#report = report
    machine.master = this
  }

  start(code: string, input: string): void {
    const { context, start } = this.#machine
    const loaded = this.#machine.load(code)
    if ('error' in loaded) {
      this.#end(this.#isOutOfTime() ? { kind: 'over', overrun: 'time' } : this.#syntaxOf(loaded.error))
      return
    }
    const given = context.newString(input)
    this.#call(start, loaded.main, given)
    this.#drain()
  }

  reply(number: number, isFine: boolean, text: string): void {
    if (this.isOver) return
    this.#waiting--
    this.#began = performance.now()
    const { context, settle } = this.#machine
    const reply = context.newString(text)
    this.#call(settle, context.newNumber(number), isFine ? context.true : context.false, reply)
    reply.dispose()
    this.#drain()
  }

  #call(what: QuickJSHandle, ...values: QuickJSHandle[]): void {
    if (this.isOver) return
    const result = this.#machine.context.callFunction(what, this.#machine.context.undefined, ...values)
    if (result.error === undefined) {
      result.value.dispose()
      return
    }
    result.error.dispose()
    this.#end({ kind: 'over', overrun: this.#overrun() })
  }

  /** Runs what promises have made due, until it is over or everything waits. */
  #drain(): void {
    while (!this.isOver) {
      const ran = this.#machine.runtime.executePendingJobs(JOBS_AT_ONCE)
      ran.error?.dispose()
      if (this.isOver) break
      if (this.#isOutOfTime()) this.#end({ kind: 'over', overrun: 'time' })
      else if (ran.error !== undefined) this.#end({ kind: 'over', overrun: this.#overrun() })
      else if (!this.#machine.runtime.hasPendingJob()) break
    }
    this.#usedMs += performance.now() - this.#began
    if (this.isOver) return
    if (this.#waiting === 0) this.#end({ kind: 'stuck' })
    else this.#report({ kind: 'waiting' })
  }

  post(name: QuickJSHandle, number: QuickJSHandle, text: QuickJSHandle): void {
    if (this.isOver) return
    const what = this.#textOf(name)
    const said = this.#textOf(text)
    if (this.#isOutOfTime()) {
      // What was interrupted is told to the code as an error, as if it could do something about it.
      this.#end({ kind: 'over', overrun: 'time' })
    } else if (what === null || said === null) {
      this.#end({ kind: 'over', overrun: 'output' })
    } else if (what === 'done') {
      this.#end({ kind: 'done', text: said })
    } else if (
      ++this.#calls > this.#limits.hostCalls ||
      (this.#callsLength += said.length) > this.#limits.callsLength
    ) {
      this.#end({ kind: 'over', overrun: 'calls' })
    } else {
      this.#waiting++
      this.#report({ kind: 'call', name: what, number: this.#machine.context.getNumber(number), text: said })
    }
  }

  /** Digests and random bytes; the reply is JSON. */
  ask(text: QuickJSHandle): QuickJSHandle {
    const order = this.#textOf(text)
    return this.#machine.context.newString(order === null ? '{"error":"Too long"}' : answerCrypto(order))
  }

  /** A copy of a guest's string; null when it is none, or over the limit. */
  #textOf(handle: QuickJSHandle): string | null {
    if (this.#machine.context.typeof(handle) !== 'string') return null
    const length = this.#machine.context
      .getProp(handle, 'length')
      .consume((value) => this.#machine.context.getNumber(value))
    return length <= this.#limits.textLength ? this.#machine.context.getString(handle) : null
  }

  #syntaxOf(error: QuickJSHandle): Report {
    const word = (name: string) =>
      this.#machine.context.getProp(error, name).consume((value) => this.#textOf(value) ?? '')
    const place = /:([0-9]{1,9})(?::([0-9]{1,9}))?/.exec(word('stack').replace(FILE, ''))
    return { kind: 'syntax', why: word('message'), line: Number(place?.[1] ?? 1), column: Number(place?.[2] ?? 1) }
  }

  mayGoOn(): boolean {
    return !this.isOver && !this.#isOutOfTime()
  }

  #isOutOfTime(): boolean {
    return this.#usedMs + performance.now() - this.#began > this.#limits.cpuMs
  }

  #overrun(): Overrun {
    return this.#isOutOfTime() ? 'time' : 'memory'
  }

  #end(report: Report): void {
    if (this.isOver) return
    this.isOver = true
    this.isSpoiled = report.kind === 'over'
    this.#report(report)
  }
}

/** Never throws. */
function answerCrypto(text: string): string {
  try {
    const order = JSON.parse(text) as {
      readonly random?: unknown
      readonly algorithm?: unknown
      readonly key?: unknown
      readonly message?: unknown
    }
    if (order.random !== undefined) {
      const size = Number(order.random)
      if (!Number.isInteger(size) || size < 0 || size > RANDOM_BYTES) return '{"error":"Not a size of random bytes"}'
      return JSON.stringify({ bytes: randomBytes(size).toString('base64') })
    }
    const algorithm = String(order.algorithm).toLowerCase().replace('-', '')
    if (!ALGORITHMS.includes(algorithm)) return '{"error":"Digest method not supported"}'
    const digest =
      typeof order.key === 'string' ? createHmac(algorithm, Buffer.from(order.key, 'base64')) : createHash(algorithm)
    const bytes = digest.update(Buffer.from(String(order.message), 'base64')).digest('base64')
    return JSON.stringify({ bytes })
  } catch {
    return '{"error":"Not a digest"}'
  }
}

async function attend(port: MessagePort, { limits, interpreter: shared }: Charge): Promise<void> {
  const interpreter = shared ?? (await compileInterpreter())
  const report = (said: Report) => port.postMessage(said)
  let machine = await Machine.make(interpreter, limits)
  // Only now: a thread that is waited for should be there soon.
  yieldToOthers()
  let run: Run | null = null
  const hear = (order: Order) => {
    if (order.kind === 'run') {
      run = new Run(machine, limits, report)
      run.start(order.code, order.input)
    } else run?.reply(order.number, order.isFine, order.text)
    if (run === null || !run.isOver) return
    // The main thread ends this one when a limit was crossed.
    if (!run.isSpoiled && !machine.rest()) renewed = renew()
    run = null
  }
  let renewed: Promise<void> | null = null
  const renew = async (): Promise<void> => {
    machine = await Machine.make(interpreter, limits)
    renewed = null
  }
  port.on('message', (order: Order) => {
    if (renewed === null) hear(order)
    else void renewed.then(() => hear(order))
  })
  report({ kind: 'ready', interpreter: shared === null ? interpreter : null })
}

/** Whoever waits for a proxy goes first. On Linux a priority is a thread's own. */
function yieldToOthers(): void {
  if (process.platform !== 'linux') return
  try {
    setPriority(0, NICE)
  } catch {
    // It may be forbidden; then nobody goes first.
  }
}

const NICE = 10
const JOBS_AT_ONCE = 100
const RANDOM_BYTES = 65_536
const ALGORITHMS = ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512']

if (parentPort !== null) void attend(parentPort, workerData as Charge)
