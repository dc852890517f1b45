import { formatJson, type Json } from '../json.ts'
import { quoted } from './audit.ts'
import type { DestinationRule } from './destinations.ts'
import type { Scratch } from './scratch.ts'

/** What of a token is kept in clear (and authenticated), beside type, container and times. */
export interface TokenRest {
  readonly createdBy: string
  readonly modifiedBy?: string
  readonly modifiedAt?: number
  readonly metadata?: Readonly<Record<string, string>>
  readonly mask?: Json
  readonly privacy?: Readonly<Record<string, string>>
  /** As given: expressions. */
  readonly searchIndexes?: readonly string[]
  readonly fingerprintExpression?: string
  readonly fingerprint?: string
  /** Where the token may be sent; absent: not bound. */
  readonly destinations?: readonly DestinationRule[]
  /** Its rows in the table `index` beside those of its container, type and fingerprint; without tenant, time and id. */
  readonly terms: readonly string[]
}

/**
 * Hot: per create. Writes the JSON of a token's `TokenRest`. Of tokens that are made one after the other mostly the
 * fingerprint alone differs: the bytes before it are kept for the next one.
 */
export class RestText {
  #last: TokenRest | null = null
  #start: Buffer = Buffer.alloc(0)

  /** Writes it at `desk.bytes[at..]`, where it makes room for it. Returns how many bytes it took. */
  write(rest: TokenRest, desk: Scratch, at: number): number {
    const { fingerprint, terms } = rest
    if (fingerprint === undefined || !isCommon(rest)) return writeWhole(rest, desk, at)
    if (this.#last === null || !isAlike(rest, this.#last)) {
      this.#start = startOf(rest)
      this.#last = rest
    }
    const start = this.#start
    const text = `${quoted(fingerprint)},"terms":${terms.length === 0 ? '[]' : JSON.stringify(terms)}}`
    desk.reserve(at + start.length + text.length * 3)
    desk.bytes.set(start, at)
    return start.length + desk.bytes.write(text, at + start.length)
  }
}

/** True when there is nothing but what tokens of one caller and type have in common, a fingerprint, and terms. */
function isCommon({ modifiedBy, modifiedAt, metadata, privacy, destinations }: TokenRest): boolean {
  const isNew = modifiedBy === undefined && modifiedAt === undefined
  return isNew && metadata === undefined && privacy === undefined && destinations === undefined
}

function isAlike(a: TokenRest, b: TokenRest): boolean {
  const isSameType = a.mask === b.mask && a.searchIndexes === b.searchIndexes
  return isSameType && a.createdBy === b.createdBy && a.fingerprintExpression === b.fingerprintExpression
}

/** Up to the fingerprint, which stands behind all that `isAlike` compares. */
function startOf({ createdBy, mask, searchIndexes, fingerprintExpression }: TokenRest): Buffer {
  const alike: { -readonly [name in keyof TokenRest]?: TokenRest[name] } = { createdBy }
  if (mask !== undefined) alike.mask = mask
  if (searchIndexes !== undefined) alike.searchIndexes = searchIndexes
  if (fingerprintExpression !== undefined) alike.fingerprintExpression = fingerprintExpression
  const text = textOf({ ...alike, fingerprint: '' })
  return Buffer.from(text.slice(0, -'""}'.length))
}

function writeWhole(rest: TokenRest, desk: Scratch, at: number): number {
  const text = textOf(rest)
  desk.reserve(at + text.length * 3)
  return desk.bytes.write(text, at)
}

/** Only a mask may hold numbers whose text is kept. */
function textOf(rest: Partial<TokenRest>): string {
  return typeof rest.mask === 'object' ? formatJson(rest as unknown as Json) : JSON.stringify(rest)
}
