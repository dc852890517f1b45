import type { Json } from '../../json.ts'
import { Context, filters, Liquid, toValueSync } from 'liquidjs'
import type { Work } from '../work.ts'

/**
 * Calls liquidjs' own handler of a filter: spends `units` before, and bounds what was made after. The handlers count on
 * their own too, through the memory limit of the context that they see as `this`.
 *
 * @param args The input first; already converted, since a handler takes anything.
 * @returns undefined becomes null
 * @throws ERR_EXPR_VALUE, and whatever the handler throws
 */
export function handle(work: Work, units: number, name: string, ...args: unknown[]): Json {
  work.spend(units)
  const handler = HANDLERS.get(name) as (this: unknown, ...args: unknown[]) => unknown
  current = work
  try {
    const result = handler.apply(SELF, args)
    const made = ((typeof result === 'object' ? toValueSync(result as never) : result) ?? null) as Json
    if (typeof made === 'string') work.write(made.length)
    else if (Array.isArray(made)) work.list(made.length)
    return made
  } finally {
    current = null
  }
}

/** Evaluation never waits, so one context serves all, and counts on the work of the call that runs. */
let current: Work | null = null
const limit = { use: (units: number) => current?.spend(units), check: () => {} }
const engine = new Liquid({ ownPropertyOnly: true, strictVariables: false, timezoneOffset: 0, locale: 'en-US' })
const SELF = {
  context: new Context(
    {},
    engine.options,
    { sync: true },
    { memoryLimit: limit as never, renderLimit: limit as never }
  ),
  liquid: engine
}

/** By own name: a handler is never looked up along a prototype. */
const HANDLERS: ReadonlyMap<string, unknown> = new Map(Object.entries(filters))
