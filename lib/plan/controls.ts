import { SluiceError } from '../errors.ts'
import { ANGLE, CURLY } from '../scan/delimiters.ts'

/* The headers of Sluice's own, the same in both dialects. A value that is not one of the known ones is ERR_HTTP_SYNTAX. */

/** A caller's trace id when it is harmless in a header and a log, else null. */
export function acceptableTraceId(value: string | undefined): string | null {
  return value !== undefined && /^[A-Za-z0-9._-]{1,64}$/.test(value) ? value : null
}

/** `Sluice-Delimiters` as a bit mask; without the header what the configuration says. */
export function delimitersOf(header: string | undefined, configured: number): number {
  switch (header?.trim()) {
    case undefined:
      return configured
    case 'none':
      return 0
    case '{{ }}':
      return CURLY
    case '<< >>':
      return ANGLE
    default:
      throw new SluiceError('ERR_HTTP_SYNTAX', 'Sluice-Delimiters takes none, {{ }} or << >>')
  }
}

/** Is the pair `{{ }}` in a bit mask of pairs? */
export function looksForBraces(delimiters: number): boolean {
  return (delimiters & CURLY) !== 0
}

/** `Sluice-Body-Mode`. */
export function bodyModeOf(header: string | undefined): 'auto' | 'whole' | 'stream' {
  switch (header?.trim()) {
    case undefined:
      return 'auto'
    case 'whole':
      return 'whole'
    case 'stream':
      return 'stream'
    default:
      throw new SluiceError('ERR_HTTP_SYNTAX', 'Sluice-Body-Mode takes whole or stream')
  }
}

/** `Sluice-Subjects: a, b`. */
export function subjectsOf(header: string | undefined): ReadonlySet<string> | null {
  if (header === undefined) return null
  const subjects = new Set<string>()
  for (const part of header.split(',')) {
    const subject = part.trim()
    if (subject !== '') subjects.add(subject)
  }
  return subjects
}
