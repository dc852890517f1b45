/**
 * Makes `dist/bin` out of `lib/` and its pure JavaScript packages: what users run. Each process and each thread loads a
 * few files, in which the whole server shares one scope: V8 folds a module's own constants, and no others. Called by
 * `npm run build` after TypeScript's compiler.
 */
import { createHash } from 'node:crypto'
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  type ChunkingContext,
  type CodeSplittingGroup,
  type InputOptions,
  type OutputOptions,
  type Plugin,
  rolldown
} from 'rolldown'
import { warmUp } from './warm-up.ts'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
const LIB = join(ROOT, 'lib')
const OUT = join(ROOT, 'dist/bin')

/** What Node is started with, one build for each: they share nothing while they run. */
const PROGRAMS: readonly Readonly<Record<string, string>>[] = [
  { main: 'main.ts' },
  { 'guest-thread': 'reactor/guest-thread.ts' },
  { 'masking-thread': 'dialects/basis-theory/transforms/masking-thread.ts' }
]

/** Loaded from `node_modules`: native code, WebAssembly, and what few servers need. */
const OUTSIDE = [/^node:/, 'sodium-native', 'quickjs-emscripten', 'pg', 'selfsigned']

async function bundle(programs: Readonly<Record<string, string>>): Promise<void> {
  const input = Object.fromEntries(Object.entries(programs).map(([name, path]) => [name, join(LIB, path)]))
  const build = await rolldown({
    ...INPUT,
    input,
    preserveEntrySignatures: 'allow-extension',
    plugins: [lmdbPlugin, latePlugin, shapePlugin]
  })
  const { output } = await build.write({
    ...OUTPUT,
    codeSplitting: { includeDependenciesRecursively: false, groups: [serverGroup()] }
  })
  await build.close()
  for (const chunk of output) {
    if (chunk.type === 'chunk') appendFileSync(join(OUT, chunk.fileName), `\n//${hashOf(chunk.code)}`)
  }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8)
}

/** One file together: all that serving takes and that neither reading a configuration nor beginning to serve does. */
function serverGroup(): CodeSplittingGroup {
  let server: ReadonlySet<string> | null = null
  let before: ReadonlySet<string> | null = null
  const name = (id: string, context: ChunkingContext): string | null => {
    server ??= reached(['cli/serving.ts', 'cli/worker.ts'], context)
    before ??= reached(['main.ts', 'cli/serve.ts', 'cli/command.ts'], context)
    return server.has(id) && !before.has(id) ? 'server' : null
  }
  return { debugName: 'server', name }
}

/** All that a module imports, and what that imports, but by `import()`. */
function reached(paths: readonly string[], context: ChunkingContext): ReadonlySet<string> {
  const found = new Set<string>()
  const queue = paths.map((path) => join(LIB, path))
  for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
    if (found.has(id)) continue
    found.add(id)
    queue.push(...(context.getModuleInfo(id)?.importedIds ?? []))
  }
  return found
}

/** The files that Node is started with: all the same, since each goes by its own name. */
async function writePrograms(): Promise<void> {
  const build = await rolldown({ ...INPUT, input: join(ROOT, 'lib/build/boot.ts') })
  const { output } = await build.generate({ format: 'cjs', comments: false })
  await build.close()
  for (const name of PROGRAMS.flatMap((programs) => Object.keys(programs))) {
    writeFileSync(join(OUT, `${name}.js`), `#!/usr/bin/env node\n${output[0].code}`, { mode: 0o755 })
  }
  writeFileSync(join(OUT, 'package.json'), '{ "type": "commonjs" }\n')
}

/**
 * lmdb looks for its native half from where it lies. Native help for values of a kind that no store of ours holds stays out.
 * A package that writes code which names its own variables keeps a scope of its own, as CommonJS has it.
 */
const lmdbPlugin: Plugin = {
  name: 'lmdb',
  resolveId: (id, importer) => {
    if (id === 'msgpackr-extract') return NOTHING
    return id === 'ordered-binary' && importer !== undefined ? createRequire(importer).resolve(id) : null
  },
  load: (id) => (id === NOTHING ? 'module.exports = null' : null),
  transform: (code, id) =>
    /[\\/]lmdb[\\/][^\\/]+$/.test(id) ? LMDB_IMPORTS + code.replaceAll('import.meta.url', LMDB_URL) : null
}
const NOTHING = '\0nothing'
const LMDB_IMPORTS = "import * as lmdbModule from 'node:module'; import * as lmdbUrl from 'node:url'; "
const LMDB_URL = "lmdbUrl.pathToFileURL(lmdbModule.createRequire(import.meta.url).resolve('lmdb')).href"

/** What these packages load at their beginning is used where they fail, if at all: it is loaded there. */
const latePlugin: Plugin = {
  name: 'late',
  transform: (code, id) => {
    if (!/[\\/]node_modules[\\/](detect-libc|sonic-boom|thread-stream)[\\/]/.test(id)) return null
    const [line, name] = /^const (\w+) = require\('(?:child_process|assert)'\)/m.exec(code) ?? []
    if (line === undefined) return null
    const late = line.replace('= ', '= () => ')
    return code.replace(line, late).replaceAll(new RegExp(`\\b${name}(?=[.(])`, 'g'), `${name}()`)
  }
}

/**
 * Nothing that is never assigned again is a variable: V8 folds `const` alone. ASCII, because reading anything else takes ten
 * times as long. And a name for the cache.
 */
const shapePlugin: Plugin = {
  name: 'shape',
  renderChunk: (code) => {
    const text = code
      .replace(
        /^let ([\w$]+) = (require\("[^"]+"\));(?:\n\1 = ([\w$.]*toESM)\(\1(, 1)?\);)?/gm,
        (_, name: string, required: string, wrapper?: string, mode = '') =>
          // As many lines as before, for the source map.
          `const ${name} = ${wrapper === undefined ? `${required};` : `${wrapper}(${required}${mode});\n`}`
      )
      .replace(/^var ([\w$]+ = class\b)/gm, 'const $1')
      .replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    return { code: text, map: null }
  }
}

const INPUT: InputOptions = {
  platform: 'node',
  cwd: ROOT,
  external: OUTSIDE,
  // ES modules where a package has them: their constants stay constants.
  resolve: { mainFields: ['module', 'main'] },
  onLog: (_, { code, message }) => {
    if (!EXPECTED.includes(code ?? '')) throw new Error(message)
  }
}
const EXPECTED = ['SOURCEMAP_BROKEN', 'EVAL']

const OUTPUT: OutputOptions = {
  dir: OUT,
  entryFileNames: '[name].part.js',
  chunkFileNames: '[name].part.js',
  format: 'cjs',
  sourcemap: true,
  topLevelVar: false,
  comments: false,
  strict: true
}

rmSync(OUT, { recursive: true, force: true })
mkdirSync(OUT, { recursive: true })
for (const programs of PROGRAMS) await bundle(programs)
await writePrograms()
await warmUp(OUT)
