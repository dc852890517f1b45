import { cachedChain } from './cache.ts'
import { type Chain, compileChain, NO_FILTERS } from './chain.ts'
import { FILTERS } from './filters/basis-theory.ts'
import type { Keys } from './keys.ts'
import { readLiquidChain } from './liquid.ts'
import { readSubject, type Subject } from './subject.ts'

export type { Subject } from './subject.ts'

/** Which filters there are, and how they are written. */
export type Grammar = 'liquid' | 'footprint'

/** A parsed expression: what it needs from the vault, and what is done with it. Holds no value. */
export interface Expression {
  readonly subject: Subject
  /** For each candidate of the subject, the path into what it stands for. */
  readonly paths: readonly Keys[]
  readonly chain: Chain
}

/**
 * Parses what stands between the delimiters (un-escaped for its place, not trimmed): `subject | filter | filter`. The
 * subject runs to the first `|`; the rest is compiled once for each grammar and text.
 *
 * @throws ERR_EXPR_SYNTAX, ERR_EXPR_FILTER, ERR_EXPR_ARGUMENT, ERR_EXPR_PATH, ERR_EXPR_LIMIT
 */
export function parseExpression(source: string, _grammar: Grammar): Expression {
  const pipe = source.indexOf('|')
  if (pipe < 0) return { ...readSubject(source), chain: NO_FILTERS }
  return { ...readSubject(source.slice(0, pipe)), chain: cachedChain('L', source.slice(pipe).trimEnd(), compileLiquid) }
}

function compileLiquid(text: string): Chain {
  return compileChain(readLiquidChain(text), FILTERS)
}
