import { RE2JS } from 're2js'
import { SluiceError } from '../errors.ts'
import { ofRule, type Reader, unfit } from './capture-reading.ts'
import { replaceStretches, type Stretch } from './edits.ts'

/**
 * Any text, searched with regular expressions in linear time (RE2). What the first group holds is the value; without a
 * group it is all that matched.
 */
export function regexReader(paths: readonly string[]): Reader {
  const patterns = paths.map((path, at) => ofRule(at, () => compile(path)))
  return (body, work) => {
    const found = paths.map((): string[] => [])
    const stretches: Stretch[] = []
    for (const [rule, pattern] of patterns.entries()) {
      const matcher = pattern.matcher(body)
      const group = matcher.groupCount() > 0 ? 1 : 0
      while (matcher.find()) {
        work.spend(8)
        const start = matcher.start(group)
        const end = matcher.end(group)
        if (start < 0 || start === end) continue
        found[rule]?.push(body.slice(start, end))
        stretches.push({ start, end, rule })
      }
    }
    return { found, write: (tokens) => replaceStretches(body, stretches, (rule) => tokens[rule] as string) }
  }
}

function compile(pattern: string): ReturnType<typeof RE2JS.compile> {
  if (pattern.length > 1000) throw new SluiceError('ERR_EXPR_LIMIT', 'a regular expression is over 1000 characters')
  try {
    return RE2JS.compile(pattern)
  } catch {
    throw new SluiceError('ERR_EXPR_PATH', 'the regular expression does not parse')
  }
}

/** A form (`application/x-www-form-urlencoded`): a rule names a field. */
export function formReader(paths: readonly string[]): Reader {
  const names = paths.map((path) => path.trim())
  return (body) => {
    const found = paths.map((): string[] => [])
    const stretches: Stretch[] = []
    for (let at = 0; at <= body.length; ) {
      const ampersand = body.indexOf('&', at)
      const end = ampersand < 0 ? body.length : ampersand
      const equals = body.indexOf('=', at)
      const start = equals < 0 || equals > end ? end : equals + 1
      const name = decoded(body.slice(at, start > at && body[start - 1] === '=' ? start - 1 : end))
      for (const [rule, wanted] of names.entries()) {
        if (wanted !== name || start === end) continue
        found[rule]?.push(decoded(body.slice(start, end)))
        stretches.push({ start, end, rule })
      }
      at = end + 1
    }
    return {
      found,
      write: (tokens) => replaceStretches(body, stretches, (rule) => encodeURIComponent(tokens[rule] as string))
    }
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw unfit('it is not a well-formed form')
  }
}
