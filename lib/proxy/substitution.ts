import { asSluiceError, SluiceError } from '../errors.ts'
import { render } from '../expr/encode.ts'
import type { Found } from '../expr/evaluate.ts'
import {
  type Expression,
  narrow,
  type ParseOptions,
  parseExpression,
  parseWord,
  type Subject
} from '../expr/expression.ts'
import { TURN_UNITS, Work } from '../expr/work.ts'
import { joinTarget } from '../plan/destination.ts'
import type { HeadTemplate } from '../plan/head-template.ts'
import { outgoingHead, type Plan } from '../plan/plan.ts'
import type { HeadPiece } from '../scan/head.ts'
import type { Spot } from '../scan/scanner.ts'
import type { Caller } from '../vault/access.ts'
import type { Purpose } from '../vault/purpose.ts'
import { isSameId } from '../vault/token.ts'
import { NO_TOKEN } from './configured.ts'
import type { ProxyVault } from './ports.ts'
import type { Plaintexts } from './scrub.ts'

/** Hears what became of a batch of spots; nothing may leave before the vault releases it. */
export interface SubstitutionOwner {
  /** `texts[i]` goes in the place of `spots[i]`. */
  substituted(texts: readonly string[]): void
  failed(thrown: unknown): void
}

/**
 * From the spots of one request to the texts that go in their places: parse, reveal in one batch, evaluate, escape.
 * Keeps what is counted over all batches of the request. Hot: per spot; synchronous over a synchronous store.
 */
export class Substitution {
  readonly #plan: Plan
  readonly #caller: Caller
  readonly #vault: ProxyVault
  readonly #reveals: Pick<ProxyVault, 'reveal'>
  readonly #owner: SubstitutionOwner
  /** One for each batch that was asked of the vault. */
  readonly #purposes: Purpose[] = []
  /** Distinct ids: a list while they are few. */
  #tokens: string[] | Set<string> = []
  #replaced = 0
  /** What was revealed, when the response may have to be cleared of it. */
  #plaintexts: Plaintexts | null = null

  /** @param reveals where values are asked for: the vault, or something in front of it */
  constructor(
    plan: Plan,
    caller: Caller,
    vault: ProxyVault,
    reveals: Pick<ProxyVault, 'reveal'>,
    owner: SubstitutionOwner
  ) {
    this.#plan = plan
    this.#caller = caller
    this.#vault = vault
    this.#reveals = reveals
    this.#owner = owner
  }

  /** Distinct tokens so far. */
  get tokens(): number {
    return this.#tokens instanceof Set ? this.#tokens.size : this.#tokens.length
  }

  get replaced(): number {
    return this.#replaced
  }

  get plaintexts(): Plaintexts | null {
    return this.#plaintexts
  }

  /**
   * Asks the vault for everything that the spots name, at once, and tells the owner. Throws what can be known before.
   *
   * @param located the spots' offsets are those of the body, to be told in errors
   */
  reveal(spots: readonly Spot[], located: boolean): void {
    const expressions: Expression[] = []
    const subjects: Subject[] = []
    const parsing = this.#parsing()
    for (const spot of spots) {
      try {
        const expression = this.#parse(spot, parsing)
        expressions.push(expression)
        subjects.push(expression.subject)
      } catch (error) {
        throw located ? locate(error, spot.offset) : error
      }
    }
    const { tokensPerRequest } = this.#plan.limits
    const found = this.#reveals.reveal(this.#caller, subjects, this.#purpose(), tokensPerRequest)
    if (found instanceof Promise) {
      found.then(
        (all) => this.#revealed(spots, expressions, all, located),
        (error: unknown) => this.#owner.failed(error)
      )
    } else this.#revealed(spots, expressions, found, located)
  }

  /** Appends the audit intent of the call of a stored proxy; the batches to come are linked to it. */
  invoke(proxy: string): void {
    this.#vault.invoke(this.#caller, this.#purpose(), proxy)
  }

  /** Writes the second audit record of every batch, and forgets what was revealed. */
  end(outcome: string): void {
    for (const { intent } of this.#purposes) if (intent !== 0) this.#vault.outcome(intent, outcome)
    this.#plaintexts = null
  }

  #parsing(): ParseOptions {
    const { user } = this.#plan
    return user === null ? { work: new Work() } : { work: new Work(), user }
  }

  #parse({ source, isWord }: Spot, options: ParseOptions): Expression {
    const { grammar, subjects } = this.#plan
    const parsed = isWord && grammar === 'liquid' ? parseWord(source) : parseExpression(source, grammar, options)
    const expression = subjects === null ? parsed : narrow(parsed, subjects)
    if (expression === null) {
      throw new SluiceError('ERR_SUBJECT_NOT_ALLOWED', 'The request names a subject that Sluice-Subjects does not')
    }
    return expression
  }

  #purpose(): Purpose {
    const { door, destination, traceId, reason, proxy } = this.#plan
    const known = this.#purposes[0]
    if (proxy !== null && known !== undefined) return known
    const purpose: Purpose = { door, destination: door === 'proxy' ? destination : null, traceId, reason, intent: 0 }
    this.#purposes.push(purpose)
    return purpose
  }

  #revealed(
    spots: readonly Spot[],
    expressions: readonly Expression[],
    found: readonly Found[],
    located: boolean
  ): void {
    const texts: string[] = []
    try {
      this.#countTokens(found)
      const work = new Work(TURN_UNITS)
      for (let at = 0; at < spots.length; at++) {
        const spot = spots[at] as Spot
        try {
          texts.push(render(expressions[at] as Expression, found[at] as Found, spot, work))
        } catch (error) {
          throw located ? locate(error, spot.offset) : error
        }
      }
      this.#remember(found, texts)
      this.#replaced += texts.length
    } catch (error) {
      this.#owner.failed(error)
      return
    }
    this.#owner.substituted(texts)
  }

  /** The cap is on the request: batches before this one count. */
  #countTokens(found: readonly Found[]): void {
    for (const { id } of found) if (id !== NO_TOKEN) this.#countToken(id)
    const limit = this.#plan.limits.tokensPerRequest
    if (this.tokens > limit) {
      throw new SluiceError('ERR_TOKEN_LIMIT', `The request names more than ${limit} tokens (limits.tokensPerRequest)`)
    }
  }

  #countToken(id: string): void {
    const tokens = this.#tokens
    if (tokens instanceof Set) {
      tokens.add(id)
      return
    }
    for (let at = 0; at < tokens.length; at++) if (isSameId(tokens[at] as string, id)) return
    if (tokens.push(id) === FEW) this.#tokens = new Set(tokens)
  }

  /** `texts[i]` was made of `found[i]`. Kept only when the response may have to be cleared of them. */
  #remember(found: readonly Found[], texts: readonly string[]): void {
    if (this.#plan.responseRules === null && this.#plan.transforms === null) return
    this.#plaintexts ??= []
    for (const [at, { id, data }] of found.entries()) {
      if (id !== NO_TOKEN) this.#plaintexts.push({ id, data, text: texts[at] ?? '' })
    }
  }
}

/** The spots of a head, in order. */
export function spotsOf(template: HeadTemplate): Spot[] {
  return [...template.target, ...template.lines].filter((piece) => typeof piece !== 'string')
}

/**
 * The head with `texts[i]` in the place of the i-th of `spotsOf`. A value can make a dot segment, so that the target is
 * checked once more: throws ERR_DESTINATION_URL.
 */
export function filledHead(plan: Plan, template: HeadTemplate, texts: readonly string[]): string {
  let at = 0
  const fill = (pieces: readonly HeadPiece[]): string => {
    let text = ''
    for (const piece of pieces) text += typeof piece === 'string' ? piece : texts[at++]
    return text
  }
  const target = joinTarget(NO_BASE, fill(template.target)).text
  return outgoingHead(plan, target, fill(template.lines))
}

function locate(thrown: unknown, offset: number): SluiceError {
  const error = asSluiceError(thrown)
  error.offset ??= offset
  return error
}

const FEW = 16
const NO_BASE = { path: '', query: '' }
