/**
 * What the scanner should find, said as plainly as it can be and as slowly as it may: the whole body is one string of
 * bytes, read again from its beginning after every expression that was found, with the expression written over by
 * letters. In such a reading every opener is known; each either closes or does not; the first to close is the next
 * expression.
 */
import type { ContextKind } from '../../lib/scan/context.ts'
import type { Outcome, Piece } from '../scan/run.ts'

export type FlatKind = Exclude<ContextKind, 'multipart'>

/** One character as it is spelled: at `at`, before `end`. */
interface Unit {
  readonly at: number
  readonly end: number
  readonly character: string
  readonly place: string
  /** Of the JSON string it is in: the opening quote and the closing one. */
  readonly string?: { readonly from: number; readonly to: number }
}

interface Opener extends Unit {
  readonly angle: boolean
  /** Where its second character begins. */
  readonly second: number
  readonly textAt: number
}

export function reference(body: Buffer, kind: FlatKind, delimiters: number, expressionBytes: number): Outcome {
  let text = body.toString('latin1')
  const pieces: (string | Piece)[] = []
  let literals = 0
  let from = 0
  for (;;) {
    const openers = openersIn(readings[kind](text), delimiters).filter(({ at }) => at >= from)
    let first: { opener: Opener; end: number; source: string } | undefined
    for (const opener of openers) {
      const closed = close(text, opener, openers, expressionBytes)
      if (closed !== undefined && (first === undefined || closed.end < first.end)) first = { opener, ...closed }
    }
    const start = first?.opener.at ?? Number.POSITIVE_INFINITY
    literals += openers.filter(({ at }) => at < start).length
    if (first === undefined) break
    const { opener, end, source } = first
    let place = opener.place
    let [cutFrom, cutTo] = [opener.at, end]
    if (opener.string?.from === opener.at - 1 && opener.string.to === end) {
      const after = text.slice(end + 1)
      const isKey = /^[ \t\r\n]{0,255}:/.test(after) || /^[ \t\r\n]{256}/.test(after)
      place = isKey ? 'json-key' : 'json-whole'
      if (!isKey) [cutFrom, cutTo] = [cutFrom - 1, cutTo + 1]
    }
    if (cutFrom > from) pieces.push(text.slice(from, cutFrom))
    pieces.push({ place, offset: opener.at, source, angle: opener.angle })
    text = text.slice(0, cutFrom) + 'x'.repeat(cutTo - cutFrom) + text.slice(cutTo)
    from = cutTo
  }
  if (from < text.length) pieces.push(text.slice(from))
  return { pieces, literals }
}

function openersIn(units: readonly Unit[], delimiters: number): Opener[] {
  const openers: Opener[] = []
  for (const [pair, character] of [
    [1, '{'],
    [2, '<']
  ] as const) {
    if ((delimiters & pair) === 0) continue
    for (let n = 1; n < units.length; n++) {
      const [one, two, three] = [units[n - 1] as Unit, units[n] as Unit, units[n + 1]]
      if (one.character !== character || two.character !== character || three?.character === character) continue
      openers.push({ ...one, angle: pair === 2, second: two.at, textAt: two.end })
    }
  }
  return openers
}

/** Where the expression ends and what it says; undefined when it does not close, or says what none may. */
function close(
  text: string,
  opener: Opener,
  all: readonly Opener[],
  expressionBytes: number
): { end: number; source: string } | undefined {
  const closer = opener.angle ? '>' : '}'
  const later = all.filter((other) => other.angle === opener.angle && other.at >= opener.textAt)
  const restart = Math.min(...later.map(({ second }) => second))
  const until = Math.min(restart, opener.string?.to ?? Number.POSITIVE_INFINITY)
  const enough = Math.min(text.length, opener.at + expressionBytes + 12)
  const units = unitsOf(text, opener.textAt, enough, SPELLINGS[opener.place] ?? PLAIN)
  let [piped, quote] = [false, '']
  for (let n = 0; n < units.length; n++) {
    const { at, character, end } = units[n] as { at: number; character: string; end: number }
    if (at >= until) return undefined
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    if (/[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(character)) return undefined
    if (quote !== '') {
      if (character === '\\') {
        n++
        const skipped = units[n]
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
        if (skipped !== undefined && /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(skipped.character)) return undefined
        if (skipped !== undefined && skipped.at >= until) return undefined
      } else if (character === quote) quote = ''
    } else if (character === '|') piped = true
    else if (piped && (character === '"' || character === "'")) quote = character
    else if (character === closer && units[n + 1]?.character === closer) {
      const last = units[n + 1] as { at: number; end: number }
      if (last.at >= until || last.end - opener.at > expressionBytes) return undefined
      const source = decode(text.slice(opener.textAt, at), opener.place)
      if (source === undefined || (opener.angle && !mayBeSubject(source))) return undefined
      return { end: last.end, source: source.replace(/^ +| +$/g, '') }
    }
    if (end - opener.at > expressionBytes) return undefined
  }
  return undefined
}

function mayBeSubject(source: string): boolean {
  const subject = (source.split('|')[0] as string).trim()
  const path = subject.indexOf('[')
  const id = path > 0 ? subject.slice(0, path) : subject
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return !/[#/\\+?[\]&=%<>{}^\0-\x1f\x7f]/.test(id)
}

/** The text as it is meant; undefined when it is no Unicode. */
function decode(text: string, place: string): string | undefined {
  const spelling = SPELLINGS[place]
  const bytes: Buffer[] = []
  const units = unitsOf(text, 0, text.length, spelling ?? PLAIN)
  for (let n = 0; n < units.length; n++) {
    const { at, end, character } = units[n] as { at: number; end: number; character: string }
    if (end === at + 1)
      bytes.push(Buffer.from(place === 'form' && character === '+' ? ' ' : text.slice(at, end), 'latin1'))
    else if (place === 'form') bytes.push(Buffer.from(character, 'latin1'))
    else if (/[\ud800-\udbff]/.test(character) && place.startsWith('json')) {
      const pair = character + (units[n + 1]?.character ?? '')
      if (!/^[\ud800-\udbff][\udc00-\udfff]$/.test(pair)) return undefined
      bytes.push(Buffer.from(pair))
      n++
    } else if (/^[\ud800-\udfff]$/.test(character)) return undefined
    else bytes.push(Buffer.from(character))
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(bytes))
  } catch {
    return undefined
  }
}

/** A spelling: what one character may look like, and which character that is. */
interface Spelling {
  readonly pattern: RegExp
  readonly means: (spelled: string) => string
}

const PLAIN: Spelling = { pattern: /[^]/g, means: (spelled) => spelled }

const JSON_TEXT: Spelling = {
  pattern: /\\u[0-9a-fA-F]{4}|\\["\\/bfnrt]|[^]/g,
  means: (spelled) => (spelled.length === 1 ? spelled : (JSON.parse(`"${spelled}"`) as string))
}

/** As a tokenizer of JSON sees it: a backslash always takes one more. */
const JSON_TOKENS: Spelling = {
  pattern: /\\u[0-9a-fA-F]{4}|\\[^]|[^]/g,
  means: (spelled) => (spelled.length === 6 ? (JSON.parse(`"${spelled}"`) as string) : spelled)
}

const PERCENT: Spelling = {
  pattern: /%[0-9a-fA-F]{2}|[^]/g,
  means: (spelled) => (spelled.length === 1 ? spelled : String.fromCharCode(Number.parseInt(spelled.slice(1), 16)))
}

const REFERENCES: Spelling = {
  pattern: /&(?:lt|gt|amp|quot|apos|#[0-9]{1,9}|#x[0-9a-fA-F]{1,8});|[^]/g,
  means: (spelled) => {
    const named = { '&lt;': '<', '&gt;': '>', '&amp;': '&', '&quot;': '"', '&apos;': "'" }[spelled]
    if (named !== undefined || spelled.length === 1) return named ?? spelled
    const code = spelled[2] === 'x' ? Number.parseInt(spelled.slice(3), 16) : Number.parseInt(spelled.slice(2), 10)
    const legal = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff)
    return legal ? String.fromCodePoint(code) : ''
  }
}

const CSV_TEXT: Spelling = { pattern: /""|[^]/g, means: (spelled) => spelled[0] as string }

const SPELLINGS: Record<string, Spelling> = {
  'json-string': JSON_TEXT,
  form: PERCENT,
  'xml-text': REFERENCES,
  'xml-attribute': REFERENCES,
  'csv-quoted': CSV_TEXT
}

function unitsOf(
  text: string,
  from: number,
  to: number,
  { pattern, means }: Spelling
): { at: number; end: number; character: string }[] {
  const units: { at: number; end: number; character: string }[] = []
  const sticky = new RegExp(pattern.source, 'y')
  const before = text.slice(0, to)
  for (let at = from; at < to; ) {
    sticky.lastIndex = at
    const spelled = sticky.exec(before)?.[0] as string
    const character = means(spelled)
    // What only looks like a reference is its first character and others.
    if (character === '') {
      units.push({ at, end: at + 1, character: spelled[0] as string })
      at++
      continue
    }
    units.push({ at, end: at + spelled.length, character })
    at += spelled.length
  }
  return units
}

type Reading = (text: string) => Unit[]

const readings: Record<FlatKind, Reading> = {
  text: (text) => placed(text, 0, text.length, PLAIN, 'text'),
  form: (text) => placed(text, 0, text.length, PERCENT, 'form'),
  json: (text) => {
    const units: Unit[] = []
    let at = 0
    for (const match of text.matchAll(/"(?:[^"\\]|\\[^]?)*(?:"|$)/g)) {
      units.push(...placed(text, at, match.index + 1, PLAIN, 'json-value'))
      at = match.index + match[0].length
      const closed = match[0].length > 1 && text.slice(match.index, at).replace(/\\[^]/g, '..').endsWith('"')
      const string = { from: match.index, to: closed ? at - 1 : Number.POSITIVE_INFINITY }
      const inside = placed(text, match.index + 1, closed ? at - 1 : at, JSON_TOKENS, 'json-string')
      units.push(...inside.map((unit) => ({ ...unit, string })))
      if (closed) units.push({ at: at - 1, end: at, character: '"', place: 'json-string' })
    }
    units.push(...placed(text, at, text.length, PLAIN, 'json-value'))
    return units
  },
  csv: (text) => {
    const units: Unit[] = []
    let at = 0
    for (const match of text.matchAll(/(^|[,;\t\r\n])"((?:[^"]|"")*)(?:"|$)/g)) {
      const quoted = match.index + (match[1] as string).length + 1
      units.push(...placed(text, at, quoted, PLAIN, 'csv'))
      at = quoted + (match[2] as string).length
      units.push(...placed(text, quoted, at, CSV_TEXT, 'csv-quoted'))
    }
    units.push(...placed(text, at, text.length, PLAIN, 'csv'))
    return units
  },
  xml: (text) => {
    const units: Unit[] = []
    let at = 0
    const take = (length: number, place: string): void => {
      const spelling = SPELLINGS[place] ?? PLAIN
      units.push(...placed(text, at, at + length, spelling, place))
      at += length
    }
    const next = (pattern: RegExp): string => (pattern.exec(text.slice(at)) as RegExpExecArray)[0]
    const markup = (): void => {
      if (text.startsWith('<!--', at)) take(next(/^<!--[^]*?(?:-->|$)/).length, 'xml-markup')
      else if (text.startsWith('<?', at)) take(next(/^<\?[^]*?(?:\?>|$)/).length, 'xml-markup')
      else if (text.startsWith('<![CDATA[', at)) {
        take(9, 'xml-markup')
        take(next(/^[^]*?(?=\]\]>|$)/).length, 'xml-cdata')
        take(next(/^(?:\]\]>)?/).length, 'xml-cdata')
      } else if (text.startsWith('<!', at)) declaration()
      else tag()
    }
    const declaration = (): void => {
      let depth = 1
      take(2, 'xml-markup')
      while (depth > 0 && at < text.length) {
        if (/^(?:<!--|<\?)/.test(text.slice(at))) markup()
        else if (text[at] === '<') {
          depth++
          take(1, 'xml-markup')
        } else if (text[at] === '>') {
          depth--
          take(1, 'xml-markup')
        } else take(next(/^(?:"[^"]*(?:"|$)|'[^']*(?:'|$)|[^])/).length, 'xml-markup')
      }
    }
    const tag = (): void => {
      take(1, 'xml-markup')
      while (at < text.length) {
        if (text[at] === '<') return markup()
        if (text[at] === '>') return take(1, 'xml-markup')
        const quote = text[at]
        take(1, 'xml-markup')
        if (quote !== '"' && quote !== "'") continue
        take(next(quote === '"' ? /^[^"]*/ : /^[^']*/).length, 'xml-attribute')
        take(Math.min(1, text.length - at), 'xml-attribute')
      }
    }
    while (at < text.length) {
      take(next(/^[^<]*/).length, 'xml-text')
      if (at === text.length) break
      const begins = units.length
      markup()
      // What stands before the first character of markup decides the place of an opener there.
      const first = units[begins] as Unit
      units[begins] = { ...first, place: 'xml-text' }
    }
    return units
  }
}

function placed(text: string, from: number, to: number, spelling: Spelling, place: string): Unit[] {
  return unitsOf(text, from, to, spelling).map((unit) => ({ ...unit, place }))
}
