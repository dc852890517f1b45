/** The bodies of the streaming benchmarks: any size, described by pieces, never held in memory. */

/** A stretch of a body: a text, or a number of the kind's blocks. */
export type Piece = { readonly text: string } | { readonly blocks: number }

export type BodyKind = 'text' | 'json' | 'binary'

/** Bytes of one block. */
export const BLOCK_BYTES = 65536

/** The block that fills bodies of a kind: 256 records of 256 bytes, without a delimiter. */
export function block(kind: BodyKind): Buffer {
  if (kind === 'binary')
    return Buffer.from(Array.from({ length: BLOCK_BYTES }, (_, at) => (at * 167 + (at >> 8)) & 0xff))
  const record = kind === 'json' ? `${JSON_RECORD.padEnd(252, '-')}"},\n` : `${TEXT_RECORD.padEnd(255, '.')}\n`
  return Buffer.from(record.repeat(BLOCK_BYTES / 256))
}

/** The media type of a kind. */
export function mediaType(kind: BodyKind): string {
  return { json: 'application/json', text: 'text/plain', binary: 'application/octet-stream' }[kind]
}

/**
 * A body of about `bytes` bytes with a value in its first 100 bytes, in its middle and in its last 100. `values` are
 * three texts as they stand in the body: `{{ id }}` on the way in, a token's data on the way out.
 */
export function largeBody(kind: BodyKind, bytes: number, values: readonly [string, string, string]): Piece[] {
  const blocks = Math.max(2, Math.round(bytes / BLOCK_BYTES))
  const before = blocks >> 1
  const [first, middle, last] = values
  const json = kind === 'json'
  return [
    { text: json ? `{"first":"${first}","rows":[\n` : `first ${first}\n` },
    { blocks: before },
    { text: json ? `{"middle":"${middle}"},\n` : `middle ${middle}\n` },
    { blocks: blocks - before },
    { text: json ? `null],"last":"${last}"}\n` : `last ${last}\n` }
  ]
}

/** Bytes of a body. */
export function bodyBytes(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, piece) => sum + ('text' in piece ? piece.text.length : piece.blocks * BLOCK_BYTES), 0)
}

const JSON_RECORD =
  '{"id":"7f3a0c","amount":129900,"currency":"EUR","open":true,"payee":{"name":"Example BV","lines":["Keizersgracht 1","1015 CN"]},"tags":["a","b"],"note":"said \\"ok\\" on \\u0031 May","pad":"'
const TEXT_RECORD =
  'On the first of the month the ledger is closed; what came in by then is booked, and what did not waits for the next. Example BV, Keizersgracht 1, 1015 CN Amsterdam, order 2026-000184, 1299.00 EUR'
