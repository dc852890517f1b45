/** What reactors, formulas and stored proxies have in common: documents on a shelf, with a name and write-only values. */
import { SluiceError } from '../../errors.ts'
import { formatJson, type Json, LosslessNumber, parseJson } from '../../json.ts'
import type { ApiCall } from '../../listen/api.ts'
import type { Actor } from '../../vault/records.ts'
import type { Shelf, Volume } from '../../vault/shelf.ts'
import type { Vault } from '../../vault/vault.ts'
import { pageText, readPage } from './paging.ts'
import { asObject, type Faults, type JsonObject } from './token-input.ts'
import { requirePermission } from './tokens.ts'

/** As stored: a JSON object with these members among others. */
export interface Stored<Document> {
  readonly id: string
  readonly document: Document
  readonly volume: Volume
}

export interface Stamped {
  readonly kind: string
  readonly name: string
  readonly created_by: string
  readonly created_at: string
  readonly modified_by: string | null
  readonly modified_at: string | null
}

/** Documents of one kind on a shelf that may hold several kinds. */
export class Documents<Document extends Stamped> {
  readonly #shelf: Shelf
  readonly #kind: Document['kind']

  constructor(shelf: Shelf, kind: Document['kind']) {
    this.#shelf = shelf
    this.#kind = kind
  }

  /** Throws ERR_NOT_FOUND. */
  async read(tenant: string, id: string): Promise<Stored<Document>> {
    const volume = ID.test(id) ? await this.#shelf.read(tenant, id) : null
    const stored = volume === null ? null : this.#open(volume)
    if (stored === null) throw new SluiceError('ERR_NOT_FOUND', 'There is no such resource')
    return stored
  }

  async all(tenant: string): Promise<Stored<Document>[]> {
    const { volumes } = await this.#shelf.list(tenant, 0, Number.MAX_SAFE_INTEGER)
    return volumes.flatMap((volume) => this.#open(volume) ?? [])
  }

  /** The page that a call asks for by `id`, `name` (with `*`), `page` and `size`, as JSON. What `show` gives is JSON's. */
  async page(call: ApiCall, show: (stored: Stored<Document>) => object | Promise<object>): Promise<string> {
    const page = readPage(call.query.get('page') ?? undefined, call.query.get('size') ?? undefined)
    const ids = call.query.getAll('id')
    const name = nameTest(call.query.get('name'))
    const chosen = (await this.all(call.caller.tenant)).filter(
      ({ id, document }) => (ids.length === 0 || ids.includes(id)) && name(document.name)
    )
    const from = (page.page - 1) * page.size
    const items: string[] = []
    for (const stored of chosen.slice(from, from + page.size)) items.push(shownText(await show(stored)))
    return pageText(items, page, chosen.length)
  }

  async write(call: ApiCall, id: string, document: Document, was: Volume | null): Promise<void> {
    await this.#shelf.write(actorOf(call), id, formatJson(document as unknown as Json), was, call.traceId)
  }

  async remove(call: ApiCall, id: string): Promise<void> {
    const { volume } = await this.read(call.caller.tenant, id)
    await this.#shelf.remove(actorOf(call), volume, call.traceId)
  }

  #open(volume: Volume): Stored<Document> | null {
    const document = parseJson(volume.text) as unknown as Document
    return document.kind === this.#kind ? { id: volume.id, document, volume } : null
  }
}

/** Who made and who last changed a document. */
export function stamp(call: ApiCall, was: Stamped | null): Omit<Stamped, 'kind' | 'name'> {
  const now = new Date().toISOString().replace(/\.\d+Z$/, '+00:00')
  const by = call.caller.application
  if (was === null) return { created_by: by, created_at: now, modified_by: null, modified_at: null }
  return { created_by: was.created_by, created_at: was.created_at, modified_by: by, modified_at: now }
}

/** The members of an answer that a document's stamp gives. */
export function showStamp(stamped: Stamped): object {
  const { created_by, created_at, modified_by, modified_at } = stamped
  return { created_by, created_at, ...(modified_at === null ? {} : { modified_by, modified_at }) }
}

export function readName(body: JsonObject, faults: Faults): string {
  const name = typeof body.name === 'string' ? body.name : ''
  if (name === '' || name.length > 200) faults.add('name', 'The name must have 1 to 200 characters')
  return name
}

/**
 * Values that are written and never shown: `null` in the stead of one keeps what is there, so that what was read can be
 * written back.
 */
export function readConfiguration(
  value: Json | undefined,
  was: Readonly<Record<string, string>>,
  faults: Faults
): Record<string, string> {
  if (value === undefined || value === null) return {}
  const given = asObject(value)
  const entries = given === null ? [] : Object.entries(given)
  if (given === null || entries.length > 25) faults.add('configuration', 'An object of at most 25 values was expected')
  const read: [string, string][] = []
  for (const [name, one] of entries) {
    const kept = Object.hasOwn(was, name) ? was[name] : undefined
    if (one === null && kept !== undefined) read.push([name, kept])
    else if (typeof one === 'string') read.push([name, one])
    else if (typeof one === 'number' || typeof one === 'boolean' || one instanceof LosslessNumber)
      read.push([name, formatJson(one)])
    else faults.add(`configuration.${name}`, 'The value must be a string')
  }
  return Object.fromEntries(read)
}

/** The JSON of an answer. */
export function shownText(shown: object): string {
  return formatJson(shown as Json)
}

/** The names alone. */
export function showConfiguration(configuration: Readonly<Record<string, string>>): Record<string, null> {
  return Object.fromEntries(Object.keys(configuration).map((name) => [name, null]))
}

/**
 * The id of the application that a body attaches; null for none. Attaching one is acting for it, and detaching one frees
 * of its bindings: both need `application:update`. Throws ERR_PERMISSION.
 */
export async function readAttached(
  vault: Vault,
  call: ApiCall,
  body: JsonObject,
  was: string | null,
  faults: Faults
): Promise<string | null> {
  const isNone = body.application === undefined || body.application === null
  const id = isNone ? null : asObject(body.application)?.id
  if (id === was) return was
  requirePermission(call, 'application:update')
  if (id === null) return null
  const application = typeof id === 'string' ? await vault.applications.read(call.caller.tenant, id) : null
  if (application !== null && application.type !== 'management') return application.id
  faults.add('application.id', 'A private or public application was expected')
  return null
}

/** Throws ERR_MEDIA_TYPE. */
export function requireMergePatch(call: ApiCall): void {
  if (call.contentType?.split(';')[0]?.trim().toLowerCase() === 'application/merge-patch+json') return
  throw new SluiceError('ERR_MEDIA_TYPE', 'The content type must be application/merge-patch+json')
}

/** A body as a merge patch (RFC 7396) makes it of what is there. */
export function patched(was: JsonObject, patch: JsonObject): JsonObject {
  const merged: JsonObject = { ...was }
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name]
    else if (value !== undefined) {
      const [before, change] = [asObject(merged[name]), asObject(value)]
      merged[name] = before === null || change === null ? value : (patched(before, change) as Json)
    }
  }
  return merged
}

/** JSON that a document holds, as a body. */
export function asBody(document: object): JsonObject {
  return asObject(parseJson(formatJson(document as Json))) ?? {}
}

export function idOf(call: ApiCall): string {
  return call.params.id ?? ''
}

function actorOf({ caller }: ApiCall): Actor {
  return { tenant: caller.tenant, application: caller.application, keyId: caller.keyId }
}

/** `*` stands for anything; case does not count. */
function nameTest(pattern: string | null): (name: string) => boolean {
  if (pattern === null || pattern === '') return () => true
  const pieces = pattern.toLowerCase().split('*')
  const [first = '', ...rest] = pieces
  const last = rest.pop()
  return (name) => {
    const text = name.toLowerCase()
    if (last === undefined) return text === first
    if (!text.startsWith(first)) return false
    let at = first.length
    for (const piece of rest) {
      const found = text.indexOf(piece, at)
      if (found < 0) return false
      at = found + piece.length
    }
    return text.length - last.length >= at && text.endsWith(last)
  }
}

const ID = /^[0-9a-f-]{36}$/
