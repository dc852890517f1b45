/** The step of a transform that is code: a whole message goes in, and what the code makes of it comes back. */
import { SluiceError } from '../../../errors.ts'
import { formatJson, type Json } from '../../../json.ts'
import { endingOf, type OwnAnswer, ownAnswer, readFields, readStatus } from '../reactor-errors.ts'
import { type HostRun, ReactorHost } from '../reactor-host.ts'
import { PAYLOAD_BYTES, type ReactorPorts } from '../reactor-ports.ts'
import { readResult, runtimeError } from '../run-result.ts'
import { asObject, type JsonObject } from '../token-input.ts'

/** A message as code sees it: plaintext. */
export interface CodeMessage {
  /** Flat: name, value. */
  readonly fields: readonly string[]
  /** The value of a JSON body; the text of any other. */
  readonly body: Json
  /** Of a request: `POST`, the path behind `/proxy`, and the query with its `?` as it came. */
  readonly method?: string
  readonly path?: string
  readonly query?: string
  /** Of a response. */
  readonly status?: number
}

export interface CodeRun extends HostRun {
  readonly configuration: Readonly<Record<string, string>>
}

/** What is to become of the message. */
export type CodeOutcome =
  | {
      readonly kind: 'message'
      /** null: they stay. */
      readonly fields: readonly string[] | null
      /** undefined: it stays. */
      readonly body: Json | undefined
      /** Of a response; null: it stays. */
      readonly status: number | null
    }
  /** In the stead of the destination's, or of what the destination answered. */
  | { readonly kind: 'answer'; readonly answer: OwnAnswer }

/**
 * Runs the code of one step. Throws ERR_CODE_ERROR, ERR_CODE_RUNTIME, ERR_CODE_TIMEOUT, ERR_OVERLOAD, and
 * ERR_BODY_SIZE for a request that is too long. No message of an error holds a value of the call.
 */
export async function runCode(
  ports: ReactorPorts,
  code: string,
  side: 'request' | 'response',
  message: CodeMessage,
  run: CodeRun
): Promise<CodeOutcome> {
  const input = inputOf(side, message, run)
  const host = new ReactorHost(ports, run)
  try {
    const result = await ports.run({
      tenant: run.caller.tenant,
      code,
      input,
      host: (name, text) => host.answer(name, text)
    })
    const said = readResult(result)
    if (said.kind !== 'value') return { kind: 'answer', answer: endingOf(said, run.scrubber) }
    return outcomeOf(side, asObject(said.value))
  } finally {
    host.end()
  }
}

function inputOf(side: 'request' | 'response', message: CodeMessage, run: CodeRun): string {
  const { fields, body, method, path, query, status } = message
  const facts = side === 'request' ? { method, path, query } : { statusCode: status }
  const args = JSON.stringify(facts).slice(0, -1)
  const rest = `${args.length === 1 ? '' : ','}"headers":${headersText(fields)},"body":${bodyText(side, body)}}`
  const configuration = formatJson({ ...run.configuration })
  const hasBt = run.attached !== null
  return `{"side":"${side}","hasBt":${hasBt},"configuration":${configuration},"args":${args}${rest}}`
}

/** JSON. */
function bodyText(side: 'request' | 'response', body: Json): string {
  const text = formatJson(body)
  if (Buffer.byteLength(typeof body === 'string' ? body : text) <= PAYLOAD_BYTES) return text
  if (side === 'response') throw runtimeError(`The body of the response is over ${PAYLOAD_BYTES} bytes`)
  throw new SluiceError('ERR_BODY_SIZE', `The body is over the ${PAYLOAD_BYTES} bytes that code may see`)
}

/** JSON. A name keeps the spelling in which it came first; what came several times is joined, or for cookies a list. */
function headersText(fields: readonly string[]): string {
  // :: name in lower case → name as it came, values
  const headers = new Map<string, [name: string, values: string[]]>()
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name, value] = [fields[at] as string, fields[at + 1] as string]
    const known = headers.get(name.toLowerCase())
    if (known === undefined) headers.set(name.toLowerCase(), [name, [value]])
    else known[1].push(value)
  }
  const members = [...headers].map(([lower, [name, values]]) => {
    const isList = lower === 'set-cookie' && values.length > 1
    return `${JSON.stringify(name)}:${JSON.stringify(isList ? values : values.join(', '))}`
  })
  return `{${members.join(',')}}`
}

/** `{headers, body}` of older code; `{req}` or `{res}` of newer. */
function outcomeOf(side: 'request' | 'response', returned: JsonObject | null): CodeOutcome {
  const own = asObject(returned?.res)
  if (side === 'request' && own !== null) {
    return { kind: 'answer', answer: ownAnswer(own.statusCode ?? 200, own.headers, own.body) }
  }
  const message = own ?? asObject(side === 'request' ? returned?.req : undefined) ?? returned
  const { headers, body } = message ?? {}
  if (headers === undefined && body === undefined) {
    // What it does not return must not pass for what it leaves alone.
    throw runtimeError('The code must return an object with headers, body or both')
  }
  if (headers !== undefined && headers !== null && asObject(headers) === null) {
    throw runtimeError('The headers that the code returns must be an object')
  }
  const status = own?.statusCode
  return {
    kind: 'message',
    fields: headers === undefined || headers === null ? null : readFields(headers, 'message'),
    body,
    status: status === undefined || status === null ? null : readStatus(status)
  }
}
