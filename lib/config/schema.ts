import { isIP } from 'node:net'
import { z } from 'zod'

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
const note = <T extends z.ZodType>(type: T, description: string, more: Omit<Notes, 'description'> = {}): T => {
  noted.set(type, { description, ...more })
  return type
}

const whole = (min: number, max: number) => z.int().min(min).max(max)
const count = (fallback: number, max = 1_000_000_000) => whole(1, max).default(fallback)
const bytes = (fallback: number, min = 1) => whole(min, Number.MAX_SAFE_INTEGER).default(fallback)
const ms = (fallback: number, min = 1) => whole(min, MAX_TIMER_MS).default(fallback)
/** setTimeout's largest delay; beyond it a timer fires at once. */
const MAX_TIMER_MS = 2_147_483_647

const path = () => z.string().min(1, 'must be a path')
const host = () => z.string().regex(/^[A-Za-z0-9._:-]+$/, 'must be a host name or an IP address')
const port = () => note(whole(0, 65_535), 'TCP port', { zero: 'any free port, printed at start' })

const tls = z.strictObject({
  cert: note(path(), 'PEM file: the certificate, then the intermediate ones', { path: true }),
  key: note(path(), 'PEM file: the private key', { path: true })
})

const listen = z.strictObject({
  http: note(
    z
      .strictObject({ host: note(host().default('127.0.0.1'), 'Address to bind'), port: port() })
      .nullable()
      .default(null),
    'Plain HTTP listener'
  ),
  https: note(
    z
      .strictObject({
        host: note(host().default('127.0.0.1'), 'Address to bind'),
        port: port(),
        tls: note(tls, 'Certificate')
      })
      .nullable()
      .default(null),
    'HTTPS listener: TLS 1.2 and 1.3, HTTP/1.1'
  ),
  allowPlainHttp: note(z.boolean().default(false), 'Lets the plain HTTP listener bind to an address beyond loopback'),
  engine: note(
    z.enum(['raw', 'node']).default('raw'),
    'What parses requests: `raw` is our own parser on node:net and node:tls, `node` is node:http with llhttp'
  ),
  headerBytes: note(whole(1024, 1_048_576).default(65_536), 'Largest request line and header section; beyond: 431'),
  headersTimeoutMs: note(ms(10_000, 0), 'Time for a whole header section; beyond: 408', { zero: 'no limit' }),
  bodyIdleTimeoutMs: note(ms(30_000, 0), 'Longest silence of a client inside a body; beyond: cut', {
    zero: 'no limit'
  }),
  idleTimeoutMs: note(ms(65_000), 'How long an idle connection of a client is kept'),
  maxConnections: note(
    whole(0, 1_000_000).default(16_384),
    'Connections of clients to one listener of one process; beyond: those without a valid key or a request give way, then idle ones, then the new one',
    { zero: 'no limit' }
  ),
  drainMs: note(ms(20_000, 0), 'Time that running requests get after SIGTERM; the rest is cut', { zero: 'cut at once' })
})

const admin = z.strictObject({
  host: note(host().default('127.0.0.1'), 'Address to bind for /metrics, /healthz and /readyz'),
  port: note(whole(0, 65_535).default(9090), 'TCP port', { zero: 'any free port, printed at start' })
})

const vault = z.strictObject({
  store: note(
    z.enum(['lmdb', 'postgres']).default('lmdb'),
    'Where tokens lie: `lmdb` is embedded, shared by all workers of one machine; `postgres` serves many machines'
  ),
  path: note(path().default('./data'), 'Folder of the LMDB store', { path: true }),
  url: note(
    z
      .string()
      .regex(/^postgres(ql)?:\/\/\S+$/, 'must be a URL that begins with postgres://')
      .nullable()
      .default(null),
    'Database of the PostgreSQL store, `postgres://user:password@host/name?sslmode=verify-full&sslrootcert=ca.pem`; a pooler in between has to be in session mode'
  ),
  connections: note(whole(3, 64).default(4), 'Connections of each process to PostgreSQL'),
  masterKeyFile: note(
    path().default('./master.key'),
    'Base64 lines of 32 random bytes each: the first wraps, all unwrap. `SLUICE_MASTER_KEY` is the same text',
    { path: true }
  ),
  seal: note(z.enum(['aes-256-gcm', 'xchacha20-poly1305']).default('aes-256-gcm'), 'Cipher of newly sealed tokens'),
  cvcRetentionMs: note(ms(3_600_000, 1000), 'How long card verification codes are kept')
})

const HOST_PATTERN = /^(\*|(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*)$/

const egress = z.strictObject({
  hosts: note(
    z.array(z.string().regex(HOST_PATTERN, 'must be *, a lower-case DNS name or *.name')).default(['*']),
    'Hosts that may be destinations at all: names, `*.name` (any depth below name) or `*`'
  ),
  ports: note(z.array(whole(1, 65_535)).min(1).default([443]), 'Ports that destinations may use'),
  allowPrivateNetworks: note(
    z
      .union([z.boolean(), z.array(z.string().refine(isCidr, 'must be a CIDR block'))], {
        error: 'must be false, true or a list of CIDR blocks'
      })
      .default(false),
    'Lets destinations resolve to private addresses: all of them, or the listed CIDR blocks. Link-local and metadata addresses need a block of their own even then'
  ),
  ca: note(z.array(path()).default([]), 'PEM files of authorities trusted beside the built-in ones', { path: true }),
  localAddress: note(
    z
      .string()
      .refine((text) => isIP(text) !== 0, 'must be an IP address')
      .nullable()
      .default(null),
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
  expressionBytes: note(whole(64, 1_048_576).default(16_384), 'Longest expression; a longer one is literal text'),
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
    z.array(z.enum(['{{ }}', '<< >>'])).default(['{{ }}', '<< >>']),
    'Pairs that enclose an expression; with none, bodies pass untouched'
  )
})

const audit = z.strictObject({
  path: note(path().default('./audit'), 'Folder of the audit log', { path: true }),
  syncMs: note(ms(1000), 'How often the audit log is forced to disk: what a power cut may lose')
})

const log = z.strictObject({
  level: note(
    z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
    'What is logged; one line a request at `info`'
  )
})

/** The whole configuration. Sections and settings that are left out take their defaults. */
export const configSchema = z.strictObject({
  listen: listen.prefault({}),
  admin: admin.prefault({}),
  vault: vault.prefault({}),
  egress: egress.prefault({}),
  limits: limits.prefault({}),
  template: template.prefault({}),
  audit: audit.prefault({}),
  log: log.prefault({}),
  workers: note(whole(0, 1024).default(1), 'Processes that serve', { zero: 'one for each core' })
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

function settingsIn(group: z.ZodObject, path: string): Setting[] {
  const found: Setting[] = []
  for (const [key, type] of Object.entries<z.ZodType>(group.shape)) {
    const name = path === '' ? key : `${path}.${key}`
    const notes = noted.get(type)
    const bare = unwrapped(type)
    if (notes !== undefined) found.push(settingOf(type, bare, notes, name))
    if (bare instanceof z.ZodObject) found.push(...settingsIn(bare, name))
  }
  return found
}

function settingOf(type: z.ZodType, bare: z.ZodType, notes: Notes, path: string): Setting {
  const fallback = type instanceof z.ZodDefault ? JSON.stringify(type.def.defaultValue) : null
  return {
    path,
    variable: `SLUICE_${path.replaceAll(/[A-Z]/g, '_$&').replaceAll('.', '_').toUpperCase()}`,
    type: typeOf(type, notes.path === true),
    range: rangeOf(bare),
    fallback,
    description: notes.description,
    zero: notes.zero ?? null,
    isPath: notes.path === true
  }
}

/** The type without what says that it may be null or left out. */
function unwrapped(type: z.ZodType): z.ZodType {
  const isWrapper = type instanceof z.ZodDefault || type instanceof z.ZodPrefault || type instanceof z.ZodNullable
  return isWrapper ? unwrapped(type.def.innerType as z.ZodType) : type
}

/** `integer`, `list of paths`, `group or null` … */
function typeOf(type: z.ZodType, isPath: boolean): string {
  if (type instanceof z.ZodDefault) return typeOf(type.def.innerType as z.ZodType, isPath)
  if (type instanceof z.ZodNullable) return `${typeOf(type.def.innerType as z.ZodType, isPath)} or null`
  if (type instanceof z.ZodUnion) {
    return type.options.map((option) => typeOf(option as z.ZodType, isPath)).join(' or ')
  }
  if (type instanceof z.ZodArray) return `list of ${typeOf(type.element as z.ZodType, isPath)}s`
  if (type instanceof z.ZodObject) return 'group'
  if (type instanceof z.ZodNumber) return 'integer'
  if (type instanceof z.ZodBoolean) return 'boolean'
  return isPath ? 'path' : 'string'
}

function rangeOf(type: z.ZodType): string {
  if (type instanceof z.ZodArray) return rangeOf(type.element as z.ZodType)
  if (type instanceof z.ZodEnum) return type.options.join(', ')
  if (!(type instanceof z.ZodNumber)) return ''
  const { minValue: min, maxValue: max } = type
  return max === Number.MAX_SAFE_INTEGER ? `from ${min}` : `${min} to ${max}`
}

function isCidr(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}
