/** `/reactors` and `/reactor-formulas`: code that tenants keep here, and calls of it. */
import { SluiceError } from '../../errors.ts'
import type { ApiAnswer, ApiCall, ApiRoute } from '../../listen/api.ts'
import { checkCode } from './check-code.ts'
import { prepare, type Reaction } from './react.ts'
import type { AsyncRuns } from './react-async.ts'
import {
  checkConfiguration,
  type Formula,
  type Reactor,
  readCode,
  readParameters,
  showFormula,
  showReactor
} from './reactor-documents.ts'
import type { ReactorPorts } from './reactor-ports.ts'
import {
  asBody,
  Documents,
  idOf,
  patched,
  readAttached,
  readConfiguration,
  readName,
  requireMergePatch,
  stamp,
  type Stored
} from './stored-documents.ts'
import { asObject, Faults, type JsonObject, readObject } from './token-input.ts'
import { requirePermission } from './tokens.ts'

export function reactorRoutes(ports: ReactorPorts, asyncRuns: AsyncRuns): ApiRoute[] {
  const api = new ReactorApi(ports, asyncRuns)
  return [
    { method: 'POST', path: '/reactor-formulas', handler: (call) => api.createFormula(call) },
    { method: 'GET', path: '/reactor-formulas', handler: (call) => api.listFormulas(call) },
    { method: 'GET', path: '/reactor-formulas/{id}', handler: (call) => api.readFormula(call) },
    { method: 'PUT', path: '/reactor-formulas/{id}', handler: (call) => api.replaceFormula(call) },
    { method: 'DELETE', path: '/reactor-formulas/{id}', handler: (call) => api.removeFormula(call) },
    { method: 'POST', path: '/reactors', handler: (call) => api.create(call) },
    { method: 'GET', path: '/reactors', handler: (call) => api.list(call) },
    { method: 'GET', path: '/reactors/{id}', handler: (call) => api.read(call) },
    { method: 'PUT', path: '/reactors/{id}', handler: (call) => api.replace(call) },
    { method: 'PATCH', path: '/reactors/{id}', handler: (call) => api.patch(call) },
    { method: 'DELETE', path: '/reactors/{id}', handler: (call) => api.remove(call) },
    { method: 'POST', path: '/reactors/{id}/react', handler: (call) => api.react(call) },
    { method: 'POST', path: '/reactors/{id}/react-async', handler: (call) => api.reactAsync(call) },
    { method: 'GET', path: '/reactors/{id}/results/{request}', handler: (call) => api.result(call) }
  ]
}

class ReactorApi {
  readonly #ports: ReactorPorts
  readonly #asyncRuns: AsyncRuns
  readonly #reactors: Documents<Reactor>
  readonly #formulas: Documents<Formula>

  constructor(ports: ReactorPorts, asyncRuns: AsyncRuns) {
    this.#ports = ports
    this.#asyncRuns = asyncRuns
    this.#reactors = new Documents<Reactor>(ports.vault.shelves.reactors, 'reactor')
    this.#formulas = new Documents<Formula>(ports.vault.shelves.reactors, 'formula')
  }

  async createFormula(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'reactor:create')
    const id = crypto.randomUUID()
    await this.#formulas.write(call, id, await this.#newFormula(call, null), null)
    return this.#answerFormula(call, id, 201)
  }

  async listFormulas(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'reactor:read')
    return { status: 200, body: await this.#formulas.page(call, (stored) => showFormula(stored, call.caller.tenant)) }
  }

  async readFormula(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'reactor:read')
    return this.#answerFormula(call, idOf(call), 200)
  }

  async replaceFormula(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'reactor:update')
    const was = await this.#formulas.read(call.caller.tenant, idOf(call))
    await this.#formulas.write(call, was.id, await this.#newFormula(call, was.document), was.volume)
    return this.#answerFormula(call, was.id, 200)
  }

  async removeFormula(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'reactor:delete')
    const id = idOf(call)
    const users = await this.#reactors.all(call.caller.tenant)
    if (users.some(({ document }) => document.formula === id))
      throw new SluiceError('ERR_CONFLICT', 'A reactor is made of this formula')
    await this.#formulas.remove(call, id)
    return { status: 204, body: null }
  }

  async create(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'reactor:create')
    const id = crypto.randomUUID()
    await this.#reactors.write(call, id, await this.#newReactor(call, readObject(call.body), null), null)
    return this.#answer(call, id, 201)
  }

  async list(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'reactor:read')
    return { status: 200, body: await this.#reactors.page(call, (stored) => this.#show(call, stored)) }
  }

  async read(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'reactor:read')
    return this.#answer(call, idOf(call), 200)
  }

  async replace(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'reactor:update')
    const was = await this.#reactors.read(call.caller.tenant, idOf(call))
    await this.#reactors.write(
      call,
      was.id,
      await this.#newReactor(call, readObject(call.body), was.document),
      was.volume
    )
    return this.#answer(call, was.id, 200)
  }

  async patch(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'reactor:update')
    requireMergePatch(call)
    const was = await this.#reactors.read(call.caller.tenant, idOf(call))
    const { name, code, formula, application, configuration } = was.document
    const before = {
      name,
      configuration,
      ...(code === null ? {} : { code }),
      ...(formula === null ? {} : { formula: { id: formula } }),
      ...(application === null ? {} : { application: { id: application } })
    }
    const body = patched(asBody(before), readObject(call.body))
    await this.#reactors.write(call, was.id, await this.#newReactor(call, body, was.document), was.volume)
    return { status: 204, body: null }
  }

  async remove(call: ApiCall): Promise<ApiAnswer> {
    requirePermission(call, 'reactor:delete')
    await this.#reactors.remove(call, idOf(call))
    return { status: 204, body: null }
  }

  async react(call: ApiCall): Promise<ApiAnswer> {
    return (await this.#prepare(call)).run()
  }

  async reactAsync(call: ApiCall): Promise<ApiAnswer> {
    requireUse(call)
    this.#asyncRuns.requireRoom(call.caller.tenant)
    return this.#asyncRuns.start(call, idOf(call), await this.#prepare(call))
  }

  async result(call: ApiCall): Promise<ApiAnswer> {
    requireUse(call)
    return this.#asyncRuns.result(call, idOf(call), call.params.request ?? '')
  }

  async #prepare(call: ApiCall): Promise<Reaction> {
    requireUse(call)
    const reactor = await this.#reactors.read(call.caller.tenant, idOf(call))
    const { formula } = reactor.document
    const made = formula === null ? null : (await this.#formulas.read(call.caller.tenant, formula)).document
    return prepare(this.#ports, call, reactor, made)
  }

  async #answer(call: ApiCall, id: string, status: number): Promise<ApiAnswer> {
    const shown = await this.#show(call, await this.#reactors.read(call.caller.tenant, id))
    return { status, body: JSON.stringify(shown) }
  }

  async #show(call: ApiCall, stored: Stored<Reactor>): Promise<object> {
    const { tenant } = call.caller
    const { formula } = stored.document
    const shown = formula === null ? null : showFormula(await this.#formulas.read(tenant, formula), tenant)
    return showReactor(stored, tenant, shown)
  }

  async #answerFormula(call: ApiCall, id: string, status: number): Promise<ApiAnswer> {
    const { tenant } = call.caller
    return { status, body: JSON.stringify(showFormula(await this.#formulas.read(tenant, id), tenant)) }
  }

  async #newFormula(call: ApiCall, was: Formula | null): Promise<Formula> {
    const body = readObject(call.body)
    const faults = new Faults()
    const text = (name: string) => (typeof body[name] === 'string' ? body[name].slice(0, 100_000) : '')
    const formula: Formula = {
      kind: 'formula',
      name: readName(body, faults),
      description: text('description'),
      type: 'private',
      icon: text('icon'),
      code: readCode(body.code, faults),
      configuration: readParameters(body.configuration, 'configuration', faults),
      request_parameters: readParameters(body.request_parameters, 'request_parameters', faults),
      ...stamp(call, was)
    }
    faults.settle()
    await checkCode(this.#ports, call.caller.tenant, formula.code, 'code')
    return formula
  }

  async #newReactor(call: ApiCall, body: JsonObject, was: Reactor | null): Promise<Reactor> {
    const faults = new Faults()
    const { tenant } = call.caller
    const formula = await this.#formulaOf(call, body, was, faults)
    const code = formula === null ? readCode(body.code, faults) : null
    const configuration = readConfiguration(body.configuration, was?.configuration ?? {}, faults)
    if (formula !== null) {
      checkConfiguration((await this.#formulas.read(tenant, formula)).document, configuration, faults)
    }
    const reactor: Reactor = {
      kind: 'reactor',
      name: readName(body, faults),
      code,
      formula,
      application: await readAttached(this.#ports.vault, call, body, was?.application ?? null, faults),
      configuration,
      ...stamp(call, was)
    }
    faults.settle()
    if (code !== null) await checkCode(this.#ports, tenant, code, 'code')
    return reactor
  }

  /** The formula of a reactor is for ever: a body that names none, or names it again, keeps it. */
  async #formulaOf(call: ApiCall, body: JsonObject, was: Reactor | null, faults: Faults): Promise<string | null> {
    const id = asObject(body.formula)?.id
    if (was !== null) {
      if (id !== undefined && id !== was.formula) faults.add('formula.id', 'The formula of a reactor cannot change')
      return was.formula
    }
    if (body.formula === undefined || body.formula === null) return null
    const known = typeof id === 'string' && (await this.#formulas.all(call.caller.tenant)).some((one) => one.id === id)
    if (known) return id
    faults.add('formula.id', 'There is no such formula')
    return null
  }
}

function requireUse(call: ApiCall): void {
  if (!call.caller.holds('reactor:invoke')) requirePermission(call, 'token:use')
}
