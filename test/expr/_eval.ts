import { SluiceError } from '../../lib/errors.ts'
import { type EncodeSpot, render } from '../../lib/expr/encode.ts'
import { evaluate, type Found } from '../../lib/expr/evaluate.ts'
import { type Expression, parseExpression } from '../../lib/expr/expression.ts'
import { formatJson, type Json } from '../../lib/json.ts'
import { Secret } from '../../lib/secret.ts'

/** A token `data` that holds this JSON text; `token: data` gives it whole. */
export function token(json: string, expression: Expression): Found {
  return {
    candidate: expression.subject.candidates.indexOf('data'),
    id: 'data',
    data: new Secret(json),
    whole: () => new Secret(`{"id":"data","type":"token","data":${json}}`)
  }
}

/** Evaluates what stands between the delimiters against a token `data`. */
export function run(source: string, value: Json): Json {
  const expression = parseExpression(source, 'liquid')
  return evaluate(expression, token(formatJson(value), expression))
}

/** The same for a value given as JSON text. */
export function runText(source: string, json: string): Json {
  const expression = parseExpression(source, 'liquid')
  return evaluate(expression, token(json, expression))
}

/** Evaluates and encodes for a place. */
export function put(source: string, value: Json, spot: EncodeSpot): string {
  const expression = parseExpression(source, 'liquid')
  return render(expression, token(formatJson(value), expression), spot)
}

/** The code that a call throws; `none` when it returns. */
export function code(call: () => unknown): string {
  try {
    call()
  } catch (thrown) {
    return thrown instanceof SluiceError ? thrown.code : `not ours: ${String(thrown)}`
  }
  return 'none'
}

/** Milliseconds of processor time that a call takes: on a busy machine the clock on the wall says nothing. */
export function cpuMs(call: () => unknown): number {
  const before = process.cpuUsage()
  call()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}
