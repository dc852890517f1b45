import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { breaches, PACKAGE_IMPORTERS } from './kit/rules.ts'
import { ROOT, readSources, scanSources } from './kit/sources.ts'

interface Manifest {
  readonly dependencies: Record<string, string>
  readonly optionalDependencies: Record<string, string>
  readonly devDependencies: Record<string, string>
}

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest
const devDependencies = Object.keys(manifest.devDependencies)

t.test('our sources keep the import rules', async (t) => {
  t.strictSame(breaches(scanSources(readSources('lib', 'test', 'bench')), devDependencies), [])
})

t.test('every runtime dependency has importers, and only those', async (t) => {
  const runtime = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies })
  t.strictSame(runtime.filter((name) => PACKAGE_IMPORTERS[name] === undefined).sort(), [])
  t.strictSame(
    Object.keys(PACKAGE_IMPORTERS).filter((name) => !runtime.includes(name)),
    []
  )
})

t.test('versions are exact, and the lockfile names no registry', async (t) => {
  const { dependencies, optionalDependencies } = manifest
  for (const [name, version] of Object.entries({
    ...dependencies,
    ...optionalDependencies,
    ...manifest.devDependencies
  })) {
    t.match(version, /^\d+\.\d+\.\d+$/, name)
  }
  t.notMatch(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'), '"resolved"')
})

t.test('the tests hold none that is passed over', async (t) => {
  for (const [path, { code }] of scanSources(readSources('test'))) {
    t.notMatch(code, /\.(only|todo|skip)\(|\b(only|todo|skip): true/, path)
  }
})

t.test('every planted fault is caught', async (t) => {
  const plant = (files: Record<string, string>): string[] =>
    breaches(scanSources(new Map(Object.entries({ ...CLEAN, ...files }))), devDependencies)
  t.strictSame(plant({}), [], 'the clean example has none')
  const faults: Record<string, Record<string, string>> = {
    'vault sees egress': { 'lib/vault/a.ts': "import { b } from '../egress/b.ts'\n" },
    'egress sees expr, even by type': { 'lib/egress/a.ts': "import type { Place } from '../scan/b.ts'\n" },
    'a value where types alone are allowed': { 'lib/vault/a.ts': "import { b } from '../scan/b.ts'\n" },
    'one value among types': { 'lib/vault/a.ts': "import { type Place, b } from '../scan/b.ts'\n" },
    'a re-export': { 'lib/scan/c.ts': "export { b } from '../expr/b.ts'\n" },
    'a dynamic import': { 'lib/scan/c.ts': "export const c = () => import('../expr/b.ts')\n" },
    'an import over several lines': { 'lib/scan/c.ts': "import {\n  b\n} from '../expr/b.ts'\n" },
    'a dialect sees the other': { 'lib/dialects/footprint/a.ts': "import { b } from '../basis-theory/b.ts'\n" },
    'lib sees test': { 'lib/cli/a.ts': "import { b } from '../../test/b.ts'\n" },
    'a node module in a pure room': { 'lib/scan/c.ts': "import { join } from 'node:path'\n" },
    'a clock in a pure room': { 'lib/plan/c.ts': 'export const now = Date.now()\n' },
    'the process in a pure room': { 'lib/plan/c.ts': 'export const c = `${process.pid}`\n' },
    'a package outside its importers': { 'lib/vault/a.ts': "import { Liquid } from 'liquidjs'\n" },
    'a driver outside its store': { 'lib/vault/stores/memory.ts': "import { open } from 'lmdb'\n" },
    'a package of the tests in lib': { 'lib/egress/a.ts': "import { Pool } from 'undici'\n" },
    'a package that is required': { 'lib/vault/a.ts': "const x = createRequire(import.meta.url)('liquidjs')\n" },
    'a package that is not listed': { 'test/a.test.ts': "import x from 'left-pad'\n" },
    'a private file from outside': { 'lib/app.ts': "import { b } from './expr/_b.ts'\n", 'lib/expr/_b.ts': '' },
    'a missing file': { 'lib/vault/a.ts': "import { c } from './nowhere.ts'\n" },
    'a .js import': { 'lib/vault/a.ts': "import { b } from '../expr/b.js'\n" },
    'a room without rules': { 'lib/attic/a.ts': "import { b } from '../expr/b.ts'\n" },
    'a cycle': {
      'lib/vault/a.ts': "import { c } from './c.ts'\n",
      'lib/vault/c.ts': "import { d } from './d.ts'\n",
      'lib/vault/d.ts': "import { a } from './a.ts'\n"
    }
  }
  for (const [name, files] of Object.entries(faults)) t.equal(plant(files).length, 1, name)
})

t.test('what only looks like an import is none', async (t) => {
  const source = [
    "// import { a } from '../egress/b.ts'",
    "/* import { a } from '../egress/b.ts' */",
    "const text = `\nimport { a } from '../egress/b.ts'\n${'}'}`",
    'const pattern = /[\'"`]/',
    "const quoted = 'it\\'s import(\"../egress/b.ts\")'",
    "const half = text.length / 2 // '",
    'export const x = pattern.test(quoted) ? half : 0',
    ''
  ].join('\n')
  const scanned = scanSources(new Map([['lib/vault/a.ts', source]])).get('lib/vault/a.ts')
  t.strictSame(scanned?.imports, [])
  t.strictSame(scanned?.exports, [{ name: 'x', type: false }])
})

const CLEAN = {
  'lib/errors.ts': 'export class E {}\n',
  'lib/scan/b.ts': "import { E } from '../errors.ts'\nexport type Place = number\nexport const b = E\n",
  'lib/expr/b.ts': "import { b as c } from '../scan/b.ts'\nexport const b = c\n",
  'lib/expr/filters/crypto.ts': "import { createHmac } from 'node:crypto'\n",
  'lib/egress/b.ts': "import { connect } from 'node:tls'\nexport const b = connect\n",
  'lib/dialects/basis-theory/b.ts': "import { z } from 'zod'\nexport const b = z\n",
  'lib/vault/b.ts': "import type { Place } from '../scan/b.ts'\nimport { b } from '../expr/b.ts'\n",
  'test/b.ts': "import { Agent } from 'undici'\nimport { b } from '../lib/egress/b.ts'\n"
}
