import { SluiceError } from '../errors.ts'
import { PLACE_HEADER, PLACE_URL_PATH, PLACE_URL_QUERY } from '../scan/context.ts'
import { type HeadOptions, type HeadPiece, scanHead } from '../scan/head.ts'

/*
 * Expressions in the head of a request, for callers that hold `token:use:head`: in the path and the query below the
 * proxy's own path, and in the values of fields that go on. The base URL, controls, framing and Content-* never.
 */

/** A head with expressions in it. */
export interface HeadTemplate {
  /** The target, then the field lines: strings of bytes and the spots between them. */
  readonly target: readonly HeadPiece[]
  readonly lines: readonly HeadPiece[]
  /** The path up to the segment of the first expression: what destination bindings may rely on. */
  readonly certainPath: string
}

/**
 * @param path Of the final target, ending in `tailPath`.
 * @param query Of the final target without the question mark, ending in `tailQuery`.
 * @param lines Field lines, each with CRLF.
 * @returns null when there is no expression
 * @throws ERR_DESTINATION_URL when a value would complete a percent-encoded byte of the path
 */
export function templateHead(
  path: string,
  tailPath: string,
  query: string,
  tailQuery: string,
  lines: string,
  options: HeadOptions
): HeadTemplate | null {
  const inPath = scanHead(tailPath, PLACE_URL_PATH, options)
  const inQuery = scanHead(tailQuery, PLACE_URL_QUERY, options)
  const inLines = scanLines(lines, options)
  if (inPath === null && inQuery === null && inLines === null) return null
  if (inPath !== null) checkBytesAreWhole(inPath)
  const target: HeadPiece[] = [path.slice(0, path.length - tailPath.length), ...(inPath ?? [tailPath])]
  if (query !== '') target.push(`?${query.slice(0, query.length - tailQuery.length)}`, ...(inQuery ?? [tailQuery]))
  return { target, lines: inLines ?? [lines], certainPath: inPath === null ? path : wholeSegmentsBeforeSpot(target) }
}

/** `%{{x}}` could make a %2f that neither the template nor the value holds. */
function checkBytesAreWhole(pieces: readonly HeadPiece[]): void {
  for (let at = 1; at < pieces.length; at++) {
    const before = pieces[at - 1]
    if (typeof before === 'string' && typeof pieces[at] !== 'string' && OPEN_BYTE.test(before)) {
      throw new SluiceError('ERR_DESTINATION_URL', 'The path has an expression inside of a percent-encoded byte')
    }
  }
}

/** With the last slash: what stands behind it is not all of its segment. */
function wholeSegmentsBeforeSpot(pieces: readonly HeadPiece[]): string {
  let text = ''
  for (const piece of pieces) {
    if (typeof piece !== 'string') break
    text += piece
  }
  return text.slice(0, text.lastIndexOf('/') + 1)
}

/** Line by line: an expression never reaches into another field. */
function scanLines(lines: string, options: HeadOptions): HeadPiece[] | null {
  const pieces: HeadPiece[] = []
  let found = false
  for (let at = 0; at < lines.length; ) {
    const end = lines.indexOf('\r\n', at) + 2
    const value = lines.indexOf(':', at) + 1
    const name = lines.slice(at, value - 1).toLowerCase()
    const inValue = name.startsWith('content-') ? null : scanHead(lines.slice(value, end - 2), PLACE_HEADER, options)
    if (inValue === null) {
      pieces.push(lines.slice(at, end))
    } else {
      found = true
      pieces.push(lines.slice(at, value), ...inValue, '\r\n')
    }
    at = end
  }
  return found ? pieces : null
}

const OPEN_BYTE = /%[0-9A-Fa-f]?$/
