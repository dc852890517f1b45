import { errorFields } from '../../plan/answer.ts'
import type { DialectVoice } from '../../proxy/ports.ts'
import { errorBody } from './wire.ts'

/** How the Footprint dialect speaks on /vault_proxy. */
export const footprintVoice: DialectVoice = {
  failure(error, status, traceId, destinationStatus) {
    const fields = errorFields(error, traceId)
    if (status === 401) fields.push('WWW-Authenticate', 'Basic realm="sluice"')
    if (destinationStatus > 0) fields.push(UPSTREAM_STATUS, String(destinationStatus))
    return { fields, body: errorBody(error, error.forwarded ?? (error.code === 'ERR_INTERNAL' ? 'unknown' : 'no')) }
  },

  decorate(fields, traceId, destinationStatus, literalOpeners) {
    fields.push(UPSTREAM_STATUS, String(destinationStatus), 'Sluice-Trace-Id', traceId)
    if (literalOpeners > 0) fields.push('Sluice-Literal', String(literalOpeners))
  }
}

/** The same on /vault_proxy/reflect, where nobody but us answers. */
export const reflectVoice: DialectVoice = {
  failure: (error, status, traceId) => footprintVoice.failure(error, status, traceId, 0),

  decorate(fields, traceId, _destinationStatus, literalOpeners) {
    fields.push('Cache-Control', 'no-store', 'Sluice-Trace-Id', traceId)
    if (literalOpeners > 0) fields.push('Sluice-Literal', String(literalOpeners))
  }
}

/** Present exactly when the destination answered. */
const UPSTREAM_STATUS = 'x-footprint-proxy-upstream-status-code'
