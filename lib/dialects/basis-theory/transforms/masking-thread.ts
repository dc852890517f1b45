import { parentPort } from 'node:worker_threads'
import { RE2JS } from 're2js'
import { maskSections } from './mask-sections.ts'

/** One text to mask. */
export interface Order {
  readonly expression: string
  readonly text: string
  readonly replacement: string
  readonly limitMs: number
}

/** Without `masked`: the thread is there. */
export interface Report {
  /** null: it took too long. */
  readonly masked?: string | null
}

parentPort?.on('message', ({ expression, text, replacement, limitMs }: Order) => {
  const masked = maskSections(RE2JS.compile(expression), text, replacement, performance.now() + limitMs)
  parentPort?.postMessage({ masked } satisfies Report)
})
parentPort?.postMessage({} satisfies Report)
