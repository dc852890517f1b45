import { isIP } from 'node:net'
import * as z from 'zod/mini'

/**
 * Every setting, once. From here come the type, the parser, the names of environment variables and flags, the answers
 * of `sluice check` and the table in the README.
 */

// It runs once: compiling what checks it takes longer than it saves.
z.config({ jitless: true })

/** What is said of a setting beside its type, range and default. */
interface Notes {
  /** What it does, in one sentence. */
  readonly description: string
  /** What 0 does, where 0 is allowed and does something special. */
  readonly zero?: string
  /** A path: relative ones are taken from the file's folder, or from the working directory in variables and flags. */
  readonly path?: true
}

// :: type → what is said of it
const noted = new Map<unknown, Notes>()
const note = <T extends z.ZodMiniType>(type: T, description: string, more: Omit<Notes, 'description'> = {}): T => {
  noted.set(type, { description, ...more })
  return type
}

// :: whole number → its range
const ranges = new Map<unknown, string>()
const whole = (min: number, max: number) => {
  const type = z.int().check(z.gte(min), z.lte(max))
  ranges.set(type, max === Number.MAX_SAFE_INTEGER ? `from ${min}` : `${min} to ${max}`)
  return type
}
const wholeOr = (fallback: number, min: number, max: number) => z._default(whole(min, max), fallback)
const count = (fallback: number, max = 1_000_000_000) => wholeOr(fallback, 1, max)
const bytes = (fallback: number, min = 1) => wholeOr(fallback, min, Number.MAX_SAFE_INTEGER)
const ms = (fallback: number, min = 1) => wholeOr(fallback, min, MAX_TIMER_MS)
const orNull = <T extends z.ZodMiniType>(type: T) => z._default(z.nullable(type), null)
/** setTimeout's largest delay; beyond it a timer fires at once. */
const MAX_TIMER_MS = 2_147_483_647

const path = () => z.string().check(z.minLength(1, 'must be a path'))
const host = () => z.string().check(z.regex(/^[A-Za-z0-9._:-]+$/, 'must be a host name or an IP address'))
const port = () => note(whole(0, 65_535), 'TCP port', { zero: 'any free port, printed at start' })

const tls = z.strictObject({
  cert: note(path(), 'PEM file: the certificate, then the intermediate ones', { path: true }),
  key: note(path(), 'PEM file: the private key', { path: true })
})

const listen = z.strictObject({
  http: note(
    orNull(z.strictObject({ host: note(z._default(host(), '127.0.0.1'), 'Address to bind'), port: port() })),
    'Plain HTTP listener'
  ),
  https: note(
    orNull(
      z.strictObject({
        host: note(z._default(host(), '127.0.0.1'), 'Address to bind'),
        port: port(),
        tls: note(tls, 'Certificate')
      })
    ),
    'HTTPS listener: TLS 1.2 and 1.3, HTTP/1.1'
  ),
  allowPlainHttp: note(
    z._default(z.boolean(), false),
    'Lets the plain HTTP listener bind to an address beyond loopback'
  ),
  engine: note(
    z._default(z.enum(['raw', 'node']), 'raw'),
    'What parses requests: `raw` is our own parser on node:net and node:tls, `node` is node:http with llhttp'
  ),
  headerBytes: note(wholeOr(65_536, 1024, 1_048_576), 'Largest request line and header section; beyond: 431'),
  headersTimeoutMs: note(ms(10_000, 0), 'Time for a whole header section; beyond: 408', { zero: 'no limit' }),
  bodyIdleTimeoutMs: note(ms(30_000, 0), 'Longest silence of a client inside a body; beyond: cut', {
    zero: 'no limit'
  }),
  idleTimeoutMs: note(ms(65_000), 'How long an idle connection of a client is kept'),
  maxConnections: note(
    wholeOr(16_384, 0, 1_000_000),
    'Connections of clients to one listener of one process; beyond: those without a valid key or a request give way, then idle ones, then the new one',
    { zero: 'no limit' }
  ),
  drainMs: note(ms(20_000, 0), 'Time that running requests get after SIGTERM; the rest is cut', { zero: 'cut at once' })
})

const admin = z.strictObject({
  host: note(z._default(host(), '127.0.0.1'), 'Address to bind for /metrics, /healthz and /readyz'),
  port: note(wholeOr(9090, 0, 65_535), 'TCP port', { zero: 'any free port, printed at start' })
})

const vault = z.strictObject({
  store: note(
    z._default(z.enum(['lmdb', 'postgres']), 'lmdb'),
    'Where tokens lie: `lmdb` is embedded, shared by all workers of one machine; `postgres` serves many machines'
  ),
  path: note(z._default(path(), './data'), 'Folder of the LMDB store', { path: true }),
  url: note(
    orNull(z.string().check(z.regex(/^postgres(ql)?:\/\/\S+$/, 'must be a URL that begins with postgres://'))),
    'Database of the PostgreSQL store, `postgres://user:password@host/name?sslmode=verify-full&sslrootcert=ca.pem`; a pooler in between has to be in session mode'
  ),
  connections: note(wholeOr(4, 3, 64), 'Connections of each process to PostgreSQL'),
  masterKeyFile: note(
    z._default(path(), './master.key'),
    'Base64 lines of 32 random bytes each: the first wraps, all unwrap. `SLUICE_MASTER_KEY` is the same text',
    { path: true }
  ),
  seal: note(z._default(z.enum(['aes-256-gcm', 'xchacha20-poly1305']), 'aes-256-gcm'), 'Cipher of newly sealed tokens'),
  cvcRetentionMs: note(ms(3_600_000, 1000), 'How long card verification codes are kept')
})

const HOST_PATTERN = /^(\*|(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*)$/

const egress = z.strictObject({
  hosts: note(
    z._default(z.array(z.string().check(z.regex(HOST_PATTERN, 'must be *, a lower-case DNS name or *.name'))), ['*']),
    'Hosts that may be destinations at all: names, `*.name` (any depth below name) or `*`'
  ),
  ports: note(z._default(z.array(whole(1, 65_535)).check(z.minLength(1)), [443]), 'Ports that destinations may use'),
  allowPrivateNetworks: note(
    z._default(
      z.union([z.boolean(), z.array(z.string().check(z.refine(isCidr, 'must be a CIDR block')))], {
        error: 'must be false, true or a list of CIDR blocks'
      }),
      false
    ),
    'Lets destinations resolve to private addresses: all of them, or the listed CIDR blocks. Link-local and metadata addresses need a block of their own even then'
  ),
  ca: note(z._default(z.array(path()), []), 'PEM files of authorities trusted beside the built-in ones', {
    path: true
  }),
  localAddress: note(
    orNull(z.string().check(z.refine((text) => isIP(text) !== 0, 'must be an IP address'))),
    'Address that connections to destinations come from'
  ),
  connectTimeoutMs: note(ms(10_000), 'Time for a connection, TLS handshake included; beyond: 502'),
  timeoutMs: note(ms(25_000), 'From the last request byte sent to the head of the response; beyond: 408'),
  bodyIdleTimeoutMs: note(ms(30_000), 'Longest silence of a destination inside a body; beyond: 408 or a cut'),
  idleTimeoutMs: note(ms(30_000), 'How long an idle connection to a destination is kept'),
  maxConnectionsPerPeer: note(
    count(256, 65_535),
    'Connections to one destination (and tenant, and TLS identity) at once'
  )
})

const limits = z.strictObject({
  tokensPerRequest: note(count(100, 10_000), 'Distinct tokens that one request may reveal; beyond: 400'),
  expressionBytes: note(wholeOr(16_384, 64, 1_048_576), 'Longest expression; a longer one is literal text'),
  wholeBodyBytes: note(bytes(1_048_576, 0), 'Largest body that is held and sent as one; larger ones are streamed', {
    zero: 'every body is streamed'
  }),
  apiBodyBytes: note(bytes(10_485_760), 'Largest body of an API call (/tokens …); beyond: 413'),
  inFlight: note(count(4096), 'Requests at once; beyond: 503'),
  bufferedBytes: note(bytes(268_435_456), 'Bytes of bodies held at once, over all requests; beyond: 503'),
  decodedBytes: note(bytes(104_857_600), 'Largest body after decompression; beyond, or over 100 times its size: 413')
})

const template = z.strictObject({
  delimiters: note(
    z._default(z.array(z.enum(['{{ }}', '<< >>'])), ['{{ }}', '<< >>']),
    'Pairs that enclose an expression; with none, bodies pass untouched'
  )
})

const audit = z.strictObject({
  path: note(z._default(path(), './audit'), 'Folder of the audit log', { path: true }),
  syncMs: note(ms(1000), 'How often the audit log is forced to disk: what a power cut may lose')
})

const log = z.strictObject({
  level: note(
    z._default(z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']), 'info'),
    'What is logged; one line a request at `info`'
  )
})

/** The whole configuration. Sections and settings that are left out take their defaults. */
export const configSchema = z.strictObject({
  listen: z.prefault(listen, {}),
  admin: z.prefault(admin, {}),
  vault: z.prefault(vault, {}),
  egress: z.prefault(egress, {}),
  limits: z.prefault(limits, {}),
  template: z.prefault(template, {}),
  audit: z.prefault(audit, {}),
  log: z.prefault(log, {}),
  workers: note(wholeOr(1, 0, 1024), 'Processes that serve', { zero: 'one for each core' })
})

/** A checked, frozen configuration; paths are absolute. */
export type Config = Frozen<z.output<typeof configSchema>>

type Frozen<T> = T extends readonly (infer Item)[]
  ? readonly Frozen<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Frozen<T[Key]> }
    : T

/** One setting, or a group of them that can be given as a whole (`listen.http`). */
export interface Setting {
  /** `egress.timeoutMs` */
  readonly path: string
  /** `SLUICE_EGRESS_TIMEOUT_MS` */
  readonly variable: string
  /** `integer`, `string`, `group or null` … */
  readonly type: string
  readonly range: string
  /** JSON text; null when it has to be given. */
  readonly fallback: string | null
  readonly description: string
  readonly zero: string | null
  readonly isPath: boolean
}

/** All settings, in the order of the schema. */
export const SETTINGS: readonly Setting[] = settingsIn(configSchema, '')

function settingsIn(group: z.ZodMiniObject, path: string): Setting[] {
  const found: Setting[] = []
  for (const [key, type] of Object.entries<Type>(group.shape as Readonly<Record<string, Type>>)) {
    const name = path === '' ? key : `${path}.${key}`
    const notes = noted.get(type)
    const bare = unwrapped(type)
    if (notes !== undefined) found.push(settingOf(type, bare, notes, name))
    if (bare instanceof z.ZodMiniObject) found.push(...settingsIn(bare, name))
  }
  return found
}

function settingOf(type: Type, bare: Type, notes: Notes, path: string): Setting {
  return {
    path,
    variable: `SLUICE_${path.replaceAll(/[A-Z]/g, '_$&').replaceAll('.', '_').toUpperCase()}`,
    type: typeOf(type, notes.path === true),
    range: rangeOf(bare),
    fallback: type instanceof z.ZodMiniDefault ? JSON.stringify(type.def.defaultValue) : null,
    description: notes.description,
    zero: notes.zero ?? null,
    isPath: notes.path === true
  }
}

/** The type without what says that it may be null or left out. */
function unwrapped(type: Type): Type {
  const isWrapper =
    type instanceof z.ZodMiniDefault || type instanceof z.ZodMiniPrefault || type instanceof z.ZodMiniNullable
  return isWrapper ? unwrapped(type.def.innerType as Type) : type
}

/** `integer`, `list of paths`, `group or null` … */
function typeOf(type: Type, isPath: boolean): string {
  if (type instanceof z.ZodMiniDefault) return typeOf(type.def.innerType as Type, isPath)
  if (type instanceof z.ZodMiniNullable) return `${typeOf(type.def.innerType as Type, isPath)} or null`
  if (type instanceof z.ZodMiniUnion)
    return type.def.options.map((option) => typeOf(option as Type, isPath)).join(' or ')
  if (type instanceof z.ZodMiniArray) return `list of ${typeOf(type.def.element as Type, isPath)}s`
  if (type instanceof z.ZodMiniObject) return 'group'
  if (type instanceof z.ZodMiniNumber) return 'integer'
  if (type instanceof z.ZodMiniBoolean) return 'boolean'
  return isPath ? 'path' : 'string'
}

function rangeOf(type: Type): string {
  if (type instanceof z.ZodMiniArray) return rangeOf(type.def.element as Type)
  if (type instanceof z.ZodMiniEnum) return Object.values(type.def.entries).join(', ')
  return ranges.get(type) ?? ''
}

type Type = z.ZodMiniType

function isCidr(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}
