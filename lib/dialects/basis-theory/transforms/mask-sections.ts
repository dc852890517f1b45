import type { RE2JS } from 're2js'

/**
 * A text in which, within each section that a pattern matches, every occurrence of anything that one of its groups
 * captured is replaced, character for character (UTF-16 units). Of one value the occurrences are counted from the left,
 * without overlap; where those of two values overlap both are replaced.
 *
 * @param replacement one UTF-16 unit
 * @param deadline in `performance.now()` milliseconds
 * @returns null when the deadline is over before it is done
 */
export function maskSections(pattern: RE2JS, text: string, replacement: string, deadline: number): string | null {
  const matcher = pattern.matcher(text)
  const groups = matcher.groupCount()
  let out = ''
  let copied = 0
  while (matcher.find()) {
    if (performance.now() > deadline) return null
    const start = matcher.start()
    const section = text.slice(start, matcher.end())
    const values = new Set<string>()
    for (let group = 1; group <= groups; group++) {
      const from = matcher.start(group)
      if (from >= 0) values.add(text.slice(from, matcher.end(group)))
    }
    values.delete('')
    if (values.size === 0) continue
    const masked = blank(section, values, replacement, deadline)
    if (masked === null) return null
    out += text.slice(copied, start) + masked
    copied = start + section.length
  }
  return out + text.slice(copied)
}

function blank(section: string, values: Iterable<string>, replacement: string, deadline: number): string | null {
  const stretches: { start: number; end: number }[] = []
  for (const value of values) {
    for (let at = section.indexOf(value); at >= 0; at = section.indexOf(value, at + value.length)) {
      if (performance.now() > deadline) return null
      stretches.push({ start: at, end: at + value.length })
    }
  }
  let out = ''
  let copied = 0
  for (const { start, end } of stretches.sort((a, b) => a.start - b.start)) {
    if (end <= copied) continue
    const from = Math.max(start, copied)
    out += section.slice(copied, from) + replacement.repeat(end - from)
    copied = end
  }
  return out + section.slice(copied)
}
