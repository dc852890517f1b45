/**
 * Expressions in the headers of a call to a stored proxy: `{{ config: key }}`, and `{{ proxy | json: '$.request…' }}`,
 * which draws upon the request as it is when its body is in, detokenized and transformed. `spec/basis-theory.md` C.6.
 */
import { SluiceError } from '../../../errors.ts'
import { header } from '../../../expr/escapes.ts'
import { compileHeader, type MessageTemplate } from '../../../expr/message-template.ts'
import { type Json, LosslessNumber } from '../../../json.ts'
import { fieldLine } from '../../../plan/headers.ts'
import type { TransformRun } from './run.ts'
import { drawsUponRequest, fill, type Passing } from './values.ts'

export interface HeaderExpression {
  readonly name: string
  readonly template: MessageTemplate
}

export interface SplitHeaders {
  /** Field lines without such expressions, each with CRLF. */
  readonly lines: string
  /** What draws upon the configuration alone: it can be filled in at once. */
  readonly ready: readonly HeaderExpression[]
  /** What waits for the whole request. */
  readonly waiting: readonly HeaderExpression[]
}

/**
 * Takes the fields out that hold such expressions: values that are put in are never looked through again.
 *
 * @param lines field lines that go on, each with CRLF
 * @throws ERR_EXPR_*
 */
export function splitHeaders(lines: string): SplitHeaders {
  if (!lines.includes('{{')) return { lines, ready: NO_HEADERS, waiting: NO_HEADERS }
  const ready: HeaderExpression[] = []
  const waiting: HeaderExpression[] = []
  let rest = ''
  for (let at = 0; at < lines.length; ) {
    const end = lines.indexOf('\r\n', at) + 2
    const colon = lines.indexOf(':', at)
    const name = lines.slice(at, colon)
    const template = name.toLowerCase().startsWith('content-') ? null : templateOf(lines.slice(colon + 1, end - 2))
    if (template === null) rest += lines.slice(at, end)
    else (drawsUponRequest(template) ? waiting : ready).push({ name, template })
    at = end
  }
  return { lines: rest, ready, waiting }
}

/** The lines of those that are ready. Throws ERR_TRANSFORM, ERR_EXPR_VALUE. */
export function readyLines(ready: readonly HeaderExpression[], run: TransformRun): string {
  const filled = filledFields(ready, NOTHING, run)
  let lines = ''
  for (let at = 0; at < filled.length; at += 2) lines += fieldLine(filled[at] as string, filled[at + 1] as string)
  return lines
}

/** Names and values of header expressions. Throws ERR_TRANSFORM, ERR_EXPR_VALUE. */
export function filledFields(headers: readonly HeaderExpression[], message: Passing, run: TransformRun): string[] {
  return headers.flatMap(({ name, template }) => {
    const value = headerText(fill(template, message, run))
    return value === null ? [] : [name, value]
  })
}

/** As a string of bytes; null = nothing is there. Throws ERR_EXPR_VALUE for what no header can hold. */
export function headerText(value: Json): string | null {
  if (value === null) return null
  if (typeof value === 'string') return header(value)
  if (typeof value === 'object' && !(value instanceof LosslessNumber)) {
    throw new SluiceError('ERR_TRANSFORM', 'The value of a header is an object or a list')
  }
  return header(String(value))
}

/** The value is bytes: what is no UTF-8 is refused, as is an expression beside others. */
function templateOf(bytes: string): MessageTemplate | null {
  const value = Buffer.from(bytes, 'latin1').toString().trim()
  const template = compileHeader(value, SUBJECTS)
  if (template !== null && value.includes('\ufffd')) {
    throw new SluiceError('ERR_EXPR_SYNTAX', 'A header with expressions must be UTF-8')
  }
  return template
}

const SUBJECTS: ReadonlySet<string> = new Set(['config', 'proxy'])
export const NO_HEADERS: readonly HeaderExpression[] = []
const NOTHING: Passing = { side: 'request', fields: [], body: Buffer.alloc(0) }
