/** A JSON structure with expressions in it, and its values in their stead: what `/detokenize` shows a reader. */
import { readStructure } from '../expr/structure.ts'
import type { Json } from '../json.ts'
import type { Caller } from './access.ts'
import type { Purpose, Revealer } from './reveal.ts'

/** The result holds plaintext. Throws ERR_EXPR_*, and as `Vault.reveal`. */
export async function detokenize(
  revealer: Revealer,
  caller: Caller,
  structure: Json,
  purpose: Purpose,
  limit: number
): Promise<Json> {
  const shape = readStructure(structure, 'liquid')
  if (shape.expressions.length === 0) return structure
  const found = await revealer.reveal(
    caller,
    shape.expressions.map(({ subject }) => subject),
    purpose,
    limit
  )
  return shape.fill(found)
}
