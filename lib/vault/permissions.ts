/** Every permission there is, who may hold it, and the older spellings that are still read. */
export type ApplicationType = 'private' | 'public' | 'management'

export type Transform = 'reveal' | 'mask' | 'redact'

/** An access rule: for tokens whose container begins with `container`, these permissions, and data shown this way. */
export interface Rule {
  readonly description: string
  /** From 1; lower ones are tried first. */
  readonly priority: number
  readonly container: string
  readonly transform: Transform
  readonly permissions: readonly string[]
}

export interface Permission {
  readonly type: string
  readonly description: string
  readonly applicationTypes: readonly ApplicationType[]
}

const token = (type: string, description: string, ...more: ApplicationType[]): Permission => ({
  type,
  description,
  applicationTypes: ['private', ...more]
})
const manage = (resource: string, ...actions: string[]): Permission[] =>
  actions.map((action) => ({
    type: `${resource}:${action}`,
    description: `${action[0]?.toUpperCase()}${action.slice(1)} ${resource}s`,
    applicationTypes: ['management']
  }))

export const PERMISSIONS: readonly Permission[] = [
  token('token:create', 'Create tokens', 'public'),
  token('token:read', 'Read tokens'),
  token('token:update', 'Update tokens', 'public'),
  token('token:delete', 'Delete tokens'),
  token('token:search', 'Search tokens'),
  token('token:use', 'Send tokens to destinations'),
  token('token:use:head', 'Send tokens in the path, query and headers of a request'),
  token('proxy:invoke', 'Invoke proxies'),
  token('reactor:invoke', 'Invoke reactors'),
  ...manage('application', 'create', 'read', 'update', 'delete'),
  ...manage('proxy', 'create', 'read', 'update', 'delete'),
  ...manage('reactor', 'create', 'read', 'update', 'delete'),
  ...manage('tenant', 'read', 'update', 'delete'),
  { type: 'log:read', description: 'Read logs', applicationTypes: ['management'] }
]

/** The token permissions that a rule may grant. */
export const RULE_PERMISSIONS: readonly string[] = [
  'token:create',
  'token:read',
  'token:update',
  'token:delete',
  'token:search',
  'token:use'
]

/** What `--permissions '*'` means: everything but `token:use:head`, and every token in plain. */
export const ALL_PERMISSIONS: readonly string[] = PERMISSIONS.map((permission) => permission.type).filter(
  (type) => type !== 'token:use:head'
)
export const ALL_RULES: readonly Rule[] = [
  { description: 'All tokens', priority: 1, container: '/', transform: 'reveal', permissions: RULE_PERMISSIONS }
]

const KNOWN = new Set(PERMISSIONS.map((permission) => permission.type))
const CLASSES = '(general|bank|pci|pii)'
const LEGACY = new RegExp(
  `^token:${CLASSES}:(?:create|update|delete|read:low|read:moderate|read:high|use:proxy|use:reactor)$`
)

/** True for a permission of the table and for every older spelling. */
export function isPermission(text: string): boolean {
  return KNOWN.has(text) || LEGACY.test(text) || text === 'card:use' || text === 'bank:use'
}

/** The rules that one permission of a plain list stands for, in the order in which they are tried. */
export function rulesOf(permission: string): Rule[] {
  if (permission === 'card:use') return [rule('/pci/', 'reveal', 'token:use')]
  if (permission === 'bank:use') return [rule('/bank/', 'reveal', 'token:use')]
  const legacy = LEGACY.exec(permission)
  if (legacy !== null) return legacyRules(legacy[1] as string, permission.slice(`token:${legacy[1]}:`.length))
  if (permission === 'token:use') return [rule('/', 'reveal', permission)]
  if (RULE_PERMISSIONS.includes(permission)) return [rule('/', 'mask', permission)]
  return []
}

function legacyRules(name: string, action: string): Rule[] {
  const all = `/${name}/`
  switch (action) {
    case 'use:proxy':
    case 'use:reactor':
      return [rule(all, 'reveal', 'token:use')]
    case 'read:low':
      return [rule(`${all}low/`, 'reveal', 'token:read', 'token:search'), rule(all, 'mask', 'token:read')]
    case 'read:moderate':
      return [
        rule(`${all}low/`, 'reveal', 'token:read', 'token:search'),
        rule(`${all}moderate/`, 'reveal', 'token:read', 'token:search'),
        rule(all, 'mask', 'token:read')
      ]
    case 'read:high':
      return [rule(all, 'reveal', 'token:read', 'token:search')]
    default:
      return [rule(all, 'mask', `token:${action}`)]
  }
}

function rule(container: string, transform: Transform, ...permissions: string[]): Rule {
  return { description: '', priority: 1, container, transform, permissions }
}
