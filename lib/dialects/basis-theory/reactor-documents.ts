/** Reactors and formulas: what a body says, what is stored, what is shown. */
import { type Json, LosslessNumber } from '../../json.ts'
import { type JsonObject, asObject, type Faults } from './token-input.ts'
import { showConfiguration, type Stamped, showStamp, type Stored } from './stored-documents.ts'

export type ValueType = 'string' | 'number' | 'boolean'

/** A declared setting or argument. */
export interface Parameter {
  /** Of an argument: a path of names with dots. */
  readonly name: string
  readonly description: string
  readonly type: ValueType
  readonly optional: boolean
}

export interface Formula extends Stamped {
  readonly kind: 'formula'
  readonly description: string
  readonly type: string
  readonly icon: string
  readonly code: string
  readonly configuration: readonly Parameter[]
  readonly request_parameters: readonly Parameter[]
}

export interface Reactor extends Stamped {
  readonly kind: 'reactor'
  /** null: the formula's. */
  readonly code: string | null
  readonly formula: string | null
  readonly application: string | null
  readonly configuration: Readonly<Record<string, string>>
}

export function readCode(value: Json | undefined, faults: Faults): string {
  if (typeof value === 'string' && value.trim() !== '' && value.length <= CODE_LENGTH) return value
  faults.add('code', `The code must have 1 to ${CODE_LENGTH} characters`)
  return ''
}

export function readParameters(value: Json | undefined, field: string, faults: Faults): Parameter[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value) || value.length > 25) {
    faults.add(field, 'A list of at most 25 was expected')
    return []
  }
  return value.map((item, at) => {
    const given = asObject(item) ?? {}
    const name = typeof given.name === 'string' ? given.name : ''
    if (name.length > 200 || !PARAMETER_NAME.test(name))
      faults.add(`${field}[${at}].name`, 'A name of at most 200 characters was expected')
    const type = given.type === 'number' || given.type === 'boolean' ? given.type : 'string'
    if (type !== given.type && given.type !== 'string')
      faults.add(`${field}[${at}].type`, 'The type must be string, number or boolean')
    const description = typeof given.description === 'string' ? given.description : ''
    return { name, description, type, optional: given.optional === true }
  })
}

/** Says of every setting that a formula asks for and that is missing or not of its type. */
export function checkConfiguration(
  formula: Formula,
  configuration: Readonly<Record<string, string>>,
  faults: Faults
): void {
  for (const { name, type } of formula.configuration) {
    const value = Object.hasOwn(configuration, name) ? configuration[name] : undefined
    if (value === undefined) faults.add(`configuration.${name}`, 'The formula asks for this value')
    else if (cast(value, type) === undefined) faults.add(`configuration.${name}`, `The value must be a ${type}`)
  }
}

/** A configuration as code sees it: with the types that its formula says. */
export function configurationFor(formula: Formula | null, configuration: Readonly<Record<string, string>>): JsonObject {
  const typed: JsonObject = { ...configuration }
  for (const { name, type } of formula?.configuration ?? []) {
    const value = Object.hasOwn(configuration, name) ? configuration[name] : undefined
    if (value !== undefined) typed[name] = cast(value, type) ?? value
  }
  return typed
}

/**
 * Arguments with the types that are declared: `"123"` for a number becomes 123. What is not declared stays. Every
 * argument that is missing or does not fit is named in `faults`, without its value.
 */
export function castArguments(args: Json, parameters: readonly Parameter[], faults: Faults): Json {
  let result = args
  for (const { name, type, optional } of parameters) {
    const path = name.split('.')
    const value = at(result, path)
    if (value === undefined || value === null) {
      if (!optional) faults.add(`args.${name}`, `The ${name} argument is required`)
      continue
    }
    const fitting = cast(value, type)
    if (fitting === undefined) faults.add(`args.${name}`, `The ${name} argument must be a ${type}`)
    else if (fitting !== value) result = put(result, path, fitting)
  }
  return result
}

function at(value: Json | undefined, path: readonly string[]): Json | undefined {
  for (const name of path) {
    const object = asObject(value)
    if (object === null || !Object.hasOwn(object, name)) return undefined
    value = object[name]
  }
  return value
}

function put(value: Json | undefined, path: readonly string[], leaf: Json): Json {
  const [name, ...rest] = path
  if (name === undefined) return leaf
  const object = asObject(value) ?? {}
  const entries = Object.entries(object).map(([key, one]) => [key, key === name ? put(one, rest, leaf) : one] as const)
  return Object.fromEntries(entries) as Json
}

/** undefined: it does not fit. */
function cast(value: Json, type: ValueType): Json | undefined {
  const isNumber = typeof value === 'number' || value instanceof LosslessNumber
  switch (type) {
    case 'string':
      if (typeof value === 'string') return value
      return isNumber || typeof value === 'boolean' ? String(value) : undefined
    case 'number':
      if (isNumber) return value
      return typeof value === 'string' && NUMBER.test(value) ? Number(value) : undefined
    case 'boolean':
      if (typeof value === 'boolean') return value
      return value === 'true' ? true : value === 'false' ? false : undefined
  }
}

export function showFormula({ id, document }: Stored<Formula>, tenant: string): object {
  const { name, description, type, icon, code, configuration, request_parameters } = document
  return {
    id,
    tenant_id: tenant,
    name,
    description,
    type,
    status: 'verified',
    icon,
    code,
    configuration: configuration.map(({ name, description, type }) => ({ name, description, type })),
    request_parameters,
    ...showStamp(document)
  }
}

export function showReactor({ id, document }: Stored<Reactor>, tenant: string, formula: object | null): object {
  const { name, code, application, configuration } = document
  return {
    id,
    tenant_id: tenant,
    name,
    ...(formula === null ? { code } : { formula }),
    ...(application === null ? {} : { application: { id: application }, application_id: application }),
    configuration: showConfiguration(configuration),
    ...showStamp(document)
  }
}

const CODE_LENGTH = 50_000
const PARAMETER_NAME = /^[^.]+(?:\.[^.]+){0,9}$/
const NUMBER = /^\s*[-+]?(?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})(?:e[-+]?\d{1,2})?\s*$/i
