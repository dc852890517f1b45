import { execFile } from 'node:child_process'
import { request } from 'node:http'
import { extname } from 'node:path'
import { Writable } from 'node:stream'
import t from 'tap'
import { SluiceError } from '../../lib/errors.ts'
import { startAdmin } from '../../lib/observe/admin.ts'
import { Histogram } from '../../lib/observe/histogram.ts'
import { Log, type LogLevel, type RequestLine } from '../../lib/observe/log.ts'
import { newTraceId } from '../../lib/observe/trace-id.ts'
import { type FinishedRequest, Metrics, METRICS_TYPE, mergedText, type Readings } from '../../lib/observe/metrics.ts'

const READINGS: Readings = {
  bufferedBytes: () => 7,
  expressionCache: () => ({ hits: 5, misses: 2 }),
  egress: () => ({ idle: 3, busy: 1, connects: { ok: 9, refused: 1 }, resumed: 4 }),
  auditRecords: () => 12,
  sandbox: () => ({ busy: 2, idle: 1, ready: 1, waiting: 3, asynchronous: 4 })
}

const REQUEST: FinishedRequest & RequestLine = {
  dialect: 'basis_theory',
  route: '/proxy/**',
  proxy: null,
  method: 'POST',
  status: 200,
  outcome: 'ok',
  code: null,
  traceId: 't1',
  tenant: 'default',
  application: 'app',
  destination: 'api.example.com',
  destinationStatus: 201,
  mode: 'whole',
  tokens: 4,
  replaced: 5,
  literal: 1,
  captured: 1,
  scrubbed: 0,
  requestBytes: 1024,
  responseBytes: 2048,
  plannedMs: 0.2,
  bodyMs: 0.3,
  connectedMs: 2,
  firstByteMs: 42,
  doneMs: 43,
  waitedMs: 40
}

/** Lines of the exposition without comments and Node's own, as name{labels} → value. */
function samples(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line.startsWith('sluice_'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}

t.test('every metric of the contract is exposed under its name', async (t) => {
  const metrics = new Metrics(READINGS, '1.2.3')
  metrics.done(REQUEST)
  metrics.store('load', 1)
  const text = await metrics.text()
  const types = [...text.matchAll(/^# TYPE sluice_(\S+) (\S+)$/gm)].map((match) => `${match[1]} ${match[2]}`)
  t.strictSame(types.sort(), [
    'async_calls gauge',
    'audit_records_total counter',
    'body_bytes_total counter',
    'buffered_bytes gauge',
    'build_info gauge',
    'egress_connections gauge',
    'egress_connects_total counter',
    'egress_tls_resumed_total counter',
    'errors_total counter',
    'expression_cache_total counter',
    'expressions_total counter',
    'in_flight gauge',
    'overhead_seconds histogram',
    'request_duration_seconds histogram',
    'requests_total counter',
    'sandbox_run_seconds histogram',
    'sandbox_runs_total counter',
    'sandbox_threads gauge',
    'sandbox_waiting gauge',
    'scrubbed_total counter',
    'store_seconds histogram',
    'tokens_captured_total counter',
    'tokens_revealed_total counter'
  ])
  t.match(text, /^process_cpu_user_seconds_total /m, "Node's own keep their names")
  t.match(text, /^nodejs_eventloop_lag_seconds /m)
})

t.test('runs of code are counted by their outcome, and timed by how they began', async (t) => {
  const metrics = new Metrics(READINGS, '1')
  metrics.ran('done', false, 40)
  metrics.ran('done', true, 1)
  metrics.ran('time', true, 10_000)
  metrics.ran('refused', false, Number.NaN)
  const got = samples(await metrics.text())
  for (const [name, value] of Object.entries({
    'sluice_sandbox_runs_total{outcome="done"}': 2,
    'sluice_sandbox_runs_total{outcome="time"}': 1,
    'sluice_sandbox_runs_total{outcome="refused"}': 1,
    'sluice_sandbox_runs_total{outcome="memory"}': 0,
    'sluice_sandbox_run_seconds_count{start="warm"}': 2,
    'sluice_sandbox_run_seconds_count{start="cold"}': 1,
    'sluice_sandbox_threads{state="busy"}': 2,
    'sluice_sandbox_threads{state="ready"}': 1,
    sluice_sandbox_waiting: 3,
    sluice_async_calls: 4
  })) {
    t.equal(got.get(name), value, name)
  }
})

t.test('a finished request is counted with all that belongs to it', async (t) => {
  const metrics = new Metrics(READINGS, '1.2.3')
  metrics.inFlight = 2
  metrics.done(REQUEST)
  metrics.done({
    ...REQUEST,
    route: '/tokens',
    outcome: 'client_error',
    code: 'ERR_EXPR_SYNTAX',
    firstByteMs: Number.NaN,
    waitedMs: 0
  })
  metrics.adminRequest('/metrics', 'ok')
  metrics.error('ERR_OVERLOAD')
  metrics.error('NOT_ONE_OF_OURS')
  const got = samples(await metrics.text())
  const expected: Record<string, number> = {
    'sluice_requests_total{dialect="basis_theory",route="/proxy/**",outcome="ok"}': 1,
    'sluice_requests_total{dialect="basis_theory",route="/proxy/**",outcome="aborted"}': 0,
    'sluice_requests_total{dialect="basis_theory",route="/tokens",outcome="client_error"}': 1,
    'sluice_requests_total{dialect="admin",route="/metrics",outcome="ok"}': 1,
    'sluice_request_duration_seconds_count{phase="accepted"}': 2,
    'sluice_request_duration_seconds_count{phase="first_byte"}': 1,
    'sluice_request_duration_seconds_bucket{phase="first_byte",le="0.025"}': 0,
    'sluice_request_duration_seconds_bucket{phase="first_byte",le="0.05"}': 1,
    'sluice_request_duration_seconds_bucket{phase="first_byte",le="+Inf"}': 1,
    'sluice_overhead_seconds_bucket{le="0.005"}': 1,
    sluice_overhead_seconds_count: 2,
    sluice_in_flight: 2,
    sluice_buffered_bytes: 7,
    'sluice_body_bytes_total{direction="request"}': 2048,
    'sluice_body_bytes_total{direction="response"}': 4096,
    'sluice_expressions_total{outcome="replaced"}': 10,
    'sluice_expressions_total{outcome="literal"}': 2,
    'sluice_expressions_total{outcome="failed"}': 1,
    'sluice_expression_cache_total{outcome="hit"}': 5,
    sluice_tokens_revealed_total: 8,
    sluice_tokens_captured_total: 2,
    'sluice_egress_connections{state="busy"}': 1,
    'sluice_egress_connects_total{outcome="ok"}': 9,
    sluice_egress_tls_resumed_total: 4,
    'sluice_errors_total{code="ERR_EXPR_SYNTAX"}': 1,
    'sluice_errors_total{code="ERR_OVERLOAD"}': 1,
    'sluice_errors_total{code="ERR_INTERNAL"}': 0,
    sluice_audit_records_total: 12,
    [`sluice_build_info{version="1.2.3",node="${process.version}"}`]: 1
  }
  for (const [name, value] of Object.entries(expected)) t.equal(got.get(name), value, name)
})

t.test('more routes than were thought of are counted too', async (t) => {
  const metrics = new Metrics(READINGS, '1')
  for (let round = 0; round < 2; round++) {
    for (let route = 0; route < 200; route++) metrics.done({ ...REQUEST, route: `/r${route}` })
  }
  const got = samples(await metrics.text())
  for (let route = 0; route < 200; route++) {
    t.equal(got.get(`sluice_requests_total{dialect="basis_theory",route="/r${route}",outcome="ok"}`), 2)
  }
})

t.test('the metrics of several processes add up', async (t) => {
  const workers = [new Metrics(READINGS, '1'), new Metrics(READINGS, '1')]
  workers[0]?.done(REQUEST)
  workers[1]?.done(REQUEST)
  workers[1]?.done({ ...REQUEST, outcome: 'aborted' })
  // As they come over a channel between processes.
  const snapshots = await Promise.all(workers.map(async (each) => JSON.parse(JSON.stringify(await each.snapshot()))))
  const got = samples(await mergedText(snapshots))
  t.equal(got.get('sluice_requests_total{dialect="basis_theory",route="/proxy/**",outcome="ok"}'), 2)
  t.equal(got.get('sluice_requests_total{dialect="basis_theory",route="/proxy/**",outcome="aborted"}'), 1)
  t.equal(got.get('sluice_request_duration_seconds_bucket{phase="first_byte",le="0.05"}'), 3)
  t.equal(got.get('sluice_in_flight'), 0)
  t.equal(got.get('sluice_buffered_bytes'), 14)
  t.equal(got.get(`sluice_build_info{version="1",node="${process.version}"}`), 1)
})

t.test('a histogram counts a value on a bound below it, and a value beyond all in +Inf alone', async (t) => {
  const histogram = new Histogram(2)
  histogram.observe(1, 0.1)
  histogram.observe(1, 61_000)
  histogram.observe(1, Number.NaN)
  const { buckets, sum, count } = histogram.read(1)
  t.equal(buckets.get('0.0001'), 1)
  t.equal(buckets.get('60'), 1)
  t.equal(buckets.get('+Inf'), 2)
  t.equal(count, 2)
  t.ok(Math.abs(sum - 61.0001) < 1e-9)
  t.equal(histogram.read(0).count, 0)
})

/** A log that is read back as parsed lines. */
function newLog(level: LogLevel): { log: Log; lines: Record<string, unknown>[]; text: () => string } {
  const chunks: string[] = []
  const lines: Record<string, unknown>[] = []
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(chunk.toString())
      lines.push(JSON.parse(chunk.toString()) as Record<string, unknown>)
      done()
    }
  })
  return { log: new Log(level, stream), lines, text: () => chunks.join('') }
}

t.test('a request is one line of the allowed fields and no others', async (t) => {
  const { log, lines, text } = newLog('info')
  const more = { ...REQUEST, body: 'marked', headers: { authorization: 'marked' }, url: '/proxy/marked' }
  log.request(more)
  t.equal(lines.length, 1)
  t.match(lines[0], { level: 30, msg: 'request', traceId: 't1', status: 200, ms: 43, route: '/proxy/**' })
  t.notMatch(text(), 'marked')
  log.request({ ...REQUEST, tenant: null, destination: null, destinationStatus: 0, waitedMs: Number.NaN })
  for (const name of ['tenant', 'destination', 'destinationStatus', 'waitedMs'])
    t.notOk(Object.hasOwn(lines[1] ?? {}, name), name)
})

t.test('what is the same as in the line before is not taken over from it when it is not', async (t) => {
  const { log, lines } = newLog('info')
  const names = ['dialect', 'route', 'method', 'status', 'outcome', 'code', 'proxy', 'tenant', 'application'] as const
  for (const name of [...names, 'destination', 'destinationStatus', 'mode'] as const) {
    log.request(REQUEST)
    log.request({ ...REQUEST, [name]: name.startsWith('destinationS') || name === 'status' ? 418 : 'other' })
    t.equal(lines.at(-1)?.[name], name.startsWith('destinationS') || name === 'status' ? 418 : 'other', name)
  }
})

t.test('trace ids are UUIDs, and none comes twice', async (t) => {
  const ids = Array.from({ length: 100_000 }, newTraceId)
  t.equal(new Set(ids).size, ids.length)
  t.ok(ids.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)))
})

t.test('milliseconds are written to the microsecond', async (t) => {
  const { log, lines } = newLog('info')
  const written = [0, 0.0004, 0.0006, 1.0305, 12.999_999, 1234.5].map((doneMs) => {
    log.request({ ...REQUEST, doneMs })
    return lines.at(-1)?.['ms']
  })
  t.strictSame(written, [0, 0, 0.001, 1.031, 13, 1234.5])
})

t.test('every line reaches standard output, in order, however the process ends', async (t) => {
  const log = new URL('../../lib/observe/log.ts', import.meta.url).href.replace(
    /ts$/,
    extname(import.meta.url).slice(1)
  )
  const run = (end: string): Promise<string> => {
    const source = `const { Log } = await import(process.argv[1]); const log = new Log('info');
      for (let n = 0; n < 3000; n++) log.event('info', 'started', { count: n }); ${end}`
    return new Promise((resolve) => {
      execFile(process.execPath, ['--input-type=module', '-e', source, log], (_error, stdout) => resolve(stdout))
    })
  }
  const stays = 'setTimeout(() => {}, 600); setTimeout(() => process.exit(0), 500)'
  const endings = {
    'of itself': '',
    'flushed, by exit': 'setTimeout(() => { log.flush(); process.exit(0) }, 100)',
    later: stays
  }
  for (const [name, end] of Object.entries(endings)) {
    const counts = (await run(end))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { count: number }).count)
    t.strictSame(
      counts,
      Array.from({ length: 3000 }, (_, n) => n),
      name
    )
  }
})

t.test('an internal error shows where it was thrown and not what it says', async (t) => {
  const { log, lines, text } = newLog('info')
  let thrown: unknown
  try {
    JSON.parse('{"card": marked4242}')
  } catch (cause) {
    thrown = new SluiceError('ERR_INTERNAL', 'outer marked\n    at marked (/a.js:1:1)', { cause })
  }
  log.bug(thrown, 't2')
  log.bug('marked')
  log.bug(new Error('marked\n    at marked (file:///x.js:1:1)\n  more marked'))
  t.notMatch(text(), 'marked')
  t.match(lines[0], { traceId: 't2', causes: ['SluiceError ERR_INTERNAL', 'SyntaxError'] })
  t.match((lines[0]?.['frames'] as string[])[0], /^at .*:\d+:\d+\)?$/)
  t.match((lines[2]?.['frames'] as string[])[0], 'observe.test')
})

t.test('levels are obeyed and can be changed', async (t) => {
  const { log, lines } = newLog('warn')
  log.request(REQUEST)
  log.event('info', 'started', { port: 1 })
  t.equal(lines.length, 0)
  log.level = 'info'
  log.event('info', 'started', { port: 1 })
  t.match(lines, [{ msg: 'started', port: 1 }])
})

t.test('the admin listener answers for metrics, health and readiness', async (t) => {
  let ready = true
  const seen: string[] = []
  const metrics = new Metrics(READINGS, '1')
  let fail = false
  const admin = await startAdmin({
    host: '127.0.0.1',
    port: 0,
    metrics: async () => {
      if (fail) throw new Error('marked')
      return metrics.text()
    },
    metricsType: METRICS_TYPE,
    ready: () => ready,
    done: (route, outcome) => seen.push(`${route} ${outcome}`)
  })
  t.teardown(() => admin.close())
  const ask = (path: string, method = 'GET'): Promise<{ status: number; type: string; body: string }> =>
    new Promise((resolve, reject) => {
      request({ port: admin.address.port, host: '127.0.0.1', path, method }, (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          body += chunk
        })
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', body })
        )
      })
        .on('error', reject)
        .end()
    })
  t.match(await ask('/metrics'), {
    status: 200,
    type: 'text/plain; version=0.0.4; charset=utf-8',
    body: /sluice_in_flight 0/
  })
  t.match(await ask('/healthz'), { status: 200, body: 'ok\n' })
  t.match(await ask('/readyz?x=1'), { status: 200, body: 'ok\n' })
  t.match(await ask('/healthz', 'HEAD'), { status: 200, body: /^$/ })
  ready = false
  t.match(await ask('/readyz'), { status: 503, body: 'draining\n' })
  t.match(await ask('/healthz'), { status: 200 })
  t.match(await ask('/nothing'), { status: 404 })
  t.match(await ask('/metrics', 'POST'), { status: 405 })
  fail = true
  t.match(await ask('/metrics'), { status: 500, body: 'internal error\n' })
  t.strictSame(seen, [
    '/metrics ok',
    '/healthz ok',
    '/readyz ok',
    '/healthz ok',
    '/readyz sluice_error',
    '/healthz ok',
    'other client_error',
    '/metrics client_error',
    'other sluice_error'
  ])
})
