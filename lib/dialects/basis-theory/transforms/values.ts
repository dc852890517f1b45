/** What the expressions of transforms see of a call. */
import { SluiceError } from '../../../errors.ts'
import { compileMessage, type MessageTemplate } from '../../../expr/message-template.ts'
import type { Json } from '../../../json.ts'
import { fieldValue } from '../../../plan/headers.ts'
import { readBody } from '../token-input.ts'
import type { TransformRun } from './run.ts'

/** A variable that an expression draws upon, and the name under it. */
export interface NamedUse {
  readonly variable: string
  readonly name: string
}

/** A message on its way. */
export interface Passing {
  readonly side: 'request' | 'response'
  fields: readonly string[]
  body: Buffer
}

/** Everything that the expressions of a structure draw upon. Throws as `compileMessage`. */
export function usesOf(structure: Json): NamedUse[] {
  return compileMessage(structure).references.map(([variable = '', name = '']) => ({
    variable: String(variable),
    name: String(name)
  }))
}

/**
 * A template with the values of a call:
 *
 * - `req`, `res`: the body of the request and of the response, as they are at that step: a value when it is JSON
 * - `config: key`; `proxy.config`, `proxy.request.headers`, `proxy.request.body` (its text), `.method`, `.path`, `.query`
 * - `transform_identifier: 'name'`, `tokenize_transform: 'name'`: what an earlier step made
 *
 * @throws ERR_TRANSFORM when the configuration has no such key, and ERR_EXPR_VALUE
 */
export function fill(template: MessageTemplate, message: Passing, run: TransformRun): Json {
  const drawn = new Set(template.references.map(([variable]) => variable))
  for (const [variable, second, third] of template.references) {
    const key = variable === 'config' ? second : variable === 'proxy' && second === 'config' ? third : undefined
    if (key !== undefined && !Object.hasOwn(run.configuration, key)) {
      throw new SluiceError('ERR_TRANSFORM', 'An expression names a key that the configuration of the proxy has not')
    }
  }
  const request = message.side === 'request' ? message : run.request
  const results = Object.fromEntries(run.results)
  return template.render({
    config: { ...run.configuration },
    transform_identifier: results,
    tokenize_transform: results,
    ...(drawn.has('req') && request !== null ? { req: valueOf(request) } : {}),
    ...(drawn.has('res') ? { res: valueOf(message) } : {}),
    ...(drawn.has('proxy') ? { proxy: proxyOf(request, run) } : {})
  })
}

/** Does it draw upon what the call sent? */
export function drawsUponRequest(template: MessageTemplate): boolean {
  return template.references.some(
    ([variable, name]) => variable === 'req' || (variable === 'proxy' && name !== 'config')
  )
}

type Message = Pick<Passing, 'fields' | 'body'>

/** A body as a value: parsed when it is JSON, else its text. */
export function valueOf({ fields, body }: Message): Json {
  const text = body.toString()
  const type = fieldValue(fields, 'content-type')
  if (type === undefined ? /^\s*[[{]/.test(text) : JSON_TYPE.test(type)) {
    try {
      return readBody(text)
    } catch {}
  }
  return text
}

function proxyOf(request: Message | null, { call }: TransformRun): Json {
  const { method, path, query, configuration } = call
  const config = { ...configuration }
  if (request === null) return { config }
  return { config, request: { method, path, query, headers: headersOf(request.fields), body: request.body.toString() } }
}

/** By the names as they came, in lower case, and As-Is-Usual. */
function headersOf(fields: readonly string[]): Json {
  const headers = new Map<string, string>()
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    const lower = name.toLowerCase()
    const value = Buffer.from(fields[at + 1] as string, 'latin1').toString()
    const joined = headers.has(lower) ? `${headers.get(lower)}, ${value}` : value
    for (const spelling of [name, lower, lower.replace(/(?<![a-z0-9])[a-z]/g, (letter) => letter.toUpperCase())]) {
      headers.set(spelling, joined)
    }
  }
  return Object.fromEntries(headers)
}

const JSON_TYPE = /^[^;]*[/+]json\s*(?:;|$)/i
