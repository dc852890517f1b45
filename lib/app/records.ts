import { performance } from 'node:perf_hooks'
import type { Client } from '../listen/client.ts'
import type { ApiResult } from '../listen/serve-api.ts'
import { outcomeOf, type RequestRecord } from '../proxy/phases.ts'

/** A record of a request of which little is known. */
export function blankRecord(client: Client, traceId: string): RequestRecord {
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

/** The record of a request to the API. */
export function apiRecord(client: Client, result: ApiResult): RequestRecord {
  const { error, caller } = result
  return {
    ...blankRecord(client, result.traceId),
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
