import { syntaxFault } from './faults.ts'
import { type Keys, readKeys } from './keys.ts'

/** What an expression needs from the vault. */
export interface Subject {
  /** As written, without `token:`. */
  readonly text: string
  /** `data`: a token's data; `token`: the whole token object. */
  readonly form: 'data' | 'token'
  /** Token ids to try, best first. Never empty. */
  readonly candidates: readonly string[]
}

/** A subject, and for each candidate the path from its data to what is meant. */
export interface ResolvableSubject {
  readonly subject: Subject
  readonly paths: readonly Keys[]
}

/**
 * Reads what stands before the first `|`: a token id, `token: <id>`, or an id and a path into its data. The whole text
 * is the first candidate, then its leading parts cut before a `.` or `[`, shortest first, as far as the rest reads as
 * a path. Throws ERR_EXPR_SYNTAX for text that no id can begin.
 */
export function readSubject(written: string): ResolvableSubject {
  let text = written.trim()
  let form: Subject['form'] = 'data'
  if (text.startsWith('token')) {
    const keyword = KEYWORD.exec(text)
    if (keyword !== null) {
      form = 'token'
      text = text.slice(keyword[0].length)
    }
  }
  if (text === '') throw syntaxFault('no token is named')
  // NOTE: `search` by itself costs as much again, and a loop over the characters twice that.
  if (!NOT_PLAIN.test(text)) return plainSubject(text, form)
  return withPaths(text, form, text.search(NOT_PLAIN))
}

/** The same for text that holds nothing but an id. */
export function plainSubject(text: string, form: Subject['form']): ResolvableSubject {
  if (text.length > ID_CHARACTERS) throw syntaxFault(`a token id has at most ${ID_CHARACTERS} characters`)
  return { subject: { text, form, candidates: [text] }, paths: WHOLE }
}

/** The same for text with a `.` or a character that no id may hold. */
function withPaths(text: string, form: Subject['form'], from: number): ResolvableSubject {
  const candidates: string[] = []
  const paths: Keys[] = []
  const illegal = text.search(ILLEGAL)
  if (illegal < 0 && text.length <= ID_CHARACTERS) {
    candidates.push(text)
    paths.push([])
  }
  const last = Math.min(illegal < 0 ? text.length : illegal, ID_CHARACTERS)
  for (let cut = Math.max(from, 1); cut <= last; ) {
    if (text[cut] !== '.' && text[cut] !== '[') {
      cut++
      continue
    }
    const starts: number[] = []
    const keys = readKeys(text, cut, starts)
    if (typeof keys !== 'number') {
      for (let at = 0; at < CUTS && (starts[at] ?? text.length) <= last && at < keys.length; at++) {
        candidates.push(text.slice(0, starts[at]))
        paths.push(keys.slice(at))
      }
      break
    }
    // No cut before the character that does not fit leaves a path behind it.
    cut = Math.max(cut + 1, ~keys)
  }
  if (candidates.length === 0)
    throw syntaxFault('what stands before the filters is neither a token id nor a path into one')
  return { subject: { text, form, candidates }, paths }
}

const WHOLE: readonly Keys[] = [[]]
const KEYWORD = /^token\s*:\s*/
/** Where a path may begin, or what no id may hold. */
const NOT_PLAIN = /[.[\]#/\\+?|&=%<>{}^\p{Cc}]/u
/** What no id may hold, `[` among it. */
const ILLEGAL = /[[\]#/\\+?|&=%<>{}^\p{Cc}]/u
/** The longest token id. */
const ID_CHARACTERS = 400
/** The most places at which a subject is cut. */
const CUTS = 32
