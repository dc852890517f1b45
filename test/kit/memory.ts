import { readFileSync } from 'node:fs'

/** A running record of one process's memory. */
export interface MemorySampler {
  /** The highest anonymous resident memory seen, in bytes. */
  readonly peakAnonymousBytes: number
  /** The highest resident memory, as the kernel keeps it, in bytes. */
  readonly peakResidentBytes: number
  stop(): void
}

/** Whether this system shows the memory of a process (Linux). */
export const memoryIsVisible = process.platform === 'linux'

/** Resident memory of a process that no file backs (heap, stacks, buffers), in bytes. Source: proc(5), `RssAnon`. */
export function anonymousBytes(pid: number): number {
  return statusField(pid, 'RssAnon')
}

/** The highest resident memory of a process so far, in bytes. Source: proc(5), `VmHWM`. */
export function peakResidentBytes(pid: number): number {
  return statusField(pid, 'VmHWM')
}

/** Looks at the process every `intervalMs` until `stop`. A process that has ended keeps its last figures. */
export function sampleMemory(pid: number, intervalMs = 10): MemorySampler {
  let peakAnonymous = 0
  let peakResident = 0
  const look = () => {
    try {
      peakAnonymous = Math.max(peakAnonymous, anonymousBytes(pid))
      peakResident = peakResidentBytes(pid)
    } catch {
      clearInterval(timer)
    }
  }
  const timer = setInterval(look, intervalMs)
  look()
  return {
    get peakAnonymousBytes() {
      return peakAnonymous
    },
    get peakResidentBytes() {
      return peakResident
    },
    stop() {
      look()
      clearInterval(timer)
    }
  }
}

function statusField(pid: number, name: string): number {
  const line = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  if (line === null) throw new Error(`no ${name} for process ${pid}`)
  return Number(line[1]) * 1024
}
