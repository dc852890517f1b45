import { TokenKind, Tokenizer } from 'liquidjs'
import { LosslessNumber } from '../json.ts'
import { type Argument, type Call, Reference } from './chain.ts'
import { argumentFault, syntaxFault } from './faults.ts'
import { readKeys } from './keys.ts'

/**
 * Reads a chain of Liquid filters, `| name: arg, arg | name`, with liquidjs' tokenizer. `json` also takes its path
 * without quotes, up to the next `|` outside brackets.
 *
 * @param variables May arguments be variables? Only in templates; else such an argument is ERR_EXPR_ARGUMENT.
 * @throws ERR_EXPR_SYNTAX, ERR_EXPR_ARGUMENT
 */
export function readLiquidChain(text: string, variables = false): Call[] {
  const tokenizer = new Tokenizer(UNQUOTED_PATH.test(text) ? quotePaths(text) : text)
  const filters = tokenize(tokenizer)
  const rest = filters.at(-1)?.end ?? 0
  if (tokenizer.input.slice(rest).trim() !== '') throw syntaxFault('a filter is missing or malformed')
  return filters.map(({ name, args }) => {
    const positional: Argument[] = []
    const named = new Map<string, Argument>()
    for (const arg of args) {
      if (Array.isArray(arg)) named.set(arg[0], arg[1] === undefined ? true : argument(name, arg[1], variables))
      else positional.push(argument(name, arg, variables))
    }
    return { name, args: positional, named }
  })
}

/** What this room needs of liquidjs' tokens. */
interface LiquidToken {
  readonly kind: number
  readonly content?: unknown
  readonly literal?: string
  getText(): string
}

interface LiquidFilter {
  readonly name: string
  readonly args: readonly (LiquidToken | [string, LiquidToken | undefined])[]
  readonly end: number
}

function tokenize(tokenizer: Tokenizer): LiquidFilter[] {
  try {
    return tokenizer.readFilters() as unknown as LiquidFilter[]
  } catch {
    throw syntaxFault('a filter is malformed')
  }
}

function argument(filter: string, token: LiquidToken, variables: boolean): Argument {
  if (token.kind === TokenKind.Quoted) return quoted(token)
  if (token.kind === TokenKind.Number) return numeric(token.getText(), token.content as number)
  if (token.kind === TokenKind.Literal) return LITERALS[token.literal ?? ''] ?? null
  if (variables && token.kind === TokenKind.PropertyAccess) {
    const keys = readKeys(`.${token.getText()}`, 0)
    if (typeof keys !== 'number') return new Reference(keys)
  }
  throw argumentFault(filter, variables ? 'an argument is malformed' : 'arguments must be literals')
}

/** `7.0` stays apart from `7`: dividing by it does not give a whole number. */
function numeric(text: string, value: number): Argument {
  return String(value) === text ? value : new LosslessNumber(text)
}

/** liquidjs takes a string that never ends as one that does. */
function quoted(token: LiquidToken): string {
  const text = token.getText()
  const last = text.length - 1
  let backslashes = 0
  while (text[last - 1 - backslashes] === '\\') backslashes++
  if (last < 1 || text[last] !== text[0] || backslashes % 2 === 1) throw syntaxFault('a string is not closed')
  return token.content as string
}

/** Puts quotes around paths that have none. */
function quotePaths(text: string): string {
  let out = ''
  let from = 0
  for (const segment of segments(text)) {
    const intro = UNQUOTED_ARGUMENT.exec(segment.text)?.[0]
    if (intro !== undefined) {
      const path = segment.text.slice(intro.length).trim()
      out += `${text.slice(from, segment.start)}${intro}'${path.replace(/[\\']/g, '\\$&')}'`
      from = segment.end
    }
  }
  return out + text.slice(from)
}

/** The pieces between the `|` that stand outside quotes and brackets. */
function segments(text: string): { text: string; start: number; end: number }[] {
  const found: { text: string; start: number; end: number }[] = []
  let start = 0
  let quote = ''
  let depth = 0
  for (let at = 0; at <= text.length; at++) {
    const character = text[at] ?? '|'
    if (at === text.length || (character === '|' && quote === '' && depth === 0)) {
      found.push({ text: text.slice(start, at), start, end: at })
      start = at + 1
    } else if (quote !== '') {
      if (character === '\\') at++
      else if (character === quote) quote = ''
    } else if (character === '"' || character === "'") quote = character
    else if (character === '[') depth++
    else if (character === ']' && depth > 0) depth--
  }
  return found
}

const LITERALS: Readonly<Record<string, Argument>> = {
  true: true,
  false: false,
  nil: null,
  null: null,
  empty: '',
  blank: ''
}
const UNQUOTED_PATH = /json\s*:\s*[^\s'"]/
const UNQUOTED_ARGUMENT = /^\s*json\s*:\s*(?=[^\s'"])/
