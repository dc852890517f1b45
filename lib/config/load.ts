import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import type * as z from 'zod/mini'
import { ConfigError, type Fault, MASTER_KEY } from './faults.ts'
import { absolutePaths, merge, readTexts, readYaml, type Tree } from './layers.ts'
import { type Config, configSchema, SETTINGS } from './schema.ts'

/** Where a configuration comes from; a flag goes over a variable, a variable over the file. */
export interface Sources {
  /** Path of the YAML file; null for none. */
  readonly file: string | null
  readonly env: Readonly<Record<string, string | undefined>>
  /** :: path of a setting → text */
  readonly flags: Readonly<Record<string, string | undefined>>
  /** Looks at the files that the configuration names, too. Default true. */
  readonly checkFiles?: boolean
}

/**
 * Reads, joins and checks a configuration, and looks at the files that it names. It is frozen, its paths are absolute.
 * Throws ConfigError with every fault at once, each with its path and without its value.
 */
export function loadConfig(sources: Sources): Config {
  const tree: Tree = {}
  if (sources.file !== null) merge(tree, absolutePaths(readYaml(sources.file), dirname(resolve(sources.file))))
  merge(
    tree,
    absolutePaths(
      readTexts(sources.env, (setting) => setting.variable),
      process.cwd()
    )
  )
  merge(
    tree,
    absolutePaths(
      readTexts(sources.flags, (setting) => setting.path),
      process.cwd()
    )
  )
  const defaults = absolutePaths(defaultPaths(), sources.file === null ? process.cwd() : dirname(resolve(sources.file)))
  const faults = strangers(sources.env)
  const config = check(merge(defaults, tree), faults)
  const checkFiles = sources.checkFiles !== false
  if (config !== null && checkFiles) faults.push(...fileFaults(config, sources.env[MASTER_KEY] === undefined))
  if (config === null || faults.length > 0) throw new ConfigError(faults)
  return freeze(config)
}

/**
 * Checks a configuration given as values, without looking at the files it names. Relative paths are taken from `base`.
 * Throws ConfigError.
 */
export function parseConfig(values: object, base: string): Config {
  const faults: Fault[] = []
  const config = check(absolutePaths(merge(defaultPaths(), structuredClone(values) as Tree), base), faults)
  if (config === null || faults.length > 0) throw new ConfigError(faults)
  return freeze(config)
}

/** Defaults that are paths, so that they are made absolute like the given ones. */
function defaultPaths(): Tree {
  const texts = Object.fromEntries(
    SETTINGS.filter(({ isPath, type }) => isPath && type === 'path').map(({ path, fallback }) => [path, fallback])
  )
  const given = Object.entries(texts).filter((entry): entry is [string, string] => entry[1] !== null)
  return readTexts(
    Object.fromEntries(given.map(([path, json]) => [path, JSON.parse(json) as string])),
    ({ path }) => path
  )
}

/**
 * Variables that look like ours and are not. Platforms make some from a service's name (SLUICE_PORT): only those that
 * begin like a section are taken for a slip.
 */
function strangers(env: Sources['env']): Fault[] {
  const known = new Set(SETTINGS.map(({ variable }) => variable))
  const sections = Object.keys(configSchema.shape).map((section) => `SLUICE_${section.toUpperCase()}_`)
  return Object.keys(env)
    .filter((name) => !known.has(name) && sections.some((section) => name.startsWith(section)))
    .map((name) => ({ path: name, why: 'no such setting' }))
}

type Checked = z.output<typeof configSchema>

/** Adds every fault; null when the values have not even the right types. */
function check(tree: Tree, faults: Fault[]): Checked | null {
  const result = configSchema.safeParse(tree, { reportInput: true })
  if (result.success) {
    faults.push(...listenFaults(result.data.listen), ...vaultFaults(result.data.vault))
    return result.data
  }
  for (const issue of result.error.issues) faults.push(...faultsOf(issue))
  // The sections that are well-formed by themselves are looked at further, so that all faults show at once.
  const listen = configSchema.shape.listen.safeParse(tree['listen'])
  if (listen.success) faults.push(...listenFaults(listen.data))
  const vault = configSchema.shape.vault.safeParse(tree['vault'])
  if (vault.success) faults.push(...vaultFaults(vault.data))
  return null
}

function vaultFaults({ store, url }: Checked['vault']): Fault[] {
  return store === 'postgres' && url === null ? [{ path: 'vault.url', why: 'is missing: the store is postgres' }] : []
}

function listenFaults(listen: Checked['listen']): Fault[] {
  const faults: Fault[] = []
  if (listen.http === null && listen.https === null) {
    faults.push({ path: 'listen', why: 'neither http nor https is given, so there is nothing to serve on' })
  }
  if (listen.http !== null && !listen.allowPlainHttp && !isLoopback(listen.http.host)) {
    faults.push({
      path: 'listen.http.host',
      why: 'plain HTTP on an address beyond loopback shows API keys and values to the network: use https, or set listen.allowPlainHttp'
    })
  }
  return faults
}

function faultsOf(issue: z.core.$ZodIssue): Fault[] {
  const path = issue.path.map(String).join('.')
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ path: path === '' ? key : `${path}.${key}`, why: 'no such setting' }))
    case 'invalid_type':
      return [{ path, why: issue.input === undefined ? 'is missing' : `must be ${noun(issue.expected)}` }]
    case 'too_small':
      return [{ path, why: issue.origin === 'array' ? 'must not be empty' : `must be at least ${issue.minimum}` }]
    case 'too_big':
      return [{ path, why: `must be at most ${issue.maximum}` }]
    case 'invalid_value':
      return [{ path, why: `must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.join(', ')}` }]
    default:
      return [{ path, why: issue.message }]
  }
}

function noun(type: string): string {
  if (type === 'int' || type === 'number') return 'a whole number'
  if (type === 'boolean') return 'true or false'
  if (type === 'array') return 'a list'
  return type === 'object' ? 'a group of settings' : `a ${type}`
}

/** Faults of the files that a configuration names: missing, unreadable, not what they should be. */
function fileFaults(config: Checked, needsMasterKey: boolean): Fault[] {
  const faults: Fault[] = []
  const read = (path: string, file: string): string | null => {
    try {
      return readFileSync(file, 'utf8')
    } catch (cause) {
      faults.push({
        path,
        why: `${file} cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown reason'})`
      })
      return null
    }
  }
  const { https } = config.listen
  if (https !== null) {
    const cert = read('listen.https.tls.cert', https.tls.cert)
    const key = read('listen.https.tls.key', https.tls.key)
    if (cert !== null && key !== null && !succeeds(() => createSecureContext({ cert, key, ca: [] }))) {
      faults.push({ path: 'listen.https.tls', why: 'cert and key are no PEM files, or do not belong together' })
    }
  }
  config.egress.ca.forEach((file, index) => {
    const pem = read(`egress.ca.${index}`, file)
    if (pem !== null && !succeeds(() => new X509Certificate(pem))) {
      faults.push({ path: `egress.ca.${index}`, why: `${file} is no PEM certificate` })
    }
  })
  if (needsMasterKey) read('vault.masterKeyFile', config.vault.masterKeyFile)
  return faults
}

function succeeds(attempt: () => unknown): boolean {
  try {
    attempt()
    return true
  } catch {
    return false
  }
}

/** True for an address or name that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

function freeze(config: Checked): Config {
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    Object.values(value).forEach(visit)
    Object.freeze(value)
  }
  visit(config)
  return config
}
