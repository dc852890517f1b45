import type { Call, Argument } from './chain.ts'
import { syntaxFault } from './faults.ts'
import type { Keys } from './keys.ts'
import type { ResolvableSubject } from './subject.ts'

/**
 * Reads a chain of Footprint filter functions, `| name | name(1, "text")`. Arguments are whole numbers and text in
 * either quote; in text `\"`, `\'`, `\\`, `\(`, `\)` and `\,` stand for the second character, any other backslash for
 * itself. Throws ERR_EXPR_SYNTAX.
 */
export function readFootprintChain(text: string): Call[] {
  const calls: Call[] = []
  let at = 0
  while (at < text.length) {
    CALL.lastIndex = at
    const match = CALL.exec(text)
    if (match === null) throw syntaxFault('a filter is missing or malformed')
    at = CALL.lastIndex
    const args: Argument[] = []
    if (match[2] !== undefined) at = readArguments(text, at, args)
    SPACE.lastIndex = at
    SPACE.exec(text)
    at = SPACE.lastIndex
    calls.push({ name: match[1] ?? '', args, named: NONE })
  }
  return calls
}

/** Reads to the closing parenthesis and returns the position after it. */
function readArguments(text: string, start: number, args: Argument[]): number {
  let at = start
  CLOSE.lastIndex = at
  if (CLOSE.test(text)) return CLOSE.lastIndex
  for (;;) {
    ARGUMENT.lastIndex = at
    const match = ARGUMENT.exec(text)
    if (match === null) throw syntaxFault('an argument is malformed, or a string is not closed')
    const [, number, quoted = '', end] = match
    args.push(number === undefined ? quoted.slice(1, -1).replace(ESCAPE, '$1') : Number(number))
    at = ARGUMENT.lastIndex
    if (end === ')') return at
  }
}

/**
 * Reads a Footprint reference: `<fp_id>.<identifier>`, or `<identifier>` of the user that the request names. It is the
 * id of one token; no part of it is a path.
 *
 * @param user The request's user (`x-fp-id`), if it names one. A reference to another is ERR_EXPR_SYNTAX.
 */
export function readReference(written: string, user: string | undefined): ResolvableSubject {
  const text = written.trim()
  const match = REFERENCE.exec(text)
  if (match === null || text.length > ID_CHARACTERS) throw syntaxFault('what stands before the filters is no reference')
  const [, owner] = match
  if (owner === undefined && user === undefined) throw syntaxFault('the reference names no user, nor does the request')
  if (owner !== undefined && user !== undefined && owner !== user) throw syntaxFault('the reference names another user')
  const id = owner === undefined ? `${user}.${text}` : text
  return { subject: { text: id, form: 'data', candidates: [id] }, paths: WHOLE }
}

const NONE: ReadonlyMap<string, Argument> = new Map()
const WHOLE: readonly Keys[] = [[]]
const ID_CHARACTERS = 400
/** User or business, then an identifier of at least two parts. */
const REFERENCE = /^(?:(fp_(?:bid_|id_)[A-Za-z0-9_]+)\.)?(?!fp_)[a-z_]+(?:\.[A-Za-z0-9_-]+)+$/
const CALL = /\|\s*([A-Za-z_][A-Za-z0-9_]*)\s*(\()?/y
const SPACE = /\s*/y
const CLOSE = /\s*\)/y
const ARGUMENT = /\s*(?:(-?\d{1,15})|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'))\s*([,)])/suy
const ESCAPE = /\\(["'\\(),])/g
