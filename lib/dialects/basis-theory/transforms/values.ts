/** What the expressions of transforms see of a call. */
import { compileMessage } from '../../../expr/message-template.ts'
import type { Json } from '../../../json.ts'

/** A variable that an expression draws upon, and the name under it. */
export interface NamedUse {
  readonly variable: string
  readonly name: string
}

/** Everything that the expressions of a structure draw upon. Throws as `compileMessage`. */
export function usesOf(structure: Json): NamedUse[] {
  return compileMessage(structure).references.map(([variable = '', name = '']) => ({
    variable: String(variable),
    name: String(name)
  }))
}
