import { SluiceError } from '../../errors.ts'

/**
 * The API key of a request: `X-Footprint-Secret-Key`, or the user name of HTTP Basic with an empty password.
 *
 * @param fields flat: name, value, name, value …
 * @throws ERR_AUTH_MISSING when there is none, ERR_AUTH_INVALID for one that does not read, ERR_HTTP_SYNTAX for two
 */
export function credentialOf(fields: readonly string[]): string {
  let key: string | undefined
  for (let at = 0; at < fields.length; at += 2) {
    const name = (fields[at] as string).toLowerCase()
    if (name !== 'authorization' && name !== 'x-footprint-secret-key') continue
    const value = fields[at + 1] as string
    const found = name === 'authorization' ? userNameOf(value) : value.trim()
    if (key !== undefined && key !== found) {
      throw new SluiceError('ERR_HTTP_SYNTAX', 'The request brings two API keys')
    }
    key = found
  }
  if (key === undefined || key === '') {
    throw new SluiceError('ERR_AUTH_MISSING', 'An API key is required: as user name, or in X-Footprint-Secret-Key')
  }
  return key
}

/** RFC 7617. */
function userNameOf(authorization: string): string {
  const match = /^basic +([A-Za-z0-9+/_-]+={0,2})$/i.exec(authorization.trim())
  const [, text = ''] = match ?? []
  const pair = Buffer.from(text, 'base64').toString('latin1')
  const colon = pair.indexOf(':')
  if (colon >= 0 && colon === pair.length - 1) return pair.slice(0, colon)
  throw new SluiceError('ERR_AUTH_INVALID', 'Basic authorization takes the API key as user name and no password')
}
