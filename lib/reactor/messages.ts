/** What the main thread and a sandbox's thread say to each other. Every `text` is JSON of a bounded length. */

/** QuickJS without memory: threads share it, and the machine code that it becomes. */
export type Interpreter = WebAssembly.Module

export interface RunLimits {
  /** Of all that the code has made and not let go of. */
  readonly memoryBytes: number
  /** For which the code itself may run. */
  readonly cpuMs: number
  /** Largest result, and largest text of one host call, in UTF-16 units. */
  readonly textLength: number
  /** Of all host calls of one run together. */
  readonly callsLength: number
  /** Host calls of one run. */
  readonly hostCalls: number
}

/** What a thread is begun with. */
export interface Charge {
  readonly limits: RunLimits
  /** Compiled already by another thread. */
  readonly interpreter: Interpreter | null
}

export type Order =
  | { readonly kind: 'run'; readonly code: string; readonly input: string }
  | { readonly kind: 'reply'; readonly number: number; readonly isFine: boolean; readonly text: string }

/** Which limit was crossed, or `shutdown`: Sluice ends. */
export type Overrun = 'time' | 'memory' | 'output' | 'calls' | 'shutdown'

export type Report =
  /** The thread may be used; with the interpreter when this thread was the first to compile it. */
  | { readonly kind: 'ready'; readonly interpreter: Interpreter | null }
  | { readonly kind: 'call'; readonly name: string; readonly number: number; readonly text: string }
  /** The code waits for replies: the thread is free until one comes. */
  | { readonly kind: 'waiting' }
  | { readonly kind: 'done'; readonly text: string }
  /** It does not parse; `why` is the engine's word for it. */
  | { readonly kind: 'syntax'; readonly why: string; readonly line: number; readonly column: number }
  /** It has promised something that nothing can settle any more. */
  | { readonly kind: 'stuck' }
  | { readonly kind: 'over'; readonly overrun: Overrun }
