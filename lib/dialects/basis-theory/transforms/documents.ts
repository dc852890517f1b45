/** The transforms of a stored proxy: what a body says, what is stored, what is shown. `spec/basis-theory.md` B.4. */
import { SluiceError } from '../../../errors.ts'
import type { Json } from '../../../json.ts'
import { asObject, type Faults, type JsonObject, readNewToken } from '../token-input.ts'
import { headerNameFault } from './append-header.ts'
import { locationFault } from './append-json.ts'
import { expressionFault } from './mask.ts'
import { type NamedUse, usesOf } from './values.ts'

export type Transform =
  | { readonly type: 'code'; readonly code: string }
  | {
      readonly type: 'mask'
      readonly matcher: 'regex' | 'chase_stratus_pan'
      /** With at least one group; null for the other matcher. */
      readonly expression: string | null
      /** One UTF-16 unit. */
      readonly replacement: string
    }
  | { readonly type: 'tokenize'; readonly identifier: string | null; readonly token: Json }
  | { readonly type: 'append_json'; readonly value: Json; readonly location: string }
  | { readonly type: 'append_text'; readonly value: string }
  | { readonly type: 'append_header'; readonly value: string; readonly location: string }

export type Side = 'request' | 'response'

/**
 * Reads `request_transform` or `request_transforms` (or the response's) of a body. Both are a fault, unless they say the
 * same: what was shown can be written back. Every fault is named by its path. A result may be used by later steps, and
 * those of a request by the response's too.
 */
export function readTransforms(body: JsonObject, side: Side, faults: Faults): readonly Transform[] {
  const [one, many] = [body[`${side}_transform`], body[`${side}_transforms`]]
  if (isGiven(one) && isGiven(many) && !isSame(one, many)) {
    faults.add(`${side}_transform`, `Give ${side}_transform or ${side}_transforms, not both`)
    return []
  }
  const given = isGiven(many) ? many : isGiven(one) ? [one] : []
  if (!Array.isArray(given) || given.length > STEPS) {
    faults.add(`${side}_transforms`, `A list of at most ${STEPS} transforms was expected`)
    return []
  }
  const pathOf = (at: number) => (isGiven(many) ? `${side}_transforms[${at}]` : `${side}_transform`)
  const known = new Set(side === 'response' ? identifiersOf(body) : [])
  const read: Transform[] = []
  for (const [at, item] of given.entries()) {
    const reading = new Reading(asObject(item) ?? {}, pathOf(at), side, known, faults)
    const transform = asObject(item) === null ? null : reading.transform()
    if (asObject(item) === null) faults.add(pathOf(at), 'An object was expected')
    if (transform === null) continue
    if (transform.type === 'code' && read.some(({ type }) => type === 'code')) {
      faults.add(`${pathOf(at)}.type`, 'A list holds one code transform at most')
    }
    if (transform.type === 'tokenize' && transform.identifier !== null) known.add(transform.identifier)
    read.push(transform)
  }
  return read
}

/** The members that a shown proxy has for its transforms: a list, and when it is a list of one that one by itself too. */
export function showTransforms(transforms: readonly Transform[], side: Side): object {
  if (transforms.length === 0) return {}
  const shown = transforms.map(showTransform)
  return { ...(shown.length === 1 ? { [`${side}_transform`]: shown[0] } : {}), [`${side}_transforms`]: shown }
}

function showTransform(transform: Transform): object {
  switch (transform.type) {
    case 'code':
      return transform
    case 'mask': {
      const { type, matcher, expression, replacement } = transform
      return { type, matcher, ...(expression === null ? {} : { expression }), replacement }
    }
    case 'tokenize': {
      const { type, identifier, token } = transform
      return { type, options: { ...(identifier === null ? {} : { identifier }), token } }
    }
    default: {
      const { type, ...options } = transform
      return { type, options }
    }
  }
}

/** Reads one transform. */
class Reading {
  readonly #given: JsonObject
  readonly #options: JsonObject
  readonly #path: string
  readonly #side: Side
  readonly #known: ReadonlySet<string>
  readonly #faults: Faults

  constructor(given: JsonObject, path: string, side: Side, known: ReadonlySet<string>, faults: Faults) {
    this.#given = given
    this.#options = asObject(given.options) ?? {}
    this.#path = path
    this.#side = side
    this.#known = known
    this.#faults = faults
  }

  transform(): Transform | null {
    const type = isGiven(this.#given.type) ? this.#given.type : 'code'
    switch (type) {
      case 'code':
        return this.#code()
      case 'mask':
        return this.#mask()
      case 'tokenize':
        return this.#tokenize()
      case 'append_json': {
        const { value = null } = this.#options
        if (!isGiven(value)) this.#fault('options.value', 'The value is required')
        this.#templates('options.value', value)
        return { type, value, location: this.#location(locationFault) }
      }
      case 'append_text':
        return { type, value: this.#value() }
      case 'append_header':
        return { type, value: this.#value(), location: this.#location(headerNameFault) }
      default:
        this.#fault('type', 'The type must be code, mask, tokenize, append_json, append_text or append_header')
        return null
    }
  }

  #code(): Transform {
    const { code } = this.#given
    for (const name of ['matcher', 'expression', 'replacement']) {
      if (isGiven(this.#given[name])) this.#fault(name, 'A code transform does not take this')
    }
    const image = asObject(this.#options.runtime)?.image
    if (isGiven(image) && image !== 'node-bt') this.#fault('options.runtime.image', 'The only image is node-bt')
    if (typeof code === 'string' && code.trim() !== '' && code.length <= CODE_LENGTH) return { type: 'code', code }
    this.#fault('code', `The code must have 1 to ${CODE_LENGTH} characters`)
    return { type: 'code', code: '' }
  }

  #mask(): Transform {
    const { matcher, expression, replacement } = this.#given
    if (typeof replacement !== 'string' || replacement.length !== 1 || CONTROL.test(replacement)) {
      this.#fault('replacement', 'The replacement must be one character')
    }
    const kept = typeof replacement === 'string' ? replacement : ''
    if (matcher === 'chase_stratus_pan') {
      if (isGiven(expression)) this.#fault('expression', 'The matcher chase_stratus_pan takes no expression')
      return { type: 'mask', matcher, expression: null, replacement: kept }
    }
    if (matcher !== 'regex') this.#fault('matcher', 'The matcher must be regex or chase_stratus_pan')
    const why = typeof expression === 'string' ? expressionFault(expression) : 'The expression is required'
    if (matcher === 'regex' && why !== null) this.#fault('expression', why)
    return {
      type: 'mask',
      matcher: 'regex',
      expression: typeof expression === 'string' ? expression : '',
      replacement: kept
    }
  }

  #tokenize(): Transform {
    const { identifier = null, token = null } = this.#options
    const name = typeof identifier === 'string' && identifier !== '' ? identifier : null
    if (name !== null && name.length > IDENTIFIER_LENGTH) {
      this.#fault('options.identifier', `The identifier must have at most ${IDENTIFIER_LENGTH} characters`)
    } else if (name === null && isGiven(identifier) && identifier !== '') {
      this.#fault('options.identifier', 'The identifier must be a text')
    } else if (name !== null && this.#known.has(name)) {
      this.#fault('options.identifier', 'Another transform has this identifier')
    }
    this.#token(token)
    return { type: 'tokenize', identifier: name, token }
  }

  /** Expressions of the transform stand in `data` and `metadata`; any others are the token's own. */
  #token(token: Json): void {
    const given = asObject(token)
    if (given === null) {
      this.#fault('options.token', 'A token object was expected')
      return
    }
    if (isGiven(given.encrypted)) this.#fault('options.token.encrypted', ENCRYPTED)
    this.#templates('options.token.data', given.data ?? null)
    this.#templates('options.token.metadata', given.metadata ?? null)
    try {
      readNewToken({ ...given, data: given.data ?? null, metadata: {} })
    } catch (thrown) {
      if (!(thrown instanceof SluiceError) || thrown.fields === undefined) throw thrown
      for (const [field, whys] of Object.entries(thrown.fields)) {
        // What the data will be is known when there is a message.
        if (/^data\b/.test(field) && isGiven(given.data)) continue
        for (const why of whys) this.#fault(`options.token.${field}`, why)
      }
    }
  }

  #value(): string {
    const { value } = this.#options
    if (typeof value !== 'string' || value === '') {
      this.#fault('options.value', 'The value is required, as a text')
      return ''
    }
    this.#templates('options.value', value)
    return value
  }

  #location(faultOf: (location: string) => string | null): string {
    const { location } = this.#options
    const why = typeof location === 'string' ? faultOf(location) : 'The location is required'
    if (why !== null) this.#fault('options.location', why)
    return typeof location === 'string' ? location : ''
  }

  #templates(field: string, structure: Json): void {
    try {
      for (const use of usesOf(structure)) this.#checkUse(field, use)
    } catch (thrown) {
      if (!(thrown instanceof SluiceError)) throw thrown
      this.#fault(field, thrown.message)
    }
  }

  #checkUse(field: string, { variable, name }: NamedUse): void {
    if (variable === 'encrypted') this.#fault(field, ENCRYPTED)
    else if (variable === 'res' && this.#side === 'request') this.#fault(field, 'There is no response yet')
    else if (variable === 'transform_identifier' || variable === 'tokenize_transform') {
      if (!this.#known.has(name)) this.#fault(field, `No transform before this one has the identifier ${name}`)
    } else if (!VARIABLES.has(variable)) this.#fault(field, `There is no variable ${variable}`)
  }

  #fault(field: string, why: string): void {
    this.#faults.add(`${this.#path}.${field}`, why)
  }
}

function isGiven(value: Json | undefined): value is Exclude<Json, null> {
  return value !== undefined && value !== null
}

function isSame(one: Json, many: Json): boolean {
  return Array.isArray(many) && many.length === 1 && JSON.stringify(many[0]) === JSON.stringify(one)
}

/** Identifiers of the request's transforms in a body. */
function identifiersOf(body: JsonObject): string[] {
  const many = body.request_transforms
  const all = Array.isArray(many) ? many : [body.request_transform ?? null]
  return all.flatMap((item) => {
    const identifier = asObject(asObject(item)?.options)?.identifier
    return typeof identifier === 'string' ? [identifier] : []
  })
}

const STEPS = 10
const CODE_LENGTH = 50_000
const IDENTIFIER_LENGTH = 100
const ENCRYPTED = 'There are no keys for encrypted values here'
const VARIABLES: ReadonlySet<string> = new Set(['req', 'res', 'proxy', 'config'])
const CONTROL = /[\p{Cc}\p{Cs}]/u
