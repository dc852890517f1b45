import { readdirSync, readFileSync } from 'node:fs'

/**
 * A vector file is Markdown: under each heading (a claim) any prose, a block `input KIND …` and a block `pieces`.
 *
 * In both, `⟨1b⟩` stands for bytes in hex and `↵` for CR LF; a line end inside the input is LF (CR LF with the word
 * `crlf`), the last one does not count. The info string takes `limit=N` (expressionBytes), `pairs={{` or `pairs=<<`, `boundary=B`, `binary` (scan binary parts).
 * A line of `pieces` is `|bytes|`, or `place offset |source|` for an expression, or `literals N` (else 0 is expected),
 * or an error code.
 */
export interface Vector {
  readonly claim: string
  /** file:line of the heading. */
  readonly where: string
  readonly kind: string
  readonly settings: ReadonlyMap<string, string>
  readonly input: Buffer
  readonly pieces: readonly (string | { place: string; offset: number; source: string })[]
  readonly literals: number
  readonly code: string | undefined
}

const FOLDER = new URL('../../../test/vectors/', import.meta.url)

export function readVectors(prefix: string): Vector[] {
  return readdirSync(FOLDER)
    .filter((name) => name.startsWith(prefix) && name.endsWith('.md'))
    .sort()
    .flatMap(readFile)
}

function readFile(name: string): Vector[] {
  const lines = readFileSync(new URL(name, FOLDER), 'utf8').split('\n')
  const vectors: Vector[] = []
  let claim = ''
  let where = ''
  let input: { info: string[]; bytes: Buffer } | undefined
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string
    if (line.startsWith('#')) {
      claim = line.replace(/^#+\s*/, '')
      where = `test/vectors/${name}:${at + 1}`
    }
    if (!line.startsWith('```')) continue
    const close = lines.indexOf('```', at + 1)
    const info = line.slice(3).split(' ')
    const block = lines.slice(at + 1, close)
    at = close
    if (info[0] === 'input') input = { info, bytes: toBytes(block.join(info.includes('crlf') ? '↵' : '\n')) }
    if (info[0] !== 'pieces') continue
    if (input === undefined) throw new Error(`${where}: pieces without an input`)
    vectors.push(vectorOf(claim, where, input, block))
    input = undefined
  }
  return vectors
}

function vectorOf(claim: string, where: string, input: { info: string[]; bytes: Buffer }, block: string[]): Vector {
  const pieces: (string | { place: string; offset: number; source: string })[] = []
  let literals = 0
  let code: string | undefined
  for (const line of block) {
    const match = /^(?:([a-z-]+) (\d+) ?)?(?:\|(.*)\|)?$/s.exec(line)
    if (line.startsWith('ERR_')) code = line
    else if (match === null) throw new Error(`${where}: not a piece: ${line}`)
    else if (match[1] === 'literals') literals = Number(match[2])
    else if (match[1] !== undefined) {
      pieces.push({
        place: match[1],
        offset: Number(match[2]),
        source: toBytes(match[3] ?? '')
          .toString('utf8')
          .replace(/^ +| +$/g, '')
      })
    } else pieces.push(toBytes(match[3] ?? '').toString('latin1'))
  }
  const [, kind = '', ...words] = input.info
  const settings = new Map(words.map((word) => word.split(/=(.*)/s) as [string, string]))
  return { claim, where, kind, settings, input: input.bytes, pieces, literals, code }
}

function toBytes(text: string): Buffer {
  const parts = text.replaceAll('↵', '\r\n').split(/⟨([0-9a-f]*)⟩/)
  return Buffer.concat(parts.map((part, at) => Buffer.from(part, at % 2 === 1 ? 'hex' : 'utf8')))
}
