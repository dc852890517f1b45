import type { Json } from '../json.ts'
import type { Secret } from '../secret.ts'
import type { Chain } from './chain.ts'
import type { Expression } from './expression.ts'
import { asValueFault, valueFault } from './faults.ts'
import type { Variables } from './filter.ts'
import { walk } from './keys.ts'
import type { Value } from './value.ts'
import { Work } from './work.ts'

/** What `vault.reveal` found for a subject; the vault implements it. */
export interface Found {
  /** Index into the subject's candidates. */
  readonly candidate: number
  readonly id: string
  readonly data: Secret
  /** The token object `{id, type, data, metadata, containers, …}`. */
  whole(): Secret
}

/**
 * Evaluates an expression: the subject's value, through the chain of filters. Shares structure with the value in
 * `found`: the reader must not change it.
 *
 * @param work Counted work, shared by the evaluations that it is to bound together.
 * @throws ERR_EXPR_VALUE; the offset is added by the caller
 */
export function evaluate(expression: Expression, found: Found, work: Work = new Work()): Json {
  const { subject, paths, chain } = expression
  try {
    const secret = subject.form === 'token' ? found.whole() : found.data
    const keys = paths[found.candidate] ?? []
    const value = secret.expose()
    return runChain(chain, keys.length === 0 ? value : walk(value, keys), work, NO_VARIABLES)
  } catch (thrown) {
    throw asValueFault(thrown)
  }
}

/** Runs a value through a chain. Throws ERR_EXPR_VALUE, and whatever a filter throws. */
export function runChain(chain: Chain, start: Json, work: Work, variables: Variables): Json {
  let value: Value = start
  for (const step of chain.steps) value = step(value, work, variables)
  if (value instanceof Uint8Array) throw valueFault()
  return value
}

const NO_VARIABLES: Variables = {}
