import { SluiceError } from '../../../errors.ts'
import { type Keys, readKeys } from '../../../expr/keys.ts'
import { formatJson, type Json } from '../../../json.ts'
import { readBody } from '../token-input.ts'

/** What is wrong with a location; null: nothing. It must be a plain path, to one place below the root. */
export function locationFault(location: string): string | null {
  return locationKeys(location) === null ? 'The location must be a path to one place, such as $.a.b or $.list[0]' : null
}

/** The keys of a location; null when it is none. */
export function locationKeys(location: string): Keys | null {
  const path = location.trim()
  const keys = path.startsWith('$') && path.length <= PATH_LENGTH ? readKeys(path, 1) : 0
  return typeof keys === 'number' || keys.length === 0 || keys.length > DEPTH ? null : keys
}

/**
 * JSON text with a value at a place of it: in the stead of what is there, as a new property with the objects that lead to
 * it, or one past the end of a list. All other bytes stay as they are. Of a name that stands twice the last counts.
 *
 * @throws ERR_TRANSFORM when it is no JSON, or the place cannot be
 */
export function appendJson(text: string, keys: Keys, value: Json): string {
  try {
    readBody(text)
  } catch {
    throw unfit('The body is no JSON')
  }
  const cursor = new Cursor(text)
  cursor.space()
  for (const [at, key] of keys.entries()) {
    const place = cursor.find(key)
    if (place.kind === 'insert') return inserted(text, place, key, nested(keys.slice(at + 1), value))
    cursor.at = place.start
    if (at === keys.length - 1) {
      cursor.skip()
      return text.slice(0, place.start) + formatJson(value) + text.slice(cursor.at)
    }
  }
  throw unfit('The location names no place')
}

interface Insert {
  readonly kind: 'insert'
  /** Behind the last member, or behind the opening bracket. */
  readonly at: number
  readonly isFirst: boolean
}

function inserted(text: string, { at, isFirst }: Insert, key: string | number, value: string): string {
  const name = typeof key === 'string' ? `${JSON.stringify(key)}:` : ''
  return `${text.slice(0, at)}${isFirst ? '' : ','}${name}${value}${text.slice(at)}`
}

/** The value under the objects that lead to it. A list cannot be made up. */
function nested(keys: Keys, value: Json): string {
  let text = formatJson(value)
  for (const key of [...keys].reverse()) {
    if (typeof key === 'number') throw unfit('The location leads into a list that is not there')
    text = `{${JSON.stringify(key)}:${text}}`
  }
  return text
}

/** A place in JSON text that is known to be well-formed. */
class Cursor {
  at = 0
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  /** Where the value is that the object or list here has under a key, or where it would go. */
  find(key: string | number): { readonly kind: 'found'; readonly start: number } | Insert {
    const opener = this.#text[this.at]
    const isList = opener === '['
    if (opener !== '{' && !isList) throw unfit('The location leads through a value that is neither object nor list')
    if (isList !== (typeof key === 'number')) throw unfit('The location takes a list for an object, or the reverse')
    const starts: number[] = []
    let found = -1
    let end = ++this.at
    for (this.space(); !this.#closes(); this.space()) {
      if (this.#text[this.at] === ',') {
        this.at++
        this.space()
      }
      const name = isList ? null : this.#name()
      starts.push(this.at)
      if (name !== null && name === key) found = this.at
      this.skip()
      end = this.at
    }
    if (typeof key === 'number') {
      found = starts[key < 0 ? starts.length + key : key] ?? -1
      if (found < 0 && key !== starts.length) throw unfit('The location is beyond the end of a list')
    }
    return found < 0 ? { kind: 'insert', at: end, isFirst: starts.length === 0 } : { kind: 'found', start: found }
  }

  /** Past the value here. */
  skip(): void {
    let depth = 0
    do {
      const character = this.#text[this.at]
      if (character === '"') this.#string()
      else {
        if (character === '{' || character === '[') depth++
        else if (character === '}' || character === ']') depth--
        this.at++
        // A number or word ends at what cannot belong to it.
        if (depth === 0 && character !== '}' && character !== ']') this.#word()
      }
    } while (depth > 0)
  }

  space(): void {
    while (SPACE.has(this.#text.charCodeAt(this.at))) this.at++
  }

  #closes(): boolean {
    const character = this.#text[this.at]
    return character === '}' || character === ']'
  }

  #name(): string {
    const start = this.at
    this.#string()
    const name = JSON.parse(this.#text.slice(start, this.at)) as string
    this.space()
    this.at++
    this.space()
    return name
  }

  #string(): void {
    for (this.at++; this.#text[this.at] !== '"'; this.at++) if (this.#text[this.at] === '\\') this.at++
    this.at++
  }

  #word(): void {
    while (this.at < this.#text.length && !ENDS.has(this.#text.charCodeAt(this.at))) this.at++
  }
}

const unfit = (why: string) => new SluiceError('ERR_TRANSFORM', why)
const PATH_LENGTH = 1000
const DEPTH = 100
const SPACE: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d])
/** White space, comma and the closing brackets. */
const ENDS: ReadonlySet<number> = new Set([...SPACE, 0x2c, 0x5d, 0x7d])
