import t from 'tap'
import type { Context, ContextKind } from '../../lib/scan/context.ts'
import { ALL_PAIRS, ANGLE, CURLY } from '../../lib/scan/delimiters.ts'
import { SluiceError } from '../../lib/errors.ts'
import { cut, type Outcome, type RunOptions, random, scanChunks, scanWhole } from './run.ts'
import { readVectors, type Vector } from './vectors.ts'

const RANDOM_SPLITS = 20

t.test('every vector, however it is cut', async (t) => {
  const vectors = readVectors('scan-')
  t.ok(vectors.length > 20, `there are vectors: ${vectors.length}`)
  for (const vector of vectors) {
    const failure = check(vector)
    if (failure === undefined) t.pass(vector.claim)
    else t.fail(`${vector.claim} (${vector.where})`, failure)
  }
})

/** Undefined when all is as the vector says; else the cut that shows it, and both outcomes. */
function check(vector: Vector): object | undefined {
  const context = contextOf(vector)
  const options = optionsOf(vector)
  const expected = expectedOf(vector)
  const { input } = vector
  const cuts: [string, () => Outcome][] = [
    ['whole, by end', () => scanWhole(input, context, options)],
    ['whole, by write', () => scanChunks([input], context, options)],
    [
      'byte by byte',
      () =>
        scanChunks(
          [...input].map((byte) => Buffer.of(byte)),
          context,
          options
        )
    ]
  ]
  for (let at = 1; at < input.length; at++) {
    cuts.push([`cut at ${at}`, () => scanChunks([input.subarray(0, at), input.subarray(at)], context, options)])
  }
  for (let nth = 0; nth < RANDOM_SPLITS; nth++) {
    const seed = Math.floor(Math.random() * 2 ** 32)
    const most = 1 + (nth % 13)
    cuts.push([
      `seed ${seed}, chunks of 1 to ${most}`,
      () => scanChunks(cut(input, random(seed), most), context, options)
    ])
  }
  for (const [name, scan] of cuts) {
    const found = JSON.stringify(attempt(scan))
    if (found !== expected) return { cut: name, found, expected }
  }
  return undefined
}

function attempt(scan: () => Outcome): object {
  try {
    const { pieces, literals } = scan()
    return {
      pieces: pieces.map((p) => (typeof p === 'string' ? p : { place: p.place, offset: p.offset, source: p.source })),
      literals
    }
  } catch (thrown) {
    if (thrown instanceof SluiceError) return { code: thrown.code }
    throw thrown
  }
}

function expectedOf({ code, pieces, literals }: Vector): string {
  return JSON.stringify(code === undefined ? { pieces, literals } : { code })
}

function contextOf({ kind, settings }: Vector): Context {
  const boundary = settings.get('boundary')
  return boundary === undefined ? { kind: kind as ContextKind } : { kind: kind as ContextKind, boundary }
}

function optionsOf({ settings }: Vector): RunOptions {
  const pairs = settings.get('pairs')
  return {
    delimiters: pairs === '{{' ? CURLY : pairs === '<<' ? ANGLE : ALL_PAIRS,
    expressionBytes: Number(settings.get('limit') ?? 16384),
    scanBinary: settings.has('binary')
  }
}
