/** `/tokenize` and `/detokenize`. */
import { SluiceError } from '../../errors.ts'
import { formatJson, type Json, LosslessNumber } from '../../json.ts'
import type { ApiAnswer, ApiCall, ApiRoute } from '../../listen/api.ts'
import type { Caller } from '../../vault/access.ts'
import { type TokenView, tokenText } from '../../vault/token-view.ts'
import type { NewToken } from '../../vault/creates.ts'
import type { Vault } from '../../vault/vault.ts'
import { asObject, readBody, readNewToken } from './token-input.ts'
import { requirePermission } from './tokens.ts'

/** @param limit The most tokens that one call may make or reveal. */
export function tokenizeRoutes(vault: Vault, limit: number): ApiRoute[] {
  return [
    { method: 'POST', path: '/tokenize', handler: (call) => tokenize(vault, limit, call) },
    { method: 'POST', path: '/detokenize', handler: (call) => detokenize(vault, limit, call) }
  ]
}

/**
 * An object with `type` and `data` becomes a token object, any other primitive the id of a new token; null stays.
 * All of it or nothing.
 */
async function tokenize(vault: Vault, limit: number, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'token:create')
  return { status: 200, body: await tokenizeValue(vault, limit, call.caller, readBody(call.body), call.traceId) }
}

/**
 * Makes the tokens of a value, and gives the JSON text of what stands in its stead. Throws as `Vault.create`.
 *
 * @param show what of a token is told: by default what the caller may see
 */
export async function tokenizeValue(
  vault: Vault,
  limit: number,
  caller: Caller,
  value: Json,
  traceId: string,
  show: (view: TokenView) => TokenView = asItIs
): Promise<string> {
  const wanted: NewToken[] = []
  const write = gather(value, wanted, '', 0)
  if (wanted.length > limit) throw new SluiceError('ERR_TOKEN_LIMIT', `The request makes more than ${limit} tokens`)
  const views = wanted.length === 0 ? [] : await vault.create(caller, wanted, traceId)
  return write(views.map((view) => ({ id: JSON.stringify(view.id), whole: tokenText(show(view)) })))
}

type Writer = (made: readonly { readonly id: string; readonly whole: string }[]) => string

/** Adds the tokens of a value to `wanted`; the writer gives the JSON text of the answer. */
function gather(value: Json, wanted: NewToken[], path: string, depth: number): Writer {
  if (depth > DEPTH) throw new SluiceError('ERR_INPUT', 'The body is nested too deep')
  if (value === null) return () => 'null'
  if (Array.isArray(value)) {
    const items = value.map((item, at) => gather(item, wanted, `${path}[${at}]`, depth + 1))
    return (made) => `[${items.map((write) => write(made)).join(',')}]`
  }
  const object = asObject(value)
  if (object === null) {
    const at = wanted.push(readNewToken({ data: value })) - 1
    return (made) => made[at]?.id ?? 'null'
  }
  if (Object.hasOwn(object, 'type') && Object.hasOwn(object, 'data')) {
    const at = wanted.push(readAt(object, path)) - 1
    return (made) => made[at]?.whole ?? 'null'
  }
  const entries = Object.entries(object).map(([name, item]) => {
    const write = gather(item ?? null, wanted, path === '' ? name : `${path}.${name}`, depth + 1)
    return [JSON.stringify(name), write] as const
  })
  return (made) => `{${entries.map(([name, write]) => `${name}:${write(made)}`).join(',')}}`
}

/** Faults are named by their path in the whole body. */
function readAt(object: Record<string, Json | undefined>, path: string): NewToken {
  try {
    return readNewToken(object)
  } catch (thrown) {
    if (!(thrown instanceof SluiceError) || thrown.fields === undefined || path === '') throw thrown
    const fields = Object.fromEntries(Object.entries(thrown.fields).map(([name, whys]) => [`${path}.${name}`, whys]))
    throw new SluiceError('ERR_INPUT', thrown.message, { fields })
  }
}

async function detokenize(vault: Vault, limit: number, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'token:read')
  const structure = readBody(call.body)
  if (typeof structure !== 'object' || structure instanceof LosslessNumber) {
    throw new SluiceError('ERR_INPUT', 'The body must be a JSON object or array', {
      fields: { '': ['The body must be a JSON object or array'] }
    })
  }
  const purpose = { door: 'detokenize' as const, destination: null, traceId: call.traceId, reason: null, intent: 0 }
  const { value } = await vault.detokenize(call.caller, structure, purpose, limit)
  const body = formatJson(value)
  if (purpose.intent !== 0) {
    await vault.released()
    vault.outcome(purpose.intent, 'shown')
  }
  return { status: 200, body }
}

const asItIs = (view: TokenView): TokenView => view
const DEPTH = 100
