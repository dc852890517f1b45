/** A stretch of a text that a rule found. */
export interface Stretch {
  readonly start: number
  readonly end: number
  /** Which rule. */
  readonly rule: number
}

/**
 * The text with `instead(rule)` in the place of each stretch. Where stretches overlap, all of their text goes, and what
 * stands there is the first one's.
 */
export function replaceStretches(
  text: string,
  stretches: readonly Stretch[],
  instead: (rule: number) => string
): string {
  const ordered = [...stretches].sort((a, b) => a.start - b.start || b.end - a.end || a.rule - b.rule)
  let out = ''
  let at = 0
  for (let i = 0; i < ordered.length; ) {
    const first = ordered[i] as Stretch
    let { end } = first
    let rule = first.rule
    for (i++; i < ordered.length && (ordered[i] as Stretch).start < end; i++) {
      const next = ordered[i] as Stretch
      if (next.start === first.start && next.end === first.end) rule = Math.min(rule, next.rule)
      end = Math.max(end, next.end)
    }
    out += text.slice(at, first.start) + instead(rule)
    at = end
  }
  return out + text.slice(at)
}
