/** A vault in a process of its own, which a test asks things of, or kills. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { asSluiceError } from '../../lib/errors.ts'
import { parseMasterKeys } from '../../lib/vault/master-key.ts'
import type { Store } from '../../lib/vault/store.ts'
import { newKeyMemo, Vault } from '../../lib/vault/vault.ts'
import { purpose, subject } from './vault.ts'

/** Which vault. */
export interface VaultPlace {
  readonly store: 'lmdb' | 'postgres'
  /** Folder or URL. */
  readonly at: string
  /** For the audit log. */
  readonly directory: string
  readonly masterKey: string
}

type Request =
  | { readonly ask: 'authenticate'; readonly key: string }
  | { readonly ask: 'reveal'; readonly key: string; readonly id: string }
  | { readonly ask: 'create'; readonly key: string; readonly name: string; readonly atOnce: number }

/** What came of it: the plain data, or nothing, or the code of the error; of `create` the id of each token. */
interface Answer {
  readonly answer: string
}

export class VaultChild {
  readonly #child: ChildProcess
  #answers: ((answer: string) => void)[] = []
  readonly #exited: Promise<void>
  readonly pid: number
  #heard: () => void = () => {}
  /** Ids of the tokens whose creation it has told of. */
  readonly created: string[] = []
  #creating = false
  /** The code of the error that ended its creating. */
  failed: string | null = null

  /** `fileBytes`: no file that it writes may grow beyond this, as if the disk were full. */
  constructor(place: VaultPlace, fileBytes?: number) {
    const argv = [fileURLToPath(import.meta.url), CHILD, JSON.stringify(place)]
    const limit = fileBytes === undefined ? '' : `ulimit -S -f ${Math.ceil(fileBytes / 512)}; `
    this.#child = spawn('/bin/sh', ['-c', `${limit}exec "$@"`, 'sh', process.execPath, ...argv], {
      stdio: ['ignore', 'inherit', 'ignore', 'ipc']
    })
    this.pid = this.#child.pid ?? 0
    this.#child.on('message', ({ answer }: Answer) => {
      if (answer.startsWith(MADE)) this.created.push(answer.slice(MADE.length))
      else if (this.#creating) {
        this.#creating = false
        this.failed = answer
      } else this.#answers.shift()?.(answer)
      this.#heard()
    })
    this.#exited = new Promise((resolve) => {
      this.#child.once('close', () => resolve())
    })
  }

  /** Authenticates, always as the same connection: an empty text, or a code. */
  authenticate(key: string): Promise<string> {
    return this.#ask({ ask: 'authenticate', key })
  }

  /** The plain data of a token, or a code. */
  reveal(key: string, id: string): Promise<string> {
    return this.#ask({ ask: 'reveal', key, id })
  }

  /** From now on it makes tokens, some named `name-…`, each with `dataOf` its id, until one fails or it is killed. */
  create(key: string, name: string, atOnce: number): void {
    this.#creating = true
    this.failed = null
    this.#send({ ask: 'create', key, name, atOnce })
  }

  /** Resolves when it has told of so many creations, or that it failed. */
  async hasCreated(count: number): Promise<void> {
    while (this.created.length < count && this.failed === null) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve
      })
    }
  }

  #ask(request: Request): Promise<string> {
    return new Promise((resolve) => {
      this.#answers.push(resolve)
      this.#send(request)
    })
  }

  #send(request: Request): void {
    this.#child.send(request)
  }

  /** kill -9. Resolves when it has ended and all that it told has been heard. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }
}

/** Opens the store of a place. */
export async function openStoreAt({ store, at }: VaultPlace): Promise<Store> {
  if (store === 'lmdb') return (await import('../../lib/vault/stores/lmdb.ts')).openLmdb(at)
  return (await import('../../lib/vault/stores/postgres.ts')).openPostgres({ url: at })
}

/** Opens the vault of a place. */
export async function openVaultAt(place: VaultPlace): Promise<Vault> {
  return Vault.open({
    store: await openStoreAt(place),
    masterKeys: parseMasterKeys(place.masterKey),
    seal: 'aes-256-gcm',
    auditDirectory: join(place.directory, 'audit')
  })
}

async function serve(place: VaultPlace): Promise<void> {
  const vault = await openVaultAt(place)
  const memo = newKeyMemo()
  const perform = async (request: Request): Promise<string> => {
    const caller = await vault.authenticate(request.key, memo)
    if (request.ask === 'authenticate') return ''
    if (request.ask === 'reveal') {
      const [found] = await vault.reveal(caller, [subject(request.id)], purpose(), 1)
      return found?.data.exposeText() ?? ''
    }
    let next = 0
    const one = async (): Promise<void> => {
      for (;;) {
        // Every other one under a random id: those of a turn are written together.
        const given = next++ % 2 === 0 ? `${request.name}-${next}` : undefined
        const [token] = await vault.create(caller, [tokenOf(given)], 'trace')
        tell(MADE + (token?.id ?? ''))
      }
    }
    await Promise.all(Array.from({ length: request.atOnce }, one))
    return ''
  }
  process.on('disconnect', () => process.exit())
  process.on('message', (request: Request) => {
    perform(request).then(tell, (thrown: unknown) => tell(asSluiceError(thrown).code))
  })
}

/** The data of such a token, as JSON. */
export const dataOf = (id: string): string => JSON.stringify(`value of ${UUID.test(id) ? 'a random id' : id}`)

/** The token that is made under an id; undefined: a random one. */
const tokenOf = (id: string | undefined) => ({
  ...(id === undefined ? {} : { id }),
  type: 'token',
  container: '/general/high/',
  data: id === undefined ? JSON.stringify('value of a random id') : dataOf(id),
  expiresAt: null
})

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4/

function tell(answer: string): void {
  process.send?.({ answer } satisfies Answer)
}

const MADE = 'made '
const CHILD = 'vault-child'
if (process.argv[2] === CHILD) await serve(JSON.parse(process.argv[3] ?? '{}') as VaultPlace)
