import { performance } from 'node:perf_hooks'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Server as HttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Config } from './config/schema.ts'
import { applicationRoutes } from './dialects/basis-theory/applications.ts'
import { tenantRoutes } from './dialects/basis-theory/tenants.ts'
import { proxyRoutes } from './dialects/basis-theory/proxies.ts'
import { isProxyPath, PROXY_ROUTE, type ProxyPorts, serveProxy } from './dialects/basis-theory/proxy.ts'
import type { ProxyChecks } from './dialects/basis-theory/proxy-documents.ts'
import type { ReactorPorts } from './dialects/basis-theory/reactor-ports.ts'
import { AsyncRuns } from './dialects/basis-theory/react-async.ts'
import { reactorRoutes } from './dialects/basis-theory/reactors.ts'
import { StoredProxies } from './dialects/basis-theory/stored-proxies.ts'
import { MaskThread } from './dialects/basis-theory/transforms/mask-thread.ts'
import { tokenizeRoutes } from './dialects/basis-theory/tokenize.ts'
import { tokenRoutes } from './dialects/basis-theory/tokens.ts'
import { basisTheoryVoice } from './dialects/basis-theory/voice.ts'
import { apiErrorBody, proxyErrorBody } from './dialects/basis-theory/wire.ts'
import { type ConfigPorts, configRoutes } from './dialects/footprint/configs.ts'
import { credentialOf } from './dialects/footprint/credential.ts'
import { isVaultProxyPath, serveVaultProxy, type VaultProxyPorts } from './dialects/footprint/proxy.ts'
import { userRoutes } from './dialects/footprint/users.ts'
import { footprintVoice, reflectVoice } from './dialects/footprint/voice.ts'
import { errorBody } from './dialects/footprint/wire.ts'
import { Egress } from './egress/egress.ts'
import type { TlsIdentity } from './egress/identity.ts'
import { cacheCounts } from './expr/cache.ts'
import { asSluiceError, SluiceError } from './errors.ts'
import type { Client } from './listen/client.ts'
import { equalsIgnoringCase, onlyField } from './listen/head.ts'
import { type EngineHandler, nodeEngine } from './listen/node-engine.ts'
import { rawEngine } from './listen/raw-engine.ts'
import { Router } from './listen/router.ts'
import { ApiExchange, type ApiPorts, type ApiResult } from './listen/serve-api.ts'
import type { Log } from './observe/log.ts'
import { startAdmin } from './observe/admin.ts'
import { METRICS_TYPE, Metrics, type MetricsSnapshot, type Readings } from './observe/metrics.ts'
import { newTraceId } from './observe/trace-id.ts'
import { errorFields } from './plan/answer.ts'
import { acceptableTraceId, delimitersOf } from './plan/controls.ts'
import { hostMatches } from './plan/destination.ts'
import { BufferBudget } from './proxy/buffer-budget.ts'
import { Capture } from './proxy/capture.ts'
import { Execution } from './proxy/execute.ts'
import { outcomeOf, type RequestRecord } from './proxy/phases.ts'
import type { ExecutionParts } from './proxy/ports.ts'
import { Reflection } from './proxy/reflect.ts'
import { readOutbound, send } from './reactor/outbound.ts'
import type { SandboxLimits } from './reactor/job.ts'
import { Sandbox, SANDBOX_LIMITS } from './reactor/sandbox.ts'
import { CURLY } from './scan/delimiters.ts'
import type { Caller } from './vault/access.ts'
import type { Vault } from './vault/vault.ts'

/** A listening server of either engine. */
type Engine = ReturnType<typeof nodeEngine> | ReturnType<typeof rawEngine>

/** A running Sluice. */
export interface App {
  readonly http: AddressInfo | null
  readonly https: AddressInfo | null
  readonly admin: AddressInfo | null
  /** The metrics of this process, for the primary of several workers to add up. */
  metrics(): Promise<MetricsSnapshot>
  /** Takes a new configuration for requests from now on; `vault`, `workers` and addresses stay as they are. */
  reload(config: Config): void
  /** Stops accepting, finishes what runs within `listen.drainMs`, closes everything. */
  close(): Promise<void>
}

export interface AppOptions {
  readonly vault: Vault
  readonly log: Log
  readonly version: string
  /** `host:port` of destinations that may have any port and address: the echo destination of `sluice dev`. */
  readonly relaxed?: readonly string[]
  /** Other limits for code than SANDBOX_LIMITS. */
  readonly sandbox?: Partial<SandboxLimits>
  /** False in a worker: the primary owns the admin listener. */
  readonly withAdmin?: boolean
}

/**
 * The only place where parts are made and joined. The vault is the caller's: it is opened before, and closed after.
 *
 * @throws ERR_CONFIG when a file does not read or a port is taken
 */
export async function startApp(config: Config, options: AppOptions): Promise<App> {
  const app = new RunningApp(config, options)
  try {
    await app.listen()
  } catch (error) {
    await app.close()
    throw error
  }
  return app
}

class RunningApp implements App, EngineHandler {
  http: AddressInfo | null = null
  https: AddressInfo | null = null
  admin: AddressInfo | null = null
  readonly #options: AppOptions
  readonly #vault: Vault
  readonly #viaName = `sluice-${randomBytes(6).toString('hex')}`
  readonly #metrics: Metrics
  readonly #log: Log
  readonly #router: Router
  readonly #sandbox: Sandbox
  readonly #asyncRuns: AsyncRuns
  readonly #masks = new MaskThread()
  readonly #reactors: ReactorPorts
  #config: Config
  #egress: Egress
  #buffers: BufferBudget
  #proxy: ProxyPorts<TlsIdentity>
  #vaultProxy: VaultProxyPorts<TlsIdentity>
  #api: ApiPorts
  #footprintApi: ApiPorts
  #servers: Engine[] = []
  #closeAdmin: (() => Promise<void>) | null = null
  #ready = false

  constructor(config: Config, options: AppOptions) {
    this.#config = config
    this.#options = options
    this.#vault = options.vault
    const { vault } = options
    const tokenize = tokenizeRoutes(vault, config.limits.tokensPerRequest)
    this.#reactors = this.#reactorPorts(config.limits.tokensPerRequest)
    this.#sandbox = new Sandbox({ ...SANDBOX_LIMITS, ...options.sandbox }, (outcome, isWarm, ms) =>
      this.#metrics.ran(outcome, isWarm, ms)
    )
    this.#asyncRuns = new AsyncRuns(vault, (thrown, traceId) => this.#log.bug(thrown, traceId))
    this.#router = new Router([
      ...tokenRoutes(vault),
      ...tokenize,
      ...applicationRoutes(vault),
      ...tenantRoutes(vault),
      ...reactorRoutes(this.#reactors, this.#asyncRuns),
      ...proxyRoutes(this.#reactors, () => this.#proxyChecks()),
      ...userRoutes(vault),
      ...configRoutes(vault, () => this.#configPorts())
    ])
    this.#log = options.log
    this.#metrics = new Metrics(this.#readings(), options.version)
    this.#buffers = new BufferBudget(config.limits.bufferedBytes)
    this.#egress = this.#newEgress(config)
    this.#proxy = this.#newProxyPorts(config)
    this.#vaultProxy = this.#newVaultProxyPorts(config)
    this.#api = this.#newApiPorts(config)
    this.#footprintApi = this.#newFootprintApiPorts(config)
  }

  async listen(): Promise<void> {
    const { http, https } = this.#config.listen
    this.#vault.startUpkeep()
    if (http !== null) this.http = await this.#open(this.#engine(null), http)
    if (https !== null) this.https = await this.#open(this.#engine(readTls(https.tls)), https)
    if (this.#options.withAdmin !== false) {
      const admin = await startAdmin({
        ...this.#config.admin,
        metrics: () => this.#metrics.text(),
        metricsType: METRICS_TYPE,
        ready: () => this.#ready,
        done: (route, outcome) => this.#metrics.adminRequest(route, outcome)
      })
      this.admin = admin.address
      this.#closeAdmin = () => admin.close()
    }
    this.#egress.listening = this.#ownAddresses()
    this.#ready = true
    // Without, the first call of code is slower, and that is all.
    await this.#prepareSandbox().catch(() => {})
  }

  /** Where there may be code to run, its first call finds a thread. */
  async #prepareSandbox(): Promise<void> {
    const { reactors, proxies } = this.#vault.shelves
    const mayRun = (await reactors.holdsAny()) || (await proxies.holdsAny())
    if (mayRun) this.#sandbox.prepare()
  }

  // Every request.

  request(client: Client): void {
    this.#metrics.inFlight++
    const { head } = client
    if (this.#metrics.inFlight > this.#config.limits.inFlight) {
      this.#refuse(client, new SluiceError('ERR_OVERLOAD', 'As many requests as limits.inFlight are under way'))
    } else if (isProxyPath(head.path)) {
      serveProxy(client, this.#proxy)
    } else if (isVaultProxyPath(head.path)) {
      serveVaultProxy(client, this.#vaultProxy)
    } else {
      this.#serveApi(client)
    }
  }

  refusal(error: SluiceError): { fields: readonly string[]; body: string } {
    this.#metrics.error(error.code)
    return { fields: errorFields(error, null), body: proxyErrorBody(error, error.status) }
  }

  #serveApi(client: Client): void {
    const traceId = traceIdOf(client)
    const ports = isFootprintPath(client.head.path) ? this.#footprintApi : this.#api
    const match = this.#router.find(client.head.method, client.head.path)
    if (match !== null && 'route' in match) {
      new ApiExchange(client, match.route, match.params, traceId, ports).start()
      return
    }
    const error =
      match === null
        ? new SluiceError('ERR_NOT_FOUND', 'There is nothing at this path')
        : new SluiceError('ERR_METHOD', `${client.head.method} is not allowed here`)
    const { fields, body } = ports.failure(error, traceId)
    const allowed = match === null ? fields : [...fields, 'Allow', match.methods.join(', ')]
    client.answer(error.status, allowed, body)
    this.#over({ ...blank(client, traceId), dialect: 'admin', route: 'none', status: error.status, code: error.code })
  }

  /** Answers a request for the proxy that got no plan. */
  #refuse(
    client: Client,
    error: SluiceError,
    traceId = traceIdOf(client),
    caller: Caller | null = null,
    route = PROXY_ROUTE
  ): void {
    if (error.code === 'ERR_INTERNAL') this.#log.bug(error, traceId)
    error.forwarded = 'no'
    const isFootprint = isFootprintPath(client.head.path)
    const answer = (isFootprint ? footprintVoice : basisTheoryVoice).failure(error, error.status, traceId, 0)
    if (error.code === 'ERR_CLIENT_GONE') client.cut()
    else client.answer(error.status, answer.fields, answer.body)
    this.#over({
      ...blank(client, traceId),
      dialect: isFootprint ? 'footprint' : 'basis_theory',
      route,
      status: error.status,
      code: error.code,
      outcome: outcomeOf(error),
      tenant: caller?.tenant ?? null,
      application: caller?.application ?? null
    })
  }

  #over(record: RequestRecord): void {
    this.#metrics.inFlight--
    this.#metrics.done(record)
    this.#log.request(record)
  }

  // The parts, made anew for each configuration.

  reload(config: Config): void {
    const before = this.#egress
    this.#config = config
    this.#buffers = new BufferBudget(config.limits.bufferedBytes)
    this.#egress = this.#newEgress(config)
    this.#egress.listening = this.#ownAddresses()
    this.#proxy = this.#newProxyPorts(config)
    this.#vaultProxy = this.#newVaultProxyPorts(config)
    this.#api = this.#newApiPorts(config)
    this.#footprintApi = this.#newFootprintApiPorts(config)
    before.drain()
    const { https } = config.listen
    const server = this.#servers.at(-1)
    if (https !== null && this.https !== null && server !== undefined) {
      ;(server as HttpsServer).setSecureContext({ ...readTls(https.tls), minVersion: 'TLSv1.2' })
    }
  }

  #newEgress(config: Config): Egress {
    return new Egress({
      ...config.egress,
      ca: config.egress.ca.map((file) => readText(file, 'egress.ca')),
      allowsHost: (host) => config.egress.hosts.some((pattern) => hostMatches(pattern, host)),
      relaxed: this.#options.relaxed ?? []
    })
  }

  #newProxyPorts(config: Config): ProxyPorts<TlsIdentity> {
    const { egress, limits, template } = config
    const parts = this.#newParts(basisTheoryVoice)
    return {
      settings: {
        ports: egress.ports,
        exemptOrigins: this.#options.relaxed ?? [],
        parsed: new Map(),
        delimiters: template.delimiters.reduce((mask, pair) => mask | delimitersOf(pair, 0), 0),
        viaName: this.#viaName
      },
      limits,
      deadlines: egress,
      transforms: { code: this.#reactors, masks: this.#masks },
      stored: new StoredProxies({ ...this.#proxyChecks(), vault: this.#vault, deadlines: egress }),
      looksLikeOurs: (key) => this.#vault.looksLikeOurs(key),
      authenticate: (key, memo) => this.#vault.authenticate(key, memo),
      newTraceId,
      refuse: (client, error, traceId, route, caller) => this.#refuse(client, error, traceId, caller, route),
      execute: (client, plan, caller) => new Execution(client, plan, caller, parts).start()
    }
  }

  #newVaultProxyPorts({ egress, limits }: Config): VaultProxyPorts<TlsIdentity> {
    const parts = this.#newParts(footprintVoice)
    const reflecting = this.#newParts(reflectVoice)
    return {
      settings: {
        ports: egress.ports,
        exemptOrigins: this.#options.relaxed ?? [],
        delimiters: CURLY,
        viaName: this.#viaName
      },
      limits,
      deadlines: egress,
      users: this.#vault.users,
      configs: this.#vault.shelves.configs,
      authenticate: (key, memo) => this.#vault.authenticate(key, memo),
      identity: (material) => this.#egress.identity(material),
      compileRules: (type, rules) => new Capture(type, rules),
      newTraceId: traceIdOf,
      refuse: (client, error, route, caller) => this.#refuse(client, error, traceIdOf(client), caller, route),
      execute: (client, plan, caller) => {
        const isReflected = plan.door === 'reflect'
        const chosen = isReflected ? { ...reflecting, egress: new Reflection(plan.contentTypes[0]) } : parts
        new Execution(client, plan, caller, chosen).start()
      }
    }
  }

  #proxyChecks(): ProxyChecks<TlsIdentity> {
    return {
      ports: this.#config.egress.ports,
      exemptOrigins: this.#options.relaxed ?? [],
      identity: (material) => this.#egress.identity(material)
    }
  }

  #configPorts(): ConfigPorts {
    const proxy = this.#vaultProxy
    return {
      ports: proxy.settings.ports,
      exemptOrigins: proxy.settings.exemptOrigins,
      identity: (material) => proxy.identity(material),
      compileRules: (type, rules) => proxy.compileRules(type, rules)
    }
  }

  #newParts(voice: ExecutionParts['voice']): ExecutionParts {
    return {
      vault: this.#vault,
      egress: this.#egress,
      buffers: this.#buffers,
      voice,
      done: (record) => this.#over(record),
      bug: (thrown, traceId) => this.#log.bug(thrown, traceId)
    }
  }

  #newApiPorts(config: Config): ApiPorts {
    return {
      apiBodyBytes: config.limits.apiBodyBytes,
      buffers: this.#buffers,
      authenticate: (client) => {
        const key = onlyField(client.head.fields, 'bt-api-key') ?? onlyField(client.head.fields, 'x-api-key')
        if (key === undefined) throw new SluiceError('ERR_AUTH_MISSING', 'The BT-API-KEY header is required')
        return this.#vault.authenticate(key, client.memo)
      },
      failure: (error, traceId) => {
        if (error.code === 'ERR_INTERNAL') this.#log.bug(error, traceId)
        return { fields: errorFields(error, traceId), body: apiErrorBody(error) }
      },
      done: (client, result) => this.#over(recordOf(client, result))
    }
  }

  #newFootprintApiPorts(config: Config): ApiPorts {
    return {
      apiBodyBytes: config.limits.apiBodyBytes,
      buffers: this.#buffers,
      authenticate: (client) => this.#vault.authenticate(credentialOf(client.head.fields), client.memo),
      failure: (error, traceId) => {
        if (error.code === 'ERR_INTERNAL') this.#log.bug(error, traceId)
        const fields = errorFields(error, traceId)
        if (error.status === 401) fields.push('WWW-Authenticate', 'Basic realm="sluice"')
        return { fields, body: errorBody(error) }
      },
      done: (client, result) => this.#over({ ...recordOf(client, result), dialect: 'footprint' })
    }
  }

  /** Code goes out by the egress and under the configuration of the moment. */
  #reactorPorts(tokensPerRequest: number): ReactorPorts {
    return {
      vault: this.#vault,
      tokensPerRequest,
      run: (job) => this.#sandbox.run(job),
      readOutbound: (text) =>
        readOutbound(text, { ports: this.#config.egress.ports, exemptOrigins: this.#options.relaxed ?? [] }),
      send: (tenant, request, over) => send(this.#egress, tenant, request, this.#config.egress, FETCHED_BYTES, over)
    }
  }

  // What is counted elsewhere.

  #readings(): Readings {
    return {
      bufferedBytes: () => this.#buffers.heldBytes,
      expressionCache: () => cacheCounts,
      egress: () => {
        const { idle, busy, counters } = this.#egress
        return { idle, busy, connects: Object.fromEntries(counters.connects), resumed: counters.resumed }
      },
      auditRecords: () => this.#vault.counters.auditRecords,
      sandbox: () => ({ ...this.#sandbox.reading, asynchronous: this.#asyncRuns.outstanding })
    }
  }

  metrics(): Promise<MetricsSnapshot> {
    return this.#metrics.snapshot()
  }

  // Sockets.

  #engine(tls: { readonly cert: string; readonly key: string } | null): Engine {
    const { engine, headerBytes, headersTimeoutMs, bodyIdleTimeoutMs, idleTimeoutMs } = this.#config.listen
    const options = { tls, headerBytes, headersTimeoutMs, bodyIdleTimeoutMs, idleTimeoutMs }
    return engine === 'raw' ? rawEngine(options, this) : nodeEngine(options, this)
  }

  async #open(server: Engine, at: { readonly host: string; readonly port: number }): Promise<AddressInfo> {
    await new Promise<void>((resolve, reject) => {
      server.once('error', (fault: NodeJS.ErrnoException) => {
        reject(
          new SluiceError('ERR_CONFIG', `Cannot listen on ${at.host}:${at.port}: ${fault.code ?? 'unknown fault'}`)
        )
      })
      server.listen(at.port, at.host, resolve)
    })
    this.#servers.push(server)
    return server.address() as AddressInfo
  }

  #ownAddresses(): { host: string; port: number }[] {
    const own: { host: string; port: number }[] = []
    for (const bound of [this.http, this.https, this.admin]) {
      if (bound !== null) own.push({ host: bound.address, port: bound.port })
    }
    return own
  }

  async close(): Promise<void> {
    this.#ready = false
    const closed = this.#servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve())
          server.closeIdleConnections()
        })
    )
    this.#egress.drain()
    const idle = setInterval(() => {
      for (const server of this.#servers) server.closeIdleConnections()
    }, 50)
    const until = performance.now() + this.#config.listen.drainMs
    const deadline = setTimeout(() => {
      for (const server of this.#servers) server.closeAllConnections()
    }, this.#config.listen.drainMs)
    await Promise.all(closed)
    clearInterval(idle)
    clearTimeout(deadline)
    await this.#asyncRuns.idle(Math.max(0, until - performance.now()))
    this.#egress.destroy()
    await Promise.all([this.#sandbox.close(), this.#masks.close()])
    await this.#asyncRuns.idle(LAST_RESULTS_MS)
    await this.#closeAdmin?.()
  }
}

function readTls(tls: { readonly cert: string; readonly key: string }): { cert: string; key: string } {
  return { cert: readText(tls.cert, 'listen.https.tls.cert'), key: readText(tls.key, 'listen.https.tls.key') }
}

function readText(file: string, setting: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (fault) {
    throw new SluiceError('ERR_CONFIG', `${setting}: cannot read the file`, { cause: asSluiceError(fault) })
  }
}

function traceIdOf(client: Client): string {
  const { fields } = client.head
  for (let at = 0; at < fields.length; at += 2) {
    if (equalsIgnoringCase(fields[at] as string, 'bt-trace-id')) {
      return acceptableTraceId(fields[at + 1]) ?? newTraceId()
    }
  }
  return newTraceId()
}

/** Does the path belong to the Footprint dialect? */
function isFootprintPath(path: string): boolean {
  return FOOTPRINT_PATH.test(path)
}

/** Largest body that code is given of a response: with its escapes, it must pass through the sandbox as one text. */
const FETCHED_BYTES = 1024 * 1024

/** For writing down what became of calls that the end cut short. */
const LAST_RESULTS_MS = 2000

const FOOTPRINT_PATH = /^\/(?:vault_proxy|users|businesses|entities)(?:\/|$)/

/** A record of a request of which little is known. */
function blank(client: Client, traceId: string): RequestRecord {
  return {
    dialect: 'basis_theory',
    route: 'none',
    proxy: null,
    method: client.head.method,
    status: 0,
    outcome: 'client_error',
    code: null,
    traceId,
    tenant: null,
    application: null,
    destination: null,
    destinationStatus: 0,
    mode: null,
    tokens: 0,
    replaced: 0,
    literal: 0,
    captured: 0,
    scrubbed: 0,
    requestBytes: 0,
    responseBytes: 0,
    plannedMs: Number.NaN,
    bodyMs: Number.NaN,
    connectedMs: Number.NaN,
    firstByteMs: Number.NaN,
    doneMs: performance.now() - client.acceptedAt,
    waitedMs: Number.NaN
  }
}

function recordOf(client: Client, result: ApiResult): RequestRecord {
  const { error, caller } = result
  return {
    ...blank(client, result.traceId),
    route: result.route,
    status: result.status,
    outcome: error !== null ? outcomeOf(error) : result.status < 400 ? 'ok' : 'client_error',
    code: error?.code ?? null,
    tenant: caller?.tenant ?? null,
    application: caller?.application ?? null,
    requestBytes: result.requestBytes,
    responseBytes: result.responseBytes
  }
}
