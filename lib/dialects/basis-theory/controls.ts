/** The head of a request on /proxy, read once: controls, what is dropped, what goes on. Hot: per request. */
import { SluiceError } from '../../errors.ts'
import type { FieldLines } from '../../known-lines.ts'
import type { RequestHead } from '../../listen/head.ts'
import { holdsKey } from '../../plan/credentials.ts'
import {
  checkFieldValue,
  FIELD_ACCEPT_ENCODING,
  FIELD_CONTENT_ENCODING,
  FIELD_CONTENT_TYPE,
  FIELD_CONTROL,
  FIELD_FORWARD,
  FIELD_VIA,
  fieldLine,
  fieldName,
  listedByConnection
} from '../../plan/headers.ts'

/** The controls of one request, read once from its head. */
export interface Controls {
  apiKey: string | undefined
  /** X-API-KEY: goes on unless it is one of our keys, and is the credential then when BT-API-KEY is absent. */
  legacyApiKey: string | undefined
  url: string | undefined
  /** BT-PROXY-KEY: the key of a stored proxy. */
  proxyKey: string | undefined
  keepAlive: string | undefined
  connection: string | undefined
  traceId: string | undefined
  delimiters: string | undefined
  bodyMode: string | undefined
  subjects: string | undefined
  /** Field lines that go on. */
  lines: string
  contentTypes: readonly string[]
  contentEncoding: string | undefined
}

/**
 * Reads every field once and sorts it: control, dropped, or going on. A field that holds one of our keys is dropped: the
 * credential of the other dialect, or ours under another name.
 *
 * @param viaName our own pseudonym in Via
 * @param isOurs tells whether a text is an API key of ours
 * @param kept lines of requests before this one on the connection
 * @throws ERR_HTTP_SYNTAX for a control that stands twice, ERR_LOOP when our own Via came back
 */
export function readControls(
  head: RequestHead,
  viaName: string,
  isOurs: (text: string) => boolean,
  kept: FieldLines | null
): Controls {
  const controls: Controls = {
    apiKey: undefined,
    legacyApiKey: undefined,
    url: undefined,
    proxyKey: undefined,
    keepAlive: undefined,
    connection: undefined,
    traceId: undefined,
    delimiters: undefined,
    bodyMode: undefined,
    subjects: undefined,
    lines: '',
    contentTypes: NONE,
    contentEncoding: undefined
  }
  const fields = head.fields
  const listed = listedByConnection(fields)
  let lines = ''
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    const value = fields[at + 1] as string
    const { lower, kind } = fieldName(name)
    // A control is for us, whatever Connection says: nobody behind a gateway takes one away that it has set.
    if (kind !== FIELD_CONTROL && listed?.has(lower)) continue
    switch (kind) {
      case FIELD_FORWARD:
        if (lower === 'x-api-key') {
          controls.legacyApiKey = once(controls.legacyApiKey, value, 'X-API-KEY')
          break
        }
        if (!holdsKey(value, isOurs)) lines += lineOf(kept, at >> 1, name, value)
        break
      case FIELD_ACCEPT_ENCODING:
        lines += lineOf(kept, at >> 1, name, value)
        break
      case FIELD_CONTENT_TYPE:
        controls.contentTypes = controls.contentTypes === NONE ? [value] : [...controls.contentTypes, value]
        lines += lineOf(kept, at >> 1, name, value)
        break
      case FIELD_CONTENT_ENCODING:
        controls.contentEncoding =
          controls.contentEncoding === undefined ? value : `${controls.contentEncoding}, ${value}`
        break
      case FIELD_VIA:
        if (value.includes(viaName)) throw new SluiceError('ERR_LOOP', 'The request came back to Sluice')
        lines += lineOf(kept, at >> 1, name, value)
        break
      case FIELD_CONTROL:
        readControl(controls, lower, value)
        break
      default:
        break
    }
  }
  controls.lines = lines
  return controls
}

function lineOf(kept: FieldLines | null, place: number, name: string, value: string): string {
  if (kept === null) return fieldLine(name, value)
  const known = kept.known(place, name, value)
  if (known !== '') return known
  const line = fieldLine(name, value)
  if (kept.wants(place)) kept.keep(place, name, value, line)
  return line
}

function readControl(controls: Controls, lower: string, value: string): void {
  switch (lower) {
    case 'bt-api-key':
      controls.apiKey = once(controls.apiKey, value, 'BT-API-KEY')
      break
    case 'bt-proxy-url':
      controls.url = once(controls.url, value, 'BT-PROXY-URL')
      break
    case 'bt-proxy-key':
      controls.proxyKey = once(controls.proxyKey, value, 'BT-PROXY-KEY')
      break
    case 'bt-proxy-keep-alive':
      controls.keepAlive = once(controls.keepAlive, checkFieldValue('Keep-Alive', value), 'BT-PROXY-KEEP-ALIVE')
      break
    case 'bt-proxy-connection':
      controls.connection = once(controls.connection, value, 'BT-PROXY-CONNECTION')
      break
    case 'bt-trace-id':
      controls.traceId = once(controls.traceId, value, 'BT-TRACE-ID')
      break
    case 'sluice-delimiters':
      controls.delimiters = once(controls.delimiters, value, 'Sluice-Delimiters')
      break
    case 'sluice-body-mode':
      controls.bodyMode = once(controls.bodyMode, value, 'Sluice-Body-Mode')
      break
    case 'sluice-subjects':
      controls.subjects = controls.subjects === undefined ? value : `${controls.subjects},${value}`
      break
    default:
      break
  }
}

function once(before: string | undefined, value: string, name: string): string {
  if (before !== undefined) throw new SluiceError('ERR_HTTP_SYNTAX', `${name} is there twice`)
  return value
}

const NONE: readonly string[] = []
