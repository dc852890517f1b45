import { SluiceError } from '../errors.ts'
import { fieldValue, withoutBytes } from '../plan/headers.ts'
import { Secret } from '../secret.ts'
import type { FieldWrite } from '../vault/fields.ts'
import type { Capture } from './capture.ts'
import type { HeldMessage, ReadyResponse } from './held-response.ts'
import type { MaybePromise } from './ports.ts'
import { type Plaintexts, Scrubber } from './scrub.ts'

/** What of a response is vaulted. */
export interface ResponseRules {
  readonly capture: Capture
  /** Whose fields the targets are. */
  readonly users: readonly string[]
  /** The writes for captured values. Throws ERR_INPUT for a value that its field cannot hold. */
  readonly writesFor: (values: ReadonlyMap<string, string>) => readonly FieldWrite[]
}

/**
 * Does what the rules say: finds their values, writes all of them in one write, and puts their tokens in their stead. A
 * response that is no success is not vaulted, but blanked of what this call revealed.
 */
export function applyRules(
  rules: ResponseRules,
  held: HeldMessage,
  plaintexts: Plaintexts | null,
  store: (users: readonly string[], writes: readonly FieldWrite[]) => Promise<void>
): MaybePromise<ReadyResponse> {
  if (held.status < 200 || held.status >= 300) {
    const scrubber = new Scrubber(plaintexts ?? [])
    const clean = scrubber.body(held.body)
    return ready(held, clean, 0, 0, scrubber)
  }
  const { values, unmatched, text } = rules.capture.apply(held.body, fieldValue(held.fields, 'content-type'))
  if (values.size === 0) return ready(held, held.body, 0, unmatched, null)
  return store(rules.users, writesFor(rules, values)).then(() => {
    const stored = [...values].map(([id, value]) => ({ id, data: new Secret(JSON.stringify(value)), text: '' }))
    return ready(held, Buffer.from(text), values.size, unmatched, new Scrubber(stored))
  })
}

function writesFor(rules: ResponseRules, values: ReadonlyMap<string, string>): readonly FieldWrite[] {
  try {
    return rules.writesFor(values)
  } catch (error) {
    if (!(error instanceof SluiceError) || error.fields === undefined) throw error
    throw new SluiceError('ERR_DESTINATION_RESPONSE', 'The response holds a value that its field cannot hold', {
      fields: error.fields
    })
  }
}

function ready(
  { status, reason, fields }: HeldMessage,
  body: Buffer,
  captured: number,
  unmatched: number,
  scrubber: Scrubber | null
): ReadyResponse {
  const kept = withoutBytes(fields).map((text, at) => (at % 2 === 0 || scrubber === null ? text : scrubber.text(text)))
  if (captured > 0) kept.push('Sluice-Captured', String(captured))
  if (unmatched > 0) kept.push('Sluice-Rules-Unmatched', String(unmatched))
  const said = scrubber === null ? reason : scrubber.text(reason)
  return { status, reason: said, fields: kept, body, captured, scrubbed: scrubber === null ? 0 : scrubber.count }
}
