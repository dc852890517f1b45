/** One call of a reactor: its arguments detokenized, its code run, its tokens made. */
import { SluiceError } from '../../errors.ts'
import { formatJson, type Json } from '../../json.ts'
import type { ApiAnswer, ApiCall } from '../../listen/api.ts'
import type { Caller } from '../../vault/access.ts'
import type { Purpose } from '../../vault/reveal.ts'
import type { Vault } from '../../vault/vault.ts'
import { castArguments, configurationFor, type Formula, type Reactor } from './reactor-documents.ts'
import { errorAnswer } from './reactor-errors.ts'
import { ReactorHost } from './reactor-host.ts'
import { PAYLOAD_BYTES, type ReactorPorts } from './reactor-ports.ts'
import { readResult, runtimeError } from './run-result.ts'
import { Scrubber } from './scrubber.ts'
import { asObject, Faults, readObject } from './token-input.ts'
import { tokenizeValue } from './tokenize.ts'

/** Throws ERR_INPUT, ERR_EXPR_*, ERR_CODE_TIMEOUT, ERR_CODE_RUNTIME, and as `Vault.reveal`. */
export async function react(
  ports: ReactorPorts,
  call: ApiCall,
  reactor: Reactor,
  formula: Formula | null
): Promise<ApiAnswer> {
  const { vault } = ports
  if (call.body !== null && Buffer.byteLength(call.body) > PAYLOAD_BYTES) {
    throw new SluiceError('ERR_BODY_SIZE', `The body is over ${PAYLOAD_BYTES} bytes`)
  }
  const attached = await attachedTo(vault, call.caller.tenant, reactor)
  const purpose: Purpose = { door: 'reactor', destination: null, traceId: call.traceId, reason: null, intent: 0 }
  const given = readObject(call.body).args ?? {}
  const { value, subjects, secrets } = await vault.detokenize(call.caller, given, purpose, ports.tokensPerRequest)
  const scrubber = new Scrubber(secrets)
  scrubber.add(Object.values(reactor.configuration))
  const { caller, traceId } = call
  const host = new ReactorHost(ports, { caller, traceId, attached, subjects, scrubber })
  let outcome = 'refused'
  try {
    const faults = new Faults()
    const args = castArguments(value, formula?.request_parameters ?? [], faults)
    faults.settle()
    if (purpose.intent !== 0) await vault.released()
    const configuration = configurationFor(formula, reactor.configuration) as Json
    outcome = 'unknown'
    const result = await ports.run({
      tenant: call.caller.tenant,
      code: formula?.code ?? reactor.code ?? '',
      input: formatJson({ args, configuration, hasBt: attached !== null }),
      host: (name, text) => host.answer(name, text)
    })
    const said = readResult(result)
    outcome = 'ran'
    if (said.kind !== 'value') return errorAnswer(said, scrubber)
    return await valueAnswer(ports, attached ?? call.caller, said.value ?? null, call.traceId)
  } catch (thrown) {
    if (outcome === 'unknown') outcome = 'failed'
    throw thrown
  } finally {
    host.end()
    if (purpose.intent !== 0) vault.outcome(purpose.intent, outcome)
  }
}

async function attachedTo(vault: Vault, tenant: string, reactor: Reactor): Promise<Caller | null> {
  if (reactor.application === null) return null
  const attached = await vault.applications.attached(tenant, reactor.application)
  if (attached !== null) return attached
  throw new SluiceError('ERR_CONFLICT', 'The application of the reactor is no longer there')
}

async function valueAnswer(ports: ReactorPorts, maker: Caller, value: Json, traceId: string): Promise<ApiAnswer> {
  const returned = asObject(value)
  if (returned === null) throw runtimeError('The code must return an object with raw, tokenize or both')
  const { raw, tokenize } = returned
  const members: string[] = []
  if (tokenize !== undefined && tokenize !== null) {
    const tokens = await tokenizeValue(ports.vault, ports.tokensPerRequest, maker, tokenize, traceId)
    members.push(`"tokens":${tokens}`)
  }
  if (raw !== undefined) members.push(`"raw":${formatJson(raw)}`)
  return { status: 200, body: `{${members.join(',')}}` }
}
