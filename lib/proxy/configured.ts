import { SluiceError } from '../errors.ts'
import type { Found } from '../expr/evaluate.ts'
import type { Subject } from '../expr/expression.ts'
import { Secret } from '../secret.ts'
import type { Caller } from '../vault/access.ts'
import type { Purpose } from '../vault/purpose.ts'
import type { MaybePromise, ProxyVault } from './ports.ts'

/** The id of what is no token. */
export const NO_TOKEN = ''

/** A vault in front of which the texts of a stored proxy's configuration stand: `{{ config: key }}`. */
export class ConfiguredVault implements Pick<ProxyVault, 'reveal'> {
  readonly #vault: ProxyVault
  readonly #configuration: Readonly<Record<string, string>>

  constructor(vault: ProxyVault, configuration: Readonly<Record<string, string>>) {
    this.#vault = vault
    this.#configuration = configuration
  }

  /** As the vault's; ERR_TRANSFORM for a key that is not there, before anything is revealed. */
  reveal(
    caller: Caller,
    subjects: readonly Subject[],
    purpose: Purpose,
    limit: number
  ): MaybePromise<readonly Found[]> {
    const texts = subjects.map((subject) => this.#textOf(subject))
    const tokens = subjects.filter((_, at) => texts[at] === null)
    if (tokens.length === subjects.length) return this.#vault.reveal(caller, subjects, purpose, limit)
    const merge = (found: readonly Found[]): Found[] => {
      let next = 0
      return texts.map((text) => text ?? (found[next++] as Found))
    }
    const found = tokens.length === 0 ? [] : this.#vault.reveal(caller, tokens, purpose, limit)
    return found instanceof Promise ? found.then(merge) : merge(found)
  }

  #textOf({ text, form }: Subject): Found | null {
    const key = form === 'data' ? KEYWORD.exec(text) : null
    if (key === null) return null
    const name = key[1] ?? key[2] ?? key[3] ?? ''
    const value = Object.hasOwn(this.#configuration, name) ? this.#configuration[name] : undefined
    if (value === undefined) {
      throw new SluiceError('ERR_TRANSFORM', 'An expression names a key that the configuration of the proxy has not')
    }
    const data = new Secret(JSON.stringify(value))
    return { candidate: 0, id: NO_TOKEN, data, whole: () => data }
  }
}

/** `config: key`, `config: 'key'` or `config: "key"`. */
const KEYWORD = /^config\s*:\s*(?:'([^']*)'|"([^"]*)"|(.+))$/
