/** TLS material in headers: percent-encoded PEM, or the PEM as base64. */
import { SluiceError } from '../../errors.ts'

/** TLS material as `egress/identity` takes it. */
export interface TlsMaterial {
  readonly certificate: string | null
  readonly key: string | null
  readonly pins: readonly string[]
}

/** The PEM text in a header. Throws ERR_INPUT that names the header. */
export function pemOf(header: string, value: string): string {
  const text = value.trim()
  const pem = /^(?:-|%2d)/i.test(text) ? percentDecoded(text) : Buffer.from(text, 'base64').toString('latin1')
  if (pem?.startsWith('-----BEGIN ') === true) return pem
  const why = `${header} holds no PEM, percent-encoded or as base64`
  throw new SluiceError('ERR_INPUT', why, { fields: { [header]: [why] } })
}

/** null when it is not well-formed. Some encoders write a space as `+`, and a plus always as `%2B`. */
function percentDecoded(text: string): string | null {
  const spaced = /^(?:-|%2d)+BEGIN\+/i.test(text) ? text.replaceAll('+', ' ') : text
  try {
    return decodeURIComponent(spaced)
  } catch {
    return null
  }
}
