/**
 * Destination binding: which hosts an application, a container or a token may be sent to. A leaked key then cannot
 * send a card anywhere else.
 */
import { domainToASCII } from 'node:url'
import { SluiceError } from '../errors.ts'

/** Where a request would go: host lower-case, IDNA-encoded, without a trailing dot; path as sent, without its query. */
export interface DestinationName {
  readonly host: string
  readonly port: number
  readonly method: string
  readonly path: string
}

/** As callers write it: a host pattern, or a host pattern with methods and a path prefix. */
export type DestinationRule =
  | string
  | { readonly host: string; readonly methods?: readonly string[]; readonly pathPrefix?: string }

/** A rule, ready to be asked. */
interface Compiled {
  /** The exact host, or with a leading dot the end of every host below a domain; `*` is any. */
  readonly host: string
  /** null: any port that the egress policy allows. */
  readonly port: number | null
  readonly methods: ReadonlySet<string> | null
  readonly pathPrefix: string
}

export class DestinationList {
  readonly #rules: readonly Compiled[]

  /** Throws ERR_INPUT when a rule is not acceptable; `field` names it in the error. */
  constructor(rules: readonly DestinationRule[], field = 'destinations') {
    this.#rules = rules.map((rule, index) => compile(rule, `${field}[${index}]`))
  }

  /** True when any rule admits the destination. An empty list admits none. */
  admits(destination: DestinationName): boolean {
    for (const rule of this.#rules) if (admits(rule, destination)) return true
    return false
  }

  /** True when some rule admits every host. */
  get open(): boolean {
    return this.#rules.some((rule) => rule.host === '*')
  }
}

function admits(rule: Compiled, to: DestinationName): boolean {
  if (rule.host !== '*') {
    const below = rule.host.charCodeAt(0) === DOT
    if (below ? !to.host.endsWith(rule.host) || to.host.length === rule.host.length : to.host !== rule.host)
      return false
  }
  if (rule.port !== null && rule.port !== to.port) return false
  if (rule.methods !== null && !rule.methods.has(to.method)) return false
  return rule.pathPrefix === '/' || isUnder(to.path, rule.pathPrefix)
}

/** Whole segments only: `/v1` holds `/v1` and `/v1/x`, not `/v10`. */
function isUnder(path: string, prefix: string): boolean {
  if (!path.startsWith(prefix)) return false
  return path.length === prefix.length || prefix.endsWith('/') || path.charCodeAt(prefix.length) === SLASH
}

/** NOTE: rules come from JSON that callers wrote: their types are checked here, whatever the compiler believes. */
function compile(rule: DestinationRule, field: string): Compiled {
  const given: { host?: unknown; methods?: unknown; pathPrefix?: unknown } =
    typeof rule === 'string' ? { host: rule } : rule
  if (typeof given.host !== 'string') throw fault(field, 'a host is required')
  const { host, port } = hostPattern(given.host, field)
  const { pathPrefix = '/', methods } = given
  if (
    typeof pathPrefix !== 'string' ||
    !/^\/[\x21-\x7e]*$/.test(pathPrefix) ||
    /[?#\\]/.test(pathPrefix) ||
    DOT_SEGMENT.test(pathPrefix)
  ) {
    throw fault(field, 'pathPrefix is not an absolute path without query')
  }
  return { host, port, methods: methods === undefined ? null : methodSet(methods, field), pathPrefix }
}

function methodSet(methods: unknown, field: string): ReadonlySet<string> {
  const isMethod = (method: unknown): method is string => typeof method === 'string' && /^[A-Z]{1,16}$/.test(method)
  if (Array.isArray(methods) && methods.every(isMethod)) return new Set(methods)
  throw fault(field, 'methods are not a list of upper-case names')
}

function hostPattern(text: string, field: string): { host: string; port: number | null } {
  const parts = /^(\*\.)?([^:*]+|\*)(?::([0-9]{1,5}))?$/.exec(text)
  if (parts === null) throw fault(field, 'the host pattern is not a name, *.name or *')
  const [, below, name = '', digits] = parts
  const port = digits === undefined ? null : Number(digits)
  if (port !== null && (port < 1 || port > 65535)) throw fault(field, 'the port is out of range')
  if (name === '*') {
    if (below !== undefined) throw fault(field, 'the host pattern is not a name, *.name or *')
    return { host: '*', port }
  }
  const ascii = domainToASCII(name.replace(/\.$/, '')).toLowerCase()
  if (!HOST.test(ascii)) throw fault(field, 'the host is not a DNS name')
  return { host: below === undefined ? ascii : `.${ascii}`, port }
}

const fault = (field: string, why: string) =>
  new SluiceError('ERR_INPUT', `${field}: ${why}`, { fields: { [field]: [why] } })

const DOT = 0x2e
const SLASH = 0x2f
const HOST = /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/
const DOT_SEGMENT = /(?:^|\/)(?:\.|%2e){1,2}(?:\/|$)/i
