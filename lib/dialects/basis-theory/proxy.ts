import { asSluiceError, SluiceError } from '../../errors.ts'
import { internalized } from '../../json.ts'
import type { Client } from '../../listen/client.ts'
import { acceptableTraceId, bodyModeOf, delimitersOf, looksForBraces, subjectsOf } from '../../plan/controls.ts'
import { holdsKey } from '../../plan/credentials.ts'
import { type Destination, joinTarget, parseDestinationUrl } from '../../plan/destination.ts'
import { templateHead } from '../../plan/head-template.ts'
import { fieldLine } from '../../plan/headers.ts'
import { type Deadlines, type Intent, type Limits, type Plan, planRequest } from '../../plan/plan.ts'
import type { Transforms } from '../../plan/transforms.ts'
import { Waiting } from '../../plan/waiting.ts'
import type { Caller } from '../../vault/access.ts'
import type { KeyMemo } from '../../vault/vault.ts'
import { type Controls, readControls } from './controls.ts'
import { type NamedProxy, namedProxy } from './proxy-key.ts'
import { noProxy, PROXY_METHODS, type ProxyPeer, type ReadyProxy, type StoredProxies } from './stored-proxies.ts'
import { type TransformPorts, transformsFor } from './transforms/pipeline.ts'

/*
 * What the Basis Theory dialect means by a request on /proxy: `spec/basis-theory.md` A and B.3. Hot: per request.
 */

export const PROXY_ROUTE = '/proxy'
/** Of a call of a stored proxy, in metrics and log. */
const STORED_ROUTE = '/proxy?bt-proxy-key'

/** What the dialect needs of the rooms around it. `Identity` is `egress/identity`'s. */
export interface ProxyPorts<Identity> {
  readonly settings: ProxySettings
  readonly limits: Limits
  readonly deadlines: Deadlines
  readonly stored: StoredProxies<Identity>
  readonly transforms: TransformPorts
  /** Has the text the form and checksum of our keys? */
  readonly looksLikeOurs: (key: string) => boolean
  authenticate(key: string, memo: KeyMemo): Caller | Promise<Caller>
  newTraceId(): string
  /** Answers a request that got no plan. */
  refuse(client: Client, error: SluiceError, traceId: string, route: string, caller: Caller | null): void
  execute(client: Client, plan: Plan<ProxyPeer<Identity>, never>, caller: Caller): void
}

/** A request, before it is known who calls. */
interface Asked<Identity> {
  readonly client: Client
  readonly controls: Controls
  readonly traceId: string
  /** null: BT-PROXY-URL says where to. */
  readonly named: NamedProxy | null
  readonly ports: ProxyPorts<Identity>
}

/**
 * One request on /proxy, up to its plan: who calls (401), may it (403), where to and how (400). Synchronous when the
 * vault knows the key, and the stored proxy is ready.
 */
export function serveProxy<Identity>(client: Client, ports: ProxyPorts<Identity>): void {
  let traceId: string | null = null
  let named: NamedProxy | null = null
  try {
    const controls = readControls(client.head, ports.settings.viaName, ports.looksLikeOurs, client.requestLines)
    traceId = acceptableTraceId(controls.traceId) ?? ports.newTraceId()
    named = namedProxy(controls.proxyKey, client.head.query)
    const asked = { client, controls, traceId, named, ports }
    if (named === null) {
      const caller = ports.authenticate(credentialOf(controls, ports), client.memo)
      whenKnown(asked, caller, (known) => planAndExecute(asked, known, null))
    } else whenKnown(asked, ports.stored.find(named.key), (proxy) => serveStored(asked, proxy))
  } catch (error) {
    const trace = traceId ?? ports.newTraceId()
    ports.refuse(client, asSluiceError(error), trace, named === null ? PROXY_ROUTE : STORED_ROUTE, null)
  }
}

/** Goes on at once, or when the vault has answered. */
function whenKnown<T, Identity>(asked: Asked<Identity>, value: T | Promise<T>, take: (known: T) => void): void {
  if (!(value instanceof Promise)) {
    take(value)
    return
  }
  const waiting = new Waiting()
  asked.client.attend(waiting)
  value
    .then((known) => {
      // Whoever left is told of to nobody else: the request would never be over.
      if (waiting.hasLeft) throw new SluiceError('ERR_CLIENT_GONE', 'The client left')
      take(known)
    })
    .catch((error: unknown) => refuse(asked, error, null))
}

/** Who calls a stored proxy: an API key, or with none asked for the application that is attached to it. */
function serveStored<Identity>(asked: Asked<Identity>, proxy: ReadyProxy<Identity>): void {
  const { client, controls, ports } = asked
  const { attached, document } = proxy
  if (document.require_auth) {
    const caller = ports.authenticate(credentialOf(controls, ports), client.memo)
    whenKnown(asked, caller, (known) => planAndExecute(asked, known, proxy))
    return
  }
  if (attached === null) throw noDestinations()
  takeLegacyKey(controls, ports)
  planAndExecute(asked, attached, proxy)
}

function planAndExecute<Identity>(asked: Asked<Identity>, caller: Caller, proxy: ReadyProxy<Identity> | null): void {
  const { client, ports } = asked
  let plan: Plan<ProxyPeer<Identity>, never>
  try {
    checkCaller(caller, proxy)
    const { method } = client.head
    if (!PROXY_METHODS.has(method)) throw new SluiceError('ERR_METHOD', `${method} is not allowed here`)
    const intent = intentOf(asked, caller, proxy)
    const attached = proxy?.attached ?? null
    if (!caller.mayReach(intent.destination) || attached?.mayReach(intent.destination) === false) {
      throw new SluiceError('ERR_DESTINATION_FORBIDDEN', 'The application is bound to other destinations')
    }
    plan = planRequest(intent, ports.limits, proxy?.deadlines ?? ports.deadlines)
  } catch (error) {
    refuse(asked, error, caller)
    return
  }
  ports.execute(client, plan, caller)
}

/** Throws ERR_PERMISSION, ERR_NOT_FOUND, ERR_DESTINATION_FORBIDDEN. */
function checkCaller<Identity>(caller: Caller, proxy: ReadyProxy<Identity> | null): void {
  if (proxy === null) {
    if (caller.type === 'private' && caller.holds('token:use')) return
    throw new SluiceError('ERR_PERMISSION', 'Missing permission: token:use')
  }
  if (proxy.document.require_auth) {
    if (caller.tenant !== proxy.tenant) throw noProxy()
    if (caller.type === 'private' && (caller.holds('token:use') || caller.holds('proxy:invoke'))) return
    throw new SluiceError('ERR_PERMISSION', 'Missing permission: token:use or proxy:invoke')
  }
  // It had destinations when the proxy was written, and may have lost them since.
  if (!caller.isBound) throw noDestinations()
}

function refuse<Identity>(asked: Asked<Identity>, thrown: unknown, caller: Caller | null): void {
  const { client, traceId, named, ports } = asked
  ports.refuse(client, asSluiceError(thrown), traceId, named === null ? PROXY_ROUTE : STORED_ROUTE, caller)
}

/** The key of the request; X-API-KEY counts only without BT-API-KEY and only when it is one of ours. */
function credentialOf(controls: Controls, ports: KeyPorts): string {
  const legacy = takeLegacyKey(controls, ports)
  const key = controls.apiKey ?? legacy
  if (key === undefined) throw new SluiceError('ERR_AUTH_MISSING', 'The BT-API-KEY header is required')
  return key
}

/** X-API-KEY when it is one of ours: then it goes on to no destination, whatever else the request brings. */
function takeLegacyKey(controls: Controls, ports: KeyPorts): string | undefined {
  const legacy = controls.legacyApiKey
  if (legacy === undefined || !holdsKey(legacy, ports.looksLikeOurs)) return undefined
  controls.legacyApiKey = undefined
  return legacy
}

type KeyPorts = Pick<ProxyPorts<unknown>, 'looksLikeOurs'>

/** Is the request one for the proxy? */
export function isProxyPath(path: string): boolean {
  return path.startsWith('/proxy') && (path.length === 6 || path.charCodeAt(6) === 0x2f)
}

/**
 * What the request asks for, for `planRequest`.
 *
 * @throws ERR_DESTINATION_URL, ERR_HTTP_SYNTAX, ERR_INPUT
 */
function intentOf<Identity>(
  asked: Asked<Identity>,
  caller: Caller,
  proxy: ReadyProxy<Identity> | null
): Intent<ProxyPeer<Identity>, never> {
  const { client, controls, traceId, named, ports } = asked
  const { head } = client
  const { settings, limits } = ports
  const { destination: base, peer } = proxy ?? destinationOf(controls.url, caller.tenant, settings)
  const tailPath = head.path.slice(PROXY_ROUTE.length)
  const tailQuery = named === null ? head.query : named.query
  const target = joinTarget(base, tailPath + tailQuery)
  const delimiters =
    proxy?.document.disable_detokenization === true ? 0 : delimitersOf(controls.delimiters, settings.delimiters)
  let lines = controls.lines
  if (controls.legacyApiKey !== undefined) lines += fieldLine('X-API-KEY', controls.legacyApiKey)
  if (controls.keepAlive !== undefined) lines += fieldLine('Keep-Alive', controls.keepAlive)
  let close = false
  if (controls.connection !== undefined) {
    const wish = controls.connection.trim().toLowerCase()
    if (wish !== 'keep-alive' && wish !== 'close') {
      throw new SluiceError('ERR_HTTP_SYNTAX', 'BT-PROXY-CONNECTION takes keep-alive or close')
    }
    close = wish === 'close'
    // The exchange writes `Connection: close` itself.
    if (!close) lines += fieldLine('Connection', 'keep-alive')
  }
  lines += `Via: 1.1 ${settings.viaName}\r\nBt-Trace-Id: ${traceId}\r\n`
  let filledLines = ''
  let transforms: Transforms | null = null
  let configuration: Readonly<Record<string, string>> | null = null
  if (proxy !== null) {
    const { attached, document, steps } = proxy
    const call = { caller, attached, configuration: document.configuration, traceId, method: head.method }
    // Whoever needs no key gets nothing of the configuration put into what is his own.
    if (document.require_auth) configuration = document.configuration
    const looks = document.require_auth && looksForBraces(delimiters)
    const made = transformsFor(steps, { ...call, path: tailPath, query: tailQuery }, lines, looks, ports.transforms)
    ;({ lines, filledLines, transforms } = made)
  }
  let headTemplate =
    delimiters !== 0 && caller.holds('token:use:head')
      ? templateHead(target.path, tailPath, target.query, tailQuery.slice(1), lines, {
          delimiters,
          expressionBytes: limits.expressionBytes
        })
      : null
  if (filledLines !== '') {
    lines += filledLines
    if (headTemplate !== null) headTemplate = { ...headTemplate, lines: [...headTemplate.lines, filledLines] }
  }
  return {
    door: 'proxy',
    dialect: 'basis_theory',
    route: proxy === null ? PROXY_ROUTE : STORED_ROUTE,
    proxy: proxy?.id ?? null,
    grammar: 'liquid',
    user: null,
    delimiters,
    delimitersNamed: controls.delimiters !== undefined,
    bodyMode: bodyModeOf(controls.bodyMode),
    subjects: subjectsOf(controls.subjects),
    method: head.method,
    target: target.text,
    destination: {
      host: base.host,
      port: base.port,
      method: head.method,
      path: headTemplate?.certainPath ?? target.path
    },
    peer,
    fieldLines: lines,
    headTemplate,
    contentTypes: controls.contentTypes,
    contentEncoding: controls.contentEncoding,
    bodyBytes: head.bodyBytes,
    close,
    isIdempotent: proxy?.repeatsByKey === true && IDEMPOTENCY_KEY.test(lines),
    traceId,
    reason: null,
    responseRules: null,
    configuration,
    transforms
  }
}

/** Parsed once for each text and tenant that follow each other: callers send few, again and again. */
function destinationOf(
  url: string | undefined,
  tenant: string,
  { ports, exemptOrigins, parsed }: ProxySettings
): KnownUrl {
  const known = url === undefined ? undefined : parsed.get(url)
  if (known?.peer.tenant === tenant) return known
  const own = url === undefined ? '' : internalized(url)
  const destination = known?.destination ?? parseDestinationUrl(own, ports, exemptOrigins)
  const { host, port } = destination
  const read = { destination, peer: { tenant, host, port, identity: null } }
  if (parsed.size >= PARSED_URLS) parsed.clear()
  parsed.set(own, read)
  return read
}

/** A destination that a header named, and the peer of the tenant that did so last. */
export interface KnownUrl {
  readonly destination: Destination
  readonly peer: ProxyPeer<never>
}

export interface ProxySettings {
  /** Ports that a destination may have. */
  readonly ports: readonly number[]
  /** `host:port` of destinations that may have any port. */
  readonly exemptOrigins: readonly string[]
  /** :: BT-PROXY-URL → what it says; filled as they come */
  readonly parsed: Map<string, KnownUrl>
  /** Bit mask of the pairs that the configuration names. */
  readonly delimiters: number
  /** Our pseudonym in Via. */
  readonly viaName: string
}

const noDestinations = () =>
  new SluiceError('ERR_DESTINATION_FORBIDDEN', 'The application of the proxy names no destinations')

const IDEMPOTENCY_KEY = /^idempotency-key:[ \t]*[!-~]/im
const PARSED_URLS = 1000
