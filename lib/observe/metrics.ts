import type { MetricObject, Registry } from 'prom-client'
import { ERRORS, type ErrorCode } from '../errors.ts'
import { Histogram } from './histogram.ts'

/*
 * Hot: per request. The one file that knows prom-client: counting goes into typed arrays and plain numbers of our own,
 * which are turned into its shape when somebody scrapes.
 */

/** What is counted of a request when it is over. */
export interface FinishedRequest {
  readonly dialect: Dialect
  /** A template of the router: never a path that a caller gave. */
  readonly route: string
  readonly outcome: RequestOutcome
  readonly code: string | null
  /** Tokens that it revealed. */
  readonly tokens: number
  /** Expressions that it replaced, and openers that it left as literal text. */
  readonly replaced: number
  readonly literal: number
  /** Values of the response that were vaulted, and places where it was blanked. */
  readonly captured: number
  readonly scrubbed: number
  readonly requestBytes: number
  readonly responseBytes: number
  /** Milliseconds from `accepted` to each phase; NaN for one that was not reached. */
  readonly plannedMs: number
  readonly bodyMs: number
  readonly connectedMs: number
  readonly firstByteMs: number
  readonly doneMs: number
  /** Milliseconds that were the destination's own. */
  readonly waitedMs: number
}

export type Dialect = (typeof DIALECTS)[number]
/** What became of a run of code. */
export type RunOutcome = (typeof RUN_OUTCOMES)[number]
export type RequestOutcome = (typeof OUTCOMES)[number]

/** Numbers that other rooms keep, read when somebody scrapes. Totals since the process started, unless said otherwise. */
export interface Readings {
  /** Bytes of bodies held now. */
  readonly bufferedBytes: () => number
  readonly expressionCache: () => { readonly hits: number; readonly misses: number }
  readonly egress: () => {
    /** Connections now. */
    readonly idle: number
    readonly busy: number
    /** :: outcome → connections that were tried */
    readonly connects: Readonly<Record<string, number>>
    readonly resumed: number
  }
  readonly auditRecords: () => number
  readonly sandbox: () => {
    /** Threads now: that run code, that rest and belong to a tenant, that stand ready for any. */
    readonly busy: number
    readonly idle: number
    readonly ready: number
    /** Runs that wait for a thread. */
    readonly waiting: number
    /** Asynchronous calls that are accepted and not over. */
    readonly asynchronous: number
  }
}

/** Of a process that serves nothing. */
export const NOTHING_TO_READ: Readings = {
  bufferedBytes: () => 0,
  expressionCache: () => ({ hits: 0, misses: 0 }),
  egress: () => ({ idle: 0, busy: 0, connects: {}, resumed: 0 }),
  auditRecords: () => 0,
  sandbox: () => ({ busy: 0, idle: 0, ready: 0, waiting: 0, asynchronous: 0 })
}

/** The values of one process, as they travel between processes. */
export type MetricsSnapshot = readonly MetricObject[]

/** The metrics of this process. */
export class Metrics {
  /** Requests that have been accepted and are not over. */
  inFlight = 0

  readonly #own: readonly OwnMetric[]
  #registry: Promise<Registry> | null = null
  // :: dialect → route → first index of its outcomes in #requests
  readonly #routes: readonly Map<string, number>[] = DIALECTS.map(() => new Map<string, number>())
  #requests = new Float64Array(OUTCOMES.length * 64)
  #series = 0
  readonly #errors = new Float64Array(CODES.length)
  readonly #codes = new Map(CODES.map((code, index) => [code as string, index]))
  readonly #phases = new Histogram(PHASES.length)
  readonly #overhead = new Histogram(1)
  readonly #store = new Histogram(OPERATIONS)
  readonly #operations: string[] = []
  readonly #runs = new Float64Array(RUN_OUTCOMES.length)
  readonly #runTimes = new Histogram(STARTS.length)
  readonly #bytes = { request: 0, response: 0 }
  readonly #expressions = { replaced: 0, literal: 0, failed: 0 }
  #tokensRevealed = 0
  #tokensCaptured = 0
  #scrubbed = 0

  constructor(readings: Readings, version: string) {
    this.#own = this.#ours(readings, version)
  }

  /** Counts a finished request with all that belongs to it. */
  done(request: FinishedRequest): void {
    const at = this.#route(request.dialect, request.route) + OUTCOMES.indexOf(request.outcome)
    this.#requests[at] = (this.#requests[at] as number) + 1
    if (request.code !== null) {
      this.error(request.code)
      if (request.code.startsWith('ERR_EXPR_')) this.#expressions.failed++
    }
    this.#phases.observe(0, 0)
    this.#phases.observe(1, request.plannedMs)
    this.#phases.observe(2, request.bodyMs)
    this.#phases.observe(3, request.connectedMs)
    this.#phases.observe(4, request.firstByteMs)
    this.#phases.observe(5, request.doneMs)
    this.#overhead.observe(0, request.waitedMs > 0 ? Math.max(0, request.doneMs - request.waitedMs) : request.doneMs)
    this.#bytes.request += request.requestBytes
    this.#bytes.response += request.responseBytes
    this.#expressions.replaced += request.replaced
    this.#expressions.literal += request.literal
    this.#tokensRevealed += request.tokens
    this.#tokensCaptured += request.captured
    this.#scrubbed += request.scrubbed
  }

  /** Counts a request of the admin listener. */
  adminRequest(route: string, outcome: RequestOutcome): void {
    const at = this.#route('admin', route) + OUTCOMES.indexOf(outcome)
    this.#requests[at] = (this.#requests[at] as number) + 1
  }

  /** Counts an error that is no request's own, by its code. */
  error(code: string): void {
    const at = this.#codes.get(code)
    if (at !== undefined) this.#errors[at] = (this.#errors[at] as number) + 1
  }

  /** Counts a run of code. `ms` is NaN for one that got no thread. */
  ran(outcome: RunOutcome, isWarm: boolean, ms: number): void {
    const at = RUN_OUTCOMES.indexOf(outcome)
    this.#runs[at] = (this.#runs[at] as number) + 1
    this.#runTimes.observe(isWarm ? 0 : 1, ms)
  }

  /** Takes how long the store took for an operation: a fixed word, at most 16 of them. */
  store(operation: string, ms: number): void {
    let at = this.#operations.indexOf(operation)
    if (at < 0) {
      if (this.#operations.length === OPERATIONS) return
      at = this.#operations.push(operation) - 1
    }
    this.#store.observe(at, ms)
  }

  /** The text that Prometheus reads. */
  async text(): Promise<string> {
    return (await this.#registered()).metrics()
  }

  /** Name, type and meaning of each metric of ours. */
  get described(): readonly { readonly name: string; readonly type: string; readonly help: string }[] {
    return this.#own
  }

  /** All values now, for another process to add up. */
  async snapshot(): Promise<MetricsSnapshot> {
    return (await this.#registered()).getMetricsAsJSON()
  }

  /** prom-client is 84 files: loaded when somebody scrapes. Node's own metrics are taken from then on. */
  #registered(): Promise<Registry> {
    this.#registry ??= import('prom-client').then(({ collectDefaultMetrics, Registry }) => {
      const registry = new Registry()
      collectDefaultMetrics({ register: registry })
      for (const metric of this.#own) registry.registerMetric(metric as never)
      return registry
    })
    return this.#registry
  }

  #route(dialect: Dialect, route: string): number {
    const routes = this.#routes[DIALECTS.indexOf(dialect)] as Map<string, number>
    const known = routes.get(route)
    if (known !== undefined) return known
    const at = this.#series * OUTCOMES.length
    this.#series++
    if (at === this.#requests.length) {
      const wider = new Float64Array(this.#requests.length * 2)
      wider.set(this.#requests)
      this.#requests = wider
    }
    routes.set(route, at)
    return at
  }

  #ours(readings: Readings, version: string): OwnMetric[] {
    const counter = (name: string, help: string, read: () => Value[]) => metric('counter', name, help, read)
    const gauge = (name: string, help: string, read: () => Value[]) => metric('gauge', name, help, read)
    const histogram = (name: string, help: string, read: () => Value[]) => metric('histogram', name, help, read)
    return [
      counter('requests_total', 'Requests that are over', () => this.#requestValues()),
      histogram('request_duration_seconds', 'Time from a request being accepted to each of its phases', () =>
        PHASES.flatMap((phase, at) => histogramValues('request_duration_seconds', this.#phases, at, { phase }))
      ),
      histogram('overhead_seconds', 'Time that requests took, less the wait for the destination', () =>
        histogramValues('overhead_seconds', this.#overhead, 0, {})
      ),
      gauge('in_flight', 'Requests that are running', () => [{ labels: {}, value: this.inFlight }]),
      gauge('buffered_bytes', 'Bytes of bodies held in memory', () => [
        { labels: {}, value: readings.bufferedBytes() }
      ]),
      counter('body_bytes_total', 'Bytes of bodies', () => byLabel('direction', this.#bytes)),
      counter('expressions_total', 'Expressions met in requests', () => byLabel('outcome', this.#expressions)),
      counter('expression_cache_total', 'Look-ups of compiled filter chains', () => {
        const { hits, misses } = readings.expressionCache()
        return byLabel('outcome', { hit: hits, miss: misses })
      }),
      counter('tokens_revealed_total', 'Tokens revealed to requests', () => single(this.#tokensRevealed)),
      counter('tokens_captured_total', 'Values of responses that were vaulted', () => single(this.#tokensCaptured)),
      counter('scrubbed_total', 'Values of responses that were blanked', () => single(this.#scrubbed)),
      histogram('store_seconds', 'Time that the store of the vault took', () =>
        this.#operations.flatMap((operation, at) => histogramValues('store_seconds', this.#store, at, { operation }))
      ),
      gauge('egress_connections', 'Connections to destinations', () => {
        const { idle, busy } = readings.egress()
        return byLabel('state', { idle, busy })
      }),
      counter('egress_connects_total', 'Connections to destinations that were tried', () =>
        byLabel('outcome', readings.egress().connects)
      ),
      counter('egress_tls_resumed_total', 'TLS sessions with destinations that were resumed', () =>
        single(readings.egress().resumed)
      ),
      counter('errors_total', 'Errors, by code', () =>
        CODES.map((code, at) => ({ labels: { code }, value: this.#errors[at] as number }))
      ),
      counter('sandbox_runs_total', 'Runs of code, by what became of them', () =>
        RUN_OUTCOMES.map((outcome, at) => ({ labels: { outcome }, value: this.#runs[at] as number }))
      ),
      histogram(
        'sandbox_run_seconds',
        'Time that runs of code took, in a thread that had run some before or in a new one',
        () => STARTS.flatMap((start, at) => histogramValues('sandbox_run_seconds', this.#runTimes, at, { start }))
      ),
      gauge('sandbox_threads', 'Threads for code', () => {
        const { busy, idle, ready } = readings.sandbox()
        return byLabel('state', { busy, idle, ready })
      }),
      gauge('sandbox_waiting', 'Runs of code that wait for a thread', () => single(readings.sandbox().waiting)),
      gauge('async_calls', 'Asynchronous calls of reactors that are not over', () =>
        single(readings.sandbox().asynchronous)
      ),
      counter('audit_records_total', 'Records written to the audit log', () => single(readings.auditRecords())),
      metric(
        'gauge',
        'build_info',
        'Always 1',
        () => [{ labels: { version, node: process.version }, value: 1 }],
        'first'
      )
    ]
  }

  #requestValues(): Value[] {
    const values: Value[] = []
    DIALECTS.forEach((dialect, index) => {
      for (const [route, at] of this.#routes[index] ?? []) {
        OUTCOMES.forEach((outcome, offset) => {
          values.push({ labels: { dialect, route, outcome }, value: this.#requests[at + offset] as number })
        })
      }
    })
    return values
  }
}

/** The text that Prometheus reads for several processes together: counters and gauges added up. */
export async function mergedText(snapshots: readonly MetricsSnapshot[]): Promise<string> {
  const { AggregatorRegistry } = await import('prom-client')
  return AggregatorRegistry.aggregate(snapshots as unknown as MetricObject[]).metrics()
}

/** The media type of `text` and `mergedText`: prom-client's `Registry.PROMETHEUS_CONTENT_TYPE`. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

interface Value {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
  readonly metricName?: string
}

interface OwnMetric {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly aggregator: string
  readonly get: () => object
}

function metric(type: string, base: string, help: string, read: () => Value[], aggregator = 'sum'): OwnMetric {
  const name = `sluice_${base}`
  return { name, help, type, aggregator, get: () => ({ name, help, type, aggregator, values: read() }) }
}

function single(value: number): Value[] {
  return [{ labels: {}, value }]
}

function byLabel(label: string, values: Readonly<Record<string, number>>): Value[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }))
}

function histogramValues(base: string, histogram: Histogram, series: number, labels: Value['labels']): Value[] {
  const { buckets, sum, count } = histogram.read(series)
  const name = `sluice_${base}`
  const values: Value[] = [...buckets].map(([le, value]) => ({
    metricName: `${name}_bucket`,
    labels: { ...labels, le },
    value
  }))
  values.push({ metricName: `${name}_sum`, labels, value: sum }, { metricName: `${name}_count`, labels, value: count })
  return values
}

const DIALECTS = ['basis_theory', 'footprint', 'admin'] as const
const OUTCOMES = ['ok', 'client_error', 'destination_error', 'sluice_error', 'aborted'] as const
const RUN_OUTCOMES = ['done', 'syntax', 'stuck', 'time', 'memory', 'output', 'calls', 'shutdown', 'refused'] as const
const STARTS = ['warm', 'cold'] as const
const PHASES = ['accepted', 'planned', 'body', 'connected', 'first_byte', 'done'] as const
const CODES = Object.keys(ERRORS) as ErrorCode[]
const OPERATIONS = 16
