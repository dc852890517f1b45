import { DEFAULT_LIMITS, type ResponseLimits, ResponseParser } from '../../lib/egress/response-parser.ts'

/** What came of some bytes and the end of the connection behind them. */
export interface Outcome {
  readonly fault: string | null
  readonly informational: readonly number[]
  readonly status: number
  readonly reason: string
  readonly rawHeaders: readonly string[]
  readonly body: string
  readonly rawTrailers: readonly string[]
}

/** Parses a response that comes in pieces, and the end of the connection behind it. */
export function parseResponse(
  bytes: Buffer,
  method: string,
  cuts: readonly number[] = [],
  limits: ResponseLimits = DEFAULT_LIMITS
): Outcome {
  return responseReader(limits)(bytes, method, cuts)
}

/**
 * Parses one response after another with the same parser, as a connection does. Checks each time that the parser ends
 * exactly once or refuses, and that it keeps no buffer.
 */
export function responseReader(
  limits: ResponseLimits = DEFAULT_LIMITS
): (bytes: Buffer, method: string, cuts: readonly number[]) => Outcome {
  let outcome: Outcome & { informational: number[] } = { ...NOTHING, informational: [] }
  let pieces: string[] = []
  let ended = 0
  const parser = new ResponseParser(
    {
      informational: (status) => outcome.informational.push(status),
      head(status, reason, rawHeaders) {
        outcome = { ...outcome, status, reason, rawHeaders }
      },
      body(chunk, start, end) {
        if (start >= end) throw new Error('an empty piece')
        pieces.push(chunk.toString('latin1', start, end))
      },
      end(rawTrailers) {
        outcome = { ...outcome, rawTrailers }
        ended++
      }
    },
    limits
  )
  return (bytes, method, cuts) => {
    outcome = { ...NOTHING, informational: [] }
    pieces = []
    ended = 0
    parser.begin(method)
    let from = 0
    for (const cut of [...cuts, bytes.length]) {
      // Each piece in a buffer of its own that is spoilt afterwards: nothing may be kept by reference.
      const piece = Buffer.from(bytes.subarray(from, cut))
      parser.write(piece, 0, piece.length)
      piece.fill(0x21)
      from = cut
      // What comes behind the end is not for this parser: the connection destroys itself.
      if (ended > 0) break
    }
    if (ended === 0) parser.finish()
    if (ended !== (parser.fault === null ? 1 : 0)) throw new Error(`ended ${ended} times, fault ${parser.fault}`)
    const informational = outcome.informational.filter((status) => status !== 100)
    return { ...outcome, informational, body: pieces.join(''), fault: parser.fault }
  }
}

const NOTHING = { fault: null, status: 0, reason: '', rawHeaders: [], body: '', rawTrailers: [] }
