import { type ChildProcess, spawn } from 'node:child_process'
import { mainFile } from './main-file.ts'
import { ROOT } from './sources.ts'

/** How a command of ours is run. */
export interface CommandOptions {
  readonly cwd?: string
  /** Laid over an environment that holds PATH and HOME alone; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Arguments of node itself. */
  readonly node?: readonly string[]
}

/** What a command did. */
export interface Result {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `sluice ARGS` (the compiled command, as a process) to its end; after 90 s it is killed. */
export async function runCommand(args: readonly string[], options: CommandOptions = {}): Promise<Result> {
  const command = startCommand(args, options)
  const late = setTimeout(() => command.kill('SIGKILL'), 90_000)
  const result = await command.exited
  clearTimeout(late)
  return result
}

/** Starts `sluice ARGS` and leaves it running; the test has to end it. */
export function startCommand(args: readonly string[], options: CommandOptions = {}): Command {
  const { cwd = ROOT, env = {}, node = [] } = options
  const child = spawn(process.execPath, [AS_USERS_DO, ...node, mainFile(), ...args], {
    cwd,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  return new Command(child)
}

/** A running command. */
export class Command {
  readonly exited: Promise<Result>
  readonly pid: number
  readonly #child: ChildProcess
  stdout = ''
  stderr = ''

  constructor(child: ChildProcess) {
    this.#child = child
    this.pid = child.pid ?? 0
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => resolve({ code, signal, stdout: this.stdout, stderr: this.stderr }))
    })
  }

  /** Sends a signal to the process. */
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** The first match of a pattern in what it prints (both ways), now or within 60 s. Rejects when it ends before. */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    const giveUpAt = performance.now() + 60_000
    for (;;) {
      const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr)
      if (match !== null) return match
      if (this.#child.exitCode !== null || this.#child.signalCode !== null || performance.now() > giveUpAt) {
        throw new Error(`the command did not print ${pattern.source}, but: ${this.stdout}${this.stderr}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** The port of a listener, from the log line that tells it: `listen.http`, `listen.https` or `admin`. */
  async port(setting: string): Promise<number> {
    const match = await this.prints(new RegExp(`"setting":"${setting}","address":"[^"]*","port":(\\d+)`))
    return Number(match[1])
  }
}

/** What runs the tests may have set the option for all that they start; with it the bundle loads itself in another way. */
const AS_USERS_DO = '--no-enable-source-maps'
