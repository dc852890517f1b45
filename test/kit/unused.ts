import { packageName } from './rules.ts'
import { type Source, target } from './sources.ts'

/** Files, exports and dependencies that nothing uses. `test/unused.test.ts` runs this over our sources. */

/** Packages that are used without an import. */
const TOOLS: Readonly<Record<string, string>> = {
  '@biomejs/biome': 'formats',
  '@types/node': 'types',
  '@types/pg': 'types',
  oxlint: 'lints',
  'oxlint-tsgolint': 'lints by types',
  typescript: 'builds'
}

/** Every unused thing, as `path: what`. */
export function unused(sources: ReadonlyMap<string, Source>, dependencies: readonly string[]): string[] {
  const used = usedNames(sources)
  const found: string[] = []
  for (const source of sources.values()) {
    const names = used.get(source.path)
    if (names === undefined && !isEntry(source.path)) found.push(`${source.path}: nothing imports this file`)
    else if (names?.has('*') !== true) found.push(...unusedExports(source, names ?? new Set()))
  }
  const packages = new Set<string>()
  for (const source of sources.values()) {
    for (const entry of source.imports) packages.add(packageName(entry.specifier))
  }
  for (const name of dependencies) {
    if (!packages.has(name) && !Object.hasOwn(TOOLS, name)) found.push(`package.json: nothing imports ${name}`)
  }
  return found
}

/** Path → names that other files import from it. */
function usedNames(sources: ReadonlyMap<string, Source>): Map<string, Set<string>> {
  const used = new Map<string, Set<string>>()
  for (const source of sources.values()) {
    for (const entry of source.imports) {
      const path = target(source, entry.specifier)
      if (path === null || path === source.path) continue
      const names = used.get(path) ?? new Set()
      for (const name of entry.names) names.add(name)
      used.set(path, names)
    }
  }
  return used
}

/** A type or class that the file itself mentions again stands in a signature; a value has to be imported somewhere. */
function unusedExports(source: Source, names: ReadonlySet<string>): string[] {
  if (isEntry(source.path)) return []
  return source.exports
    .filter(({ name, type }) => !names.has(name) && !(type && occurrences(source.code, name) > 1))
    .map(({ name }) => `${source.path}: nothing imports ${name}`)
}

function occurrences(code: string, name: string): number {
  return code.split(/[^\w$]+/).filter((word) => word === name).length
}

/** Programs: the command, tests, benchmarks, and what tools load by name. */
function isEntry(path: string): boolean {
  return (
    path === 'lib/main.ts' ||
    path === 'lib/build/bundle.ts' ||
    path === 'lib/build/boot.ts' ||
    path.endsWith('.test.ts') ||
    path === 'test/kit/run.ts' ||
    path === 'test/kit/reporter.ts' ||
    path === 'test/kit/readme.ts' ||
    path === 'bench/run.ts' ||
    path === 'bench/diff.ts' ||
    /^bench\/(micro|e2e|compare)\/(.*\/)?[^_/][^/]*$/.test(path)
  )
}
