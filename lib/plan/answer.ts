import type { SluiceError } from '../errors.ts'

/** Fields that every answer of Sluice itself carries, beside a dialect's own. */
export function errorFields(error: SluiceError, traceId: string | null): string[] {
  const fields = ['Content-Type', 'application/json', 'Cache-Control', 'no-store']
  if (error.status === 503) fields.push('Retry-After', RETRY_AFTER_SECONDS)
  if (traceId !== null) fields.push('bt-trace-id', traceId, 'Sluice-Trace-Id', traceId)
  return fields
}

const RETRY_AFTER_SECONDS = '1'
