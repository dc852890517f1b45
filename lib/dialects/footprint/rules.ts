/**
 * Ingress rules: `<user>.<data identifier> = <path> | <filter> | …`. `spec/footprint.md` A.6. What a path is depends on
 * how the response is read: JSONPath, XPath, a regular expression, or the name of a form's field.
 */
import { SluiceError } from '../../errors.ts'
import type { CaptureRule, CaptureType } from '../../proxy/capture.ts'
import { targetFault } from './fields.ts'
import { containerOf, identifierOf } from './identifiers.ts'

/** A rule, and what its target means. */
export interface IngressRule extends CaptureRule {
  readonly user: string
  readonly container: string
}

/** Throws ERR_INPUT. */
export function readCaptureType(text: string): CaptureType {
  const name = text.trim().toLowerCase()
  const type = TYPES.get(name.split(';')[0]?.trim() ?? '')
  if (type === undefined) throw fault('The type of the response must be json, ndjson, xml, regex or form')
  return type
}

/**
 * The rules in the values of a header that may be repeated, or joined by commas on its way: a comma ends a rule when it
 * stands outside quotes and brackets and is followed by what begins one.
 */
export function splitRules(values: readonly string[], type: CaptureType): string[] {
  return values.flatMap((value) => splitValue(value, type)).map((rule) => rule.trim())
}

/**
 * Reads one rule.
 *
 * @param user Whom targets without a user mean; null: nobody.
 * @param number Of the rule, from 1, for the error.
 * @throws ERR_INPUT with the position
 */
export function readRule(text: string, type: CaptureType, user: string | null, number: number): IngressRule {
  const at = (position: number, why: string) => fault(`Ingress rule ${number}, position ${position}: ${why}`, position)
  const match = TARGET.exec(text)
  if (match === null) throw at(0, 'it must begin with <fp_id>.<data identifier> and =')
  const [whole, owner, identifierText = ''] = match
  if (owner === undefined && user === null) throw at(0, 'the target names no user, nor does x-fp-id')
  if (owner !== undefined && user !== null && owner !== user) throw at(0, 'the target names another user than x-fp-id')
  const ownedBy = owner ?? (user as string)
  const identifier = identifierOf(identifierText)
  const wrong = targetFault(ownedBy, identifier)
  if (wrong !== null || identifier === null) throw at(0, `the target ${wrong ?? 'is no data identifier'}`)
  const rest = text.slice(whole.length)
  const pipe = filtersAt(rest, type)
  const path = rest.slice(0, pipe).trim()
  if (path === '') throw at(whole.length, 'the path is missing')
  const filters = rest.slice(pipe).trimEnd()
  const last = LAST.exec(filters)
  return {
    target: `${ownedBy}.${identifierText}`,
    path,
    filters: last === null ? filters : filters.slice(0, last.index),
    takesLast: last !== null,
    user: ownedBy,
    container: containerOf(ownedBy, identifier)
  }
}

function splitValue(value: string, type: CaptureType): string[] {
  const rules: string[] = []
  const isPlain = type === 'regex'
  let start = 0
  let depth = 0
  let quote = ''
  for (let at = 0; at < value.length; at++) {
    const character = value[at] as string
    if (quote !== '') {
      if (character === '\\') at++
      else if (character === quote) quote = ''
    } else if (!isPlain && (character === '"' || character === "'")) quote = character
    else if (!isPlain && '[('.includes(character)) depth++
    else if (!isPlain && '])'.includes(character)) depth--
    else if (character === ',' && depth <= 0) {
      NEXT.lastIndex = at + 1
      if (!NEXT.test(value)) continue
      rules.push(value.slice(start, at))
      start = at + 1
      depth = 0
    }
  }
  rules.push(value.slice(start))
  return rules
}

/**
 * Where the filters begin. In JSONPath at the first `|` outside quotes and brackets; in the other kinds of path `|` has a
 * meaning of its own, so there the name of a filter must follow.
 */
function filtersAt(text: string, type: CaptureType): number {
  let depth = 0
  let quote = ''
  for (let at = 0; at < text.length; at++) {
    const character = text[at] as string
    if (type === 'regex' || type === 'form') {
      if (character === '|' && isFilter(text, at)) return at
    } else if (quote !== '') {
      if (character === '\\' && type !== 'xml') at++
      else if (character === quote) quote = ''
    } else if (character === '"' || character === "'") quote = character
    else if ('[('.includes(character)) depth++
    else if ('])'.includes(character)) depth--
    else if (character === '|' && depth === 0 && (type !== 'xml' || isFilter(text, at))) return at
  }
  return text.length
}

function isFilter(text: string, at: number): boolean {
  FILTER.lastIndex = at
  return FILTER.test(text)
}

function fault(why: string, offset?: number): SluiceError {
  return new SluiceError('ERR_INPUT', why, {
    fields: { 'x-fp-proxy-ingress-rule': [why] },
    ...(offset === undefined ? {} : { offset })
  })
}

const TYPES = new Map<string, CaptureType>([
  ['json', 'json'],
  ['application/json', 'json'],
  ['ndjson', 'ndjson'],
  ['application/x-ndjson', 'ndjson'],
  ['xml', 'xml'],
  ['application/xml', 'xml'],
  ['text/xml', 'xml'],
  ['regex', 'regex'],
  ['form', 'form'],
  ['application/x-www-form-urlencoded', 'form']
])
const TARGET = /^\s*(?:(fp_(?:id|bid)_[A-Za-z0-9_]{1,64})\.)?((?!fp_)[a-z_]+(?:\.[A-Za-z0-9_-]+)+)\s*=/
const NEXT = /\s*(?:fp_(?:id|bid)_[A-Za-z0-9_]+\.)?[a-z_]+(?:\.[A-Za-z0-9_-]+)+\s*=(?!=)/y
const FILTER =
  /\|\s*(?:to_lowercase|to_uppercase|to_ascii|prefix|suffix|replace|date_format|hmac_sha256|encrypt|last)\s*(?:[(|]|$)/y
const LAST = /\|\s*last\s*$/
