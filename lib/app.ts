import { performance } from 'node:perf_hooks'
import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { configPorts, type Doors, type Lasting, newDoors, proxyChecks, traceIdOf } from './app/doors.ts'
import { Listeners } from './app/listeners.ts'
import { blankRecord } from './app/records.ts'
import type { Config } from './config/schema.ts'
import { applicationRoutes } from './dialects/basis-theory/applications.ts'
import { tenantRoutes } from './dialects/basis-theory/tenants.ts'
import { proxyRoutes } from './dialects/basis-theory/proxies.ts'
import { isProxyPath, PROXY_ROUTE, serveProxy } from './dialects/basis-theory/proxy.ts'
import type { ReactorPorts } from './dialects/basis-theory/reactor-ports.ts'
import { AsyncRuns } from './dialects/basis-theory/react-async.ts'
import { reactorRoutes } from './dialects/basis-theory/reactors.ts'
import { MaskThread } from './dialects/basis-theory/transforms/mask-thread.ts'
import { tokenizeRoutes } from './dialects/basis-theory/tokenize.ts'
import { tokenRoutes } from './dialects/basis-theory/tokens.ts'
import { basisTheoryVoice } from './dialects/basis-theory/voice.ts'
import { proxyErrorBody } from './dialects/basis-theory/wire.ts'
import { configRoutes } from './dialects/footprint/configs.ts'
import { isVaultProxyPath, serveVaultProxy } from './dialects/footprint/proxy.ts'
import { userRoutes } from './dialects/footprint/users.ts'
import { footprintVoice } from './dialects/footprint/voice.ts'
import { cacheCounts } from './expr/cache.ts'
import { SluiceError } from './errors.ts'
import type { Client } from './listen/client.ts'
import type { EngineHandler } from './listen/node-engine.ts'
import { Router } from './listen/router.ts'
import { ApiExchange } from './listen/serve-api.ts'
import type { Log } from './observe/log.ts'
import { startAdmin } from './observe/admin.ts'
import { METRICS_TYPE, Metrics, type MetricsSnapshot, type Readings } from './observe/metrics.ts'
import { errorFields } from './plan/answer.ts'
import { outcomeOf, type RequestRecord } from './proxy/phases.ts'
import { readOutbound, send } from './reactor/outbound.ts'
import type { SandboxLimits } from './reactor/job.ts'
import { Sandbox, SANDBOX_LIMITS } from './reactor/sandbox.ts'
import type { Caller } from './vault/access.ts'
import type { Vault } from './vault/vault.ts'

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
  admin: AddressInfo | null = null
  readonly #options: AppOptions
  readonly #vault: Vault
  readonly #metrics: Metrics
  readonly #log: Log
  readonly #sandbox: Sandbox
  readonly #asyncRuns: AsyncRuns
  readonly #masks = new MaskThread()
  readonly #listeners = new Listeners()
  readonly #lasting: Lasting
  readonly #router: Router
  #doors: Doors
  #closeAdmin: (() => Promise<void>) | null = null
  #ready = false

  constructor(config: Config, options: AppOptions) {
    const { vault, log, relaxed = [] } = options
    this.#options = options
    this.#vault = vault
    this.#log = log
    this.#sandbox = new Sandbox({ ...SANDBOX_LIMITS, ...options.sandbox }, (outcome, isWarm, ms) =>
      this.#metrics.ran(outcome, isWarm, ms)
    )
    this.#asyncRuns = new AsyncRuns(vault, (thrown, traceId) => log.bug(thrown, traceId))
    const { tokensPerRequest } = config.limits
    this.#lasting = {
      vault,
      log,
      reactors: this.#reactorPorts(tokensPerRequest, relaxed),
      masks: this.#masks,
      relaxed,
      viaName: `sluice-${randomBytes(6).toString('hex')}`,
      refuse: (client, error, traceId, route, caller) => this.#refuse(client, error, traceId, route, caller),
      over: (record) => this.#over(record)
    }
    this.#router = new Router([
      ...tokenRoutes(vault),
      ...tokenizeRoutes(vault, tokensPerRequest),
      ...applicationRoutes(vault),
      ...tenantRoutes(vault),
      ...reactorRoutes(this.#lasting.reactors, this.#asyncRuns),
      ...proxyRoutes(this.#lasting.reactors, () => proxyChecks(this.#doors.config, this.#doors.egress, relaxed)),
      ...userRoutes(vault),
      ...configRoutes(vault, () => configPorts(this.#doors))
    ])
    this.#metrics = new Metrics(this.#readings(), options.version)
    this.#doors = newDoors(config, this.#lasting)
  }

  get http(): AddressInfo | null {
    return this.#listeners.http
  }

  get https(): AddressInfo | null {
    return this.#listeners.https
  }

  async listen(): Promise<void> {
    const { listen, admin } = this.#doors.config
    this.#vault.startUpkeep()
    await this.#listeners.open(listen, this)
    if (this.#options.withAdmin !== false) {
      const started = await startAdmin({
        ...admin,
        metrics: () => this.#metrics.text(),
        metricsType: METRICS_TYPE,
        ready: () => this.#ready,
        done: (route, outcome) => this.#metrics.adminRequest(route, outcome)
      })
      this.admin = started.address
      this.#closeAdmin = () => started.close()
    }
    this.#doors.egress.listening = this.#ownAddresses()
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
    const doors = this.#doors
    if (this.#metrics.inFlight > doors.config.limits.inFlight) {
      const error = new SluiceError('ERR_OVERLOAD', 'As many requests as limits.inFlight are under way')
      this.#refuse(client, error, traceIdOf(client), PROXY_ROUTE, null)
    } else if (isProxyPath(head.path)) {
      serveProxy(client, doors.proxy)
    } else if (isVaultProxyPath(head.path)) {
      serveVaultProxy(client, doors.vaultProxy)
    } else {
      this.#serveApi(client)
    }
  }

  refusal(error: SluiceError): { fields: readonly string[]; body: string } {
    this.#metrics.error(error.code)
    return { fields: errorFields(error, null), body: proxyErrorBody(error, error.status) }
  }

  dropped(): void {
    this.#metrics.error('ERR_OVERLOAD')
  }

  #serveApi(client: Client): void {
    const traceId = traceIdOf(client)
    const ports = isFootprintPath(client.head.path) ? this.#doors.footprintApi : this.#doors.api
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
    const { status, code } = error
    this.#over({ ...blankRecord(client, traceId), dialect: 'admin', route: 'none', status, code })
  }

  /** Answers a request for a proxy that got no plan. */
  #refuse(client: Client, error: SluiceError, traceId: string, route: string, caller: Caller | null): void {
    if (error.code === 'ERR_INTERNAL') this.#log.bug(error, traceId)
    error.forwarded = 'no'
    const isFootprint = isFootprintPath(client.head.path)
    const answer = (isFootprint ? footprintVoice : basisTheoryVoice).failure(error, error.status, traceId, 0)
    if (error.code === 'ERR_CLIENT_GONE') client.cut()
    else client.answer(error.status, answer.fields, answer.body)
    this.#over({
      ...blankRecord(client, traceId),
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

  // The configuration of the moment.

  reload(config: Config): void {
    const before = this.#doors
    this.#doors = newDoors(config, this.#lasting)
    this.#doors.egress.listening = this.#ownAddresses()
    before.egress.drain()
    this.#listeners.reload(config.listen)
  }

  /** Code goes out by the egress and under the configuration of the moment. */
  #reactorPorts(tokensPerRequest: number, exemptOrigins: readonly string[]): ReactorPorts {
    return {
      vault: this.#vault,
      tokensPerRequest,
      run: (job) => this.#sandbox.run(job),
      readOutbound: (text) => readOutbound(text, { ports: this.#doors.config.egress.ports, exemptOrigins }),
      send: (tenant, request, over) =>
        send(this.#doors.egress, tenant, request, this.#doors.config.egress, FETCHED_BYTES, over)
    }
  }

  // What is counted elsewhere.

  #readings(): Readings {
    return {
      bufferedBytes: () => this.#doors.buffers.heldBytes,
      expressionCache: () => cacheCounts,
      egress: () => {
        const { idle, busy, counters } = this.#doors.egress
        return { idle, busy, connects: Object.fromEntries(counters.connects), resumed: counters.resumed }
      },
      auditRecords: () => this.#vault.counters.auditRecords,
      sandbox: () => ({ ...this.#sandbox.reading, asynchronous: this.#asyncRuns.outstanding })
    }
  }

  metrics(): Promise<MetricsSnapshot> {
    return this.#metrics.snapshot()
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
    const { egress, config } = this.#doors
    const until = performance.now() + config.listen.drainMs
    const closed = this.#listeners.close(config.listen.drainMs)
    egress.drain()
    await closed
    await this.#asyncRuns.idle(Math.max(0, until - performance.now()))
    this.#doors.egress.destroy()
    await Promise.all([this.#sandbox.close(), this.#masks.close()])
    await this.#asyncRuns.idle(LAST_RESULTS_MS)
    await this.#closeAdmin?.()
  }
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
