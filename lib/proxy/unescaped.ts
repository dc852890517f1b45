import { Buffer } from 'node:buffer'

/**
 * Text of which each character is a byte, as it reads when something is undone in it, and where each part of it came from.
 */
export class View {
  readonly text: string
  readonly #under: View | null
  /** Where parts begin, here and in what is under: what was undone, and what follows it unchanged, in turn. */
  readonly #here: readonly number[]
  readonly #there: readonly number[]

  constructor(text: string, under: View | null = null, here: readonly number[] = [], there: readonly number[] = []) {
    this.text = text
    this.#under = under
    this.#here = here
    this.#there = there
  }

  /** Where the character came from, in the text that nothing was undone in. */
  startOf(at: number): number {
    if (this.#under === null) return at
    const part = this.#partOf(at)
    if (part < 0) return this.#under.startOf(at)
    const from = this.#there[part] as number
    return this.#under.startOf(part % 2 === 0 ? from : from + at - (this.#here[part] as number))
  }

  /** The same of the place behind a character: behind all of what was undone to give it. */
  endOf(at: number): number {
    if (this.#under === null) return at
    const part = this.#partOf(at - 1)
    if (part < 0) return this.#under.endOf(at)
    if (part % 2 === 0) return this.#under.endOf(this.#there[part + 1] as number)
    return this.#under.endOf((this.#there[part] as number) + at - (this.#here[part] as number))
  }

  /** The last part that begins at or before a place; -1: before the first. */
  #partOf(at: number): number {
    let low = 0
    let high = this.#here.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#here[middle] as number) <= at) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}

/**
 * Undoes the escapes of JSON strings (RFC 8259, 7), percent-encoding (RFC 3986, 2.1) and the entities of XML (XML 1.0, 4.1
 * and 4.6), in whatever mixture they come; null when there are none. What is no escape stays as it is.
 */
export function unescaped(view: View): View | null {
  return undone(view, ESCAPE, ([, high, low, unit, letter, byte, hex, decimal, name]) => {
    if (high !== undefined && low !== undefined) {
      return utf8(0x10000 + ((Number.parseInt(high, 16) - 0xd800) << 10) + Number.parseInt(low, 16) - 0xdc00)
    }
    if (unit !== undefined) return utf8(Number.parseInt(unit, 16))
    if (letter !== undefined) return SHORT.get(letter) ?? letter
    if (byte !== undefined) return String.fromCharCode(Number.parseInt(byte, 16))
    if (hex !== undefined) return utf8(Number.parseInt(hex, 16))
    if (decimal !== undefined) return utf8(Number.parseInt(decimal, 10))
    return NAMED.get(name ?? '') ?? ''
  })
}

/** Takes out the breaks of lines within what may be base64, as mail folds it (RFC 2045, 6.8); null when there are none. */
export function unfolded(view: View): View | null {
  return view.text.includes('\n') ? undone(view, FOLD, () => '') : null
}

/** Takes out single separators between digits (`+` is a space in a form); null when there are none. */
export function ungrouped(view: View): View | null {
  return undone(view, SEPARATOR, ([digit]) => digit.charAt(0))
}

function undone(view: View, pattern: RegExp, undo: (match: RegExpExecArray) => string): View | null {
  const { text } = view
  const here: number[] = []
  const there: number[] = []
  let out = ''
  let at = 0
  pattern.lastIndex = 0
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    out += text.slice(at, match.index)
    here.push(out.length)
    there.push(match.index)
    out += undo(match)
    at = pattern.lastIndex
    here.push(out.length)
    there.push(at)
  }
  return here.length === 0 ? null : new View(out + text.slice(at), view, here, there)
}

function utf8(code: number): string {
  if (code < 0x80) return String.fromCharCode(code)
  return code > 0x10ffff ? '' : Buffer.from(String.fromCodePoint(code)).toString('latin1')
}

const ESCAPE =
  /\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(["\\/bfnrt]))|%([0-9a-fA-F]{2})|&(?:#(?:[xX]([0-9a-fA-F]{1,8})|([0-9]{1,9}))|(amp|lt|gt|quot|apos));/g
const FOLD = /(?<=[A-Za-z0-9+/_-])\r?\n(?=[A-Za-z0-9+/_-])/g
const SEPARATOR = /\d[ .+-](?=\d)/g
const SHORT: ReadonlyMap<string, string> = new Map([
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t']
])
const NAMED: ReadonlyMap<string, string> = new Map([
  ['amp', '&'],
  ['lt', '<'],
  ['gt', '>'],
  ['quot', '"'],
  ['apos', "'"]
])
