import { inspect } from 'node:util'
import { type Json, parseJson } from './json.ts'

/**
 * The only form in which plaintext exists, from `vault.reveal` to `expr/encode`. Printing one by any of JavaScript's
 * ways gives «redacted», so forgetting is safe; reading it takes a call whose name says so.
 */
export class Secret {
  #text: string
  #value: Json | undefined

  /** @param json The JSON text of the value. */
  constructor(json: string) {
    this.#text = json
  }

  /** The value, parsed once without loss of digits. Shared: the reader must not change it. */
  expose(): Json {
    if (this.#value === undefined) this.#value = parseJson(this.#text)
    return this.#value
  }

  /** The JSON text, as it was stored. */
  exposeText(): string {
    return this.#text
  }

  toString(): string {
    return REDACTED
  }

  toJSON(): string {
    return REDACTED
  }

  [Symbol.toPrimitive](): string {
    return REDACTED
  }

  [inspect.custom](): string {
    return REDACTED
  }
}

const REDACTED = '«redacted»'
