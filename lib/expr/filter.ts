import type { Json } from '../json.ts'
import { argumentFault, valueFault } from './faults.ts'
import { listOf, numberOf, shortTextOf, type Value } from './value.ts'
import type { Work } from './work.ts'

/** An argument as written: a literal of the grammar. */
export type Constant = Json

/** Variables of a template, by name; a proxy's expression has none. */
export type Variables = Readonly<Record<string, Json>>

/** One filter with its arguments bound: the compiled form. Throws ERR_EXPR_VALUE. */
export type Step = (value: Value, work: Work, variables: Variables) => Value

/** One row of a filter table. */
export interface Filter {
  readonly name: string
  /** How many arguments it needs, and takes at most, by position. */
  readonly least: number
  readonly most: number
  /** Names of its named arguments (`allow_false: true`). */
  readonly named: readonly string[]
  /** Takes a key: chains with it are not cached. */
  readonly keyed: boolean
  /** The same input gives the same output. Chains are never evaluated ahead, so this only documents. */
  readonly pure: boolean
  /** `bytes`: only a filter that takes bytes may follow. */
  readonly gives: 'value' | 'bytes'
  readonly takesBytes: boolean
  /** Checks arguments and binds them; the caller has counted them. Throws ERR_EXPR_ARGUMENT, ERR_EXPR_PATH. */
  bind(args: readonly Constant[], named: ReadonlyMap<string, Constant>): Step
}

/** One argument of a filter: reads the literal, or says what is wrong with it. `undefined` stands for a missing one. */
export interface Parameter<T> {
  readonly name: string
  readonly optional: boolean
  /** Given by name, not by position; such parameters come last. */
  readonly named?: boolean
  /** `earlier`: what the parameters before this one read. */
  read(given: Constant | undefined, earlier: readonly unknown[]): T | Refusal
}

/** What a parameter answers instead of a value; completes `argument <name> …`. */
export class Refusal {
  readonly why: string
  constructor(why: string) {
    this.why = why
  }
}

type Bound<P extends readonly Parameter<unknown>[]> = {
  [K in keyof P]: P[K] extends Parameter<infer T> ? T : never
}

/** How a filter sees its input. */
export interface Intake<I> {
  /** Throws ERR_EXPR_VALUE for a value that the filter does not take. */
  readonly convert: (value: Value) => I
}

/** Text; numbers and booleans as text; null as nothing. */
export const TEXT: Intake<string> = { convert: shortTextOf }
/** A number, or text that is one; null is 0. */
export const NUMBER: Intake<number> = { convert: numberOf }
/** A list; null is empty; anything else a list of one. */
export const LIST: Intake<Json[]> = { convert: listOf }
/** As it is. */
export const ANY: Intake<Value> = { convert: (value) => value }

export interface FilterOptions {
  /**
   * What null gives. `pass`: the filter sees it, as its intake converts it (Liquid's own filters); `null`: null;
   * `refuse`: ERR_EXPR_VALUE. Default: `pass`.
   */
  readonly nulls?: 'pass' | 'null' | 'refuse'
  readonly keyed?: boolean
  readonly pure?: boolean
  readonly gives?: 'value' | 'bytes'
  readonly takesBytes?: boolean
}

/** Makes one row: name, intake, parameters, function. `run` must count on `work` whatever it makes. */
export function filter<I, const P extends readonly Parameter<unknown>[]>(
  name: string,
  intake: Intake<I>,
  parameters: P,
  run: (input: I, work: Work, ...args: Bound<P>) => Value,
  options: FilterOptions = {}
): Filter {
  const nulls = options.nulls ?? 'pass'
  const convert = intake.convert
  let least = 0
  while (least < parameters.length && parameters[least]?.optional === false) least++
  const named = parameters.filter((parameter) => parameter.named === true).map((parameter) => parameter.name)
  return {
    name,
    least,
    most: parameters.length - named.length,
    named,
    keyed: options.keyed ?? false,
    pure: options.pure ?? true,
    gives: options.gives ?? 'value',
    takesBytes: options.takesBytes ?? false,
    bind(given, byName) {
      const args = read(name, parameters, given, byName) as unknown as Bound<P>
      if (nulls === 'null') return (value, work) => (value === null ? null : run(convert(value), work, ...args))
      if (nulls === 'refuse') {
        return (value, work) => {
          if (value === null) throw valueFault()
          return run(convert(value), work, ...args)
        }
      }
      return (value, work) => run(convert(value), work, ...args)
    }
  }
}

function read(
  name: string,
  parameters: readonly Parameter<unknown>[],
  given: readonly Constant[],
  byName: ReadonlyMap<string, Constant>
): unknown[] {
  const values: unknown[] = []
  for (const [at, parameter] of parameters.entries()) {
    const value = parameter.read(parameter.named === true ? byName.get(parameter.name) : given[at], values)
    if (value instanceof Refusal) throw argumentFault(name, `argument ${parameter.name} ${value.why}`)
    values.push(value)
  }
  return values
}
