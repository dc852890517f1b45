import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path/posix'
import { fileURLToPath } from 'node:url'

/**
 * A small scanner of our own TypeScript sources: who imports what, and who exports what. TypeScript 7 has no
 * programming interface for this, and one style of code needs no whole parser.
 */

/** One `import`, `export … from`, `import()` or `new URL('./x', import.meta.url)`. */
export interface Import {
  readonly specifier: string
  /** Names as the other module exports them; `*` for all of them, none for a bare `import 'x'`. */
  readonly names: readonly string[]
  /** Erased at build: `import type …`. */
  readonly typeOnly: boolean
}

/** One exported name. */
export interface Export {
  readonly name: string
  /** An interface, a type alias or a class: it may stand in a signature of its own file. */
  readonly type: boolean
}

/** What the scanner knows of one file. */
export interface Source {
  /** Path from the root of the repository, with `/`. */
  readonly path: string
  /** The text with comments and the contents of strings blanked; same length, same lines. */
  readonly code: string
  readonly imports: readonly Import[]
  readonly exports: readonly Export[]
}

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

/** All `.ts` files under these folders of the repository, as path → text. */
export function readSources(...folders: readonly string[]): Map<string, string> {
  const found = new Map<string, string>()
  for (const folder of folders) {
    if (!existsSync(join(ROOT, folder))) continue
    for (const entry of readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).sort()) {
      const path = join(folder, entry.replaceAll('\\', '/'))
      if (path.endsWith('.ts') && !path.includes('/fixtures/')) found.set(path, readFileSync(join(ROOT, path), 'utf8'))
    }
  }
  return found
}

/** Scans sources given as path → text. */
export function scanSources(texts: ReadonlyMap<string, string>): Map<string, Source> {
  return new Map([...texts].map(([path, text]) => [path, scanSource(path, text)]))
}

/** The path in the repository that a relative specifier stands for; null for a package or a `node:` module. */
export function target(source: Source, specifier: string): string | null {
  if (!specifier.startsWith('.')) return null
  return join(dirname(source.path), specifier).replace(/\.js$/, '.ts')
}

function scanSource(path: string, text: string): Source {
  const code = blank(text)
  const imports: Import[] = []
  const literal = (open: number): string => text.slice(open + 1, code.indexOf(code.charAt(open), open + 1))
  for (const match of code.matchAll(/^(import|export)\b([^'"();=]*?)\bfrom\s*(?=['"])|^import\s*(?=['"])/gm)) {
    const clause = (match[2] ?? '').trim()
    imports.push({
      specifier: literal(match.index + match[0].length),
      names: importedNames(clause),
      typeOnly: /^type\b(?!\s*,)/.test(clause)
    })
  }
  for (const match of code.matchAll(
    /\bimport\(\s*(?=['"])|\bnew URL\(\s*(?=['"])|\b(?:require|createRequire\([^)]*\))\(\s*(?=['"])/g
  )) {
    const specifier = literal(match.index + match[0].length)
    if (!match[0].startsWith('new') || specifier.startsWith('.'))
      imports.push({ specifier, names: ['*'], typeOnly: false })
  }
  return { path, code, imports, exports: exported(code) }
}

function importedNames(clause: string): string[] {
  const names: string[] = []
  const list = /\{([^}]*)\}/.exec(clause)
  for (const item of list?.[1]?.split(',') ?? []) {
    const name = item
      .trim()
      .replace(/^type\s+/, '')
      .split(/\s+as\s+/)[0]
    if (name !== undefined && name !== '') names.push(name)
  }
  const outside = clause.replace(/\{[^}]*\}/, '').replace(/^type\b/, '')
  if (outside.includes('*')) names.push('*')
  else if (/\w/.test(outside)) names.push('default')
  return names
}

function exported(code: string): Export[] {
  const found: Export[] = []
  for (const match of code.matchAll(DECLARATION))
    found.push({ name: match[2] ?? '', type: /^(interface|type|class)$/.test(match[1] ?? '') })
  for (const match of code.matchAll(/^export (type )?\{([^}]*)\}/gm)) {
    for (const item of (match[2] ?? '').split(',')) {
      const name = item
        .trim()
        .replace(/^type\s+/, '')
        .split(/\s+as\s+/)
        .at(-1)
      if (name !== undefined && name !== '')
        found.push({ name, type: match[1] !== undefined || /^\s*type\s/.test(item) })
    }
  }
  if (/^export default\b/m.test(code)) found.push({ name: 'default', type: false })
  return found
}

const DECLARATION =
  /^export (?:declare )?(?:abstract )?(?:async )?(function\*?|class|const|let|interface|type) ([A-Za-z_$][\w$]*)/gm

/** Blanks comments and the contents of strings, regular expressions and templates; quotes and line ends stay. */
function blank(text: string): string {
  const out = text.split('')
  const erase = (from: number, to: number): void => {
    for (let at = from; at < to; at++) if (out[at] !== '\n') out[at] = ' '
  }
  // Open `${` of templates: the depth of braces at which each closes.
  const templates: number[] = []
  let depth = 0
  let at = 0
  const template = (from: number): number => {
    let end = from
    while (end < text.length && text[end] !== '`' && !text.startsWith('${', end)) end += text[end] === '\\' ? 2 : 1
    erase(from, end)
    if (text[end] === '`') return end + 1
    templates.push(depth++)
    return end + 2
  }
  while (at < text.length) {
    const char = text[at]
    if (text.startsWith('//', at) || (at === 0 && text.startsWith('#!'))) {
      const end = (text.indexOf('\n', at) + text.length + 1) % (text.length + 1)
      erase(at, end)
      at = end
    } else if (text.startsWith('/*', at)) {
      const close = text.indexOf('*/', at + 2)
      const end = close < 0 ? text.length : close + 2
      erase(at, end)
      at = end
    } else if (char === "'" || char === '"') {
      let end = at + 1
      while (end < text.length && text[end] !== char && text[end] !== '\n') end += text[end] === '\\' ? 2 : 1
      erase(at + 1, end)
      at = end + 1
    } else if (char === '`') {
      at = template(at + 1)
    } else if (char === '/' && REGEX_MAY_FOLLOW.test(text.slice(Math.max(0, at - 40), at))) {
      const end = closingSlash(text, at + 1)
      erase(at + 1, end)
      at = end + 1
    } else {
      if (char === '{') depth++
      if (char === '}' && --depth === templates.at(-1)) {
        templates.pop()
        at = template(at + 1)
      } else {
        at++
      }
    }
  }
  return out.join('')
}

function closingSlash(text: string, from: number): number {
  let inClass = false
  let at = from
  while (at < text.length && text[at] !== '\n' && (inClass || text[at] !== '/')) {
    if (text[at] === '[') inClass = true
    if (text[at] === ']') inClass = false
    at += text[at] === '\\' ? 2 : 1
  }
  return at
}

// What stands before a slash that opens a regular expression and does not divide.
const REGEX_MAY_FOLLOW = /(^|[=(,[{};:!&|?+<>~^%*-]|=>|\b(return|typeof|case|in|of|yield|await))\s*$/
