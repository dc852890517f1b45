import { SluiceError } from '../../errors.ts'
import type { ReactorPorts } from './reactor-ports.ts'

/**
 * Reads code in the sandbox, without a call of its function. Throws ERR_CODE, with line and column where it does not
 * parse, under the name of the field that it came in.
 */
export async function checkCode(ports: ReactorPorts, tenant: string, code: string, field: string): Promise<void> {
  const fault = await faultOf(ports, tenant, code)
  if (fault === null) return
  const why = fault.slice(0, 1000)
  throw new SluiceError('ERR_CODE', why, { fields: { [field]: [why] } })
}

async function faultOf(ports: ReactorPorts, tenant: string, code: string): Promise<string | null> {
  const host = async (): Promise<string> => {
    throw new SluiceError('ERR_CODE', 'Code may call nothing while it is read')
  }
  const result = await ports.run({ tenant, code, input: 'null', host })
  if (result.kind === 'syntax') return `Line ${result.line}, column ${result.column}: ${result.why}`
  if (result.kind !== 'done') return 'The code crosses a limit before its function is called'
  const { kind, errors } = JSON.parse(result.text) as { kind?: unknown; errors?: { error?: unknown } }
  if (kind === 'value') return null
  if (kind === 'no-function') return 'The code must give module.exports a function'
  return `The code throws before its function is called: ${String(errors?.error)}`
}
