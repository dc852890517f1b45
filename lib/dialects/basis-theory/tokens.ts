/** `/tokens`: create, get, delete. */
import { SluiceError } from '../../errors.ts'
import type { ApiAnswer, ApiCall, ApiRoute } from '../../listen/api.ts'
import { tokenText } from '../../vault/token-view.ts'
import type { Vault } from '../../vault/vault.ts'
import { readNewToken, readObject } from './token-input.ts'

export function tokenRoutes(vault: Vault): ApiRoute[] {
  return [
    { method: 'POST', path: '/tokens', handler: (call) => create(vault, call) },
    { method: 'GET', path: '/tokens/{id}', handler: (call) => read(vault, call) },
    { method: 'DELETE', path: '/tokens/{id}', handler: (call) => remove(vault, call) }
  ]
}

async function create(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  require(call, 'token:create')
  const [view] = await vault.create(call.caller, [readNewToken(readObject(call.body))], call.traceId)
  return { status: 201, body: view === undefined ? null : tokenText(view) }
}

async function read(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  require(call, 'token:read')
  const purpose = { door: 'read' as const, destination: null, traceId: call.traceId, reason: null, intent: 0 }
  const view = await vault.read(call.caller, call.params.id ?? '', purpose)
  if (purpose.intent !== 0) {
    await vault.released()
    vault.outcome(purpose.intent, 'shown')
  }
  return { status: 200, body: tokenText(view) }
}

async function remove(vault: Vault, call: ApiCall): Promise<ApiAnswer> {
  require(call, 'token:delete')
  await vault.delete(call.caller, call.params.id ?? '', call.traceId)
  return { status: 204, body: null }
}

/** A key that holds the permission nowhere is refused before anything is read. Throws ERR_PERMISSION. */
export function require(call: ApiCall, permission: string): void {
  if (call.caller.holds(permission)) return
  throw new SluiceError('ERR_PERMISSION', `Missing permission: ${permission}`, { names: [permission] })
}
