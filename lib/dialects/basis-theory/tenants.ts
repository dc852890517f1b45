/** `/tenants/self`: what a tenant is called, its use, its end. It has no people: its members are API keys. */
import { SluiceError } from '../../errors.ts'
import type { ApiAnswer, ApiCall, ApiRoute } from '../../listen/api.ts'
import { isoTime } from '../../vault/token-view.ts'
import type { Vault } from '../../vault/vault.ts'
import { pageText, readPage } from './paging.ts'
import { asObject, Faults, readObject } from './token-input.ts'
import { requirePermission } from './tokens.ts'

export function tenantRoutes(vault: Vault): ApiRoute[] {
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
    route('GET', '/tenants/self', tenant),
    route('PUT', '/tenants/self', changeTenant),
    route('DELETE', '/tenants/self', end),
    route('GET', '/tenants/self/reports/usage', usage),
    route('GET', '/tenants/self/members', nobody),
    route('DELETE', '/tenants/self/members/{id}', noSuchPerson),
    route('GET', '/tenants/self/invitations', nobody),
    route('POST', '/tenants/self/invitations', invite),
    route('GET', '/tenants/self/invitations/{id}', noSuchPerson),
    route('DELETE', '/tenants/self/invitations/{id}', noSuchPerson),
    route('POST', '/tenants/self/invitations/{id}/resend', noSuchPerson)
  ]
}

async function tenant(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'tenant:read')
  return answer(200, showTenant(call.caller.tenant, await vault.tenants.settings(call.caller.tenant)))
}

async function changeTenant(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'tenant:update')
  const body = readObject(call.body)
  const faults = new Faults()
  const name = typeof body.name === 'string' ? body.name : ''
  if (name === '' || name.length > 200) faults.add('name', 'The name must have 1 to 200 characters')
  const settings: Record<string, string> = {}
  for (const [name, value] of Object.entries(asObject(body.settings) ?? {})) {
    if (typeof value === 'string') settings[name] = value
    else faults.add(`settings.${name}`, 'A setting must be a string')
  }
  faults.settle()
  const changed = await vault.tenants.changeSettings(call.caller, name, settings, call.traceId)
  return answer(200, showTenant(call.caller.tenant, changed))
}

function showTenant(
  id: string,
  settings: { name: string; settings: Readonly<Record<string, string>>; modifiedAt: number | null }
): object {
  const modified = settings.modifiedAt === null ? {} : { modified_at: isoTime(settings.modifiedAt) }
  return { id, name: settings.name, type: 'production', settings: settings.settings, ...modified }
}

async function end(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'tenant:delete')
  await vault.endTenant(call.caller, call.traceId)
  return { status: 204, body: null }
}

async function usage(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'tenant:read')
  const total = await vault.tenants.countTokens(call.caller.tenant)
  return answer(200, { total_tokens: total, token_report: { total_tokens: total } })
}

async function nobody(_vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'tenant:read')
  const page = readPage(call.query.get('page') ?? undefined, call.query.get('size') ?? undefined)
  return { status: 200, body: pageText([], page, 0) }
}

async function noSuchPerson(_vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'tenant:read')
  throw new SluiceError('ERR_NOT_FOUND', 'Not found')
}

async function invite(_vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  requirePermission(call, 'tenant:update')
  const why = 'A tenant has no people to invite: give out API keys instead'
  throw new SluiceError('ERR_INPUT', why, { fields: { email: [why] } })
}

const answer = (status: number, body: object): ApiAnswer => ({ status, body: JSON.stringify(body) })
