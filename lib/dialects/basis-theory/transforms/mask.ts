import { RE2JS } from 're2js'
import { SluiceError } from '../../../errors.ts'
import { fieldValue } from '../../../plan/headers.ts'
import { maskSections } from './mask-sections.ts'
import type { MaskThread } from './mask-thread.ts'
import { maskStratus } from './stratus.ts'
import type { Passing } from './values.ts'

/** What is blanked of a body. */
export interface Mask {
  /** null: what `maskStratus` finds. */
  readonly pattern: RE2JS | null
  readonly replacement: string
}

/** @param expression null for the matcher that takes none */
export function compileMask(expression: string | null, replacement: string): Mask {
  return { pattern: expression === null ? null : RE2JS.compile(expression), replacement }
}

/** What is wrong with the expression of a mask; null: nothing. */
export function expressionFault(expression: string): string | null {
  if (expression === '') return 'The expression is required'
  if (expression.length > EXPRESSION_LENGTH) return `The expression must have at most ${EXPRESSION_LENGTH} characters`
  try {
    const pattern = RE2JS.compile(expression)
    if (pattern.groupCount() === 0) return 'The expression must have at least one capture group'
    return pattern.programSize() > PROGRAM_SIZE ? 'The expression is too large' : null
  } catch {
    return 'The expression does not parse: RE2 is the syntax, without lookaround and back-references'
  }
}

/**
 * A body without what its mask matches. Text of UTF-8 is read as such, anything else byte by byte. A short body under a
 * small expression is done here, for at most a few milliseconds; all else in a thread.
 *
 * @throws ERR_TRANSFORM for a body in UTF-16 or UTF-32 or that is compressed in spite of its head, and for an expression
 *   that takes too long
 */
export async function maskBody(mask: Mask, message: Passing, tenant: string, thread: MaskThread): Promise<Buffer> {
  if (message.body.length === 0) return message.body
  const encoding = encodingOf(message)
  const text = message.body.toString(encoding)
  const { pattern, replacement } = mask
  if (pattern === null) return Buffer.from(maskStratus(text, replacement), encoding)
  const isQuick = text.length <= SHORT && pattern.programSize() <= SMALL
  const masked = isQuick ? maskSections(pattern, text, replacement, performance.now() + FEW_MS) : null
  return Buffer.from(masked ?? (await thread.mask(tenant, pattern.pattern(), text, replacement)), encoding)
}

function encodingOf({ fields, body }: Passing): 'utf8' | 'latin1' {
  const charset = CHARSET.exec(fieldValue(fields, 'content-type') ?? '')?.[1]?.toLowerCase() ?? ''
  const isWide = charset.startsWith('utf-16') || charset.startsWith('utf-32') || charset.startsWith('ucs')
  if (isWide || body.includes(0)) throw unreadable('it is not text of one byte for each ASCII character')
  if (ARCHIVES.some((magic) => body.subarray(0, magic.length).equals(magic))) throw unreadable('it is compressed')
  return Buffer.from(body.toString()).equals(body) ? 'utf8' : 'latin1'
}

const unreadable = (why: string) => new SluiceError('ERR_TRANSFORM', `The body cannot be masked: ${why}`)

const EXPRESSION_LENGTH = 1000
/** Instructions: what a character may cost at most. */
const PROGRAM_SIZE = 2000
const SHORT = 4096
const SMALL = 100
const FEW_MS = 4
const CHARSET = /;\s*charset\s*=\s*"?([^\s;"]+)/i
/** gzip, zlib as usual, zstd. */
const ARCHIVES = [
  [0x1f, 0x8b],
  [0x78, 0x9c],
  [0x28, 0xb5, 0x2f, 0xfd]
].map((bytes) => Buffer.from(bytes))
