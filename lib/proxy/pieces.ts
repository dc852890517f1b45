import { Buffer } from 'node:buffer'
import { valueFault } from '../expr/faults.ts'
import type { Plan } from '../plan/plan.ts'
import { settleContext } from '../scan/context.ts'
import { Scanner } from '../scan/scanner.ts'
import type { ScanSink, Spot } from '../scan/spot.ts'
import { uncurried } from '../uncurried.ts'

/**
 * What reads a body into pieces; null when it is of a kind that holds no expressions.
 *
 * @param whole All of the body; null when it streams: then its first bytes settle how it is read.
 */
export function scannerFor(plan: Plan, whole: Buffer | null, sink: Pieces): Scanner | null {
  const contentType = plan.contentTypes[0]
  const scanBinary = plan.delimitersNamed
  const context =
    whole === null ? ({ kind: 'by-type', contentType } as const) : settleContext(contentType, whole, whole)
  if (context === null && !scanBinary) return null
  return new Scanner({
    context: context ?? { kind: 'text' },
    delimiters: plan.delimiters,
    expressionBytes: plan.limits.expressionBytes,
    sink,
    scanBinary
  })
}

/**
 * What a scanner found in one window, in order: runs of untouched bytes and spots where a value goes. Hot: per spot.
 * Untouched bytes are kept as ranges of the chunks that they came in.
 */
export class Pieces implements ScanSink {
  spots: Spot[] = []
  #chunks: Buffer[] = []
  /** start and end of each run; a spot stands before the run `#before[i]`. */
  #ranges: number[] = []
  #before: number[] = []

  bytes(chunk: Buffer, start: number, end: number): void {
    if (start === end) return
    this.#chunks.push(chunk)
    this.#ranges.push(start, end)
  }

  expression(spot: Spot): void {
    this.spots.push(spot)
    this.#before.push(this.#chunks.length)
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0 && this.spots.length === 0
  }

  /** The only run, when there is one and it is all: a chunk that goes on untouched. */
  soleRun(): Buffer | null {
    if (this.spots.length > 0 || this.#chunks.length !== 1) return null
    const chunk = this.#chunks[0] as Buffer
    const start = this.#ranges[0] as number
    const end = this.#ranges[1] as number
    return start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end)
  }

  /**
   * One buffer with `texts[i]` in the place of `spots[i]`. Throws ERR_EXPR_VALUE when a value and what stands around it
   * make a boundary of a multipart body together.
   */
  assemble(texts: readonly string[]): Buffer {
    let total = 0
    for (let at = 0; at < this.#ranges.length; at += 2) {
      total += (this.#ranges[at + 1] as number) - (this.#ranges[at] as number)
    }
    for (let at = 0; at < texts.length; at++) total += Buffer.byteLength(texts[at] as string)
    const out = Buffer.allocUnsafe(total)
    const starts: number[] | null = areBounded(this.spots) ? [] : null
    let to = 0
    let run = 0
    let chunk: Buffer | null = null
    let memory: ArrayBufferLike = EMPTY.buffer
    let base = 0
    for (let spot = 0; spot <= texts.length; spot++) {
      const until = spot < texts.length ? (this.#before[spot] as number) : this.#chunks.length
      for (; run < until; run++) {
        const start = this.#ranges[2 * run] as number
        const end = this.#ranges[2 * run + 1] as number
        const from = this.#chunks[run] as Buffer
        if (from !== chunk) {
          // NOTE: once for each chunk. To ask a buffer for its memory costs as much as to copy two hundred bytes.
          chunk = from
          memory = from.buffer
          base = from.byteOffset
        }
        set(out, new Uint8Array(memory, base + start, end - start), to)
        to += end - start
      }
      if (spot < texts.length) {
        starts?.push(to)
        to += write(out, texts[spot] as string, to)
      }
    }
    for (let spot = 0; starts !== null && spot < texts.length; spot++) {
      const start = starts[spot] as number
      checkBoundaries(out, this.spots[spot] as Spot, start, start + Buffer.byteLength(texts[spot] as string))
    }
    return out
  }

  clear(): void {
    // NOTE: new ones. To shorten an array is a call into the engine.
    this.spots = []
    this.#chunks = []
    this.#ranges = []
    this.#before = []
  }
}

const EMPTY = Buffer.alloc(0)
const set = uncurried<(target: Buffer, source: Uint8Array, at: number) => void>(Buffer.prototype, 'set')
const write = uncurried<(target: Buffer, text: string, at: number) => number>(Buffer.prototype, 'write')

function areBounded(spots: readonly Spot[]): boolean {
  for (const { boundaries } of spots) if (boundaries.length > 0) return true
  return false
}

/** Looks at the value and one byte less than a boundary on each side: what is found there holds a part of the value. */
function checkBoundaries(out: Buffer, { boundaries, offset }: Spot, start: number, end: number): void {
  for (const boundary of boundaries) {
    const around = boundary.length + 1
    if (out.subarray(Math.max(0, start - around), end + around).includes(`--${boundary}`, 'latin1')) {
      const fault = valueFault()
      fault.offset = offset
      throw fault
    }
  }
}
