/** The transforms of one call: each step in its turn, on the whole message. */
import { STATUS_CODES } from 'node:http'
import { asSluiceError, SluiceError } from '../../../errors.ts'
import { formatJson, type Json, parseJson } from '../../../json.ts'
import { fieldValue } from '../../../plan/headers.ts'
import type { Revealed, Transforms, WholeRequest, WholeResponse } from '../../../plan/transforms.ts'
import { maskedView, tokenText } from '../../../vault/token-view.ts'
import type { OwnAnswer } from '../reactor-errors.ts'
import type { ReactorPorts } from '../reactor-ports.ts'
import { asObject, readNewToken } from '../token-input.ts'
import { appendJson } from './append-json.ts'
import { runCode } from './code.ts'
import type { Transform } from './documents.ts'
import {
  filledFields,
  type HeaderExpression,
  headerText,
  NO_HEADERS,
  readyLines,
  splitHeaders
} from './header-expressions.ts'
import { maskBody } from './mask.ts'
import type { MaskThread } from './mask-thread.ts'
import { type TransformCall, TransformRun } from './run.ts'
import { compileSteps, type Step, templatesOf, type TokenStep } from './steps.ts'
import { drawsUponRequest, fill, type Passing, valueOf } from './values.ts'

/** The steps of a stored proxy, made ready once. */
export interface ReadySteps {
  readonly request: readonly Step[]
  readonly response: readonly Step[]
  /** The response's steps draw upon the request. */
  readonly keepsRequest: boolean
}

export function readySteps(request: readonly Transform[], response: readonly Transform[]): ReadySteps {
  const steps = { request: compileSteps(request), response: compileSteps(response) }
  return { ...steps, keepsRequest: steps.response.flatMap(templatesOf).some(drawsUponRequest) }
}

export interface TransformPorts {
  readonly code: ReactorPorts
  readonly masks: MaskThread
}

/** What a stored proxy adds to the plan of a call. */
export interface CallTransforms {
  /** The call's field lines without header expressions: these may be looked through for tokens. */
  readonly lines: string
  /** More field lines, with values in them: these may not. */
  readonly filledLines: string
  /** null: nothing is made anew. */
  readonly transforms: Transforms | null
}

/**
 * @param lines field lines that go on, each with CRLF
 * @param looks Header expressions are looked for.
 * @throws ERR_EXPR_*, ERR_TRANSFORM
 */
export function transformsFor(
  steps: ReadySteps,
  call: TransformCall,
  lines: string,
  looks: boolean,
  ports: TransformPorts
): CallTransforms {
  const headers = looks ? splitHeaders(lines) : { lines, ready: NO_HEADERS, waiting: NO_HEADERS }
  const seesRequest = steps.request.length > 0 || headers.waiting.length > 0 || steps.keepsRequest
  const seesResponse = steps.response.length > 0
  if (!seesRequest && !seesResponse && headers.ready.length === 0) return { lines, filledLines: '', transforms: null }
  const run = new TransformRun(call)
  const pipeline = new Pipeline(steps, headers.waiting, run, ports)
  return {
    lines: headers.lines,
    filledLines: readyLines(headers.ready, run),
    transforms:
      seesRequest || seesResponse
        ? {
            request: seesRequest ? (request, revealed) => pipeline.request(request, revealed) : null,
            response: seesResponse ? (response, revealed) => pipeline.response(response, revealed) : null
          }
        : null
  }
}

/** A message between two steps. */
interface Moving extends Passing {
  status: number
  reason: string
  /** It has no body, whatever is made of it: steps that need one are passed over. */
  readonly isBodiless: boolean
}

class Pipeline {
  readonly #steps: ReadySteps
  readonly #waiting: readonly HeaderExpression[]
  readonly #run: TransformRun
  readonly #ports: TransformPorts

  constructor(steps: ReadySteps, waiting: readonly HeaderExpression[], run: TransformRun, ports: TransformPorts) {
    this.#steps = steps
    this.#waiting = waiting
    this.#run = run
    this.#ports = ports
  }

  async request(request: WholeRequest, revealed: readonly Revealed[]): Promise<WholeRequest | WholeResponse> {
    this.#run.learn(revealed)
    const moving: Moving = { side: 'request', ...request, status: 0, reason: '', isBodiless: false }
    const answer = await this.#pass(this.#steps.request, moving)
    if (answer !== null) return answer
    const { body } = moving
    const fields = [...moving.fields, ...filledFields(this.#waiting, moving, this.#run)]
    if (this.#steps.keepsRequest) this.#run.request = { fields, body }
    return { fields, body }
  }

  async response(response: WholeResponse, revealed: readonly Revealed[]): Promise<WholeResponse> {
    this.#run.learn(revealed)
    const moving: Moving = { side: 'response', ...response }
    return (await this.#pass(this.#steps.response, moving)) ?? moving
  }

  /** An answer ends it. */
  async #pass(steps: readonly Step[], message: Moving): Promise<WholeResponse | null> {
    for (const step of steps) {
      if (step.kind === 'code') {
        const answer = await this.#code(step.code, message)
        if (answer !== null) return answer
      } else if (!message.isBodiless || step.kind === 'append_header') {
        try {
          await this.#apply(step, message)
        } catch (thrown) {
          throw this.#named(thrown, message.side, step.kind)
        }
      }
    }
    return null
  }

  async #apply(step: Exclude<Step, { kind: 'code' }>, message: Moving): Promise<void> {
    switch (step.kind) {
      case 'mask':
        message.body = await maskBody(step.mask, message, this.#run.caller.tenant, this.#ports.masks)
        return
      case 'tokenize':
        return this.#tokenize(step.tokens, message)
      case 'append_json': {
        const value = fill(step.value, message, this.#run)
        message.body = Buffer.from(appendJson(message.body.toString(), step.keys, value))
        return
      }
      case 'append_text': {
        const value = fill(step.value, message, this.#run)
        const text = value === null ? '' : typeof value === 'string' ? value : formatJson(value)
        message.body = Buffer.concat([message.body, Buffer.from(text)])
        return
      }
      case 'append_header': {
        const value = headerText(fill(step.value, message, this.#run))
        if (value !== null) message.fields = [...message.fields, step.name, value]
      }
    }
  }

  /** All of them or none, by the attached application, or else the caller. */
  async #tokenize(tokens: readonly TokenStep[], message: Moving): Promise<void> {
    const { caller, attached, traceId, results } = this.#run
    const maker = attached ?? caller
    if (!maker.holds('token:create')) {
      throw new SluiceError('ERR_PERMISSION', 'Missing permission: token:create', { names: ['token:create'] })
    }
    const wanted = tokens.map(({ filled, rest }) =>
      readNewToken({ ...rest, ...asObject(fill(filled, message, this.#run)) })
    )
    const made = await this.#ports.code.vault.create(maker, wanted, traceId)
    for (const [at, { identifier }] of tokens.entries()) {
      const view = made[at]
      if (identifier === null || view === undefined) continue
      // What goes on from here must not be the plain data, whatever its maker may read.
      results.set(identifier, parseJson(tokenText(maskedView(maker, view))))
    }
  }

  async #code(code: string, message: Moving): Promise<WholeResponse | null> {
    const { side, status } = message
    const { method, path, query } = this.#run.call
    const body = valueOf(message)
    const seen = { fields: message.fields, body, ...(side === 'request' ? { method, path, query } : { status }) }
    const outcome = await runCode(this.#ports.code, code, side, seen, this.#run)
    if (outcome.kind === 'answer') return answered(outcome.answer)
    if (outcome.fields !== null) message.fields = outcome.fields
    // What it hands back as it got it keeps its bytes.
    if (outcome.body !== undefined && !isUntouched(outcome.body, body)) message.body = bytesOf(outcome.body)
    if (outcome.status !== null && outcome.status !== status) {
      message.status = outcome.status
      message.reason = STATUS_CODES[outcome.status] ?? ''
    }
    return null
  }

  /** An error that says which kind of step it is about, without a value of the call. */
  #named(thrown: unknown, side: Passing['side'], kind: string): SluiceError {
    const error = asSluiceError(thrown)
    if (error.source !== 'client') return error
    const { scrubber } = this.#run
    const fields = Object.entries(error.fields ?? {}).map(([name, whys]) => [
      scrubber.scrub(name),
      whys.map((why) => scrubber.scrub(why))
    ])
    return new SluiceError(error.code, scrubber.scrub(`${kind} of the ${side}: ${error.message}`), {
      cause: error,
      ...(error.names === undefined ? {} : { names: error.names }),
      ...(error.fields === undefined ? {} : { fields: Object.fromEntries(fields) as Record<string, string[]> })
    })
  }
}

function answered({ status, fields, body }: OwnAnswer): WholeResponse {
  const isObject = typeof body === 'object' && body !== null
  const typed = isObject && fieldValue(fields, 'content-type') === undefined
  return {
    status,
    reason: STATUS_CODES[status] ?? '',
    fields: typed ? [...fields, 'Content-Type', 'application/json'] : fields,
    body: bytesOf(body ?? ''),
    isBodiless: false
  }
}

/** Code sees numbers as doubles. */
function isUntouched(returned: Json, given: Json): boolean {
  const text = formatJson(returned)
  return text === formatJson(given) || text === JSON.stringify(JSON.parse(formatJson(given)))
}

function bytesOf(body: Json): Buffer {
  return Buffer.from(typeof body === 'string' ? body : formatJson(body))
}
