/**
 * The interpreter: QuickJS, compiled to WebAssembly, and images of its memory. A run of code begins with the memory of
 * an image, byte for byte, and whatever it left behind is overwritten when it is over: no run finds anything of another
 * one, be it of the same tenant. An image also spares every run the making of the world that code finds, and the
 * compiling of the code.
 *
 *     image of the world   what `guest.ts` makes, nothing of the code
 *     image of a code      the same with the code compiled, and not one step of it done
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSRuntime,
  RELEASE_SYNC
} from 'quickjs-emscripten'
import { PRELUDE } from './guest.ts'
import type { Interpreter, RunLimits } from './messages.ts'

/** What the code in the machine says, and what may stop it. */
export interface Master {
  post(name: QuickJSHandle, number: QuickJSHandle, text: QuickJSHandle): void
  ask(text: QuickJSHandle): QuickJSHandle
  mayGoOn(): boolean
}

/** Loaded code, to be given to `start`; or the error that compiling it ended with. */
export type Loaded = { readonly main: QuickJSHandle } | { readonly error: QuickJSHandle }

interface Image {
  /** :: number of the page → its bytes; every other page is zero */
  readonly pages: ReadonlyMap<number, Buffer>
  /** Of a code: its function. */
  readonly main: QuickJSHandle | null
}

export class Machine {
  readonly context: QuickJSContext
  readonly runtime: QuickJSRuntime
  /** Functions of the guest. */
  readonly start: QuickJSHandle
  readonly settle: QuickJSHandle
  readonly #memory: WebAssembly.Memory
  readonly #world: Image
  // :: code → its image, the latest used last
  readonly #codes = new Map<string, Image>()
  /** What the memory holds, or is to hold next. */
  #image: Image
  master: Master = IDLE

  static async make(interpreter: Interpreter, limits: RunLimits, memory = newMemory()): Promise<Machine> {
    const variant = newVariant(RELEASE_SYNC, { wasmModule: interpreter, wasmMemory: memory })
    const engine = await newQuickJSWASMModuleFromVariant(variant)
    return new Machine(memory, engine.newRuntime(), limits)
  }

  private constructor(memory: WebAssembly.Memory, runtime: QuickJSRuntime, limits: RunLimits) {
    this.#memory = memory
    this.runtime = runtime
    runtime.setMemoryLimit(limits.memoryBytes)
    runtime.setMaxStackSize(STACK_BYTES)
    runtime.setInterruptHandler(() => !this.master.mayGoOn())
    // Handles that are made here belong to the image of the world, and are never let go of.
    const context = runtime.newContext()
    this.context = context
    const guest = context.unwrapResult(context.evalCode(PRELUDE, 'prelude.js'))
    const post = context.newFunction('post', (name, number, text) => this.master.post(name, number, text))
    const ask = context.newFunction('ask', (_name, text) => this.master.ask(text))
    const world = context.unwrapResult(context.callFunction(guest, context.undefined, post, ask))
    this.start = context.getProp(world, 'start')
    this.settle = context.getProp(world, 'settle')
    this.#world = this.#take(null)
    this.#image = this.#world
  }

  /** Compiles a code, or finds it compiled. The memory must be at rest. */
  load(code: string): Loaded {
    const known = this.#codes.get(code)
    if (known?.main !== undefined && known.main !== null) {
      this.#codes.delete(code)
      this.#codes.set(code, known)
      this.#become(known)
      return { main: known.main }
    }
    this.#become(this.#world)
    const { context } = this
    // By itself first: what parses by itself cannot close the function around it.
    const alone = context.evalCode(code, FILE, { type: 'global', compileOnly: true })
    if (alone.error !== undefined) return alone
    alone.value.dispose()
    const wrapped = context.evalCode(`(function () {${code}\n})`, FILE, { type: 'global' })
    if (wrapped.error !== undefined) return wrapped
    const main = wrapped.value
    this.#image = this.#take(main)
    this.#codes.set(code, this.#image)
    for (const oldest of this.#codes.keys()) {
      if (this.#codes.size <= CODES_KEPT) break
      this.#codes.delete(oldest)
    }
    return { main }
  }

  /** A run is over: its memory is overwritten. False: this machine has grown, and is to be replaced. */
  rest(): boolean {
    this.master = IDLE
    const { buffer } = this.#memory
    const hasGrown = buffer.byteLength > FIRST_PAGES * PAGE_BYTES
    if (hasGrown) Buffer.from(buffer).fill(0)
    else this.#restore(this.#image)
    return !hasGrown
  }

  #become(image: Image): void {
    if (image === this.#image) return
    this.#image = image
    this.#restore(image)
  }

  #take(main: QuickJSHandle | null): Image {
    const memory = Buffer.from(this.#memory.buffer)
    const pages = new Map<number, Buffer>()
    for (let at = 0; at < memory.length; at += PAGE_BYTES) {
      if (memory.compare(ZEROS, 0, PAGE_BYTES, at, at + PAGE_BYTES) === 0) continue
      pages.set(at / PAGE_BYTES, Buffer.from(memory.subarray(at, at + PAGE_BYTES)))
    }
    return { pages, main }
  }

  #restore({ pages }: Image): void {
    const memory = Buffer.from(this.#memory.buffer)
    for (let at = 0; at < memory.length; at += PAGE_BYTES) {
      const page = pages.get(at / PAGE_BYTES)
      if (page !== undefined) page.copy(memory, at)
      else if (memory.compare(ZEROS, 0, PAGE_BYTES, at, at + PAGE_BYTES) !== 0) memory.fill(0, at, at + PAGE_BYTES)
    }
  }
}

export function newMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: FIRST_PAGES, maximum: MOST_PAGES })
}

/** The interpreter, compiled for this process. */
export function compileInterpreter(): Promise<Interpreter> {
  const near = createRequire(createRequire(import.meta.url).resolve('quickjs-emscripten'))
  return WebAssembly.compile(readFileSync(near.resolve('@jitl/quickjs-wasmfile-release-sync/wasm')))
}

const IDLE: Master = {
  post: () => {},
  ask: (text) => text,
  mayGoOn: () => true
}

/** What code is called in messages. */
export const FILE = 'reactor.js'
const STACK_BYTES = 512 * 1024
const PAGE_BYTES = 64 * 1024
/** What the interpreter asks for at least, and the most that it may have: its own limit comes long before. */
const FIRST_PAGES = 256
const MOST_PAGES = 32_768
const ZEROS = Buffer.alloc(PAGE_BYTES)
/** Half a megabyte each. */
const CODES_KEPT = 8
