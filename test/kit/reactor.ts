import type { Job, RunResult, SandboxLimits } from '../../lib/reactor/job.ts'
import { Sandbox, SANDBOX_LIMITS } from '../../lib/reactor/sandbox.ts'

/** A sandbox with limits that a test can wait for, and a way to run code in it. */
export interface TestSandbox {
  readonly sandbox: Sandbox
  /** What came of a run: the parsed text of the code, or how it was ended. */
  run(code: string, more?: TestRun): Promise<unknown>
  close(): Promise<void>
}

export interface TestRun {
  readonly args?: unknown
  readonly configuration?: unknown
  readonly tenant?: string
  readonly host?: Job['host']
  readonly hasBt?: boolean
}

export function newSandbox(limits: Partial<SandboxLimits> = {}): TestSandbox {
  const sandbox = new Sandbox({ ...SANDBOX_LIMITS, cpuMs: 20_000, wallMs: 30_000, ...limits })
  return {
    sandbox,
    run: async (code, more = {}) => {
      const { args = {}, configuration = {}, tenant = 'acme', host = nobody, hasBt = false } = more
      const input = JSON.stringify({ args, configuration, hasBt })
      const result: RunResult = await sandbox.run({ tenant, code, input, host })
      return result.kind === 'done' ? (JSON.parse(result.text) as unknown) : result
    },
    close: () => sandbox.close()
  }
}

/** Code in the shape of the vendor around the body of its function. */
export function reactorCode(body: string): string {
  return `module.exports = async function (req) {\n${body}\n}`
}

async function nobody(name: string): Promise<string> {
  throw new Error(`nobody answers ${name}`)
}
