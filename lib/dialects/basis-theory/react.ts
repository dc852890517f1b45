/** One call of a reactor: its arguments detokenized, its code run, its tokens made. */
import { SluiceError } from '../../errors.ts'
import { formatJson, type Json } from '../../json.ts'
import type { ApiAnswer, ApiCall } from '../../listen/api.ts'
import type { Caller } from '../../vault/access.ts'
import { maskedView, type TokenView } from '../../vault/token-view.ts'
import type { Purpose } from '../../vault/purpose.ts'
import type { Vault } from '../../vault/vault.ts'
import { castArguments, configurationFor, type Formula, type Reactor } from './reactor-documents.ts'
import { errorAnswer } from './reactor-errors.ts'
import { ReactorHost } from './reactor-host.ts'
import { PAYLOAD_BYTES, type ReactorPorts } from './reactor-ports.ts'
import { readResult, runtimeError } from './run-result.ts'
import { Scrubber } from './scrubber.ts'
import type { Stored } from './stored-documents.ts'
import { asObject, Faults, type JsonObject, readObject } from './token-input.ts'
import { tokenizeValue } from './tokenize.ts'

/** A call whose arguments are in: plaintext, written down, and ready to be given to the code. */
export interface Reaction {
  /** What the code is given, as JSON. */
  readonly input: string
  /** Runs the code once, for at most `wallMs`. Throws ERR_CODE_TIMEOUT, ERR_CODE_RUNTIME, ERR_OVERLOAD. */
  run(wallMs?: number): Promise<ApiAnswer>
}

/** Throws ERR_INPUT, ERR_EXPR_*, ERR_BODY_SIZE, ERR_CONFLICT, and as `Vault.reveal`. */
export async function prepare(
  ports: ReactorPorts,
  call: ApiCall,
  { id, document: reactor }: Stored<Reactor>,
  formula: Formula | null
): Promise<Reaction> {
  const { vault } = ports
  const { caller, traceId } = call
  if (call.body !== null && Buffer.byteLength(call.body) > PAYLOAD_BYTES) {
    throw new SluiceError('ERR_BODY_SIZE', `The body is over ${PAYLOAD_BYTES} bytes`)
  }
  const body = readObject(call.body)
  refuseCallback(body)
  const attached = await attachedTo(vault, caller.tenant, reactor)
  const purpose: Purpose = { door: 'reactor', destination: null, traceId, reason: null, intent: 0 }
  vault.invoke(caller, purpose, id)
  try {
    const { value, subjects, secrets } = await vault.detokenize(
      caller,
      body.args ?? {},
      purpose,
      ports.tokensPerRequest
    )
    const faults = new Faults()
    const args = castArguments(value, formula?.request_parameters ?? [], faults)
    faults.settle()
    const scrubber = new Scrubber(secrets)
    scrubber.add(Object.values(reactor.configuration))
    const configuration = configurationFor(formula, reactor.configuration) as Json
    const input = formatJson({ args, configuration, hasBt: attached !== null })
    await vault.released()
    const host = new ReactorHost(ports, { caller, traceId, attached, subjects, scrubber })
    const code = formula?.code ?? reactor.code ?? ''
    return {
      input,
      run: async (wallMs) => {
        let outcome = 'failed'
        try {
          const limits = wallMs === undefined ? {} : { wallMs }
          const job = {
            tenant: caller.tenant,
            code,
            input,
            host: (name: string, text: string) => host.answer(name, text)
          }
          const said = readResult(await ports.run({ ...job, ...limits }))
          outcome = 'ran'
          if (said.kind !== 'value') return errorAnswer(said, scrubber)
          return await valueAnswer(ports, attached ?? caller, caller, said.value ?? null, traceId)
        } finally {
          host.end()
          vault.outcome(purpose.intent, outcome)
        }
      }
    }
  } catch (thrown) {
    vault.outcome(purpose.intent, 'refused')
    throw thrown
  }
}

/** Results are fetched, not sent: an address to send them to is refused, rather than passed over. Throws ERR_INPUT. */
function refuseCallback(body: JsonObject): void {
  const faults = new Faults()
  for (const name of ['callback_url', 'callbackUrl']) {
    if (body[name] !== undefined && body[name] !== null) {
      faults.add(name, 'Callbacks are not supported: use react-async, and fetch the result')
    }
  }
  faults.settle()
}

async function attachedTo(vault: Vault, tenant: string, reactor: Reactor): Promise<Caller | null> {
  if (reactor.application === null) return null
  const attached = await vault.applications.attached(tenant, reactor.application)
  if (attached !== null) return attached
  throw new SluiceError('ERR_CONFLICT', 'The application of the reactor is no longer there')
}

/** The tokens are the maker's; their plain data is told to a reader who may read them alone. */
async function valueAnswer(
  ports: ReactorPorts,
  maker: Caller,
  reader: Caller,
  value: Json,
  traceId: string
): Promise<ApiAnswer> {
  const returned = asObject(value)
  if (returned === null) throw runtimeError('The code must return an object with raw, tokenize or both')
  const { raw, tokenize } = returned
  const members: string[] = []
  if (tokenize !== undefined && tokenize !== null) {
    const show = (view: TokenView) =>
      reader.allows('token:read', view.container) === 'reveal' ? view : maskedView(maker, view)
    const tokens = await tokenizeValue(ports.vault, ports.tokensPerRequest, maker, tokenize, traceId, show)
    members.push(`"tokens":${tokens}`)
  }
  if (raw !== undefined) members.push(`"raw":${formatJson(raw)}`)
  return { status: 200, body: `{${members.join(',')}}` }
}
