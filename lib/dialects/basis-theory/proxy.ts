import { asSluiceError, SluiceError } from '../../errors.ts'
import type { Client, ClientSink } from '../../listen/client.ts'
import type { RequestHead } from '../../listen/head.ts'
import { acceptableTraceId, bodyModeOf, delimitersOf, subjectsOf } from '../../plan/controls.ts'
import { type Destination, joinTarget, parseDestinationUrl } from '../../plan/destination.ts'
import { templateHead } from '../../plan/head-template.ts'
import {
  checkFieldValue,
  FIELD_ACCEPT_ENCODING,
  FIELD_CONTENT_ENCODING,
  FIELD_CONTENT_TYPE,
  FIELD_CONTROL,
  FIELD_FORWARD,
  FIELD_VIA,
  fieldLine,
  listedByConnection,
  requestField
} from '../../plan/headers.ts'
import { type Deadlines, type Intent, type Limits, type Plan, planRequest } from '../../plan/plan.ts'
import type { Caller } from '../../vault/access.ts'
import type { KeyMemo } from '../../vault/vault.ts'

/*
 * What the Basis Theory dialect means by a request on /proxy: `spec/basis-theory.md` A. Hot: per request.
 */

export const PROXY_ROUTE = '/proxy'

/** Methods of the ephemeral proxy; the rest is 405. */
const PROXY_METHODS: ReadonlySet<string> = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'])

/** What the dialect needs of the rooms around it. */
export interface ProxyPorts {
  readonly settings: ProxySettings
  readonly limits: Limits
  readonly deadlines: Deadlines
  looksLikeOurs(key: string): boolean
  authenticate(key: string, memo: KeyMemo): Caller | Promise<Caller>
  newTraceId(): string
  /** Answers a request that got no plan. */
  refuse(client: Client, error: SluiceError, traceId: string, caller: Caller | null): void
  execute(client: Client, plan: Plan<ProxyPeer, never>, caller: Caller): void
}

/**
 * One request on /proxy, up to its plan: who calls (401), may it (403), where to and how (400). Synchronous when the
 * vault knows the key.
 */
export function serveProxy(client: Client, ports: ProxyPorts): void {
  let traceId: string | null = null
  try {
    const controls = readControls(client.head, ports.settings.viaName)
    traceId = acceptableTraceId(controls.traceId) ?? ports.newTraceId()
    const caller = ports.authenticate(credentialOf(controls, ports), client.memo)
    if (caller instanceof Promise) {
      const trace = traceId
      client.attend(UNTIL_KNOWN)
      caller.then(
        (known) => planAndExecute(client, controls, known, trace, ports),
        (error: unknown) => ports.refuse(client, asSluiceError(error), trace, null)
      )
    } else planAndExecute(client, controls, caller, traceId, ports)
  } catch (error) {
    ports.refuse(client, asSluiceError(error), traceId ?? ports.newTraceId(), null)
  }
}

function planAndExecute(client: Client, controls: Controls, caller: Caller, traceId: string, ports: ProxyPorts): void {
  let plan: Plan<ProxyPeer, never>
  try {
    if (caller.type !== 'private' || !caller.holds('token:use')) {
      throw new SluiceError('ERR_PERMISSION', 'Missing permission: token:use')
    }
    const { head } = client
    if (!PROXY_METHODS.has(head.method)) throw new SluiceError('ERR_METHOD', `${head.method} is not allowed here`)
    const intent = intentOf(head, controls, caller, traceId, ports)
    if (!caller.mayReach(intent.destination)) {
      throw new SluiceError('ERR_DESTINATION_FORBIDDEN', 'The application is bound to other destinations')
    }
    plan = planRequest(intent, ports.limits, ports.deadlines)
  } catch (error) {
    ports.refuse(client, asSluiceError(error), traceId, caller)
    return
  }
  ports.execute(client, plan, caller)
}

/** The key of the request; X-API-KEY counts only without BT-API-KEY and only when it is one of ours. */
function credentialOf(controls: Controls, ports: ProxyPorts): string {
  if (controls.apiKey !== undefined) return controls.apiKey
  const legacy = controls.legacyApiKey
  if (legacy !== undefined && ports.looksLikeOurs(legacy)) {
    controls.legacyApiKey = undefined
    return legacy
  }
  throw new SluiceError('ERR_AUTH_MISSING', 'The BT-API-KEY header is required')
}

/** The controls of one request, read once from its head. */
interface Controls {
  apiKey: string | undefined
  /** X-API-KEY: the credential only when BT-API-KEY is absent and the value is one of our keys; else it goes on. */
  legacyApiKey: string | undefined
  url: string | undefined
  keepAlive: string | undefined
  connection: string | undefined
  traceId: string | undefined
  delimiters: string | undefined
  bodyMode: string | undefined
  subjects: string | undefined
  /** Field lines that go on. */
  lines: string
  contentTypes: readonly string[]
  contentEncoding: string | undefined
}

/** Is the request one for the proxy? */
export function isProxyPath(path: string): boolean {
  return path.startsWith('/proxy') && (path.length === 6 || path.charCodeAt(6) === 0x2f)
}

/**
 * Reads every field once and sorts it: control, dropped, or going on.
 *
 * @param viaName our own pseudonym in Via
 * @throws ERR_HTTP_SYNTAX for a control that stands twice, ERR_LOOP when our own Via came back
 */
function readControls(head: RequestHead, viaName: string): Controls {
  const controls: Controls = {
    apiKey: undefined,
    legacyApiKey: undefined,
    url: undefined,
    keepAlive: undefined,
    connection: undefined,
    traceId: undefined,
    delimiters: undefined,
    bodyMode: undefined,
    subjects: undefined,
    lines: '',
    contentTypes: NONE,
    contentEncoding: undefined
  }
  const fields = head.fields
  const listed = listedByConnection(fields)
  let lines = ''
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    const value = fields[at + 1] as string
    const lower = name.toLowerCase()
    if (listed?.has(lower)) continue
    switch (requestField(lower)) {
      case FIELD_FORWARD:
        if (lower === 'x-api-key') {
          controls.legacyApiKey = once(controls.legacyApiKey, value, 'X-API-KEY')
          break
        }
        lines += fieldLine(name, value)
        break
      case FIELD_ACCEPT_ENCODING:
        lines += fieldLine(name, value)
        break
      case FIELD_CONTENT_TYPE:
        controls.contentTypes = controls.contentTypes === NONE ? [value] : [...controls.contentTypes, value]
        lines += fieldLine(name, value)
        break
      case FIELD_CONTENT_ENCODING:
        controls.contentEncoding =
          controls.contentEncoding === undefined ? value : `${controls.contentEncoding}, ${value}`
        break
      case FIELD_VIA:
        if (value.includes(viaName)) throw new SluiceError('ERR_LOOP', 'The request came back to Sluice')
        lines += fieldLine(name, value)
        break
      case FIELD_CONTROL:
        readControl(controls, lower, value)
        break
      default:
        break
    }
  }
  controls.lines = lines
  return controls
}

/**
 * What the request asks for, for `planRequest`.
 *
 * @throws ERR_DESTINATION_URL, ERR_HTTP_SYNTAX, ERR_INPUT
 */
function intentOf(
  head: RequestHead,
  controls: Controls,
  caller: Caller,
  traceId: string,
  { settings, limits }: ProxyPorts
): Intent<ProxyPeer, never> {
  const base = destinationOf(controls.url, settings)
  const target = joinTarget(base, head.target.slice(PROXY_ROUTE.length))
  const delimiters = delimitersOf(controls.delimiters, settings.delimiters)
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
  const headTemplate =
    delimiters !== 0 && caller.holds('token:use:head')
      ? templateHead(target.path, head.path.slice(PROXY_ROUTE.length), target.query, head.query.slice(1), lines, {
          delimiters,
          expressionBytes: limits.expressionBytes
        })
      : null
  return {
    door: 'proxy',
    dialect: 'basis_theory',
    route: PROXY_ROUTE,
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
    peer: { tenant: caller.tenant, host: base.host, port: base.port, identity: null },
    fieldLines: lines,
    headTemplate,
    contentTypes: controls.contentTypes,
    contentEncoding: controls.contentEncoding,
    bodyBytes: head.bodyBytes,
    close,
    traceId,
    reason: null,
    responseRules: null,
    transforms: null
  }
}

/** Parsed once for each text: callers send few, again and again. */
function destinationOf(url: string | undefined, { ports, exemptOrigins, parsed }: ProxySettings): Destination {
  if (url === undefined) return parseDestinationUrl(url, ports, exemptOrigins)
  const known = parsed.get(url)
  if (known !== undefined) return known
  const destination = parseDestinationUrl(url, ports, exemptOrigins)
  if (parsed.size >= PARSED_URLS) parsed.clear()
  parsed.set(url, destination)
  return destination
}

/** A destination as the ephemeral proxy reaches it: without a client certificate. */
export interface ProxyPeer {
  readonly tenant: string
  readonly host: string
  readonly port: number
  readonly identity: null
}

export interface ProxySettings {
  /** Ports that a destination may have. */
  readonly ports: readonly number[]
  /** `host:port` of destinations that may have any port. */
  readonly exemptOrigins: readonly string[]
  /** :: BT-PROXY-URL → what it says; filled as they come */
  readonly parsed: Map<string, Destination>
  /** Bit mask of the pairs that the configuration names. */
  readonly delimiters: number
  /** Our pseudonym in Via. */
  readonly viaName: string
}

function readControl(controls: Controls, lower: string, value: string): void {
  switch (lower) {
    case 'bt-api-key':
      controls.apiKey = once(controls.apiKey, value, 'BT-API-KEY')
      break
    case 'bt-proxy-url':
      controls.url = once(controls.url, value, 'BT-PROXY-URL')
      break
    case 'bt-proxy-keep-alive':
      controls.keepAlive = once(controls.keepAlive, checkFieldValue('Keep-Alive', value), 'BT-PROXY-KEEP-ALIVE')
      break
    case 'bt-proxy-connection':
      controls.connection = once(controls.connection, value, 'BT-PROXY-CONNECTION')
      break
    case 'bt-trace-id':
      controls.traceId = once(controls.traceId, value, 'BT-TRACE-ID')
      break
    case 'sluice-delimiters':
      controls.delimiters = once(controls.delimiters, value, 'Sluice-Delimiters')
      break
    case 'sluice-body-mode':
      controls.bodyMode = once(controls.bodyMode, value, 'Sluice-Body-Mode')
      break
    case 'sluice-subjects':
      controls.subjects = controls.subjects === undefined ? value : `${controls.subjects},${value}`
      break
    default:
      break
  }
}

function once(before: string | undefined, value: string, name: string): string {
  if (before !== undefined) throw new SluiceError('ERR_HTTP_SYNTAX', `${name} is there twice`)
  return value
}

const NONE: readonly string[] = []
const PARSED_URLS = 1000

function nothing(): void {}

/** While the vault looks a key up there is nothing to tell the client's events to. */
const UNTIL_KNOWN: ClientSink = {
  requestChunk: nothing,
  requestEnd: nothing,
  requestBroken: nothing,
  clientDrained: nothing,
  clientLeft: nothing
}
