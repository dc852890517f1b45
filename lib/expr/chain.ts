import { argumentFault, filterFault, limitFault, syntaxFault, valueFault } from './faults.ts'
import type { Constant, Filter, Step, Variables } from './filter.ts'
import { type Keys, walk } from './keys.ts'
import { CHAIN_FILTERS } from './work.ts'

/** A compiled chain of filters. Holds arguments, never a value; shared by every expression with the same text. */
export interface Chain {
  readonly steps: readonly Step[]
  /** Ends in `to_number` or `to_boolean`: in a whole JSON string the value stands without quotes. */
  readonly bare: boolean
  /** Ends in `raw`: the value is not escaped for its place. */
  readonly raw: boolean
  /** A filter takes a key, so the chain is not to be kept. */
  readonly keyed: boolean
}

/** A filter as a grammar reads it. */
export interface Call {
  readonly name: string
  readonly args: readonly Argument[]
  readonly named: ReadonlyMap<string, Argument>
}

/** A literal, or in templates a variable. */
export type Argument = Constant | Reference

/** A variable as an argument: its name, and a path into it. */
export class Reference {
  readonly keys: Keys

  constructor(keys: Keys) {
    this.keys = keys
  }

  /** A missing property is null. */
  resolve(variables: Variables): Constant {
    return walk(variables, this.keys)
  }
}

/** No filter at all. */
export const NO_FILTERS: Chain = { steps: [], bare: false, raw: false, keyed: false }

/**
 * Checks calls against a table and binds them. Throws ERR_EXPR_FILTER, ERR_EXPR_ARGUMENT, ERR_EXPR_PATH, ERR_EXPR_LIMIT
 * for more than CHAIN_FILTERS filters.
 */
export function compileChain(calls: readonly Call[], table: ReadonlyMap<string, Filter>): Chain {
  if (calls.length === 0) return NO_FILTERS
  if (calls.length > CHAIN_FILTERS) throw limitFault(`more than ${CHAIN_FILTERS} filters`)
  const raw = calls.at(-1)?.name === 'raw'
  const work = raw ? calls.slice(0, -1) : calls
  const steps: Step[] = []
  let keyed = false
  let before: Filter | null = null
  for (const call of work) {
    if (call.name === 'raw') throw syntaxFault('raw must be the last filter')
    const row = table.get(call.name)
    if (row === undefined) throw filterFault(call.name)
    if (before?.gives === 'bytes' && !row.takesBytes) throw argumentFault(before.name, BYTES)
    checkArguments(row, call)
    steps.push(bind(row, call))
    keyed ||= row.keyed
    before = row
  }
  if (before?.gives === 'bytes') throw argumentFault(before.name, BYTES)
  return { steps, bare: before !== null && BARE.has(before.name), raw, keyed }
}

function checkArguments(row: Filter, call: Call): void {
  const given = call.args.length
  if (given < row.least || given > row.most) {
    const wanted = row.least === row.most ? `${row.least}` : `${row.least} to ${row.most}`
    throw argumentFault(row.name, `takes ${wanted} arguments, not ${given}`)
  }
  for (const name of call.named.keys()) {
    if (!row.named.includes(name)) throw argumentFault(row.name, 'has no such named argument')
  }
}

/** Literals are bound once; variables at each evaluation, where a wrong one is ERR_EXPR_VALUE. */
function bind(row: Filter, call: Call): Step {
  const args = call.args
  const named = call.named
  if (isConstant(args) && isConstant([...named.values()])) {
    return row.bind(args as readonly Constant[], named as ReadonlyMap<string, Constant>)
  }
  return (value, work, variables) => {
    const resolve = (argument: Argument) => (argument instanceof Reference ? argument.resolve(variables) : argument)
    return lateBound(row, args.map(resolve), new Map([...named].map(([name, given]) => [name, resolve(given)])))(
      value,
      work,
      variables
    )
  }
}

function lateBound(row: Filter, args: readonly Constant[], named: ReadonlyMap<string, Constant>): Step {
  try {
    return row.bind(args, named)
  } catch {
    throw valueFault()
  }
}

function isConstant(args: readonly Argument[]): boolean {
  return !args.some((argument) => argument instanceof Reference)
}

const BARE: ReadonlySet<string> = new Set(['to_number', 'to_boolean'])
const BYTES = 'to_base16 or to_base64 must follow'
