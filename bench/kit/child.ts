import { type ChildProcess, execFileSync, type Serializable, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Which part of the machine a process may use: the proxy under test has a core of its own; `anywhere` is not pinned. */
export type Role = 'proxy' | 'load' | 'upstream' | 'anywhere'

export interface ChildOptions {
  readonly name: string
  readonly role: Role
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Speaks the command protocol of `serveCommands` over Node's IPC channel. */
  readonly commands: boolean
  readonly cwd?: string
  /** Runs the command itself, not through the programs that pin it and tie its life to ours; it has our cores. */
  readonly direct?: boolean
}

/** A process of the benchmark. It never outlives the benchmark: see `startChild`. */
export interface Child {
  readonly name: string
  readonly pid: number
  /** What it wrote to stdout and stderr (the last 64 KiB). */
  readonly output: string
  /** Resolves when it has ended. */
  readonly exited: Promise<void>
  /** Sends a command and resolves with the answer; rejects when the child refuses, ends, or takes over two minutes. */
  ask<T>(command: string, argument?: Serializable | null): Promise<T>
  /** Asks it to end (SIGTERM), insists (SIGKILL) after five seconds. */
  stop(): Promise<void>
}

/**
 * Starts a process, pinned to the cores of its role where `taskset` is there. It is killed when this process ends in any
 * way: by an exit handler, by the IPC channel closing, and (Linux, `setpriv`) by the kernel when this process is killed.
 */
export function startChild(options: ChildOptions): Child {
  guard()
  const words = options.direct === true ? [] : wrapping(options.role)
  const [command, ...args] = [...words, options.command, ...options.args] as [string, ...string[]]
  const handle = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe', ...(options.commands ? (['ipc'] as const) : [])],
    env: { ...ENVIRONMENT, ...options.env },
    cwd: options.cwd
  })
  return new RunningChild(options.name, handle)
}

function wrapping(role: Role): readonly string[] {
  const cores = coresOf(role)
  return [
    // A runner of tests loads its own modules into every process below it by this variable: they would be measured too.
    ...(hasSetpriv ? ['env', '-u', 'NODE_OPTIONS'] : []),
    ...(hasSetpriv ? ['setpriv', '--pdeathsig', 'KILL'] : []),
    ...(cores === null ? [] : ['taskset', '-c', cores]),
    ...(role === 'proxy' ? proxyWords : [])
  ]
}

/** From now on no process is pinned to a core. */
export function pinNothing(): void {
  everybodyAnywhere = true
}

let everybodyAnywhere = false

/** From now on proxies are started by this command line, their own behind it. */
export function wrapProxies(words: readonly string[]): void {
  proxyWords = words
}

let proxyWords: readonly string[] = []

/** Starts one of the benchmark's own programs, given by the URL of its source: as compiled when this file is. */
export function startProgram(name: string, role: Role, program: URL, args: readonly string[] = []): Child {
  const path = fileURLToPath(program).replace(/\.ts$/, extname(import.meta.url))
  return startChild({ name, role, command: process.execPath, args: [path, ...args], commands: true })
}

/** The child's side: answers commands until the channel closes, then ends the process. */
export function serveCommands(handlers: Readonly<Record<string, (argument: never) => unknown>>): void {
  process.on('disconnect', () => process.exit(0))
  const obey = async (message: Command): Promise<void> => {
    try {
      const handler = handlers[message.command]
      if (handler === undefined) throw new Error(`no command ${message.command}`)
      const value = await handler(message.argument)
      process.send?.({ id: message.id, value: value ?? null })
    } catch (error) {
      process.send?.({ id: message.id, error: (error as Error).message })
    }
  }
  process.on('message', (message: Command) => void obey(message))
}

interface Command {
  readonly id: number
  readonly command: string
  readonly argument: never
}

/** Listens on a free loopback port and resolves with it. */
export async function listenOnLoopback(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/**
 * A port that was free a moment ago: for programs that cannot say which one they took. Below the range that outgoing
 * connections get theirs from, so that none of those takes it in between.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    const server = createServer()
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!free) continue
    await new Promise((resolve) => {
      server.close(resolve)
    })
    return port
  }
}

/** CPU time that a process has used so far, all its threads. */
export interface CpuTime {
  /** User and system time, to the nanosecond where the kernel keeps it so. */
  readonly totalMs: number
  /** User time, in the clock's ticks of 10 ms. */
  readonly userMs: number
}

/** Source: proc(5): `task/TID/schedstat`, whose first field is the nanoseconds a thread ran, and `stat`. */
export function cpuTime(pid: number): CpuTime {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The second field, the program's name, may hold spaces and brackets: count from its last bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const userMs = Number(fields[11]) * TICK_MS
  return { userMs, totalMs: scheduledMs(pid) ?? userMs + Number(fields[12]) * TICK_MS }
}

/** How long a process's main thread was ready to run and had no core, in ms; NaN where the kernel does not say. Source: as above. */
export function queuedTime(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'latin1').split(' ')[1]) / 1e6
  } catch {
    return Number.NaN
  }
}

/** A process and those that it started, and theirs. Source: proc(5), `task/TID/children`. */
export function processTree(pid: number): number[] {
  const threads = readdirSync(`/proc/${pid}/task`)
  const children = threads.flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').split(' ').filter(Boolean)
  )
  return [pid, ...children.flatMap((child) => processTree(Number(child)))]
}

function scheduledMs(pid: number): number | null {
  try {
    const threads = readdirSync(`/proc/${pid}/task`)
    const ran = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ', 1))
    return ran.reduce((sum, [ns]) => sum + Number(ns) / 1e6, 0)
  } catch {
    return null
  }
}

/** Ends the benchmark with a message when it takes longer than any honest run. */
export function limitTime(seconds: number): void {
  guard()
  setTimeout(() => {
    process.stderr.write(`gave up after ${seconds} s\n`)
    process.exit(1)
  }, seconds * 1000).unref()
}

/** Whether processes are pinned to cores here. */
export function pinned(): boolean {
  return coresOf('proxy') !== null
}

class RunningChild implements Child {
  readonly name: string
  readonly pid: number
  readonly exited: Promise<void>
  output = ''
  readonly #handle: ChildProcess
  readonly #asked = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>()
  #gone = false
  #next = 0

  constructor(name: string, handle: ChildProcess) {
    this.name = name
    this.pid = handle.pid ?? 0
    this.#handle = handle
    running.add(handle)
    const note = (chunk: Buffer) => {
      this.output = (this.output + chunk.toString()).slice(-65536)
    }
    handle.stdout?.on('data', note)
    handle.stderr?.on('data', note)
    handle.on('message', (message: { id: number; value?: never; error?: string }) => {
      const asked = this.#asked.get(message.id)
      this.#asked.delete(message.id)
      if (message.error !== undefined) asked?.reject(new Error(`${name}: ${message.error}`))
      else asked?.resolve(message.value as never)
    })
    this.exited = new Promise((resolve) => {
      const end = () => {
        this.#gone = true
        running.delete(handle)
        for (const asked of this.#asked.values()) asked.reject(new Error(`${name} ended\n${this.output}`))
        this.#asked.clear()
        resolve()
      }
      handle.once('exit', end)
      handle.once('error', end)
    })
  }

  ask<T>(command: string, argument: Serializable | null = null): Promise<T> {
    const id = this.#next++
    return new Promise<T>((resolve, reject) => {
      if (this.#gone) throw new Error(`${this.name} has ended\n${this.output}`)
      const timer = setTimeout(() => {
        this.#asked.delete(id)
        reject(new Error(`${this.name} does not answer ${command}\n${this.output}`))
      }, ASK_MS)
      this.#asked.set(id, {
        resolve: (value: never) => {
          clearTimeout(timer)
          resolve(value)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        }
      })
      this.#handle.send({ id, command, argument })
    })
  }

  async stop(): Promise<void> {
    if (this.#gone) return
    this.#handle.kill('SIGTERM')
    const insist = setTimeout(() => this.#handle.kill('SIGKILL'), 5000)
    await this.exited
    clearTimeout(insist)
  }
}

const running = new Set<ChildProcess>()
let guarded = false

/** Kills what runs on every way out that this process can see. */
function guard(): void {
  if (guarded) return
  guarded = true
  process.on('exit', () => {
    for (const handle of running) handle.kill('SIGKILL')
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130))
  pinOwn(coresOf('load'))
}

/** Lets this process use every core while it does some work of its own, which is not measured. */
export async function onAllCores(work: () => Promise<void>): Promise<void> {
  guard()
  pinOwn(coresOf('anywhere'))
  await work()
  pinOwn(coresOf('load'))
}

/** All threads. */
function pinOwn(cores: string | null): void {
  if (cores !== null) spawnSync('taskset', ['-a', '-c', '-p', cores, String(process.pid)])
}

/** The proxy has the first core, load the second, the upstream the third (or the second); null where nothing can be pinned. */
function coresOf(role: Role): string | null {
  if (!hasTaskset || cores.length < 2) return null
  // The benchmark itself is pinned, and children would inherit that.
  if (role === 'anywhere' || everybodyAnywhere) return cores.join()
  const at = role === 'proxy' ? 0 : role === 'load' ? 1 : Math.min(2, cores.length - 1)
  return String(cores[at])
}

function has(command: string): boolean {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
}

function allowedCores(): number[] {
  const list = /:\s*([\d,-]+)/.exec(
    execFileSync('taskset', ['-c', '-p', String(process.pid)], { encoding: 'latin1' })
  )?.[1]
  return (list ?? '').split(',').flatMap((range) => {
    const [from, to = from] = range.split('-').map(Number)
    return Array.from({ length: (to ?? 0) - (from ?? 0) + 1 }, (_, at) => (from ?? 0) + at)
  })
}

function tickMs(): number {
  try {
    return 1000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'latin1' }))
  } catch {
    return 10
  }
}

/**
 * What processes of the benchmark find in their environment. Given NODE_EXTRA_CA_CERTS, Node parses all that it names before
 * anything else: 70 ms for the 140 authorities of a Linux distribution.
 */
export const ENVIRONMENT: Readonly<Record<string, string | undefined>> = {
  ...process.env,
  NODE_EXTRA_CA_CERTS: undefined
}

const hasSetpriv = process.platform === 'linux' && has('setpriv')
const hasTaskset = process.platform === 'linux' && has('taskset')
/** The cores that this process had at its start. */
export const cores = hasTaskset ? allowedCores() : Array.from({ length: availableParallelism() }, (_, at) => at)
const TICK_MS = tickMs()
const ASK_MS = 120_000
