/**
 * A real PostgreSQL server for tests: an installed one, started in a temporary folder as an unprivileged user, with fsync
 * on. It ends with the test, also when the test is killed: a shell in between waits for the end of its input, then
 * ends the server and removes the folder.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import {
  accessSync,
  chownSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync
} from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import pg from 'pg'
import type { KeyPair } from './certificates.ts'

export interface PostgresOptions {
  /** Listens on 127.0.0.1 too, with TLS, and wants the password there. */
  readonly tls?: KeyPair
}

/** Why there is no server to test with; null when there is. Says so on standard error, in letters that are seen. */
export function postgresIsMissing(): string | null {
  if (binaries() !== null) return null
  const why = 'no PostgreSQL server is installed (initdb, postgres): the store `postgres` is NOT TESTED by this run'
  process.stderr.write(`\n${'!'.repeat(why.length + 4)}\n! ${why} !\n${'!'.repeat(why.length + 4)}\n\n`)
  return why
}

/** Starts a server; some 0.6 s. */
export async function startPostgres(options: PostgresOptions = {}): Promise<TestPostgres> {
  const bin = binaries()
  if (bin === null) throw new Error('no PostgreSQL server is installed')
  const folder = mkdtempSync(join(tmpdir(), 'sluice-pg-'))
  const user = unprivileged()
  if (user !== null) chownSync(folder, user.uid, user.gid)
  const password = join(folder, 'password')
  writeFileSync(password, PASSWORD)
  const init = ['-D', join(folder, 'd'), '-U', 'sluice', '-E', 'UTF8', '--locale=C', '--no-sync', '--pwfile', password]
  execFileSync(join(bin, 'initdb'), [...init, '--auth-local=trust', '--auth-host=scram-sha-256'], {
    ...user,
    cwd: folder,
    stdio: 'ignore'
  })
  const port = options.tls === undefined ? 0 : await freePort()
  if (options.tls !== undefined) {
    writeFileSync(join(folder, 'server.crt'), options.tls.cert)
    writeFileSync(join(folder, 'server.key'), options.tls.key, { mode: 0o600 })
    if (user !== null) chownSync(join(folder, 'server.key'), user.uid, user.gid)
  }
  const server = new TestPostgres(bin, folder, user, port)
  await server.start()
  return server
}

export class TestPostgres {
  readonly #bin: string
  readonly #folder: string
  readonly #user: User | null
  readonly #port: number
  #shell: ChildProcess | null = null
  #databases = 0

  constructor(bin: string, folder: string, user: User | null, port: number) {
    this.#bin = bin
    this.#folder = folder
    this.#user = user
    this.#port = port
  }

  /** Starts it (again), and waits until it answers. */
  async start(): Promise<void> {
    const settings = {
      unix_socket_directories: this.#folder,
      listen_addresses: this.#port === 0 ? '' : '127.0.0.1',
      port: String(this.#port || 5432),
      shared_buffers: '32MB',
      ...(this.#port === 0
        ? {}
        : {
            ssl: 'on',
            ssl_cert_file: join(this.#folder, 'server.crt'),
            ssl_key_file: join(this.#folder, 'server.key')
          })
    }
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const program = [join(this.#bin, 'postgres'), '-D', join(this.#folder, 'd'), ...flags]
    this.#shell = spawn('/bin/sh', ['-c', KEEPER, this.#folder, ...program], {
      ...this.#user,
      cwd: this.#folder,
      stdio: ['pipe', 'ignore', 'ignore']
    })
    await this.#answers()
  }

  async #answers(): Promise<void> {
    const giveUpAt = performance.now() + 20_000
    for (;;) {
      try {
        await this.run('select 1', 'postgres')
        return
      } catch (cause) {
        if (performance.now() > giveUpAt) throw cause
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }

  /** The URL of a database, over the unix socket. */
  url(database: string): string {
    const port = this.#port || 5432
    return `postgres://sluice@localhost:${port}/${database}?host=${encodeURIComponent(this.#folder)}`
  }

  /** The URL of a database over TCP, without options. */
  tcpUrl(database: string): string {
    return `postgres://sluice:${PASSWORD}@localhost:${this.#port}/${database}`
  }

  /** Makes an empty database and returns its name. */
  async newDatabase(): Promise<string> {
    const name = `t${++this.#databases}`
    await this.run(`create database ${name}`, 'postgres')
    return name
  }

  /** Takes all that is ours out of a database. */
  async empty(database: string): Promise<void> {
    await this.run('drop schema if exists sluice cascade', database)
  }

  /** Runs one statement as the owner of the server. */
  async run(text: string, database: string): Promise<unknown[][]> {
    const client = new pg.Client({ connectionString: this.url(database) })
    client.on('error', () => {})
    await client.connect()
    try {
      return (await client.query<unknown[]>({ text, rowMode: 'array' })).rows
    } finally {
      await client.end()
    }
  }

  /** Cuts every connection to a database; resolves with their number. */
  async cutAll(database: string): Promise<number> {
    const text = `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = '${database}' and application_name = 'sluice'`
    return (await this.run(text, 'postgres')).length
  }

  /** Ends the server at once, as a crash would. Its data stay. */
  async crash(): Promise<void> {
    await this.#end('stay\n')
  }

  /** Ends the server and removes its data. */
  async stop(): Promise<void> {
    await this.#end('')
  }

  async #end(word: string): Promise<void> {
    const shell = this.#shell
    if (shell === null) return
    this.#shell = null
    const ended = new Promise((resolve) => {
      shell.once('exit', resolve)
    })
    shell.stdin?.end(word)
    await ended
  }
}

/** The folder with the newest installed server; null when there is none. */
function binaries(): string | null {
  const debian = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...debian.map((version) => join(DEBIAN, version, 'bin')),
    '/usr/local/pgsql/bin',
    '/opt/homebrew/bin',
    '/usr/local/bin'
  ]
  return folders.find((folder) => ['initdb', 'postgres'].every((name) => isProgram(join(folder, name)))) ?? null
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

interface User {
  readonly uid: number
  readonly gid: number
}

/** Whom to be in the stead of root, as whom the server refuses to run; null: who we are. */
function unprivileged(): User | null {
  if (process.getuid?.() !== 0) return null
  const accounts = readFileSync('/etc/passwd', 'utf8')
  const account = /^postgres:[^:]*:(\d+):(\d+):/m.exec(accounts) ?? /^nobody:[^:]*:(\d+):(\d+):/m.exec(accounts)
  return account === null ? { uid: 65534, gid: 65534 } : { uid: Number(account[1]), gid: Number(account[2]) }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

/** $0 is the folder; it stays if a word comes on the input. SIGQUIT ends the server without any writing. */
const KEEPER = `
  "$@" & server=$!
  read -r word
  kill -QUIT $server
  wait $server
  [ -n "$word" ] || rm -rf "$0"`
const DEBIAN = '/usr/lib/postgresql'
const PASSWORD = 'correct-horse'
