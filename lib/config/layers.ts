import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseDocument } from 'yaml'
import { ConfigError } from './faults.ts'
import { SETTINGS, type Setting } from './schema.ts'

/** Settings as they were written, not yet checked. */
export type Tree = { [key: string]: unknown }

/** The settings in a YAML file. Throws ConfigError when it cannot be read or is no YAML; texts name lines, no content. */
export function readYaml(file: string): Tree {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw fault(`${file} cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown reason'})`)
  }
  const document = parseDocument(text, { prettyErrors: false })
  const faults = [...document.errors, ...document.warnings].map((error) => {
    const line = text.slice(0, error.pos[0]).split('\n').length
    return { path: '', why: `${file}, line ${line}: not good YAML (${error.code})` }
  })
  if (faults.length > 0) throw new ConfigError(faults)
  let value: unknown
  try {
    value = document.toJS()
  } catch {
    throw fault(`${file} uses an alias without an anchor, or too many`)
  }
  if (value === null) return {}
  if (!isTree(value)) throw fault(`${file} holds no settings`)
  return value
}

/** The settings in texts, found by `name`: environment variables or flags. */
export function readTexts(
  texts: Readonly<Record<string, string | undefined>>,
  name: (setting: Setting) => string
): Tree {
  const tree: Tree = {}
  for (const setting of SETTINGS) {
    const text = texts[name(setting)]
    if (text === undefined) continue
    const keys = setting.path.split('.')
    const value = keys.reduceRight<unknown>((inner, key) => ({ [key]: inner }), valueOf(setting, text))
    if (isTree(value)) merge(tree, value)
  }
  return tree
}

/** Lays `upper` over `lower`, in place: groups are joined, all else is replaced. */
export function merge(lower: Tree, upper: Tree): Tree {
  for (const [key, value] of Object.entries(upper)) {
    const below = Object.hasOwn(lower, key) ? lower[key] : undefined
    const joined = isTree(below) && isTree(value) ? merge(below, value) : value
    Object.defineProperty(lower, key, { value: joined, enumerable: true, configurable: true, writable: true })
  }
  return lower
}

/** Takes the relative paths in the tree from `base`, in place. */
export function absolutePaths(tree: Tree, base: string): Tree {
  const absolute = (value: unknown): unknown =>
    typeof value === 'string' && value !== '' ? resolve(base, value) : value
  for (const setting of SETTINGS) {
    if (!setting.isPath) continue
    const keys = setting.path.split('.')
    const last = keys.pop() ?? ''
    const group = keys.reduce<unknown>((node, key) => (isTree(node) ? node[key] : undefined), tree)
    if (!isTree(group) || !Object.hasOwn(group, last)) continue
    const value = group[last]
    group[last] = Array.isArray(value) ? value.map(absolute) : absolute(value)
  }
  return tree
}

/** The text itself for a plain string, else what it says as JSON. Text that is no JSON is left for the schema to refuse. */
function valueOf(setting: Setting, text: string): unknown {
  if (setting.type === 'string' || setting.type === 'path') return text
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function fault(why: string): ConfigError {
  return new ConfigError([{ path: '', why }])
}
