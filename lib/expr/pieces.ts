import { limitFault } from './faults.ts'

/** A template cut at its delimiters. */
export interface Piece {
  readonly kind: 'text' | 'output' | 'tag'
  /** Of `text` as it stands; else what is between the delimiters, without white-space control. */
  readonly text: string
}

/**
 * Cuts a template at `{{ }}` and, where tags are allowed, `{% %}`. As in a body, innermost braces win, an opener inside
 * an open expression starts it again, and an opener that is not closed is text. Quotes count after the first `|`; with
 * tags everywhere, since there a text may stand where else the id of a token does.
 * `{{-` and `-%}` and their kin take away white space beside them.
 *
 * @throws ERR_EXPR_LIMIT over TEMPLATE_CHARACTERS
 */
export function cut(source: string, tags: boolean): Piece[] {
  if (source.length > TEMPLATE_CHARACTERS) throw limitFault(`a template of more than ${TEMPLATE_CHARACTERS} characters`)
  const pieces: Piece[] = []
  let from = 0
  let trimNext = false
  const text = (end: number, trimEnd: boolean): void => {
    let literal = source.slice(from, end)
    if (trimNext) literal = literal.trimStart()
    if (trimEnd) literal = literal.trimEnd()
    if (literal !== '') pieces.push({ kind: 'text', text: literal })
  }
  for (let at = opener(source, 0, tags); at >= 0; ) {
    const tag = source[at + 1] === '%'
    const { end, again } = closer(source, at + 2, tag, tags)
    if (end < 0) {
      at = opener(source, again, tags)
      continue
    }
    let inner = source.slice(at + 2, end)
    const trimBefore = tags && inner.startsWith('-')
    if (trimBefore) inner = inner.slice(1)
    text(at, trimBefore)
    trimNext = tags && inner.endsWith('-')
    if (trimNext) inner = inner.slice(0, -1)
    pieces.push({ kind: tag ? 'tag' : 'output', text: inner })
    from = end + 2
    at = opener(source, from, tags)
  }
  text(source.length, false)
  return pieces
}

/** The next opener; of three braces the last two. */
function opener(source: string, start: number, tags: boolean): number {
  for (let at = source.indexOf('{', start); at >= 0; at = source.indexOf('{', at + 1)) {
    if (tags && source[at + 1] === '%') return at
    if (source[at + 1] === '{' && source[at + 2] !== '{') return at
  }
  return -1
}

/** Where the expression or tag that begins here is closed; else -1, and where to look for another opener. */
function closer(source: string, start: number, tag: boolean, quotes: boolean): { end: number; again: number } {
  let quoted = quotes
  for (let at = start; at < source.length; at++) {
    const character = source[at]
    const next = source[at + 1]
    if (next === '}' && character === (tag ? '%' : '}')) return { end: at, again: at }
    if (character === '{' && (next === '{' || (quotes && next === '%'))) return { end: -1, again: at }
    if (character === '|') quoted = true
    else if (quoted && (character === '"' || character === "'")) {
      at = quoteEnd(source, at)
      if (at < 0) break
    }
  }
  return { end: -1, again: start }
}

function quoteEnd(source: string, open: number): number {
  for (let at = open + 1; at < source.length; at++) {
    if (source[at] === '\\') at++
    else if (source[at] === source[open]) return at
  }
  return -1
}

/** The longest template. */
const TEMPLATE_CHARACTERS = 65_536
