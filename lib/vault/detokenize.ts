/** A JSON structure with expressions in it, and its values in their stead: what `/detokenize` shows a reader. */
import { readStructure } from '../expr/structure.ts'
import type { Json } from '../json.ts'
import type { Secret } from '../secret.ts'
import type { Caller } from './access.ts'
import type { Purpose, RevealSubject } from './purpose.ts'
import type { Revealer } from './reveal.ts'

/** A structure with values in it: plaintext. */
export interface Detokenized {
  readonly value: Json
  /** What it named: to be revealed again, to ask whether it may go to a destination. */
  readonly subjects: readonly RevealSubject[]
  /** The whole data of each. */
  readonly secrets: readonly Secret[]
}

/** Throws ERR_EXPR_*, and as `Vault.reveal`. */
export async function detokenize(
  revealer: Revealer,
  caller: Caller,
  structure: Json,
  purpose: Purpose,
  limit: number
): Promise<Detokenized> {
  const shape = readStructure(structure, 'liquid')
  if (shape.expressions.length === 0) return { value: structure, subjects: [], secrets: [] }
  const subjects = shape.expressions.map(({ subject }) => subject)
  const found = await revealer.reveal(caller, subjects, purpose, limit)
  return { value: shape.fill(found), subjects, secrets: found.map(({ data }) => data) }
}
