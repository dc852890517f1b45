/** What the Footprint dialect means by a request on /vault_proxy. `spec/footprint.md` A.1 to A.8. */
import { asSluiceError, SluiceError } from '../../errors.ts'
import type { Client } from '../../listen/client.ts'
import { bodyModeOf, delimitersOf, subjectsOf } from '../../plan/controls.ts'
import { joinTarget, parseDestinationUrl } from '../../plan/destination.ts'
import { templateHead } from '../../plan/head-template.ts'
import { decodableOf, fieldLine } from '../../plan/headers.ts'
import { type Deadlines, type Intent, type Limits, type Plan, planRequest } from '../../plan/plan.ts'
import { Waiting } from '../../plan/waiting.ts'
import type { Capture, CaptureRule, CaptureType } from '../../proxy/capture.ts'
import type { ResponseRules } from '../../proxy/response-rules.ts'
import type { Caller } from '../../vault/access.ts'
import type { KeyMemo, Vault } from '../../vault/vault.ts'
import { type Controls, readControls } from './controls.ts'
import { credentialOf } from './credential.ts'
import type { StoredConfig } from './config.ts'
import { configOf } from './configs.ts'
import { writesForFields } from './fields.ts'
import { readCaptureType, readRule, splitRules } from './rules.ts'
import { pemOf, type TlsMaterial } from './tls.ts'
import { invalid } from './wire.ts'

/** What the dialect needs of the rooms around it. `Identity` is `egress/identity`'s. */
export interface VaultProxyPorts<Identity> {
  readonly settings: VaultProxySettings
  readonly limits: Limits
  readonly deadlines: Deadlines
  readonly users: Pick<Vault['users'], 'check'>
  readonly configs: Pick<Vault['shelves']['configs'], 'read'>
  authenticate(key: string, memo: KeyMemo): Caller | Promise<Caller>
  /** Has the text the form and checksum of our keys? */
  readonly looksLikeOurs: (key: string) => boolean
  /** Checked TLS material. Throws ERR_INPUT that names the part at fault. */
  identity(material: TlsMaterial): Identity
  /** Throws ERR_EXPR_* for a rule that does not compile. */
  compileRules(type: CaptureType, rules: readonly CaptureRule[]): Capture
  /** Answers a request that got no plan. */
  refuse(client: Client, error: SluiceError, route: string, caller: Caller | null): void
  execute(client: Client, plan: Plan<VaultPeer<Identity>, ResponseRules>, caller: Caller): void
  newTraceId(client: Client): string
}

export interface VaultProxySettings {
  /** Ports that a destination may have. */
  readonly ports: readonly number[]
  /** `host:port` of destinations that may have any port. */
  readonly exemptOrigins: readonly string[]
  /** The pair that is looked for unless the request says otherwise: `{{ }}`. */
  readonly delimiters: number
  /** Our pseudonym in Via. */
  readonly viaName: string
}

export interface VaultPeer<Identity> {
  readonly tenant: string
  readonly host: string
  readonly port: number
  readonly identity: Identity | null
}

/** Is the request one for the proxy? */
export function isVaultProxyPath(path: string): boolean {
  return path.startsWith('/vault_proxy') && /^\/vault_proxy(?:\/(?!configs(?:\/|$))[^/]*)?\/?$/.test(path)
}

/** One request on /vault_proxy, up to its plan: who calls (401), may it (403), where to and how (400, 404). */
export function serveVaultProxy<Identity>(client: Client, ports: VaultProxyPorts<Identity>): void {
  const waiting = new Waiting()
  client.attend(waiting)
  const name = /^\/vault_proxy\/?([^/]*)/.exec(client.head.path)?.[1] ?? ''
  const route = name === 'jit' || name === 'reflect' ? `/vault_proxy/${name}` : '/vault_proxy/{id}'
  let caller: Caller | null = null
  const planned = async () => {
    if (client.head.method !== 'POST') throw new SluiceError('ERR_METHOD', `${client.head.method} is not allowed here`)
    const key = credentialOf(client.head.fields)
    caller = await ports.authenticate(key, client.memo)
    const call = new Call(client, route, caller, ports)
    if (name === 'jit') return { caller, plan: await call.jit() }
    return { caller, plan: name === 'reflect' ? await call.reflect() : await call.stored(name) }
  }
  planned().then(
    (made) => {
      if (waiting.hasLeft) ports.refuse(client, new SluiceError('ERR_CLIENT_GONE', 'The client left'), route, caller)
      else ports.execute(client, made.plan, made.caller)
    },
    (error: unknown) => ports.refuse(client, asSluiceError(error), route, caller)
  )
}

/** What of a call a configuration decides. */
interface Base {
  readonly url: string | undefined
  readonly method: string
  readonly reason: string | null
  /** Flat. Of these names the request forwards none. */
  readonly fields: readonly string[]
  readonly identity: StoredConfig['client_identity']
  readonly pins: readonly string[]
  readonly ingress: StoredConfig['ingress_settings']
}

class Call<Identity> {
  readonly #client: Client
  readonly #route: string
  readonly #caller: Caller
  readonly #ports: VaultProxyPorts<Identity>
  readonly #controls: Controls
  readonly #delimiters: number
  readonly #user: string | null

  constructor(client: Client, route: string, caller: Caller, ports: VaultProxyPorts<Identity>) {
    this.#client = client
    this.#route = route
    this.#caller = caller
    this.#ports = ports
    this.#controls = readControls(client.head, ports.settings.viaName, ports.looksLikeOurs)
    this.#delimiters = delimitersOf(this.#controls.delimiters, ports.settings.delimiters)
    this.#user = this.#controls.user?.trim() ?? null
    if (this.#user !== null && !USER.test(this.#user)) {
      throw new SluiceError('ERR_INPUT', 'x-fp-id is no id of a user', {
        fields: { 'x-fp-id': ['is no id of a user'] }
      })
    }
  }

  /** The destination is named by the request. */
  async jit(): Promise<Plan<VaultPeer<Identity>, ResponseRules>> {
    this.#checkRoute('token:use')
    const { targetUrl, method } = this.#controls
    return this.#toDestination({ ...NO_CONFIG, url: targetUrl, method: methodOf(method) })
  }

  /** A configuration names the destination. Of another sort, switched off or not there: the same 404. */
  async stored(name: string): Promise<Plan<VaultPeer<Identity>, ResponseRules>> {
    this.#checkRoute('proxy:invoke')
    const { configId, method } = this.#controls
    const volume = await this.#ports.configs.read(this.#caller.tenant, name === '' ? (configId ?? '') : name)
    const config = volume === null ? null : configOf(volume)
    if (config === null || !config.enabled || config.live !== this.#caller.live) {
      throw new SluiceError('ERR_NOT_FOUND', 'There is no such configuration')
    }
    return this.#toDestination({
      url: config.url,
      method: method === undefined ? config.method : methodOf(method),
      reason: config.access_reason,
      fields: [...config.headers, ...config.secret_headers].flatMap((header) => [header.name, header.value]),
      identity: config.client_identity,
      pins: config.pinned_server_certificates,
      ingress: config.ingress_settings
    })
  }

  /** The body comes back with its values. */
  async reflect(): Promise<Plan<VaultPeer<Identity>, ResponseRules>> {
    this.#checkRoute('token:read')
    if (this.#user !== null) await this.#ports.users.check(this.#caller, [this.#user], [])
    const { limits, deadlines } = this.#ports
    const intent: Intent<VaultPeer<Identity>, ResponseRules> = {
      ...this.#common(),
      door: 'reflect',
      method: 'POST',
      target: '/',
      destination: NOWHERE,
      peer: { tenant: this.#caller.tenant, host: '', port: 0, identity: null },
      fieldLines: '',
      headTemplate: null,
      contentTypes: contentTypesOf(this.#controls.forwarded),
      responseRules: null,
      configuration: null,
      transforms: null
    }
    const tokensPerRequest = Math.max(limits.tokensPerRequest, REFLECTED_TOKENS)
    return planRequest(intent, { ...limits, tokensPerRequest }, deadlines)
  }

  async #toDestination(stored: Base): Promise<Plan<VaultPeer<Identity>, ResponseRules>> {
    const { settings, limits, deadlines, users } = this.#ports
    const { method } = stored
    const forwarded = withoutStored(this.#controls.forwarded, stored.fields)
    const base = parseDestinationUrl(stored.url?.trim(), settings.ports, settings.exemptOrigins)
    const tail = tailOf(this.#controls.pathAndQuery)
    const target = joinTarget(base, tail)
    const rules = this.#rules(stored.ingress)
    const identity = this.#identity(stored)
    const lines = linesOf(rules === null ? forwarded : narrowed(forwarded))
    // What is stored is no template, whatever it holds.
    const fixedLines = linesOf(stored.fields) + fieldLine('Via', `1.1 ${settings.viaName}`)
    const question = tail.indexOf('?')
    const headTemplate =
      this.#delimiters !== 0 && this.#caller.holds('token:use:head')
        ? templateHead(
            target.path,
            question < 0 ? tail : tail.slice(0, question),
            target.query,
            question < 0 ? '' : tail.slice(question + 1),
            lines,
            { delimiters: this.#delimiters, expressionBytes: limits.expressionBytes }
          )
        : null
    const path = headTemplate?.certainPath ?? target.path
    const destination = { host: base.host, port: base.port, method, path }
    if (!this.#caller.mayReach(destination)) {
      throw new SluiceError('ERR_DESTINATION_FORBIDDEN', 'The application is bound to other destinations')
    }
    const common = this.#common()
    const intent: Intent<VaultPeer<Identity>, ResponseRules> = {
      ...common,
      reason: common.reason ?? stored.reason,
      door: 'proxy',
      method,
      target: target.text,
      destination,
      peer: { tenant: this.#caller.tenant, host: base.host, port: base.port, identity },
      fieldLines: lines + fixedLines,
      headTemplate: headTemplate === null ? null : { ...headTemplate, lines: [...headTemplate.lines, fixedLines] },
      contentTypes: contentTypesOf([...forwarded, ...stored.fields]),
      responseRules: rules?.response ?? null,
      configuration: null,
      transforms: null
    }
    const plan = planRequest(intent, limits, deadlines)
    const owners = new Set(rules?.response.users ?? [])
    if (this.#user !== null) owners.add(this.#user)
    if (owners.size > 0) await users.check(this.#caller, [...owners], rules?.targets ?? [])
    return plan
  }

  #common() {
    const { delimiters, bodyMode, subjects, reason, contentEncoding } = this.#controls
    return {
      dialect: 'footprint' as const,
      route: this.#route,
      proxy: null,
      grammar: 'footprint' as const,
      user: this.#user,
      delimiters: this.#delimiters,
      delimitersNamed: delimiters !== undefined,
      bodyMode: bodyModeOf(bodyMode),
      subjects: subjectsOf(subjects),
      contentEncoding,
      bodyBytes: this.#client.head.bodyBytes,
      close: false,
      isIdempotent: false,
      traceId: this.#ports.newTraceId(this.#client),
      reason: reason === undefined || reason.trim() === '' ? null : reason
    }
  }

  /** The rules of configuration and request; null when there are none. Throws ERR_INPUT, ERR_EXPR_*. */
  #rules(stored: Base['ingress']): Rules | null {
    const { ingressType, ingressRules } = this.#controls
    const storedRules = stored?.rules ?? []
    if (ingressRules.length === 0 && storedRules.length === 0) return null
    const types = [stored?.content_type, ingressType].filter((type) => type !== undefined).map(readCaptureType)
    const [type] = types
    if (type === undefined) {
      throw invalid('x-fp-proxy-ingress-content-type', 'is required with x-fp-proxy-ingress-rule')
    }
    if (storedRules.length > 0 && types.some((other) => other !== type)) {
      throw invalid('x-fp-proxy-ingress-content-type', 'is not the one that the configuration names')
    }
    if (storedRules.length > 0 && this.#user === null) {
      throw invalid('x-fp-id', 'is required, since the configuration has ingress rules')
    }
    const texts = [...storedRules.map(({ token, target }) => `${token}=${target}`), ...splitRules(ingressRules, type)]
    const rules = texts.map((text, at) => readRule(text, type, this.#user, at + 1))
    return {
      targets: rules.map(({ target, container }) => ({ id: target, container })),
      response: {
        capture: this.#ports.compileRules(type, rules),
        users: [...new Set(rules.map(({ user }) => user))],
        writesFor: (values) => writesForFields(Object.fromEntries(values))
      }
    }
  }

  /** What a configuration has of it, a request cannot replace. */
  #identity(stored: Base): Identity | null {
    const { clientCertificate, clientKey, pins } = this.#controls
    const bringsOwn = clientCertificate !== undefined || clientKey !== undefined
    if (bringsOwn && stored.identity !== null) {
      throw invalid('x-fp-proxy-client-cert', 'goes only with a configuration without one')
    }
    if (pins.length > 0 && stored.pins.length > 0) {
      throw invalid('x-fp-proxy-pin-cert', 'goes only with a configuration without one')
    }
    if (!bringsOwn && stored.identity === null && pins.length === 0 && stored.pins.length === 0) return null
    const own = (header: string, value: string | undefined) => (value === undefined ? null : pemOf(header, value))
    return this.#ports.identity({
      certificate: stored.identity?.certificate ?? own('x-fp-proxy-client-cert', clientCertificate),
      key: stored.identity?.key ?? own('x-fp-proxy-client-key', clientKey),
      pins: [...stored.pins, ...pins.map((pin) => pemOf('x-fp-proxy-pin-cert', pin))]
    })
  }

  #checkRoute(permission: string): void {
    if (this.#caller.type === 'private' && this.#caller.holds(permission)) return
    throw new SluiceError('ERR_PERMISSION', `Missing permission: ${permission}`, { names: [permission] })
  }
}

interface Rules {
  readonly response: ResponseRules
  readonly targets: readonly { readonly id: string; readonly container: string }[]
}

function methodOf(text: string | undefined): string {
  const method = text?.trim().toUpperCase() ?? 'POST'
  if (METHODS.has(method)) return method
  throw new SluiceError('ERR_HTTP_SYNTAX', 'x-fp-proxy-method takes GET, POST, PUT, PATCH, DELETE or HEAD')
}

function tailOf(pathAndQuery: string | undefined): string {
  const tail = pathAndQuery?.trim() ?? ''
  return tail === '' || tail.startsWith('/') || tail.startsWith('?') ? tail : `/${tail}`
}

function linesOf(fields: readonly string[]): string {
  let lines = ''
  for (let at = 0; at < fields.length; at += 2) lines += fieldLine(fields[at] as string, fields[at + 1] as string)
  return lines
}

/** Without the fields that a configuration sets itself: nobody puts his own in their stead. */
function withoutStored(forwarded: readonly string[], stored: readonly string[]): readonly string[] {
  if (stored.length === 0) return forwarded
  const names = new Set(stored.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()))
  return forwarded.filter((_, at) => !names.has((forwarded[at - (at % 2)] as string).toLowerCase()))
}

function contentTypesOf(fields: readonly string[]): string[] {
  return fields.filter((_, at) => at % 2 === 1 && fields[at - 1]?.toLowerCase() === 'content-type')
}

/** A response that has rules must come in a coding that can be undone. */
function narrowed(fields: readonly string[]): string[] {
  const kept: string[] = []
  let accepted = 'identity'
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    const value = fields[at + 1] as string
    if (name.toLowerCase() !== 'accept-encoding') kept.push(name, value)
    else accepted = decodableOf(value) || accepted
  }
  return [...kept, 'Accept-Encoding', accepted]
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'])
const USER = /^fp_(?:id|bid)_[A-Za-z0-9_]{1,64}$/
const NO_CONFIG = { reason: null, fields: [], identity: null, pins: [], ingress: null }
const NOWHERE = { host: '', port: 0, method: 'POST', path: '/' }
/** Users that one reflection may name, as the vendor allows. */
const REFLECTED_TOKENS = 1000
