import { type Import, type Source, target } from './sources.ts'

/** Who may import whom. `test/rules.test.ts` runs these over our sources, and over planted faults. */

/** A room: a folder of lib/ (a dialect by itself), or a file directly in it. */
type Room = string

/** The rooms that each room may import. `: types` allows `import type` alone. Every room may import BASE. */
const MAY_IMPORT: Readonly<Record<Room, readonly string[]>> = {
  errors: [],
  json: [],
  secret: [],
  'thread-file': [],
  'known-lines': [],
  uncurried: [],
  config: [],
  scan: [],
  expr: ['scan'],
  plan: ['scan', 'expr'],
  vault: ['expr', 'scan: types'],
  egress: ['known-lines'],
  observe: [],
  reactor: ['plan', 'egress', 'vault: types'],
  proxy: ['plan', 'scan', 'expr', 'vault', 'egress', 'observe', 'listen: types'],
  listen: ['known-lines', 'plan: types', 'vault: types', 'proxy: types', 'observe'],
  'dialects/basis-theory': [
    'known-lines: types',
    'plan',
    'scan: types',
    'expr',
    'vault: types',
    'proxy: types',
    'reactor: types',
    'listen: types'
  ],
  'dialects/footprint': ['plan', 'scan: types', 'expr: types', 'vault: types', 'proxy: types', 'listen: types'],
  app: ['*'],
  cli: ['app', 'config', 'vault', 'observe', 'egress: types'],
  main: ['cli', 'config'],
  build: ['cli']
}

/** Open to every room. */
const BASE = ['errors', 'json', 'secret', 'thread-file', 'uncurried', 'config: types']

/** Pure vocabulary of the vault, whose values its dialects may import. */
const VOCABULARY = [
  'lib/vault/destinations.ts',
  'lib/vault/permissions.ts',
  'lib/vault/token-types.ts',
  'lib/vault/token-view.ts'
]

/** What a package may be imported by: path prefixes. Packages that are not listed may not be imported at all. */
export const PACKAGE_IMPORTERS: Readonly<Record<string, readonly string[]>> = {
  '@xmldom/xmldom': ['lib/proxy/capture'],
  'json-p3': ['lib/expr/'],
  liquidjs: ['lib/expr/'],
  lmdb: ['lib/vault/stores/lmdb.ts'],
  'lossless-json': ['lib/json.ts'],
  'lru-cache': ['lib/expr/', 'lib/listen/', 'lib/egress/', 'lib/vault/'],
  pg: ['lib/vault/stores/postgres-link.ts'],
  pino: ['lib/observe/log.ts', 'lib/observe/gathered-lines.ts'],
  'prom-client': ['lib/observe/metrics.ts'],
  re2js: ['lib/proxy/', 'lib/dialects/basis-theory/transforms/'],
  selfsigned: ['lib/cli/', 'test/', 'bench/'],
  'quickjs-emscripten': ['lib/reactor/machine.ts', 'lib/reactor/guest-thread.ts'],
  'sodium-native': ['lib/vault/'],
  xpath: ['lib/proxy/capture'],
  yaml: ['lib/config/'],
  zod: ['lib/config/', 'lib/dialects/']
}

/** Rooms of pure functions: no `node:` module, no clock, no process, nothing that waits. */
const PURE = ['scan', 'expr', 'plan']
const PURE_EXCEPTIONS = ['lib/expr/filters/crypto.ts']
const IMPURE =
  /(?<![.\w#])(process|setTimeout|setInterval|setImmediate|queueMicrotask|fetch|performance|Date\.now|Math\.random)\b/

/** Every breach, as `path: what`. */
export function breaches(sources: ReadonlyMap<string, Source>, devDependencies: readonly string[]): string[] {
  const found: string[] = []
  for (const source of sources.values()) {
    for (const entry of source.imports) {
      const why = breach(source, entry, sources, devDependencies)
      if (why !== null) found.push(`${source.path}: ${why}`)
    }
    const impure = PURE.includes(roomOf(source.path)) ? IMPURE.exec(source.code) : null
    if (impure !== null) found.push(`${source.path}: ${impure[0]} in a pure room`)
  }
  return [...found, ...cycles(sources)]
}

function breach(
  source: Source,
  entry: Import,
  sources: ReadonlyMap<string, Source>,
  devDependencies: readonly string[]
): string | null {
  const path = target(source, entry.specifier)
  if (path === null) return packageBreach(source.path, entry, devDependencies)
  if (entry.specifier.endsWith('.js') && sources.has(path)) return `${entry.specifier} should end in .ts`
  if (!sources.has(path)) return path.endsWith('.ts') ? `${entry.specifier} is no file` : null
  if (!source.path.startsWith('lib/')) return null
  if (!path.startsWith('lib/')) return `lib may not import ${path}`
  if (path.split('/').at(-1)?.startsWith('_') === true && folderOf(path) !== folderOf(source.path)) {
    return `${path} belongs to its folder alone`
  }
  const from = roomOf(source.path)
  const to = roomOf(path)
  if (from === to) return null
  const allowed = MAY_IMPORT[from]
  if (allowed === undefined) return `the room ${from} is not in the table of rules`
  const names = [...BASE, ...allowed]
  if (names.includes('*') || names.includes(to)) return null
  if (from.startsWith('dialects/') && VOCABULARY.includes(path)) return null
  if (names.includes(`${to}: types`)) return entry.typeOnly ? null : `${from} may import types alone from ${to}`
  return `${from} may not import ${to}`
}

function packageBreach(path: string, entry: Import, devDependencies: readonly string[]): string | null {
  if (entry.specifier.startsWith('node:')) {
    const pure = PURE.includes(roomOf(path)) && !PURE_EXCEPTIONS.includes(path)
    return pure ? `${entry.specifier} in a pure room` : null
  }
  const name = packageName(entry.specifier)
  const importers = PACKAGE_IMPORTERS[name]
  if (importers?.some((prefix) => path.startsWith(prefix)) === true) return null
  const isShipped = path.startsWith('lib/') && !path.startsWith('lib/build/')
  if (!isShipped && (devDependencies.includes(name) || importers !== undefined)) return null
  return `may not import the package ${name}`
}

/** `@scope/name/deep` → `@scope/name`. */
export function packageName(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

function cycles(sources: ReadonlyMap<string, Source>): string[] {
  const found: string[] = []
  const done = new Set<string>()
  const trail: string[] = []
  const visit = (source: Source): void => {
    const seen = trail.indexOf(source.path)
    if (seen >= 0) found.push(`${source.path}: a cycle: ${[...trail.slice(seen), source.path].join(' → ')}`)
    if (seen >= 0 || done.has(source.path)) return
    trail.push(source.path)
    for (const entry of source.imports) {
      const next = sources.get(target(source, entry.specifier) ?? '')
      // A file may name itself by URL: a worker or cluster process that starts it again.
      if (next !== undefined && next !== source) visit(next)
    }
    trail.pop()
    done.add(source.path)
  }
  for (const source of sources.values()) visit(source)
  return found
}

function roomOf(path: string): Room {
  const parts = path.split('/')
  if (parts[0] !== 'lib') return ''
  if (parts[1] === 'dialects') return parts.slice(1, 3).join('/')
  return parts[1]?.replace(/\.ts$/, '') ?? ''
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}
