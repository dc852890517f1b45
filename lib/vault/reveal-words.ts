/** What a reveal says: to the audit log, and to whom it is refused. */
import { SluiceError } from '../errors.ts'
import { inOnePiece } from '../json.ts'
import type { Caller } from './access.ts'
import { freeText, quoted } from './audit.ts'
import type { DestinationName } from './destinations.ts'
import type { Door, Purpose } from './purpose.ts'

/** A token as the audit names it: its id, and whether that can stand in JSON as it is. */
interface Named {
  readonly id: string
  readonly isPlain: boolean
}

/** The members of an audit record, each with a comma after it. Hot: per request. */
export function describe(caller: Caller, purpose: Purpose, tokens: readonly Named[]): string {
  const { door, destination, traceId, reason } = purpose
  // NOTE: of few parts. What is put together stays a tree, and to walk it when it is written out costs 200 instructions a part.
  const to = destination === null ? '' : destinationText(destination)
  const why = reason === null ? '' : `"reason":${freeText(reason)},`
  return `${DOORS[door]}${caller.auditText}${tokensText(tokens)}${to}${why}"trace":"${traceId}",`
}

function tokensText(tokens: readonly Named[]): string {
  const ids: string[] = []
  let arePlain = tokens.length > 0
  for (const { id, isPlain } of tokens) {
    ids.push(id)
    if (!isPlain) arePlain = false
  }
  return arePlain ? `"tokens":["${ids.join('","')}"],` : `"tokens":${JSON.stringify(ids)},`
}

/** The same for a destination: the last one's is kept. */
function destinationText({ host, port, method }: DestinationName): string {
  const last = lastDestination
  if (last.host === host && last.port === port && last.method === method) return last.text
  const text = inOnePiece(`"to":${quoted(`${host}:${port}`)},"method":${quoted(method)},`)
  lastDestination = { host, port, method, text }
  return text
}

const DOORS: Readonly<Record<Door, string>> = {
  proxy: '"door":"proxy",',
  reactor: '"door":"reactor",',
  reflect: '"door":"reflect",',
  detokenize: '"door":"detokenize",',
  decrypt: '"door":"decrypt",',
  read: '"door":"read",'
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
