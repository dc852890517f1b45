import type { Plan } from '../plan/plan.ts'
import type { FieldWrite } from '../vault/fields.ts'
import type { Work } from './held-response.ts'
import { applyRules, type ResponseRules } from './response-rules.ts'
import type { Plaintexts } from './scrub.ts'
import { transformedResponse, wholeResponse } from './transformed.ts'

export interface WorkContext {
  /** What was revealed so far: a streamed request goes on while its answer comes. */
  readonly plaintexts: () => Plaintexts | null
  readonly store: (users: readonly string[], writes: readonly FieldWrite[]) => Promise<void>
}

/** What a plan has to do with a response of this status; null: nothing, it passes as it comes. */
export function workFor(plan: Plan<unknown, ResponseRules>, status: number, context: WorkContext): Work | null {
  const { responseRules, transforms, method, limits } = plan
  if (responseRules !== null) return (held) => applyRules(responseRules, held, context.plaintexts(), context.store)
  if (transforms === null || transforms.response === null || status < 200 || status > 299) return null
  const transform = transforms.response
  return async (held) => {
    const made = await transform(wholeResponse(held, method), context.plaintexts() ?? [])
    return transformedResponse(made, method, limits.wholeBodyBytes)
  }
}
