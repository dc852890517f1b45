import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { constants, Script } from 'node:vm'

/*
 * What every file of the bundle that Node is started with consists of: it runs the part of its own name, `main.js` runs
 * `main.part.js`. Beside a part lies what V8 made of it at build, which saves parsing and compiling it. Another V8, or one
 * with other flags, rejects that and compiles.
 */

interface Module {
  exports: unknown
}

type Body = (
  ...given: [exports: unknown, require: NodeJS.Require, module: Module, file: string, folder: string]
) => void

// :: name of a part → what it exports; there from the moment that it begins to run
const loaded = new Map<string, Module>()
const inside = Object.assign(
  (specifier: string): unknown => (specifier.startsWith('./') ? load(specifier.slice(2)) : require(specifier)),
  require
)

function load(name: string): unknown {
  const known = loaded.get(name)
  if (known !== undefined) return known.exports
  const module: Module = { exports: {} }
  loaded.set(name, module)
  const file = join(__dirname, name)
  // Parts are ASCII.
  const text = readFileSync(file, 'latin1')
  const cachedData = cacheOf(text)
  const script = new Script(`(function (exports, require, module, __filename, __dirname) {${text}\n})`, {
    filename: file,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(cachedData !== null && { cachedData })
  })
  const body = script.runInThisContext() as Body
  body(module.exports, inside, module, file, __dirname)
  return module.exports
}

/** NOTE: V8 compares no more than lengths, so that a cache has the name that its part ends with: `//0a1b2c3d`. */
function cacheOf(text: string): Buffer | null {
  try {
    return readFileSync(join(__dirname, `${text.slice(-8)}.cache`))
  } catch {
    return null
  }
}

const first = basename(__filename).replace(/js$/, 'part.js')
// Node's own loader knows what to do with source maps, and nothing of caches.
if (process.sourceMapsEnabled) require(`./${first}`)
else load(first)
