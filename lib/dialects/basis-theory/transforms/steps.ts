/** One step of a stored proxy's transforms, made ready once for all calls. */
import { compileMessage, type MessageTemplate } from '../../../expr/message-template.ts'
import type { Keys } from '../../../expr/keys.ts'
import { unreachable } from '../../../errors.ts'
import { asObject, type JsonObject } from '../token-input.ts'
import { locationKeys } from './append-json.ts'
import type { Transform } from './documents.ts'
import { compileMask, type Mask } from './mask.ts'

export type Step =
  | { readonly kind: 'code'; readonly code: string }
  | { readonly kind: 'mask'; readonly mask: Mask }
  /** Made in one write. */
  | { readonly kind: 'tokenize'; readonly tokens: readonly TokenStep[] }
  | { readonly kind: 'append_json'; readonly value: MessageTemplate; readonly keys: Keys }
  | { readonly kind: 'append_text'; readonly value: MessageTemplate }
  | { readonly kind: 'append_header'; readonly value: MessageTemplate; readonly name: string }

export interface TokenStep {
  readonly identifier: string | null
  /** What of the token draws upon the message: `{data, metadata}`. */
  readonly filled: MessageTemplate
  /** All else of it. */
  readonly rest: JsonObject
}

/** The steps of one side. Throws what reading the document would have found. */
export function compileSteps(transforms: readonly Transform[]): Step[] {
  const steps: Step[] = []
  for (const transform of transforms) {
    const step = compileStep(transform)
    const before = steps.at(-1)
    if (step.kind === 'tokenize' && before?.kind === 'tokenize' && !drawsUpon(step, before)) {
      steps[steps.length - 1] = { kind: 'tokenize', tokens: [...before.tokens, ...step.tokens] }
    } else steps.push(step)
  }
  return steps
}

/** Templates of a step. */
export function templatesOf(step: Step): MessageTemplate[] {
  if (step.kind === 'tokenize') return step.tokens.map(({ filled }) => filled)
  return 'value' in step ? [step.value] : []
}

function compileStep(transform: Transform): Step {
  switch (transform.type) {
    case 'code':
      return { kind: 'code', code: transform.code }
    case 'mask':
      return { kind: 'mask', mask: compileMask(transform.expression, transform.replacement) }
    case 'tokenize': {
      const { data = null, metadata = null, ...rest } = asObject(transform.token) ?? {}
      const filled = compileMessage({ data, metadata })
      return { kind: 'tokenize', tokens: [{ identifier: transform.identifier, filled, rest }] }
    }
    case 'append_json': {
      const keys = locationKeys(transform.location)
      if (keys === null) return unreachable('a location that was read is none')
      return { kind: 'append_json', value: compileMessage(transform.value), keys }
    }
    case 'append_text':
      return { kind: 'append_text', value: compileMessage(transform.value) }
    case 'append_header':
      return { kind: 'append_header', value: compileMessage(transform.value), name: transform.location }
  }
}

/** Does a token need what the ones before it have made? */
function drawsUpon(step: Step, before: { readonly tokens: readonly TokenStep[] }): boolean {
  const made = new Set(before.tokens.map(({ identifier }) => identifier))
  return templatesOf(step).some(({ references }) =>
    references.some(([variable, name]) => RESULTS.has(String(variable)) && typeof name === 'string' && made.has(name))
  )
}

const RESULTS: ReadonlySet<string> = new Set(['transform_identifier', 'tokenize_transform'])
