import { createHash, createHmac, randomBytes } from 'node:crypto'
import type { MessagePort } from 'node:worker_threads'
import {
  newQuickJSWASMModule,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSRuntime,
  type QuickJSWASMModule
} from 'quickjs-emscripten'
import { PRELUDE } from './guest.ts'
import type { Order, Overrun, Report, RunLimits } from './messages.ts'

/*
 * The thread that code of users runs in: an interpreter of its own, compiled to WebAssembly. Each run has a fresh
 * runtime. Of the guest's objects nothing is read here: it calls `post` and `ask` with texts, which are measured before
 * they are copied out. After a limit was crossed the main thread ends this one.
 */

class Run {
  readonly #limits: RunLimits
  readonly #report: (report: Report) => void
  readonly #runtime: QuickJSRuntime
  readonly #context: QuickJSContext
  readonly #handles: QuickJSHandle[] = []
  readonly #start: QuickJSHandle
  readonly #fail: QuickJSHandle
  readonly #settle: QuickJSHandle
  /** When the code of this segment began; the time that earlier segments took. */
  #began = 0
  #usedMs = 0
  #waiting = 0
  #calls = 0
  isOver = false

  constructor(engine: QuickJSWASMModule, limits: RunLimits, report: (report: Report) => void) {
    this.#limits = limits
    this.#report = report
    this.#runtime = engine.newRuntime()
    this.#runtime.setMemoryLimit(limits.memoryBytes)
    this.#runtime.setMaxStackSize(STACK_BYTES)
    this.#runtime.setInterruptHandler(() => this.isOver || this.#isOutOfTime())
    this.#context = this.#runtime.newContext()
    this.#began = performance.now()
    const context = this.#context
    const guest = this.#keep(context.unwrapResult(context.evalCode(PRELUDE, 'prelude.js')))
    const post = this.#keep(context.newFunction('post', (name, number, text) => this.#post(name, number, text)))
    const ask = this.#keep(context.newFunction('ask', (_name, text) => this.#ask(text)))
    const world = this.#keep(context.unwrapResult(context.callFunction(guest, context.undefined, post, ask)))
    this.#start = this.#keep(context.getProp(world, 'start'))
    this.#fail = this.#keep(context.getProp(world, 'fail'))
    this.#settle = this.#keep(context.getProp(world, 'settle'))
  }

  start(code: string, input: string): void {
    this.#began = performance.now()
    if (input === 'null' && !this.#parses(code)) return
    const context = this.#context
    const evaluated = context.evalCode(code, FILE, { type: 'global' })
    if (evaluated.error !== undefined) {
      this.#call(this.#fail, this.#keep(evaluated.error))
    } else {
      evaluated.value.dispose()
      this.#call(this.#start, this.#keep(context.newString(input)))
    }
    this.#drain()
  }

  /** Reports a code that does not. */
  #parses(code: string): boolean {
    const parsed = this.#context.evalCode(code, FILE, { type: 'global', compileOnly: true })
    if (parsed.error === undefined) {
      parsed.value.dispose()
      return true
    }
    this.#end(this.#syntaxOf(this.#keep(parsed.error)))
    return false
  }

  reply(number: number, isFine: boolean, text: string): void {
    if (this.isOver) return
    this.#waiting--
    this.#began = performance.now()
    const context = this.#context
    const reply = context.newString(text)
    this.#call(this.#settle, context.newNumber(number), isFine ? context.true : context.false, reply)
    reply.dispose()
    this.#drain()
  }

  /** Frees the runtime with all that is in it. */
  dispose(): void {
    for (const handle of this.#handles) handle.dispose()
    this.#context.dispose()
    this.#runtime.dispose()
  }

  #keep(handle: QuickJSHandle): QuickJSHandle {
    this.#handles.push(handle)
    return handle
  }

  #call(what: QuickJSHandle, ...values: QuickJSHandle[]): void {
    if (this.isOver) return
    const result = this.#context.callFunction(what, this.#context.undefined, ...values)
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
      const ran = this.#runtime.executePendingJobs(JOBS_AT_ONCE)
      ran.error?.dispose()
      if (this.isOver) break
      if (this.#isOutOfTime()) this.#end({ kind: 'over', overrun: 'time' })
      else if (ran.error !== undefined) this.#end({ kind: 'over', overrun: this.#overrun() })
      else if (!this.#runtime.hasPendingJob()) break
    }
    this.#usedMs += performance.now() - this.#began
    if (this.isOver) return
    if (this.#waiting === 0) this.#end({ kind: 'stuck' })
    else this.#report({ kind: 'waiting' })
  }

  #post(name: QuickJSHandle, number: QuickJSHandle, text: QuickJSHandle): void {
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
    } else if (++this.#calls > this.#limits.hostCalls) {
      this.#end({ kind: 'over', overrun: 'calls' })
    } else {
      this.#waiting++
      this.#report({ kind: 'call', name: what, number: this.#context.getNumber(number), text: said })
    }
  }

  /** Digests and random bytes; the reply is JSON. */
  #ask(text: QuickJSHandle): QuickJSHandle {
    const order = this.#textOf(text)
    return this.#context.newString(order === null ? '{"error":"Too long"}' : answerCrypto(order))
  }

  /** A copy of a guest's string; null when it is none, or over the limit. */
  #textOf(handle: QuickJSHandle): string | null {
    if (this.#context.typeof(handle) !== 'string') return null
    const length = this.#context.getProp(handle, 'length').consume((value) => this.#context.getNumber(value))
    return length <= this.#limits.textLength ? this.#context.getString(handle) : null
  }

  #syntaxOf(error: QuickJSHandle): Report {
    const word = (name: string) => this.#context.getProp(error, name).consume((value) => this.#textOf(value) ?? '')
    const place = /:([0-9]{1,9})(?::([0-9]{1,9}))?/.exec(word('stack').replace(FILE, ''))
    return { kind: 'syntax', why: word('message'), line: Number(place?.[1] ?? 1), column: Number(place?.[2] ?? 1) }
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

/** The runtime of the next run is made before it is asked for. */
export async function attend(port: MessagePort, limits: RunLimits): Promise<void> {
  const engine = await newQuickJSWASMModule()
  const report = (said: Report) => port.postMessage(said)
  let run = new Run(engine, limits, report)
  port.on('message', (order: Order) => {
    if (order.kind === 'reply') run.reply(order.number, order.isFine, order.text)
    else run.start(order.code, order.input)
    if (!run.isOver) return
    run.dispose()
    run = new Run(engine, limits, report)
  })
  report({ kind: 'ready' })
}

const FILE = 'reactor.js'
const STACK_BYTES = 512 * 1024
const JOBS_AT_ONCE = 100
const RANDOM_BYTES = 65_536
const ALGORITHMS = ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512']
