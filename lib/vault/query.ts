/** The search language: `field:value`, quotes, ranges, AND OR NOT ! -, parentheses. Pure. */
import { SluiceError } from '../errors.ts'

export type Condition =
  | { readonly kind: 'and' | 'or'; readonly of: readonly Condition[] }
  | { readonly kind: 'not'; readonly of: Condition }
  | { readonly kind: 'term'; readonly field: string; readonly value: string; readonly isPrefix: boolean }
  | {
      readonly kind: 'range'
      readonly field: string
      /** Milliseconds; null: open. */
      readonly from: number | null
      readonly to: number | null
      readonly isInclusive: boolean
    }

/** Parses a query. Throws ERR_INPUT with the position (in characters, from 0) of what it cannot read. */
export function parseQuery(text: string): Condition {
  return new Parser(text).whole()
}

/** The same, of which only one term, or one and a container, will do. */
export function parseSimpleQuery(text: string): Condition {
  const condition = parseQuery(text)
  const terms = condition.kind === 'and' ? condition.of : [condition]
  const plain = terms.every((term) => term.kind === 'term')
  const containers = terms.filter((term) => term.kind === 'term' && term.field === 'container').length
  if (!plain || terms.length > 2 || (terms.length === 2 && containers !== 1)) {
    throw fault('The query must be one term, or one term AND a container', 0)
  }
  return condition
}

class Parser {
  readonly #text: string
  #at = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
  }

  whole(): Condition {
    const condition = this.#or()
    this.#space()
    if (this.#at < this.#text.length) throw fault('Unexpected text', this.#at)
    return condition
  }

  #or(): Condition {
    const of = [this.#and()]
    while (this.#word('OR')) of.push(this.#and())
    return of.length === 1 ? (of[0] as Condition) : { kind: 'or', of }
  }

  #and(): Condition {
    const of = [this.#not()]
    while (this.#word('AND')) of.push(this.#not())
    return of.length === 1 ? (of[0] as Condition) : { kind: 'and', of }
  }

  #not(): Condition {
    if (++this.#depth > DEPTH) throw fault('The query is nested too deep', this.#at)
    this.#space()
    const sign = this.#text[this.#at]
    const negated = sign === '!' || sign === '-'
    if (negated) this.#at++
    const condition = negated || this.#word('NOT') ? ({ kind: 'not', of: this.#not() } as const) : this.#primary()
    this.#depth--
    return condition
  }

  #primary(): Condition {
    this.#space()
    if (this.#text[this.#at] === '(') {
      this.#at++
      const condition = this.#or()
      this.#space()
      if (this.#text[this.#at] !== ')') throw fault('A closing parenthesis is missing', this.#at)
      this.#at++
      return condition
    }
    const start = this.#at
    const field = this.#match(/[A-Za-z_]+(?:\.(?:[^\s:()"]+))?/y)
    if (field === null || this.#text[this.#at] !== ':') throw fault('A field and a colon were expected', this.#at)
    if (!FIELD.test(field)) throw fault(`Unknown field ${field.slice(0, 40)}`, start)
    this.#at++
    return this.#value(field)
  }

  #value(field: string): Condition {
    const start = this.#at
    const opener = this.#text[start]
    if (opener === '[' || opener === '{') return this.#range(field, opener === '[')
    if (opener !== '"') {
      const bare = this.#match(/[^\s()"]+/y)
      if (bare === null) throw fault('A value was expected', start)
      return term(field, bare, start)
    }
    const quoted = this.#match(/"(?:[^"\\]|\\.)*"/y)
    if (quoted === null) throw fault('A closing quote is missing', start)
    return term(field, quoted.slice(1, -1).replace(/\\(.)/g, '$1'), start)
  }

  #range(field: string, isInclusive: boolean): Condition {
    const start = this.#at
    const text = this.#match(isInclusive ? /\[[^\]]*\]/y : /\{[^}]*\}/y)
    const ends = text === null ? null : /^.\s*(\S+)\s+TO\s+(\S+)\s*.$/.exec(text)
    if (ends === null) throw fault('A range is [a TO b] or {a TO b}', start)
    if (field !== 'created_at' && field !== 'modified_at') throw fault('A range needs a date field', start)
    const [from, to] = [ends[1], ends[2]].map((end) => (end === '*' ? null : Date.parse(unquoted(end ?? ''))))
    if (Number.isNaN(from) || Number.isNaN(to)) throw fault('A date of the range is not valid', start)
    return { kind: 'range', field, from: from ?? null, to: to ?? null, isInclusive }
  }

  /** Takes a word that stands alone. */
  #word(word: string): boolean {
    this.#space()
    const after = this.#text[this.#at + word.length]
    if (!this.#text.startsWith(word, this.#at) || (after !== undefined && !/[\s(!-]/.test(after))) return false
    this.#at += word.length
    return true
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (found === null) return null
    this.#at = pattern.lastIndex
    return found[0]
  }

  #space(): void {
    this.#match(/\s*/y)
  }
}

function term(field: string, value: string, at: number): Condition {
  const star = value.indexOf('*')
  if (star < 0 || field !== 'container') return { kind: 'term', field, value, isPrefix: false }
  if (star !== value.length - 1) throw fault('A wildcard may only end a container', at + star)
  return { kind: 'term', field, value: value.slice(0, -1), isPrefix: true }
}

const unquoted = (text: string): string => text.replace(/^"(.*)"$/, '$1')

function fault(why: string, at: number): SluiceError {
  const message = `${why} at position ${at}`
  return new SluiceError('ERR_INPUT', message, { fields: { query: [message] }, offset: at })
}

const FIELD =
  /^(?:id|type|data|fingerprint|container|created_by|created_at|modified_by|modified_at|privacy\.(?:classification|impact_level|restriction_policy)|metadata\..+)$/
const DEPTH = 50
