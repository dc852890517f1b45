import { RE2JS } from 're2js'

/** What is wrong with the expression of a mask; null: nothing. */
export function expressionFault(expression: string): string | null {
  if (expression === '') return 'The expression is required'
  if (expression.length > EXPRESSION_LENGTH) return `The expression must have at most ${EXPRESSION_LENGTH} characters`
  try {
    const pattern = RE2JS.compile(expression)
    if (pattern.groupCount() === 0) return 'The expression must have at least one capture group'
    return pattern.programSize() > PROGRAM_SIZE ? 'The expression is too large' : null
  } catch {
    return 'The expression does not parse: RE2 is the syntax, without lookaround and back-references'
  }
}

const EXPRESSION_LENGTH = 1000
/** Instructions: what a character may cost at most. */
const PROGRAM_SIZE = 2000
