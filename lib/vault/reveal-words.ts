/** What a reveal says: to the audit log, and to whom it is refused. */
import { SluiceError } from '../errors.ts'
import type { Caller } from './access.ts'
import { freeText, quoted } from './audit.ts'
import type { DestinationName } from './destinations.ts'
import type { Purpose } from './purpose.ts'

/** A token as the audit names it: its id, and whether that can stand in JSON as it is. */
interface Named {
  readonly id: string
  readonly isPlain: boolean
}

/** The members of an audit record, each with a comma after it. Hot: per request. */
export function describe(caller: Caller, purpose: Purpose, tokens: readonly Named[]): string {
  const { door, destination, traceId, reason } = purpose
  let text = `"door":"${door}",${caller.auditText}"tokens":[`
  for (let at = 0; at < tokens.length; at++) {
    const { id, isPlain } = tokens[at] as Named
    if (at > 0) text += ','
    text += isPlain ? `"${id}"` : JSON.stringify(id)
  }
  text += '],'
  if (destination !== null) text += destinationText(destination)
  if (reason !== null) text += `"reason":${freeText(reason)},`
  return `${text}"trace":${quoted(traceId)},`
}

/** The same for a destination: the last one's is kept. */
function destinationText({ host, port, method }: DestinationName): string {
  const last = lastDestination
  if (last.host === host && last.port === port && last.method === method) return last.text
  const text = `"to":${quoted(`${host}:${port}`)},"method":${quoted(method)},`
  lastDestination = { host, port, method, text }
  return text
}

let lastDestination = { host: '', port: 0, method: '', text: '' }

export const overLimit = (limit: number) =>
  new SluiceError('ERR_TOKEN_LIMIT', `The request names more than ${limit} tokens`)

export const destinationForbidden = () =>
  new SluiceError(
    'ERR_DESTINATION_FORBIDDEN',
    'The destination is not one that these tokens or this API key may be sent to'
  )

export const forbiddenTokens = (permission: string, names: string[]) =>
  new SluiceError('ERR_TOKEN_FORBIDDEN', `Missing permission: ${permission} for some tokens: ${names.join(', ')}`, {
    names
  })

export const unknownTokens = (names: string[]) => {
  const message = `Failed to detokenize some tokens: ${names.join(', ')}. Tokens were not found.`
  return new SluiceError('ERR_TOKEN_UNKNOWN', message, { names })
}
