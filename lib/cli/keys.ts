import { readFileSync } from 'node:fs'
import type { Rule } from '../vault/permissions.ts'
import type { KeyListing, KeyRequest, Vault } from '../vault/vault.ts'
import { CONFIG_FLAG, parseArguments, settingsOf } from './command.ts'
import { guarded, Refusal, UsageError } from './guard.ts'
import { openVault, takeMasterKey } from './vault.ts'

/** `sluice keys create | list | revoke ID`: API keys. Works whether or not the server runs. */
export function runKeys(argv: readonly string[]): Promise<number> {
  return guarded('keys', USAGE, async () => {
    const given = parseArguments(argv, FLAGS, { withSettings: true, positionals: 2 })
    const [action, id, ...more] = given.positionals
    const wanted = { create: 1, list: 1, revoke: 2 }[action ?? '']
    if (wanted === undefined) throw new UsageError('the action is missing or unknown')
    if (given.positionals.length < wanted) throw new UsageError('the ID of the key is missing')
    if (given.positionals.length > wanted || more.length > 0) throw new UsageError('too many arguments')
    const request = action === 'create' ? keyRequest(given.flags) : null
    const config = settingsOf(given)
    const vault = await openVault(config, takeMasterKey(config))
    try {
      if (request !== null) await create(vault, request, given.set.has('json'))
      else if (action === 'list') await list(vault, given.set.has('json'))
      else await revoke(vault, id ?? '')
    } finally {
      await vault.close()
    }
    return 0
  })
}

async function create(vault: Vault, request: KeyRequest, json: boolean): Promise<void> {
  const made = await vault.createKey(request)
  if (json) {
    process.stdout.write(`${JSON.stringify(made)}\n`)
    return
  }
  process.stdout.write(
    `id   ${made.id}\nkey  ${made.key}\n\nThe key is shown this once: the vault keeps a hash of it alone.\n`
  )
}

async function list(vault: Vault, json: boolean): Promise<void> {
  const keys = await vault.listKeys(spoiled)
  if (json) {
    process.stdout.write(`${JSON.stringify(keys)}\n`)
    return
  }
  const rows = [['ID', 'CREATED', 'TENANT', 'TYPE', 'NAME', 'MAY', 'DESTINATIONS'], ...keys.map(listRow)]
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  for (const row of rows) {
    process.stdout.write(
      `${row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd()}\n`
    )
  }
}

function listRow(key: KeyListing): string[] {
  const rules = key.rules.map((rule) => `${rule.container} ${rule.transform}: ${rule.permissions.join(',')}`)
  const { destinations } = key
  const hosts = destinations?.map((each) => (typeof each === 'string' ? each : JSON.stringify(each))).join(',')
  const may = [...key.permissions, ...rules].join(' ')
  return [key.id, new Date(key.createdAt).toISOString(), key.tenant, key.type, key.name, may, hosts ?? 'any']
}

async function revoke(vault: Vault, id: string): Promise<void> {
  await vault.revokeKey(id, spoiled)
  process.stdout.write(`${id} is revoked\n`)
}

function spoiled(application: string): void {
  process.stderr.write(
    `sluice keys: NOTE: the record of application ${application} was changed by someone else; none of its keys is let in\n`
  )
}

function keyRequest(flags: Readonly<Record<string, string | undefined>>): KeyRequest {
  const { name, permissions, tenant = 'default', type = 'private', rules, destinations } = flags
  if (name === undefined) throw new UsageError('--name is missing')
  if (permissions === undefined) throw new UsageError('--permissions is missing')
  if (type !== 'private' && type !== 'public' && type !== 'management') {
    throw new UsageError('--type takes private, public or management')
  }
  return {
    name,
    tenant,
    type,
    permissions: items(permissions),
    ...(rules === undefined ? {} : { rules: readRules(rules) }),
    ...(destinations === undefined ? {} : { destinations: items(destinations) })
  }
}

function items(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
}

/** Rules as Basis Theory writes them: `[{"description", "priority", "container", "transform", "permissions"}]`. */
function readRules(file: string): Rule[] {
  let rules: unknown
  try {
    rules = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    throw new Refusal(`${file} cannot be read, or is no JSON`)
  }
  if (!Array.isArray(rules)) throw new Refusal(`${file} holds no list of rules`)
  return rules.map((rule: unknown, index) => {
    const { description = '', priority = index + 1, container, transform, permissions } = Object(rule) as Partial<Rule>
    const strange = Object.keys(Object(rule) as object).filter((key) => !RULE_FIELDS.includes(key))
    const good =
      strange.length === 0 &&
      typeof description === 'string' &&
      typeof priority === 'number' &&
      typeof container === 'string' &&
      typeof transform === 'string' &&
      Array.isArray(permissions) &&
      permissions.every((permission) => typeof permission === 'string')
    if (!good) throw new Refusal(`${file}: rule ${index + 1} needs container, transform and a list of permissions`)
    return { description, priority, container, transform, permissions }
  })
}

const RULE_FIELDS = ['description', 'priority', 'container', 'transform', 'permissions']
const FLAGS = {
  ...CONFIG_FLAG,
  name: { type: 'string' },
  permissions: { type: 'string' },
  tenant: { type: 'string' },
  type: { type: 'string' },
  rules: { type: 'string' },
  destinations: { type: 'string' },
  json: { type: 'boolean' }
} as const
const USAGE = `usage: sluice keys create --config FILE --name NAME --permissions A,B [--tenant T] [--type private|public|management]
                          [--rules FILE.json] [--destinations HOST,HOST] [--json]
       sluice keys list   --config FILE [--json]
       sluice keys revoke --config FILE ID
--permissions '*' is every permission but token:use:head, and one rule that reveals every token.`
