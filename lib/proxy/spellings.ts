import { Buffer } from 'node:buffer'

/** How a value may be written, as text of which each character is a byte. */
export interface Spelling {
  readonly text: string
  readonly edges: Edges
}

/**
 * `plain`: it stands anywhere. `before`, `behind`, `both`: a part of base64, of which the character before or behind holds
 * bits of the value too. `alone`: base64 so short that it counts only when no character of base64 is around it. `grouped`:
 * digits that may have a separator between any two.
 */
export type Edges = 'plain' | 'before' | 'behind' | 'both' | 'alone' | 'grouped'

/**
 * As it is, and escaped once by JSON, URLs, forms and XML (where something is escaped twice, undoing one leaves that); in
 * base64 and hexadecimal; without the separators of a card number.
 */
export function* spellingsOf(value: string): Generator<Spelling> {
  for (const text of escapedOf(value)) yield { text: Buffer.from(text).toString('latin1'), edges: 'plain' }
  const bytes = Buffer.from(value)
  yield* base64Of(bytes)
  if (bytes.length >= LONG_BYTES) {
    const text = bytes.toString('hex')
    yield { text, edges: 'plain' }
    yield { text: text.toUpperCase(), edges: 'plain' }
  }
  if (NUMBER.test(value)) yield { text: value.replace(/\D/g, ''), edges: 'grouped' }
}

function escapedOf(value: string): string[] {
  const json = JSON.stringify(value).slice(1, -1)
  if (UNESCAPED.test(value)) return [value]
  const url = encodeURIComponent(value.replace(/\p{Surrogate}/gu, '\ufffd'))
  return [
    value,
    json,
    json.replaceAll('/', '\\/'),
    // As encoders write it that keep to ASCII.
    json.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
    url,
    url.replaceAll('%20', '+'),
    url.replace(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase()),
    value.replace(/[&<>"']/g, (character) => ENTITIES.get(character) ?? character)
  ]
}

/**
 * How bytes stand in base64 behind any number of others: a character holds six bits, so there are three ways, of which
 * the characters that hold bits of the value alone are looked for. RFC 4648, 4 and 5.
 */
function* base64Of(value: Buffer): Generator<Spelling> {
  if (value.length < LONG_BYTES) {
    yield* bothAlphabets(value.toString('base64').replaceAll('=', ''), 'alone')
    return
  }
  for (let before = 0; before < 3; before++) {
    const [from, to] = [8 * before, 8 * (before + value.length)]
    const whole = Buffer.concat([Buffer.alloc(before), value]).toString('base64')
    const [holdsBefore, holdsBehind] = [from % 6 !== 0, to % 6 !== 0]
    const edges = holdsBefore ? (holdsBehind ? 'both' : 'before') : holdsBehind ? 'behind' : 'plain'
    yield* bothAlphabets(whole.slice(Math.ceil(from / 6), Math.floor(to / 6)), edges)
  }
}

function* bothAlphabets(text: string, edges: Edges): Generator<Spelling> {
  yield { text, edges }
  if (/[+/]/.test(text)) yield { text: text.replaceAll('+', '-').replaceAll('/', '_'), edges }
}

/** Below, a part of base64 or hexadecimal is found where it is not meant. */
const LONG_BYTES = 6
/** Twelve digits or more, in groups perhaps. */
const NUMBER = /^\d(?:[ .-]?\d){11,}$/
/** Nothing that anybody has to escape. */
const UNESCAPED = /^[\w.~-]*$/
const ENTITIES = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;']
])
