/** The headers of a request on /vault_proxy, each read once. `spec/footprint.md` A.3. */
import { SluiceError } from '../../errors.ts'
import type { RequestHead } from '../../listen/head.ts'
import { holdsKey } from '../../plan/credentials.ts'
import {
  checkFieldValue,
  FIELD_ACCEPT_ENCODING,
  FIELD_CONTENT_ENCODING,
  FIELD_CONTENT_TYPE,
  FIELD_FORWARD,
  FIELD_VIA,
  requestField
} from '../../plan/headers.ts'

export interface Controls {
  configId: string | undefined
  targetUrl: string | undefined
  method: string | undefined
  pathAndQuery: string | undefined
  user: string | undefined
  reason: string | undefined
  clientCertificate: string | undefined
  clientKey: string | undefined
  readonly pins: string[]
  ingressType: string | undefined
  readonly ingressRules: string[]
  /** Flat: the fields that go out, as the caller names them. */
  readonly forwarded: string[]
  delimiters: string | undefined
  bodyMode: string | undefined
  subjects: string | undefined
  /** Of the request's own body. */
  contentEncoding: string | undefined
}

/**
 * Reads and sorts the fields of a request. Nothing of it goes out but what a `x-fp-proxy-fwd-` header says.
 *
 * @param viaName our own pseudonym in Via
 * @param isOurs tells whether a text is an API key of ours
 * @throws ERR_HTTP_SYNTAX for a control that stands twice or a field that may not be forwarded, ERR_LOOP
 */
export function readControls({ fields }: RequestHead, viaName: string, isOurs: (text: string) => boolean): Controls {
  const controls: Controls = {
    configId: undefined,
    targetUrl: undefined,
    method: undefined,
    pathAndQuery: undefined,
    user: undefined,
    reason: undefined,
    clientCertificate: undefined,
    clientKey: undefined,
    pins: [],
    ingressType: undefined,
    ingressRules: [],
    forwarded: [],
    delimiters: undefined,
    bodyMode: undefined,
    subjects: undefined,
    contentEncoding: undefined
  }
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string
    const value = fields[at + 1] as string
    const lower = name.toLowerCase()
    if (lower.startsWith(FORWARD)) controls.forwarded.push(...forwardable(name.slice(FORWARD.length), value, isOurs))
    else if (lower === 'x-fp-proxy-pin-cert') controls.pins.push(...value.split(','))
    else if (lower === 'x-fp-proxy-ingress-rule') controls.ingressRules.push(value)
    else if (lower === 'sluice-subjects') {
      controls.subjects = controls.subjects === undefined ? value : `${controls.subjects},${value}`
    } else if (lower === 'via') {
      if (value.includes(viaName)) throw new SluiceError('ERR_LOOP', 'The request came back to Sluice')
    } else {
      const slot = SLOTS.get(lower)
      if (slot === undefined) continue
      if (controls[slot] !== undefined) throw new SluiceError('ERR_HTTP_SYNTAX', `${lower} is there twice`)
      controls[slot] = value
    }
  }
  return controls
}

/**
 * Name and value. Framing, hop-by-hop fields and Sluice's own are not for callers to set: RFC 9110, 7.6.1. Nor does a key of
 * ours go anywhere, which here somebody has asked for in so many words. Throws ERR_HTTP_SYNTAX.
 */
export function forwardable(name: string, value: string, isOurs: (text: string) => boolean): [string, string] {
  if (holdsKey(value, isOurs)) {
    throw new SluiceError('ERR_HTTP_SYNTAX', `The header ${name.slice(0, 64)} would send an API key of this vault`)
  }
  const kind = requestField(name.toLowerCase())
  if (kind === FIELD_FORWARD || kind === FIELD_CONTENT_TYPE || kind === FIELD_ACCEPT_ENCODING) {
    return [name, checkFieldValue(name, value)]
  }
  const why =
    kind === FIELD_VIA || kind === FIELD_CONTENT_ENCODING || name !== ''
      ? `x-fp-proxy-fwd- may not set the header ${name.slice(0, 64)}`
      : 'x-fp-proxy-fwd- names no header'
  throw new SluiceError('ERR_HTTP_SYNTAX', why)
}

type Slot = {
  [name in keyof Controls]: undefined extends Controls[name] ? name : never
}[keyof Controls]

const FORWARD = 'x-fp-proxy-fwd-'
// :: lower-case name → where its value goes
const SLOTS = new Map<string, Slot>([
  ['x-fp-proxy-id', 'configId'],
  ['x-fp-proxy-target-url', 'targetUrl'],
  ['x-fp-proxy-method', 'method'],
  ['x-fp-path-and-query', 'pathAndQuery'],
  ['x-fp-id', 'user'],
  ['x-fp-proxy-access-reason', 'reason'],
  // As the description of the API for reflect spells it.
  ['x-fp-access-reason', 'reason'],
  ['x-fp-proxy-client-cert', 'clientCertificate'],
  ['x-fp-proxy-client-key', 'clientKey'],
  ['x-fp-proxy-ingress-content-type', 'ingressType'],
  ['sluice-delimiters', 'delimiters'],
  ['sluice-body-mode', 'bodyMode'],
  ['content-encoding', 'contentEncoding']
])
