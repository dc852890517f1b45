import { type Json, LosslessNumber, numberText } from '../json.ts'
import type { Secret } from '../secret.ts'

/** What one expression revealed: the token, its data, and the text that left. */
export interface Plaintext {
  readonly id: string
  readonly data: Secret
  readonly text: string
}

export type Plaintexts = Plaintext[]

/**
 * Blanks plaintext wherever it stands in other bytes: as it is, and in the spellings of JSON, URLs, forms and XML. In its
 * place stands the id of its token. Values of fewer than three characters are not looked for.
 */
export class Scrubber {
  readonly #pattern: RegExp | null
  // :: spelling, one character for each byte → what stands in its stead
  readonly #instead = new Map<string, string>()
  /** Places that were blanked. */
  count = 0

  constructor(plaintexts: readonly Plaintext[]) {
    for (const { id, data, text } of plaintexts) {
      for (const leaf of leavesOf(data.expose())) this.#add(leaf, id)
      // A whole JSON string left with its quotes: those are not part of the secret.
      this.#add(/^".*"$/s.test(text) ? text.slice(1, -1) : text, id)
    }
    this.#pattern = patternOf([...this.#instead.keys()])
  }

  /** Text of which each character is a byte: a header value, or a body in latin1. */
  text(bytes: string): string {
    if (this.#pattern === null) return bytes
    return bytes.replace(this.#pattern, (found) => {
      this.count++
      return this.#instead.get(found) ?? ''
    })
  }

  body(bytes: Buffer): Buffer {
    if (this.#pattern === null) return bytes
    return Buffer.from(this.text(bytes.toString('latin1')), 'latin1')
  }

  #add(value: string, id: string): void {
    if (value.length < SHORTEST) return
    for (const spelling of spellingsOf(value)) {
      const bytes = Buffer.from(spelling).toString('latin1')
      if (!this.#instead.has(bytes)) this.#instead.set(bytes, id)
    }
  }
}

function* leavesOf(value: Json): Generator<string> {
  if (typeof value === 'string') yield value
  else if (typeof value === 'number' || value instanceof LosslessNumber) yield numberText(value)
  else if (value !== null && typeof value === 'object') {
    for (const inner of Object.values(value)) if (inner !== undefined) yield* leavesOf(inner)
  }
}

function spellingsOf(value: string): Set<string> {
  const json = JSON.stringify(value).slice(1, -1)
  const url = encodeURIComponent(value.replace(/\p{Surrogate}/gu, '\ufffd'))
  return new Set([
    value,
    json,
    json.replaceAll('/', '\\/'),
    // As encoders write it that keep to ASCII.
    json.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
    url,
    url.replaceAll('%20', '+'),
    url.replace(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase()),
    xml(value)
  ])
}

const xml = (value: string): string => value.replace(/[&<>"']/g, (character) => ENTITIES.get(character) ?? character)

/** The longest first: of two that begin alike the whole one goes. Literal text alone: nothing to go back for. */
function patternOf(spellings: readonly string[]): RegExp | null {
  if (spellings.length === 0) return null
  const ordered = [...spellings].sort((a, b) => b.length - a.length)
  return new RegExp(ordered.map((spelling) => spelling.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')).join('|'), 'g')
}

const SHORTEST = 3
const ENTITIES = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;']
])
