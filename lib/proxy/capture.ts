import { evaluate } from '../expr/evaluate.ts'
import { type Expression, parseExpression } from '../expr/expression.ts'
import { Work } from '../expr/work.ts'
import { type Json, LosslessNumber, numberText } from '../json.ts'
import { SluiceError } from '../errors.ts'
import { Secret } from '../secret.ts'
import { jsonReader, linesReader } from './capture-json.ts'
import { formReader, regexReader } from './capture-text.ts'
import { ofRule, type Reader, unfit } from './capture-reading.ts'
import { xmlReader } from './capture-xml.ts'

/** How the bodies of responses are read. */
export type CaptureType = 'json' | 'ndjson' | 'xml' | 'regex' | 'form'

/** A rule as it is written, in its parts. */
export interface CaptureRule {
  /** `<user>.<data identifier>`: what the value becomes, and what stands in its stead. */
  readonly target: string
  /** JSONPath, XPath, regular expression or name of a form's field. */
  readonly path: string
  /** `| filter | filter(1)`, or nothing. */
  readonly filters: string
  /** True: of several different values the last one counts. */
  readonly takesLast: boolean
}

export interface Captured {
  /** Target → its value, filters applied. */
  readonly values: ReadonlyMap<string, string>
  /** Rules that found nothing. */
  readonly unmatched: number
  /** The body with tokens in the stead of values. */
  readonly text: string
}

/** The rules of one call, compiled. Holds no value. */
export class Capture {
  readonly #rules: readonly CaptureRule[]
  readonly #chains: readonly Expression[]
  readonly #reader: Reader
  /** For a response that says it is JSON line by line. */
  readonly #lines: Reader | null

  /**
   * @throws ERR_EXPR_FILTER, ERR_EXPR_ARGUMENT, ERR_EXPR_SYNTAX, ERR_EXPR_PATH or ERR_EXPR_LIMIT; `names` holds the
   *   number of the rule, from 1
   */
  constructor(type: CaptureType, rules: readonly CaptureRule[]) {
    if (rules.length > MOST_RULES) {
      throw new SluiceError('ERR_EXPR_LIMIT', `There are more than ${MOST_RULES} rules for the response`)
    }
    const work = new Work()
    this.#rules = rules
    this.#chains = rules.map(({ target, filters }, at) =>
      ofRule(at, () => parseExpression(`${target}${filters}`, 'footprint', { work }))
    )
    const paths = rules.map(({ path }) => path)
    this.#reader = READERS[type](paths)
    this.#lines = type === 'json' ? linesReader(paths) : null
  }

  /**
   * Finds what the rules name in a decoded body.
   *
   * @throws ERR_DESTINATION_RESPONSE, also for different values of one rule, and for what is neither text nor number
   */
  apply(body: Buffer, contentType: string | undefined): Captured {
    if (body.length === 0) return { values: NOTHING, unmatched: this.#rules.length, text: '' }
    const work = new Work()
    const reader = this.#lines !== null && LINES.test(contentType ?? '') ? this.#lines : this.#reader
    const reading = reader(utf8(body), work)
    const values = new Map<string, string>()
    let unmatched = 0
    for (const [at, rule] of this.#rules.entries()) {
      const found = reading.found[at] ?? []
      const last = found.at(-1)
      if (last === undefined) {
        unmatched++
        continue
      }
      if (!rule.takesLast && found.some((value) => value !== last)) {
        throw unfit(`different values for ${rule.target}`)
      }
      const value = filtered(this.#chains[at] as Expression, rule.target, last, work)
      if (values.has(rule.target) && values.get(rule.target) !== value && !rule.takesLast) {
        throw unfit(`different values for ${rule.target}`)
      }
      values.set(rule.target, value)
    }
    return { values, unmatched, text: reading.write(this.#rules.map(({ target }) => target)) }
  }
}

function filtered(chain: Expression, id: string, text: string, work: Work): string {
  const data = new Secret(JSON.stringify(text))
  let value: Json
  try {
    value = evaluate(chain, { candidate: 0, id, data, whole: () => data }, work)
  } catch {
    throw unfit(`the filters for ${id} do not take its value`)
  }
  if (typeof value === 'string') return value
  if (typeof value === 'number' || value instanceof LosslessNumber) return numberText(value)
  throw unfit(`the filters for ${id} do not give text`)
}

function utf8(body: Buffer): string {
  try {
    return DECODER.decode(body)
  } catch {
    throw unfit('it is not UTF-8')
  }
}

const READERS: Readonly<Record<CaptureType, (paths: readonly string[]) => Reader>> = {
  json: jsonReader,
  ndjson: linesReader,
  xml: xmlReader,
  regex: regexReader,
  form: formReader
}
const NOTHING: ReadonlyMap<string, string> = new Map()
const LINES = /^\s*application\/(?:x-ndjson|ndjson|jsonl|x-jsonlines|jsonlines)\b/i
const MOST_RULES = 64
// NOTE: a byte order mark stays: the bytes that no rule names are the destination's.
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
