/** `/applications` and their keys, `/permissions`, `/logs`, and `/containers` (ours: their bindings). */
import { SluiceError } from '../../errors.ts'
import type { Json } from '../../json.ts'
import type { ApiAnswer, ApiCall, ApiRoute } from '../../listen/api.ts'
import type { Application } from '../../vault/applications.ts'
import type { DestinationRule } from '../../vault/destinations.ts'
import { type ApplicationType, isPermission, PERMISSIONS, type Rule } from '../../vault/permissions.ts'
import type { Actor } from '../../vault/records.ts'
import { CONTAINER } from '../../vault/token-types.ts'
import { isoTime } from '../../vault/token-view.ts'
import type { Vault } from '../../vault/vault.ts'
import { pageText, readPage } from './paging.ts'
import { asObject, Faults, type JsonObject, parseTime, readObject } from './token-input.ts'
import { requirePermission } from './tokens.ts'

export function applicationRoutes(vault: Vault): ApiRoute[] {
  const route = (
    method: string,
    path: string,
    handler: (vault: Vault, call: ApiCall) => Promise<ApiAnswer>
  ): ApiRoute => ({
    method,
    path,
    handler: (call) => handler(vault, call)
  })
  return [
    route('POST', '/applications', create),
    route('GET', '/applications', list),
    route('GET', '/applications/key', own),
    route('GET', '/applications/{id}', read),
    route('PUT', '/applications/{id}', replace),
    route('DELETE', '/applications/{id}', remove),
    route('POST', '/applications/{id}/regenerate', regenerate),
    route('POST', '/applications/{id}/keys', addKey),
    route('GET', '/applications/{id}/keys', listKeys),
    route('GET', '/applications/{id}/keys/{keyId}', readKey),
    route('DELETE', '/applications/{id}/keys/{keyId}', revokeKey),
    route('GET', '/permissions', permissions),
    route('GET', '/logs', logs),
    route('GET', '/logs/entity-types', entityTypes),
    route('GET', '/containers', containers),
    route('PUT', '/containers/{container}', bind),
    route('DELETE', '/containers/{container}', free)
  ]
}

async function create(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'application:create')
  const body = readObject(call.body)
  const faults = new Faults()
  const type = readType(body.type, faults)
  const given = readGrants(body, type, faults)
  faults.settle()
  const destinations = given.destinations ?? null
  const made = await vault.applications.create(
    { ...given, type, destinations, tenant: call.caller.tenant },
    actor(call),
    call.traceId,
    body.create_key !== false
  )
  return answer(201, show(made.application, made.key))
}

async function list(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'application:read')
  const page = readPage(call.query.get('page') ?? undefined, call.query.get('size') ?? undefined)
  const { tenant } = call.caller
  const ids = call.query.getAll('id')
  const types = call.query.getAll('type')
  const all = await vault.applications.list(tenant)
  const chosen = all.filter(
    ({ id, type }) => (ids.length === 0 || ids.includes(id)) && (types.length === 0 || types.includes(type))
  )
  const from = (page.page - 1) * page.size
  const items = chosen.slice(from, from + page.size).map((application) => JSON.stringify(show(application, null)))
  return { status: 200, body: pageText(items, page, chosen.length) }
}

async function own(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  return answer(200, show(found(await vault.applications.read(call.caller.tenant, call.caller.application)), null))
}

async function read(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'application:read')
  return answer(200, show(found(await vault.applications.read(call.caller.tenant, param(call, 'id'))), null))
}

/** Bindings that the body does not name are kept: a client that does not know of them must not lift them. */
async function replace(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'application:update')
  const body = readObject(call.body)
  const id = param(call, 'id')
  found(
    await vault.applications.change(id, actor(call), 'update', call.traceId, (was) => {
      const faults = new Faults()
      const given = readGrants(body, was.type, faults)
      faults.settle()
      return {
        ...was,
        ...given,
        destinations: given.destinations === undefined ? was.destinations : given.destinations
      }
    })
  )
  return answer(200, show(found(await vault.applications.read(call.caller.tenant, id)), null))
}

async function remove(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'application:delete')
  found(await vault.applications.change(param(call, 'id'), actor(call), 'delete', call.traceId, () => null))
  return { status: 204, body: null }
}

async function regenerate(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'application:update')
  const id = param(call, 'id')
  const { key } = found(await vault.applications.replaceKeys(id, actor(call), call.traceId))
  return answer(200, show(found(await vault.applications.read(call.caller.tenant, id)), key))
}

async function addKey(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'application:update')
  const { id, key, createdAt, createdBy } = found(
    await vault.applications.addKey(param(call, 'id'), actor(call), call.traceId)
  )
  return answer(201, { id, key, created_at: isoTime(createdAt), created_by: createdBy })
}

async function listKeys(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'application:read')
  return answer(200, showKeys(found(await vault.applications.read(call.caller.tenant, param(call, 'id')))))
}

async function readKey(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'application:read')
  const keys = showKeys(found(await vault.applications.read(call.caller.tenant, param(call, 'id'))))
  return answer(200, found(keys.find(({ id }) => id === param(call, 'keyId')) ?? null))
}

async function revokeKey(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'application:update')
  if (!(await vault.applications.revokeKey(param(call, 'id'), param(call, 'keyId'), actor(call), call.traceId)))
    throw notFound()
  return { status: 204, body: null }
}

async function permissions(_vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  const type = call.query.get('application_type')
  const all = PERMISSIONS.filter(
    ({ applicationTypes }) => type === null || (applicationTypes as readonly string[]).includes(type)
  )
  return answer(
    200,
    all.map((permission) => ({
      type: permission.type,
      description: permission.description,
      application_types: permission.applicationTypes
    }))
  )
}

async function logs(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'log:read')
  const page = readPage(call.query.get('page') ?? undefined, call.query.get('size') ?? undefined)
  const faults = new Faults()
  const time = (name: string) => {
    const text = call.query.get(name)
    const at = text === null || text === '' ? undefined : parseTime(text)
    if (at !== undefined && Number.isNaN(at)) faults.add(name, 'The time must be ISO 8601')
    return at
  }
  const [from, to] = [time('start_date'), time('end_date')]
  faults.settle()
  const entity = call.query.get('entity_type')
  const id = call.query.get('entity_id')
  const filter = {
    ...(entity === null ? {} : { entity }),
    ...(id === null ? {} : { id }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to })
  }
  const { entries, total } = await vault.tenants.log(call.caller.tenant, filter, (page.page - 1) * page.size, page.size)
  const items = entries.map((entry) =>
    JSON.stringify({
      tenant_id: call.caller.tenant,
      actor_id: entry.application,
      actor_type: 'application',
      entity_type: entry.entity,
      entity_id: entry.id,
      operation: entry.operation,
      message: `${entry.entity} ${entry.operation}`,
      trace_id: entry.traceId,
      created_at: isoTime(entry.at)
    })
  )
  return { status: 200, body: pageText(items, page, total) }
}

async function entityTypes(_vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'log:read')
  const types = ['application', 'container', 'proxy', 'reactor', 'tenant', 'token']
  return answer(
    200,
    types.map((value) => ({ display_name: `${value[0]?.toUpperCase()}${value.slice(1)}`, value }))
  )
}

async function containers(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'tenant:read')
  return answer(200, await vault.tenants.bindings(call.caller.tenant))
}

async function bind(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'tenant:update')
  const container = readContainer(call)
  const faults = new Faults()
  const destinations = readDestinations(readObject(call.body).destinations, faults)
  if (destinations === undefined || destinations === null) faults.add('destinations', 'The destinations are required')
  faults.settle()
  await vault.tenants.bind(actor(call), container, destinations ?? [], call.traceId)
  return answer(200, { container, destinations })
}

async function free(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'tenant:update')
  await vault.tenants.bind(actor(call), readContainer(call), null, call.traceId)
  return { status: 204, body: null }
}

function readContainer(call: ApiCall): string {
  const container = param(call, 'container').toLowerCase()
  if (CONTAINER.test(container)) return container
  const why = 'A container is a path of names that begins and ends with a slash'
  throw new SluiceError('ERR_INPUT', why, { fields: { container: [why] } })
}

function readType(type: Json | undefined, faults: Faults): ApplicationType {
  if (type === 'private' || type === 'public' || type === 'management') return type
  faults.add('type', 'The type must be private, public or management')
  return 'private'
}

interface GivenGrants {
  readonly name: string
  readonly permissions: readonly string[]
  readonly rules: readonly Rule[]
  readonly destinations?: readonly DestinationRule[] | null
}

/** What the vault itself checks is not checked here. */
function readGrants(body: JsonObject, type: ApplicationType, faults: Faults): GivenGrants {
  const permissions = readTexts(body.permissions, 'permissions', faults)
  const rules = readRules(body.rules, faults)
  for (const permission of [...permissions, ...rules.flatMap((rule) => rule.permissions)]) {
    if (!isPermission(permission)) faults.add('permissions', `Unknown permission: ${permission.slice(0, 60)}`)
    else if (!isFor(permission, type))
      faults.add('permissions', `Not a permission of ${type} applications: ${permission}`)
  }
  const destinations = readDestinations(body.destinations, faults)
  const name = typeof body.name === 'string' ? body.name : ''
  return { name, permissions, rules, ...(destinations === undefined ? {} : { destinations }) }
}

/** Older spellings are for private applications; creating and updating for public ones too. */
function isFor(permission: string, type: ApplicationType): boolean {
  const known = PERMISSIONS.find((one) => one.type === permission)
  if (known !== undefined) return known.applicationTypes.includes(type)
  return type === 'private' || (type === 'public' && /:(?:create|update)$/.test(permission))
}

function readTexts(value: Json | undefined, field: string, faults: Faults): string[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value) && value.every((text) => typeof text === 'string')) return value
  faults.add(field, 'A list of strings was expected')
  return []
}

function readRules(value: Json | undefined, faults: Faults): Rule[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value) || value.length > 100) {
    faults.add('rules', 'A list of at most 100 rules was expected')
    return []
  }
  return value.flatMap((item, at) => {
    const given = asObject(item)
    if (given === null) {
      faults.add(`rules[${at}]`, 'A rule must be an object')
      return []
    }
    if (given.conditions !== undefined && given.conditions !== null && !isEmptyList(given.conditions))
      faults.add(`rules[${at}].conditions`, 'Conditions are for sessions, which there are not here')
    return [
      {
        description: typeof given.description === 'string' ? given.description : '',
        priority: typeof given.priority === 'number' ? given.priority : 0,
        container: typeof given.container === 'string' ? given.container.toLowerCase() : '/',
        transform: given.transform as Rule['transform'],
        permissions: readTexts(given.permissions, `rules[${at}].permissions`, faults)
      }
    ]
  })
}

const isEmptyList = (value: Json): boolean => Array.isArray(value) && value.length === 0

function readDestinations(value: Json | undefined, faults: Faults): readonly DestinationRule[] | null | undefined {
  if (value === undefined || value === null) return value
  const isRule = (item: Json) => typeof item === 'string' || typeof asObject(item)?.host === 'string'
  if (Array.isArray(value) && value.length <= 100 && value.every(isRule)) return value as unknown as DestinationRule[]
  faults.add('destinations', 'A list of at most 100 host patterns was expected')
  return undefined
}

/** `key` is shown once, where it is made. */
function show(application: Application, key: string | null): object {
  const {
    id,
    tenant: tenantId,
    name,
    type,
    permissions: plain,
    rules,
    destinations,
    createdAt,
    createdBy,
    modifiedAt,
    modifiedBy
  } = application
  const keys = showKeys(application)
  const newest = keys.at(-1)
  return {
    id,
    tenant_id: tenantId,
    name,
    ...(key === null ? {} : { key }),
    keys: key === null || newest === undefined ? keys : [...keys.slice(0, -1), { ...newest, key }],
    type,
    permissions: plain,
    rules,
    ...(destinations === null ? {} : { destinations }),
    created_at: isoTime(createdAt),
    created_by: createdBy,
    ...(modifiedAt === null ? {} : { modified_at: isoTime(modifiedAt), modified_by: modifiedBy })
  }
}

function showKeys(application: Application): { id: string; created_at: string; created_by: string }[] {
  return application.keys.map(({ id, createdAt, createdBy }) => ({
    id,
    created_at: isoTime(createdAt),
    created_by: createdBy
  }))
}

const actor = ({ caller }: ApiCall): Actor => caller
const param = (call: ApiCall, name: string): string => call.params[name] ?? ''
const answer = (status: number, body: object): ApiAnswer => ({ status, body: JSON.stringify(body) })

function found<T>(value: T | null): T {
  if (value === null) throw notFound()
  return value
}

const notFound = () => new SluiceError('ERR_NOT_FOUND', 'Not found')
