import type { Json } from '../../json.ts'
import { LosslessNumber } from '../../json.ts'
import type { Secret } from '../../secret.ts'

/** Takes the values of a call out of what its code says when it fails. Values of one or two characters stay. */
export class Scrubber {
  readonly #needles = new Set<string>()

  constructor(secrets: readonly Secret[]) {
    for (const secret of secrets) this.addSecret(secret)
  }

  addSecret(secret: Secret): void {
    this.#gather(secret.expose())
  }

  add(values: readonly string[]): void {
    for (const value of values) this.#gather(value)
  }

  /** A text without them. The longest go first, so that no part of one is left. */
  scrub(text: string): string {
    if (this.#needles.size === 0) return text
    const needles = [...this.#needles].sort((a, b) => b.length - a.length)
    let scrubbed = text
    for (const needle of needles) scrubbed = scrubbed.replaceAll(needle, REDACTED)
    return scrubbed
  }

  /** The same of every string and number in a value. */
  scrubAll(value: Json): Json {
    if (typeof value === 'string') return this.scrub(value)
    if (typeof value === 'number') return this.#needles.has(String(value)) ? REDACTED : value
    if (value === null || typeof value === 'boolean') return value
    if (value instanceof LosslessNumber) return this.#needles.has(value.value) ? REDACTED : value
    if (Array.isArray(value)) return value.map((one) => this.scrubAll(one))
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [this.scrub(name), this.scrubAll(one)]))
  }

  #gather(value: Json): void {
    if (value === null || typeof value === 'boolean') return
    if (typeof value === 'object' && !(value instanceof LosslessNumber)) {
      for (const one of Object.values(value)) this.#gather(one)
      return
    }
    const text = typeof value === 'string' ? value : String(value)
    if (text.trim().length < SHORTEST) return
    this.#needles.add(text)
    this.#needles.add(JSON.stringify(text).slice(1, -1))
  }
}

const SHORTEST = 3
const REDACTED = '«redacted»'
