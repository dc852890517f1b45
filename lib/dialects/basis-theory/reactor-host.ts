/**
 * What a reactor's code may ask of the world: `fetch`, and `req.bt` as the attached application. A request goes only
 * where the caller, the attached application and every token that the run has seen may go: each `fetch` reveals them
 * again, with its destination, which checks and writes down all of that.
 */
import { SluiceError } from '../../errors.ts'
import { formatJson, type Json, parseJson } from '../../json.ts'
import type { Caller } from '../../vault/access.ts'
import type { DestinationName } from '../../vault/destinations.ts'
import type { Purpose, RevealSubject } from '../../vault/purpose.ts'
import { type TokenView, tokenText } from '../../vault/token-view.ts'
import type { ReactorPorts } from './reactor-ports.ts'
import type { Scrubber } from './scrubber.ts'
import { asObject, type JsonObject, readNewToken, readRevision } from './token-input.ts'
import { tokenizeValue } from './tokenize.ts'

/** For whom code runs, and what it has been shown. */
export interface HostRun {
  readonly caller: Caller
  readonly traceId: string
  /** Whom `req.bt` acts as. */
  readonly attached: Caller | null
  /** The tokens that the call has revealed. */
  readonly subjects: readonly RevealSubject[]
  readonly scrubber: Scrubber
}

export class ReactorHost {
  readonly #ports: Omit<ReactorPorts, 'run'>
  readonly #run: HostRun
  readonly #over = new AbortController()
  #fetching = 0
  readonly #turns: (() => void)[] = []
  /** Tokens whose data the code was shown by the attached application. */
  readonly #shown: RevealSubject[] = []

  constructor(ports: Omit<ReactorPorts, 'run'>, run: HostRun) {
    this.#ports = ports
    this.#run = run
  }

  /** The JSON of the reply to one call of the code. */
  async answer(name: string, text: string): Promise<string> {
    if (name === 'fetch') return this.#inTurn(() => this.#fetch(text))
    const { attached } = this.#run
    if (name === 'bt' && attached !== null) return this.#bt(attached, parseJson(text))
    throw new SluiceError('ERR_NOT_FOUND', 'There is no such call')
  }

  /** The run is over: what it has under way is cut, and nothing more is sent. */
  end(): void {
    this.#over.abort()
  }

  /** What is sent and what comes back is held in memory: a few at a time, the others wait. */
  async #inTurn(task: () => Promise<string>): Promise<string> {
    while (this.#fetching >= FETCHES_AT_ONCE) await new Promise<void>((go) => this.#turns.push(go))
    this.#fetching++
    try {
      return await task()
    } finally {
      this.#fetching--
      this.#turns.shift()?.()
    }
  }

  async #fetch(text: string): Promise<string> {
    const request = this.#ports.readOutbound(text)
    const { vault, tokensPerRequest } = this.#ports
    const purposes: Purpose[] = []
    const reveal = async (caller: Caller, subjects: readonly RevealSubject[]): Promise<void> => {
      const purpose = this.#purpose(request.destination)
      purposes.push(purpose)
      await vault.reveal(caller, subjects, purpose, tokensPerRequest)
    }
    const { caller, attached, subjects } = this.#run
    await reveal(caller, subjects)
    if (attached !== null) await reveal(attached, this.#shown)
    await vault.released()
    let outcome = 'failed'
    try {
      const answer = await this.#ports.send(caller.tenant, request, this.#over.signal)
      outcome = 'forwarded'
      return JSON.stringify(answer)
    } finally {
      for (const { intent } of purposes) vault.outcome(intent, outcome)
    }
  }

  async #bt(attached: Caller, order: Json): Promise<string> {
    const { vault, tokensPerRequest } = this.#ports
    const { traceId } = this.#run
    const [operation, first = null, second = null] = Array.isArray(order) ? order : []
    switch (operation) {
      case 'tokens.create': {
        requireOf(attached, 'token:create')
        const [view] = await vault.create(attached, [readNewToken(wire(first))], traceId)
        return view === undefined ? 'null' : spoken(this.#made(attached, view))
      }
      case 'tokens.retrieve':
        requireOf(attached, 'token:read')
        return this.#retrieve(attached, textOf(first))
      case 'tokens.update':
        requireOf(attached, 'token:update')
        return spoken(
          this.#seen(attached, await vault.update(attached, textOf(first), readRevision(wire(second)), traceId))
        )
      case 'tokens.delete':
        requireOf(attached, 'token:delete')
        await vault.delete(attached, textOf(first), traceId)
        return 'null'
      case 'tokenize':
        requireOf(attached, 'token:create')
        return tokenizeValue(vault, tokensPerRequest, attached, first, traceId, (view) => this.#made(attached, view))
      default:
        throw new SluiceError('ERR_NOT_FOUND', 'There is no such call')
    }
  }

  async #retrieve(attached: Caller, id: string): Promise<string> {
    const { vault } = this.#ports
    const purpose: Purpose = { ...this.#purpose(null), door: 'read' }
    const view = await vault.read(attached, id, purpose)
    if (purpose.intent !== 0) {
      await vault.released()
      vault.outcome(purpose.intent, 'shown')
    }
    return spoken(this.#seen(attached, view))
  }

  /** What a create shows is the code's own, unless the token was there before. */
  #made(attached: Caller, view: TokenView): TokenView {
    return view.deduplicated === true ? this.#seen(attached, view) : view
  }

  /** From now on the code goes only where a token may that it was shown in plain. */
  #seen(attached: Caller, view: TokenView): TokenView {
    if (view.shown === null || attached.allows('token:read', view.container) !== 'reveal') return view
    this.#shown.push({ text: view.id, form: 'data', candidates: [view.id] })
    this.#run.scrubber.addSecret(view.shown)
    return view
  }

  #purpose(destination: DestinationName | null): Purpose {
    return { door: 'reactor', destination, traceId: this.#run.traceId, reason: null, intent: 0 }
  }
}

function textOf(id: Json): string {
  if (typeof id === 'string') return id
  throw new SluiceError('ERR_INPUT', 'The id of a token is a text')
}

function requireOf(caller: Caller, permission: string): void {
  if (caller.holds(permission)) return
  throw new SluiceError('ERR_PERMISSION', `Missing permission: ${permission}`, { names: [permission] })
}

/** A token as the vendor's library gives it to code: names in camel case. */
function spoken(view: TokenView): string {
  const token = asObject(parseJson(tokenText(view))) ?? {}
  return formatJson(
    renamed(token, (name) => name.replace(/(?!^)_([a-z])/g, (_, letter: string) => letter.toUpperCase()))
  )
}

/** A token that code gives: both spellings are read. */
function wire(value: Json): JsonObject {
  const token = asObject(value) ?? {}
  return asObject(renamed(token, (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))) ?? {}
}

/** The members of the token itself and of `privacy`; everything else in it is the user's. */
function renamed(token: JsonObject, rename: (name: string) => string): Json {
  const entries = Object.entries(token).map(([name, value]) => {
    const inner = name === 'privacy' ? asObject(value) : null
    return [rename(name), inner === null ? (value ?? null) : renamed(inner, rename)] as const
  })
  return Object.fromEntries(entries)
}

const FETCHES_AT_ONCE = 8
