import { type ErrorCode, SluiceError } from '../errors.ts'

/**
 * The errors of this room. A text names filters, positions and limits; never a value, nor the caller's text beyond the
 * name of a filter. The offset of the expression is added by whoever knows it.
 */

/** ERR_EXPR_SYNTAX: the expression does not parse. */
export function syntaxFault(why: string): SluiceError {
  return new SluiceError('ERR_EXPR_SYNTAX', `The expression does not parse: ${why}`)
}

/** ERR_EXPR_FILTER: there is no filter of that name in this grammar. */
export function filterFault(name: string): SluiceError {
  const shown = printable(name)
  return new SluiceError('ERR_EXPR_FILTER', `There is no filter ${shown}`, { names: [shown] })
}

/** ERR_EXPR_ARGUMENT: wrong number or type of arguments, or an argument that the filter refuses whatever the value. */
export function argumentFault(filter: string, why: string): SluiceError {
  return named('ERR_EXPR_ARGUMENT', filter, why)
}

/** ERR_EXPR_PATH: a path that does not parse; `position` counts characters of the path from 0. */
export function pathFault(filter: string, position: number | null): SluiceError {
  return named(
    'ERR_EXPR_PATH',
    filter,
    position === null ? 'the path is wrong' : `the path is wrong at character ${position}`
  )
}

/** ERR_EXPR_LIMIT: too large whatever the value. */
export function limitFault(why: string): SluiceError {
  return new SluiceError('ERR_EXPR_LIMIT', `The expression is over a limit: ${why}`)
}

/**
 * ERR_EXPR_VALUE: every failure that depends on the value, with one text: which of them it was would tell something
 * about the value.
 */
export function valueFault(cause?: unknown): SluiceError {
  return new SluiceError('ERR_EXPR_VALUE', VALUE_TEXT, cause === undefined ? {} : { cause: nameOnly(cause) })
}

/** Any thrown thing as one of the codes above: what is not ours already is a filter's failure on this value. */
export function asValueFault(thrown: unknown): SluiceError {
  return thrown instanceof SluiceError ? thrown : valueFault(thrown)
}

function named(code: ErrorCode, filter: string, why: string): SluiceError {
  const shown = printable(filter)
  return new SluiceError(code, `Filter ${shown}: ${why}`, { names: [shown] })
}

/** Names of filters are the only text of a caller that is repeated: letters, digits, `_` and `-`, at most 64. */
function printable(name: string): string {
  return name.replace(/[^A-Za-z0-9_-]/g, '?').slice(0, 64)
}

/** The class of an error without its message, which may quote the value. */
function nameOnly(thrown: unknown): string {
  return thrown instanceof Error ? thrown.name : typeof thrown
}

const VALUE_TEXT =
  'The expression cannot be evaluated for this value: a filter does not take it, a path does not yield exactly one result, or the result is too large'
