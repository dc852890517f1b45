import * as places from '../../lib/scan/context.ts'
import { ALL_PAIRS } from '../../lib/scan/delimiters.ts'
import { type ByType, Scanner, type Spot } from '../../lib/scan/scanner.ts'

// What lies in a fresh buffer beyond what was written to it must not matter.
const allocate = Buffer.allocUnsafe.bind(Buffer)
Buffer.allocUnsafe = (size) => allocate(size).fill('{')

/** What a scan gave, in a form that compares well: neighbouring runs of bytes are one. */
export interface Outcome {
  readonly pieces: (string | Piece)[]
  readonly literals: number
}

export interface Piece {
  readonly place: string
  readonly offset: number
  readonly source: string
  readonly angle: boolean
}

export interface RunOptions {
  readonly delimiters?: number
  readonly expressionBytes?: number
  readonly scanBinary?: boolean
}

// :: place → its name: `PLACE_JSON_WHOLE` → `json-whole`
const PLACE_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(places)
    .filter(([name]) => name.startsWith('PLACE_'))
    .map(([name, place]) => [place as number, name.slice(6).toLowerCase().replaceAll('_', '-')])
)

/** Scans chunks as they are cut; each is scribbled over after the scanner has seen it and the sink has copied. */
export function scanChunks(
  chunks: readonly Buffer[],
  context: places.Context | ByType,
  options: RunOptions = {}
): Outcome {
  const collector = new Collector()
  const scanner = newScanner(context, collector, options)
  for (const chunk of chunks) {
    const given = Buffer.from(chunk)
    scanner.write(given)
    given.fill(0x7b)
  }
  scanner.end()
  return collector.outcome(scanner.literalOpeners)
}

/** The same in one go: `end(body)`. */
export function scanWhole(body: Buffer, context: places.Context | ByType, options: RunOptions = {}): Outcome {
  const collector = new Collector()
  const scanner = newScanner(context, collector, options)
  scanner.end(body)
  return collector.outcome(scanner.literalOpeners)
}

function newScanner(context: places.Context | ByType, sink: Collector, options: RunOptions): Scanner {
  const { delimiters = ALL_PAIRS, expressionBytes = 16384, scanBinary = false } = options
  return new Scanner({ context, delimiters, expressionBytes, sink, scanBinary })
}

export class Collector {
  readonly #pieces: (Buffer | Spot)[] = []

  bytes(chunk: Buffer, start: number, end: number): void {
    if (start >= end || end > chunk.length) throw new Error(`an impossible range: ${start} to ${end}`)
    this.#pieces.push(Buffer.from(chunk.subarray(start, end)))
  }

  expression(spot: Spot): void {
    this.#pieces.push(spot)
  }

  outcome(literals: number): Outcome {
    const pieces: (string | Piece)[] = []
    let run: Buffer[] = []
    const flush = (): void => {
      if (run.length > 0) pieces.push(Buffer.concat(run).toString('latin1'))
      run = []
    }
    for (const piece of this.#pieces) {
      if (Buffer.isBuffer(piece)) {
        run.push(piece)
        continue
      }
      flush()
      const { offset, source, angle, isWord } = piece
      if (isWord && !WORD.test(source)) throw new Error(`no word: ${JSON.stringify(source)}`)
      pieces.push({ place: PLACE_NAMES.get(piece.place) ?? 'unknown', offset, source, angle })
    }
    flush()
    return { pieces, literals }
  }
}

const WORD = /^[\w-]+$/

/** A small generator of numbers that a seed repeats (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let bits = Math.imul(state ^ (state >>> 15), state | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Cuts a body into chunks of 1 to `most` bytes. */
export function cut(body: Buffer, next: () => number, most: number): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const size = 1 + Math.floor(next() * most)
    chunks.push(body.subarray(at, at + size))
    at += size
  }
  return chunks
}
