import { cachedChain } from './cache.ts'
import { type Chain, compileChain, NO_FILTERS } from './chain.ts'
import { FILTERS } from './filters/basis-theory.ts'
import { FOOTPRINT_FILTERS } from './filters/footprint.ts'
import { readFootprintChain, readReference } from './footprint.ts'
import type { Keys } from './keys.ts'
import { readLiquidChain } from './liquid.ts'
import { plainSubject, readSubject, type Subject } from './subject.ts'
import type { Work } from './work.ts'

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

export interface ParseOptions {
  /** The Footprint user that references without one belong to. */
  readonly user?: string
  /** Compiling counts on it: shared by all the expressions that are parsed in one turn of the event loop. */
  readonly work?: Work
}

/**
 * Parses what stands between the delimiters (un-escaped for its place): `subject | filter | filter`. The
 * subject runs to the first `|`; the rest is compiled once for each grammar and text.
 *
 * @throws ERR_EXPR_SYNTAX, ERR_EXPR_FILTER, ERR_EXPR_ARGUMENT, ERR_EXPR_PATH, ERR_EXPR_LIMIT
 */
export function parseExpression(source: string, grammar: Grammar, options: ParseOptions = NO_OPTIONS): Expression {
  const pipe = source.indexOf('|')
  const before = pipe < 0 ? source : source.slice(0, pipe)
  const { subject, paths } = grammar === 'liquid' ? readSubject(before) : readReference(before, options.user)
  return { subject, paths, chain: pipe < 0 ? NO_FILTERS : parseChain(source.slice(pipe), grammar, options.work) }
}

/**
 * What `parseExpression` makes of a Liquid expression of letters, digits, `-` and `_` alone.
 * NOTE: to find out from the text costs 800 instructions, and who cut it out of a body knows.
 */
export function parseWord(source: string): Expression {
  const { subject, paths } = plainSubject(source, 'data')
  return { subject, paths, chain: NO_FILTERS }
}

function parseChain(text: string, grammar: Grammar, work?: Work): Chain {
  return grammar === 'liquid'
    ? cachedChain('L', text.trimEnd(), compileLiquid, work)
    : cachedChain('F', text.trimEnd(), compileFootprint, work)
}

/**
 * The expression with only those candidates that a request allows (`Sluice-Subjects`); null when it allows none. An
 * allowed name is that of a token, or the subject as written.
 */
export function narrow(expression: Expression, allowed: ReadonlySet<string>): Expression | null {
  const { subject, paths } = expression
  if (allowed.has(subject.text)) return expression
  const kept = subject.candidates.map((id) => allowed.has(id))
  if (!kept.includes(true)) return null
  return {
    ...expression,
    subject: { ...subject, candidates: subject.candidates.filter((_, at) => kept[at]) },
    paths: paths.filter((_, at) => kept[at])
  }
}

function compileLiquid(text: string): Chain {
  return compileChain(readLiquidChain(text), FILTERS)
}

function compileFootprint(text: string): Chain {
  return compileChain(readFootprintChain(text), FOOTPRINT_FILTERS)
}

const NO_OPTIONS: ParseOptions = {}
