/**
 * Calls of reactors that nobody waits for. What is to come of one is written down before it is accepted, so that one that
 * a process did not live to finish is known to have failed.
 */
import { asSluiceError, SluiceError } from '../../errors.ts'
import type { ApiAnswer, ApiCall } from '../../listen/api.ts'
import type { Vault } from '../../vault/vault.ts'
import type { Reaction } from './react.ts'
import { apiErrorBody } from './wire.ts'

/** A row of the vault's results. */
interface Kept {
  readonly reactor: string
  /** Whose call it was: nobody else is given the result. */
  readonly application: string
  /** null: it is not over. */
  readonly answer: ApiAnswer | null
}

interface Waiting {
  readonly reaction: Reaction
  readonly deadline: number
  readonly traceId: string
  readonly settle: (answer: ApiAnswer) => Promise<void>
}

interface Line {
  running: number
  readonly waiting: Waiting[]
}

export class AsyncRuns {
  readonly #vault: Vault
  readonly #bug: (thrown: unknown, traceId: string) => void
  // :: tenant → its calls
  readonly #lines = new Map<string, Line>()
  #outstanding = 0
  #running = 0
  #heldLength = 0
  #idle: (() => void)[] = []

  /** @param bug Hears of errors that are ours. */
  constructor(vault: Vault, bug: (thrown: unknown, traceId: string) => void) {
    this.#vault = vault
    this.#bug = bug
  }

  /** Calls that are accepted and not over, in this process. */
  get outstanding(): number {
    return this.#outstanding
  }

  /** Throws ERR_OVERLOAD when no more may be accepted: before anything is revealed for it. */
  requireRoom(tenant: string): void {
    const line = this.#lines.get(tenant)
    if (line !== undefined && line.running + line.waiting.length >= OUTSTANDING) {
      throw new SluiceError('ERR_OVERLOAD', `The tenant has ${OUTSTANDING} asynchronous calls under way already`)
    }
    if (this.#outstanding >= OUTSTANDING_OF_ALL || this.#heldLength > HELD_LENGTH) {
      throw new SluiceError('ERR_OVERLOAD', 'Too many asynchronous calls are under way')
    }
  }

  /** Accepts a call; `asyncReactorRequestId` is where its result will be. */
  async start(call: ApiCall, reactor: string, reaction: Reaction): Promise<ApiAnswer> {
    const { tenant, application } = call.caller
    const record = (answer: ApiAnswer | null): string => JSON.stringify({ reactor, application, answer } satisfies Kept)
    const deadline = performance.now() + LIMIT_MS
    const id = await this.#vault.results.begin(tenant, record(null))
    this.#outstanding++
    this.#heldLength += reaction.input.length
    const line = this.#lines.get(tenant) ?? { running: 0, waiting: [] }
    this.#lines.set(tenant, line)
    const settle = async (answer: ApiAnswer): Promise<void> => this.#vault.results.settle(tenant, id, record(answer))
    line.waiting.push({ reaction, deadline, traceId: call.traceId, settle })
    this.#pump()
    return { status: 202, body: JSON.stringify({ asyncReactorRequestId: id }) }
  }

  /** The answer that the reactor has given to a call; ERR_NOT_FOUND while there is none, and once its time is over. */
  async result(call: ApiCall, reactor: string, id: string): Promise<ApiAnswer> {
    const { caller, traceId } = call
    const kept = await this.#vault.results.read(caller.tenant, id)
    const record = kept === null ? null : (JSON.parse(kept.text) as Kept)
    if (kept === null || record?.reactor !== reactor || record.application !== caller.application) {
      throw new SluiceError('ERR_NOT_FOUND', 'There is no such result')
    }
    if (record.answer !== null) {
      // What code gave back may be what it was shown.
      await this.#vault.showResult(caller, reactor, id, traceId)
      return record.answer
    }
    if (this.#vault.now() < kept.beganAt + LIMIT_MS + GRACE_MS) {
      throw new SluiceError('ERR_NOT_FOUND', 'There is no result yet')
    }
    throw new SluiceError('ERR_CODE_RUNTIME', 'Reactor Runtime Error', {
      fields: { error: ['The call was lost: Sluice was stopped before it was over. It may have run'] }
    })
  }

  /** Resolves when no call is under way, or after `ms`. */
  idle(ms: number): Promise<void> {
    if (this.#outstanding === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#idle.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  /** Begins what may begin; a tenant that has had its turn goes to the end of the line. */
  #pump(): void {
    for (const [tenant, line] of [...this.#lines]) {
      if (this.#running >= AT_ONCE_OF_ALL) return
      const next = line.running < AT_ONCE ? line.waiting.shift() : undefined
      if (next === undefined) continue
      line.running++
      this.#running++
      this.#lines.delete(tenant)
      this.#lines.set(tenant, line)
      void this.#run(next).finally(() => {
        line.running--
        this.#running--
        this.#outstanding--
        this.#heldLength -= next.reaction.input.length
        if (line.running + line.waiting.length === 0) this.#lines.delete(tenant)
        this.#pump()
        if (this.#outstanding === 0) for (const told of this.#idle.splice(0)) told()
      })
    }
  }

  async #run({ reaction, deadline, traceId, settle }: Waiting): Promise<void> {
    let answer: ApiAnswer
    try {
      answer = await reaction.run(Math.max(1, deadline - performance.now()))
    } catch (thrown) {
      const error = asSluiceError(thrown)
      if (error.code === 'ERR_INTERNAL') this.#bug(error, traceId)
      answer = { status: error.status, body: apiErrorBody(error) }
    }
    // A result that cannot be kept is one that was lost, and reads so in the end.
    for (let tried = 0; tried < TRIES; tried++) {
      try {
        await settle(answer)
        return
      } catch (thrown) {
        if (tried === TRIES - 1) this.#bug(thrown, traceId)
        else await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS))
      }
    }
  }
}

/** From being accepted to its end, the wait for its turn included. */
const LIMIT_MS = 300_000
/** For what comes after the end of the code. */
const GRACE_MS = 10_000
/** Of one tenant in one process. */
const OUTSTANDING = 100
const OUTSTANDING_OF_ALL = 1000
/** Of one tenant, and of all: fewer than there are threads, so that calls that somebody waits for find one. */
const AT_ONCE = 2
const AT_ONCE_OF_ALL = 4
/** Of what calls hold while they wait, in UTF-16 units. */
const HELD_LENGTH = 64 * 1024 * 1024
const TRIES = 3
const TRY_AGAIN_MS = 1000
