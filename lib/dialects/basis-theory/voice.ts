import { errorFields } from '../../plan/answer.ts'
import type { DialectVoice } from '../../proxy/ports.ts'
import { proxyErrorBody } from './wire.ts'

/** How the Basis Theory dialect speaks on /proxy: `spec/basis-theory.md` A.5 and A.8. */
export const basisTheoryVoice: DialectVoice = {
  failure(error, status, traceId, destinationStatus) {
    const fields = errorFields(error, traceId)
    if (destinationStatus > 0) fields.push(DESTINATION_STATUS, String(destinationStatus))
    return { fields, body: proxyErrorBody(error, status) }
  },

  decorate(fields, traceId, destinationStatus, literalOpeners) {
    if (destinationStatus > 0) fields.push(DESTINATION_STATUS, String(destinationStatus))
    fields.push('bt-trace-id', traceId, 'Sluice-Trace-Id', traceId)
    if (literalOpeners > 0) fields.push('Sluice-Literal', String(literalOpeners))
  }
}

/** Present exactly when the destination answered. */
const DESTINATION_STATUS = 'BT-PROXY-DESTINATION-STATUS'
