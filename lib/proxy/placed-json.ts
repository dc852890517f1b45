import { type Json, LosslessNumber } from '../json.ts'
import { unfit } from './capture-reading.ts'

export interface Span {
  readonly start: number
  readonly end: number
}

/** A JSON value, and where each part of it stands in its text. */
export interface PlacedJson {
  readonly value: Json
  /** Where the value stands that `holder` has under `key`; without them the root. More than one: the name is there twice. */
  spansOf(node: Json, holder: Json | undefined, key: string | number | undefined): readonly Span[]
}

/**
 * Reads JSON (RFC 8259) from `start` to `end`. Of a name that stands twice in an object the last value counts, and both
 * have their place. Throws ERR_DESTINATION_RESPONSE when it is not well-formed, or nests deeper than DEPTH.
 */
export function readPlacedJson(text: string, start: number, end: number): PlacedJson {
  const reader = new PlacedReader(text, start, end)
  const root = reader.readWhole()
  return {
    value: root.value,
    spansOf: (_node, holder, key) => {
      if (holder === undefined || key === undefined || holder === null || typeof holder !== 'object') return [root.span]
      return reader.places.get(holder)?.get(String(key)) ?? NONE
    }
  }
}

class PlacedReader {
  // :: list or object → key → where its value stands
  readonly places = new Map<object, Map<string, Span[]>>()
  readonly #text: string
  readonly #end: number
  #at: number
  #depth = 0

  constructor(text: string, start: number, end: number) {
    this.#text = text
    this.#at = start
    this.#end = end
  }

  readWhole(): { value: Json; span: Span } {
    const whole = this.#value()
    this.#space()
    if (this.#at !== this.#end) throw malformed()
    return whole
  }

  #value(): { value: Json; span: Span } {
    this.#space()
    const start = this.#at
    const value = this.#bare()
    return { value, span: { start, end: this.#at } }
  }

  #bare(): Json {
    switch (this.#text.charCodeAt(this.#at)) {
      case 0x22:
        return this.#string()
      case 0x7b:
        return this.#nested(() => this.#object())
      case 0x5b:
        return this.#nested(() => this.#list())
      case 0x74:
        return this.#word('true', true)
      case 0x66:
        return this.#word('false', false)
      case 0x6e:
        return this.#word('null', null)
      default:
        return this.#number()
    }
  }

  #nested(read: () => Json): Json {
    if (++this.#depth > DEPTH) throw unfit('its JSON nests too deep')
    const value = read()
    this.#depth--
    return value
  }

  #object(): Json {
    const object: Record<string, Json> = {}
    const places = new Map<string, Span[]>()
    this.places.set(object, places)
    this.#at++
    this.#space()
    if (this.#takes('}')) return object
    for (;;) {
      this.#space()
      if (this.#text[this.#at] !== '"') throw malformed()
      const name = this.#string()
      this.#space()
      if (!this.#takes(':')) throw malformed()
      const { value, span } = this.#value()
      // An own property, whatever its name.
      Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true })
      const known = places.get(name)
      if (known === undefined) places.set(name, [span])
      else {
        known.push(span)
        // No path leads into the first one, and what it holds must not pass unseen.
        if (known.some(({ start }) => '{['.includes(this.#text.charAt(start)))) {
          throw unfit('a name with lists or objects stands twice in one of its objects')
        }
      }
      this.#space()
      if (this.#takes('}')) return object
      if (!this.#takes(',')) throw malformed()
    }
  }

  #list(): Json {
    const list: Json[] = []
    const places = new Map<string, Span[]>()
    this.places.set(list, places)
    this.#at++
    this.#space()
    if (this.#takes(']')) return list
    for (;;) {
      const { value, span } = this.#value()
      places.set(String(list.length), [span])
      list.push(value)
      this.#space()
      if (this.#takes(']')) return list
      if (!this.#takes(',')) throw malformed()
    }
  }

  #string(): string {
    const start = this.#at
    for (let at = start + 1; at < this.#end; at++) {
      const code = this.#text.charCodeAt(at)
      if (code === 0x5c) at++
      else if (code === 0x22) {
        this.#at = at + 1
        try {
          return JSON.parse(this.#text.slice(start, at + 1)) as string
        } catch {
          throw malformed()
        }
      }
    }
    throw malformed()
  }

  #number(): Json {
    NUMBER.lastIndex = this.#at
    const digits = NUMBER.exec(this.#text)?.[0]
    if (digits === undefined || this.#at + digits.length > this.#end) throw malformed()
    this.#at += digits.length
    return String(Number(digits)) === digits ? Number(digits) : new LosslessNumber(digits)
  }

  #word<T extends Json>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw malformed()
    this.#at += word.length
    return value
  }

  #takes(character: string): boolean {
    if (this.#at >= this.#end || this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #space(): void {
    while (this.#at < this.#end && SPACE.has(this.#text.charCodeAt(this.#at))) this.#at++
  }
}

const malformed = () => unfit('it is not well-formed JSON')
const NONE: readonly Span[] = []
const DEPTH = 500
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const SPACE: ReadonlySet<number> = new Set([0x20, 0x09, 0x0a, 0x0d])
