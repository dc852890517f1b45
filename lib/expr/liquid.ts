import { type Json, LosslessNumber } from '../json.ts'
import { type Argument, type Call, Reference } from './chain.ts'
import { argumentFault, syntaxFault } from './faults.ts'
import { readKeys } from './keys.ts'
import { TokenKind, Tokenizer } from 'liquidjs'

/**
 * Reads a chain of Liquid filters, `| name: arg, arg | name`, with liquidjs' tokenizer. `json` also takes its path
 * without quotes, up to the next `|` outside brackets.
 *
 * @param variables May arguments be variables? Only in templates; else such an argument is ERR_EXPR_ARGUMENT.
 * @throws ERR_EXPR_SYNTAX, ERR_EXPR_ARGUMENT
 */
export function readLiquidChain(text: string, variables = false): Call[] {
  return readCalls(new Tokenizer(UNQUOTED_PATH.test(text) ? quotePaths(text) : text), variables)
}

/**
 * Reads a value of a template, `operand | filter | filter`.
 *
 * @param keywords Names that may be followed by a colon and a name of their own, `config: key`: what the variable of that
 *   name holds under it
 * @throws ERR_EXPR_SYNTAX, ERR_EXPR_ARGUMENT
 */
export function readLiquidValue(
  text: string,
  keywords: ReadonlySet<string> = NO_KEYWORDS
): { operand: Argument; calls: Call[] } {
  const keyword = keywords.size === 0 ? null : KEYWORD.exec(text)
  if (keyword !== null && keywords.has(keyword[1] as string)) return keywordValue(keyword, text)
  const tokenizer = new Tokenizer(UNQUOTED_PATH.test(text) ? quotePaths(text) : text)
  const operand = readOperand(tokenizer)
  return { operand, calls: readCalls(tokenizer, true) }
}

/** The name may stand in quotes. */
function keywordValue([intro, word]: RegExpExecArray, text: string): { operand: Argument; calls: Call[] } {
  const rest = text.slice(intro.length)
  const isQuoted = rest.startsWith("'") || rest.startsWith('"')
  const pipe = rest.indexOf('|')
  const bare = (pipe < 0 ? rest : rest.slice(0, pipe)).trim()
  const tokenizer = new Tokenizer(isQuoted ? quotePaths(rest) : quotePaths(rest.slice(pipe < 0 ? rest.length : pipe)))
  const name = isQuoted ? readOperand(tokenizer) : bare
  if (typeof name !== 'string' || name === '') throw syntaxFault('a keyword names nothing')
  return { operand: new Reference([word as string, name]), calls: readCalls(tokenizer, true) }
}

/** The operands and operators of a condition, in order. Throws ERR_EXPR_SYNTAX. */
export function readLiquidCondition(text: string): (Argument | Operator)[] {
  const tokenizer = new Tokenizer(text)
  const parts = attempt((): LiquidToken[] => [...tokenizer.readExpressionTokens()])
  if (!tokenizer.end() && tokenizer.remaining().trim() !== '') throw syntaxFault('a condition is malformed')
  return parts.map((part) => (part.kind === TokenKind.Operator ? new Operator(part.getText()) : comparand(part)))
}

/** The values of a `when`, joined by commas or `or`. Throws ERR_EXPR_SYNTAX. */
export function readLiquidList(text: string): Argument[] {
  const tokenizer = new Tokenizer(text)
  const values: Argument[] = []
  for (;;) {
    const token = attempt(() => tokenizer.readValue()) as LiquidToken | undefined
    if (token === undefined) throw syntaxFault('a tag is malformed')
    values.push(comparand(token))
    tokenizer.skipBlank()
    if (tokenizer.end()) return values
    if (tokenizer.peek() === ',') tokenizer.advance()
    else if (tokenizer.readIdentifier().getText() !== 'or') throw syntaxFault('a tag is malformed')
  }
}

/** The head of a loop, `name in list limit: 2 offset: 1 reversed`. Throws ERR_EXPR_SYNTAX. */
export function readLiquidLoop(text: string): LiquidLoop {
  const head = /^\s*([A-Za-z_][\w-]*)\s+in\s/.exec(text)
  if (head === null) throw syntaxFault('a loop is malformed')
  const tokenizer = new Tokenizer(text.slice(head[0].length))
  const token = attempt(() => tokenizer.readValue()) as LiquidToken | undefined
  if (token === undefined) throw syntaxFault('a loop names no list')
  const range = token.kind === TokenKind.Range ? (token as LiquidRange) : null
  const loop: LiquidLoop = {
    name: head[1] ?? '',
    list: range === null ? operandOf(token) : null,
    from: range === null ? null : operandOf(range.lhs),
    to: range === null ? null : operandOf(range.rhs),
    limit: null,
    offset: null,
    reversed: false
  }
  for (const hash of attempt(() => tokenizer.readHashes() as unknown as LiquidHash[])) {
    const name = hash.name.getText()
    if (name === 'reversed' && hash.value === undefined) loop.reversed = true
    else if ((name === 'limit' || name === 'offset') && hash.value !== undefined) loop[name] = operandOf(hash.value)
    else throw syntaxFault('a loop is malformed')
  }
  if (tokenizer.remaining().trim() !== '') throw syntaxFault('a loop is malformed')
  return loop
}

/** An operator of a condition. */
export class Operator {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }
}

/** Over a list, or a range of whole numbers. */
export interface LiquidLoop {
  readonly name: string
  readonly list: Argument
  readonly from: Argument
  readonly to: Argument
  limit: Argument
  offset: Argument
  reversed: boolean
}

function readOperand(tokenizer: Tokenizer): Argument {
  const token = attempt(() => tokenizer.readValue()) as LiquidToken | undefined
  if (token === undefined) throw syntaxFault('an expression has no value')
  return operandOf(token)
}

/** As an operand; `empty` and `blank` stand for what they are compared with. */
function comparand(token: LiquidToken): Argument {
  if (token.kind !== TokenKind.Literal) return operandOf(token)
  if (token.literal === 'empty') return EMPTY
  return token.literal === 'blank' ? BLANK : operandOf(token)
}

function operandOf(token: LiquidToken): Argument {
  if (token.kind === TokenKind.PropertyAccess) {
    const keys = readKeys(`.${token.getText()}`, 0)
    if (typeof keys === 'number') throw syntaxFault('a variable is malformed')
    return new Reference(keys)
  }
  if (token.kind === TokenKind.Quoted) return quoted(token)
  if (token.kind === TokenKind.Number) return numeric(token.getText(), token.content as number)
  if (token.kind === TokenKind.Literal) return LITERALS[token.literal ?? ''] ?? null
  throw syntaxFault('an expression is malformed')
}

function readCalls(tokenizer: Tokenizer, variables: boolean): Call[] {
  const start = tokenizer.p
  const filters = attempt(() => tokenizer.readFilters() as unknown as LiquidFilter[])
  const rest = filters.at(-1)?.end ?? start
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

interface LiquidRange extends LiquidToken {
  readonly lhs: LiquidToken
  readonly rhs: LiquidToken
}

interface LiquidHash {
  readonly name: LiquidToken
  readonly value?: LiquidToken
}

/** liquidjs' own errors quote the text. */
function attempt<T>(read: () => T): T {
  try {
    return read()
  } catch {
    throw syntaxFault('it is malformed')
  }
}

function argument(filter: string, token: LiquidToken, variables: boolean): Argument {
  if (
    !variables &&
    token.kind !== TokenKind.Quoted &&
    token.kind !== TokenKind.Number &&
    token.kind !== TokenKind.Literal
  ) {
    throw argumentFault(filter, 'arguments must be literals')
  }
  return operandOf(token)
}

/** `7.0` stays apart from `7`: dividing by it does not give a whole number. */
function numeric(text: string, value: number): Argument {
  return String(value) === text || !JSON_NUMBER.test(text) ? value : new LosslessNumber(text)
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

/** Equal to any empty text, list or object; known by identity. */
export const EMPTY: Json = Object.freeze({})
/** Equal to what is empty, null, false or white space alone; known by identity. */
export const BLANK: Json = Object.freeze({})

const LITERALS: Readonly<Record<string, Argument>> = {
  true: true,
  false: false,
  nil: null,
  null: null,
  empty: '',
  blank: ''
}
const NO_KEYWORDS: ReadonlySet<string> = new Set()
const KEYWORD = /^\s*([a-z_]+)\s*:\s*/
const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/
const UNQUOTED_PATH = /json\s*:\s*[^\s'"]/
const UNQUOTED_ARGUMENT = /^\s*json\s*:\s*(?=[^\s'"])/
