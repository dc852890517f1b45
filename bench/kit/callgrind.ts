import { execFile, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { InstructionCounter } from './instructions.ts'

/*
 * Counts instructions where the processor's counters are hidden: in valgrind, a processor in software, some fifty times
 * slower. The kernel's part is not seen, just as in `instructions:u`; code for newer processors than valgrind knows
 * (AVX-512) is not taken.
 */

/** Whether valgrind is installed. */
export function hasValgrind(): boolean {
  return spawnSync('callgrind_control', ['--version'], { stdio: 'ignore' }).status === 0
}

/** The command line that a process is started with so that it can be counted; it counts nothing yet. `folder` is for files. */
export function callgrindWords(folder: string): string[] {
  return [
    'valgrind',
    '--tool=callgrind',
    // Code that is made while the program runs: V8's, and LuaJIT's.
    '--smc-check=all-non-file',
    '--instr-atstart=no',
    `--callgrind-out-file=${join(folder, 'callgrind.%p')}`,
    `--vgdb-prefix=${join(folder, 'vgdb')}`,
    '--quiet'
  ]
}

/**
 * Counts the instructions of a process that was started so. It can be used again. Between two counts the process goes on at
 * its quicker pace, but that all its code is translated anew for each; `staysSlow` spares it that.
 */
export function callgrindCounter(pid: number, folder: string, staysSlow = false): InstructionCounter {
  const control = async (word: string): Promise<void> => {
    await run('callgrind_control', [`--vgdb-prefix=${join(folder, 'vgdb')}`, word, String(pid)], { timeout: 60_000 })
  }
  return {
    async start() {
      await control('--instr=on')
      await control('--zero')
    },
    async stop() {
      if (!staysSlow) await control('--instr=off')
      await control('--dump')
      const files = readdirSync(folder).filter((file) => file.startsWith(`callgrind.${pid}.`))
      const total = files.reduce((sum, file) => sum + totalOf(readFileSync(join(folder, file), 'latin1')), 0)
      for (const file of files) rmSync(join(folder, file))
      return total
    }
  }
}

/** Source: callgrind's manual, "Callgrind Format Specification": `totals:` is the sum of the file's costs. */
function totalOf(dump: string): number {
  return Number(/^totals: (\d+)/m.exec(dump)?.[1] ?? 0)
}

const run = promisify(execFile)
