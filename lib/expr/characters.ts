/** Text by code points, without making a list of them. */

/** How many code points there are; a lone surrogate is one. */
export function codePoints(text: string): number {
  let length = 0
  for (let at = 0; at < text.length; at += pairAt(text, at) ? 2 : 1) length++
  return length
}

/** The first `n`. */
export function head(text: string, n: number): string {
  return text.slice(0, headEnd(text, n))
}

/** The last `n`. */
export function tail(text: string, n: number): string {
  return text.slice(tailStart(text, n))
}

/** Where the first `n` end, in UTF-16 units. */
function headEnd(text: string, n: number): number {
  let end = 0
  for (let left = n; left > 0 && end < text.length; left--) end += pairAt(text, end) ? 2 : 1
  return end
}

/** Where the last `n` start, in UTF-16 units. */
function tailStart(text: string, n: number): number {
  let start = text.length
  for (let left = n; left > 0 && start > 0; left--) start -= start > 1 && pairAt(text, start - 2) ? 2 : 1
  return start
}

/** Do two UTF-16 units from here make one code point? */
function pairAt(text: string, at: number): boolean {
  return (text.charCodeAt(at) & 0xfc00) === 0xd800 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00
}
