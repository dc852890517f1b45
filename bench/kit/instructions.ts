import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'

/** The event that is counted. Overridable to try the plumbing out where the processor's counters are hidden. */
const EVENT = process.env['SLUICE_BENCH_PERF_EVENT'] ?? 'instructions:u'

/** Counts user-space instructions of one process between `start` and `stop`. */
export interface InstructionCounter {
  /** From here on. */
  start(): Promise<void>
  /** The count since `start`. */
  stop(): Promise<number>
}

/** Whether Linux `perf` counts user-space instructions on this machine (virtual machines often hide the counters). */
export function instructionsAreCounted(): boolean {
  counted ??= probe()
  return counted
}

let counted: boolean | null = null

/** A counter attached to all threads of `pid`; it can be used once. */
export function instructionCounter(pid: number): InstructionCounter {
  let perf: ChildProcess
  let text = ''
  return {
    async start() {
      perf = spawn('perf', ['stat', '-x', ',', '-e', EVENT, '-p', String(pid), '-D', '-1', '--control', 'fd:3,4'], {
        stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
        env: { ...process.env, LC_ALL: 'C' }
      })
      process.once('exit', () => perf.kill('SIGKILL'))
      perf.stderr?.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      await command(perf, 'enable')
    },
    async stop() {
      await command(perf, 'disable')
      const ended = once(perf, 'exit')
      perf.kill('SIGINT')
      await ended
      const count = readCount(text)
      if (count === null) throw new Error(`perf counted nothing: ${text}`)
      return count
    }
  }
}

async function command(perf: ChildProcess, word: string): Promise<void> {
  const [control, acknowledged] = [perf.stdio[3] as Writable, perf.stdio[4] as Readable]
  const answer = new Promise<void>((resolve, reject) => {
    acknowledged.once('data', () => resolve())
    perf.once('exit', () => reject(new Error('perf ended')))
  })
  control.write(`${word}\n`)
  await answer
}

function probe(): boolean {
  if (process.platform !== 'linux') return false
  const tried = spawnSync('perf', ['stat', '-x', ',', '-e', EVENT, 'true'], {
    encoding: 'latin1',
    env: { ...process.env, LC_ALL: 'C' }
  })
  return tried.status === 0 && readCount(tried.stderr) !== null
}

/** The first field of perf's line for the event: a number, or `<not supported>`. */
function readCount(text: string): number | null {
  for (const line of text.split('\n')) {
    const fields = line.split(',')
    if (fields[2]?.startsWith(EVENT.replace(/:.*/, '')) !== true) continue
    const value = Number(fields[0])
    return fields[0] === '' || Number.isNaN(value) ? null : value
  }
  return null
}
