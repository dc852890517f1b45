import { SluiceError } from '../errors.ts'
import type { Work } from '../expr/work.ts'

/** What a body holds, for one set of rules. */
export interface Reading {
  /** The values that each rule found, as text. */
  readonly found: readonly (readonly string[])[]
  /** The body with `tokens[i]` in the stead of all that rule `i` found. */
  write(tokens: readonly string[]): string
}

/** Reads a body. Throws ERR_DESTINATION_RESPONSE when it is not what its type says, or what was found is no text. */
export type Reader = (body: string, work: Work) => Reading

/** Runs what finds or compiles something for rule `at`, and says so in its error. */
export function ofRule<T>(at: number, run: () => T): T {
  try {
    return run()
  } catch (thrown) {
    if (!(thrown instanceof SluiceError)) throw thrown
    throw new SluiceError(thrown.code, `Rule ${at + 1} for the response: ${thrown.message}`, {
      names: [String(at + 1)],
      ...(thrown.offset === undefined ? {} : { offset: thrown.offset })
    })
  }
}

/** The destination's answer is not what a rule can work with. */
export function unfit(why: string): SluiceError {
  return new SluiceError('ERR_DESTINATION_RESPONSE', `The response cannot be vaulted: ${why}`)
}
