import { Buffer } from 'node:buffer'
import { type Json, LosslessNumber, numberText } from '../json.ts'
import type { Secret } from '../secret.ts'
import { type Edges, spellingsOf } from './spellings.ts'
import { unescaped, unfolded, ungrouped, View } from './unescaped.ts'

/** What one expression revealed: the token, its data, and the text that left. */
export interface Plaintext {
  readonly id: string
  readonly data: Secret
  readonly text: string
}

export type Plaintexts = Plaintext[]

/**
 * Blanks plaintext wherever it stands in other bytes: as it is; under any mixture of escapes of JSON, URLs, forms and XML; in
 * base64, whatever stands around it there and however its lines are broken, and in hexadecimal; a card number in groups
 * too. In its place stands the id of its token. Values of fewer than three characters are not looked for, in hexadecimal
 * of fewer than six bytes, and in base64 those count only by themselves.
 */
export class Scrubber {
  readonly #plain = new Needles()
  /** What counts only by itself. */
  readonly #alone = new Needles()
  /** What may have separators within it. */
  readonly #grouped = new Needles()
  /** Places that were blanked. */
  count = 0

  constructor(plaintexts: readonly Plaintext[]) {
    for (const { id, data, text } of plaintexts) {
      for (const leaf of leavesOf(data.expose())) this.#add(leaf, id)
      // A whole JSON string left with its quotes: those are not part of the secret.
      this.#add(/^".*"$/s.test(text) ? text.slice(1, -1) : text, id)
    }
  }

  /** Text of which each character is a byte: a header value, or a body in latin1. The same when there is nothing to blank. */
  text(bytes: string): string {
    if (this.#plain.isEmpty) return bytes
    const places: Place[] = []
    const source = new View(bytes)
    // First as it stands: what looks like an escape may be none, or a part of the value.
    this.#look(source, places)
    const plain = unescaped(source)
    if (plain !== null) this.#look(plain, places)
    const joined = unfolded(plain ?? source)
    if (joined !== null) this.#look(joined, places)
    const digits = this.#grouped.isEmpty ? null : ungrouped(plain ?? source)
    if (digits !== null) this.#grouped.find(digits, places)
    if (places.length === 0) return bytes
    const merged = mergedPlaces(places)
    this.count += merged.length
    let out = ''
    let at = 0
    for (const { start, end, id } of merged) {
      out += bytes.slice(at, start) + id
      at = end
    }
    return out + bytes.slice(at)
  }

  body(bytes: Buffer): Buffer {
    if (this.#plain.isEmpty) return bytes
    const text = bytes.toString('latin1')
    const clean = this.text(text)
    return clean === text ? bytes : Buffer.from(clean, 'latin1')
  }

  #add(value: string, id: string): void {
    if (value.length < SHORTEST) return
    for (const { text, edges } of spellingsOf(value)) {
      if (edges === 'grouped') this.#grouped.add(text, id, 'plain')
      const needles = edges === 'alone' ? this.#alone : this.#plain
      needles.add(text, id, edges === 'grouped' ? 'plain' : edges)
    }
  }

  #look(view: View, places: Place[]): void {
    this.#plain.find(view, places)
    this.#alone.find(view, places)
  }
}

/** Texts that are looked for together. */
class Needles {
  // :: spelling → what it is
  readonly #all = new Map<string, { readonly id: string; readonly edges: Edges }>()
  #pattern: RegExp | null = null

  get isEmpty(): boolean {
    return this.#all.size === 0
  }

  /** Of two tokens with the same value the first is named. */
  add(text: string, id: string, edges: Edges): void {
    if (!this.#all.has(text)) this.#all.set(text, { id, edges })
  }

  /** Adds every place, those that overlap too. */
  find(view: View, places: Place[]): void {
    if (this.isEmpty) return
    this.#pattern ??= patternOf([...this.#all.keys()])
    const pattern = this.#pattern
    const { text } = view
    pattern.lastIndex = 0
    for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
      const [found] = match
      const { index } = match
      pattern.lastIndex = index + 1
      const { id = '', edges = 'plain' } = this.#all.get(found) ?? {}
      const end = index + found.length
      const before = edges !== 'plain' && isBase64(text.charCodeAt(index - 1))
      const behind = edges !== 'plain' && isBase64(text.charCodeAt(end))
      if (edges === 'alone' && (before || behind)) continue
      const from = before && (edges === 'before' || edges === 'both') ? index - 1 : index
      const to = behind && (edges === 'behind' || edges === 'both') ? end + 1 : end
      places.push({ start: view.startOf(from), end: view.endOf(to), id })
    }
  }
}

/** A part of the source, and what stands in its stead. */
interface Place {
  readonly start: number
  end: number
  readonly id: string
}

/** In order; those that share bytes are one. */
function mergedPlaces(places: Place[]): Place[] {
  const merged: Place[] = []
  for (const place of places.sort((a, b) => a.start - b.start || b.end - a.end)) {
    const last = merged.at(-1)
    if (last !== undefined && place.start < last.end) last.end = Math.max(last.end, place.end)
    else merged.push(place)
  }
  return merged
}

function* leavesOf(value: Json): Generator<string> {
  if (typeof value === 'string') yield value
  else if (typeof value === 'number' || value instanceof LosslessNumber) yield numberText(value)
  else if (value !== null && typeof value === 'object') {
    for (const inner of Object.values(value)) if (inner !== undefined) yield* leavesOf(inner)
  }
}

/** The longest first: of two that begin alike the whole one goes. Literal text alone: nothing to go back for. */
function patternOf(spellings: readonly string[]): RegExp {
  const ordered = [...spellings].sort((a, b) => b.length - a.length)
  return new RegExp(ordered.map((spelling) => spelling.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')).join('|'), 'g')
}

/** Of either alphabet. RFC 4648, 4 and 5. */
function isBase64(code: number): boolean {
  const lower = code | 0x20
  if ((lower >= 0x61 && lower <= 0x7a) || (code >= 0x30 && code <= 0x39)) return true
  return code === 0x2b || code === 0x2f || code === 0x2d || code === 0x5f
}

const SHORTEST = 3
