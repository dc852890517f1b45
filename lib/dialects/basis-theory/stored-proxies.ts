/**
 * Stored proxies as requests meet them: found by their key, and ready. What was made ready is kept while nothing in the
 * vault changes that it could rest on: the documents, and the applications that are attached to them.
 */
import { SluiceError } from '../../errors.ts'
import { parseJson } from '../../json.ts'
import { type Destination, parseDestinationUrl } from '../../plan/destination.ts'
import type { Deadlines } from '../../plan/plan.ts'
import type { Caller } from '../../vault/access.ts'
import type { FoundVolume } from '../../vault/shelf.ts'
import type { Vault } from '../../vault/vault.ts'
import type { ProxyChecks, StoredProxy } from './proxy-documents.ts'
import { looksLikeProxyKey } from './proxy-key.ts'
import { type ReadySteps, readySteps } from './transforms/pipeline.ts'

/** A stored proxy with all that does not differ from call to call. */
export interface ReadyProxy<Identity> {
  readonly id: string
  readonly tenant: string
  readonly document: StoredProxy
  /** What it acts for, and who calls it when it asks for no API key. */
  readonly attached: Caller | null
  readonly destination: Destination
  /** One object for all calls. */
  readonly peer: ProxyPeer<Identity>
  readonly deadlines: Deadlines
  readonly steps: ReadySteps
  /** A request with an Idempotency-Key may be repeated whatever its method. Code could take the key away. */
  readonly repeatsByKey: boolean
}

/** A destination, and as whom it is reached: by a stored proxy alone with a client certificate. */
export interface ProxyPeer<Identity> {
  readonly tenant: string
  readonly host: string
  readonly port: number
  readonly identity: Identity | null
}

export interface StoredProxiesPorts<Identity> extends ProxyChecks<Identity> {
  readonly vault: Pick<Vault, 'generation' | 'shelves' | 'applications'>
  readonly deadlines: Deadlines
}

export class StoredProxies<Identity> {
  readonly #ports: StoredProxiesPorts<Identity>
  // :: key → its proxy, for the generation `#readyOf`
  #ready = new Map<string, ReadyProxy<Identity>>()
  #readyOf = -1
  #bytes = 0

  constructor(ports: StoredProxiesPorts<Identity>) {
    this.#ports = ports
  }

  /** Synchronous when the proxy is known. Throws ERR_NOT_FOUND; ERR_CONFLICT when its application is gone. */
  find(key: string): ReadyProxy<Identity> | Promise<ReadyProxy<Identity>> {
    if (!looksLikeProxyKey(key)) throw noProxy()
    const generation = this.#ports.vault.generation()
    if (generation instanceof Promise) return generation.then((known) => this.#known(key, known))
    return this.#known(key, generation)
  }

  #known(key: string, generation: number): ReadyProxy<Identity> | Promise<ReadyProxy<Identity>> {
    if (generation !== this.#readyOf) {
      this.#clear()
      this.#readyOf = generation
    }
    return this.#ready.get(key) ?? this.#make(key, generation)
  }

  async #make(key: string, generation: number): Promise<ReadyProxy<Identity>> {
    const found = await this.#ports.vault.shelves.proxies.find(key)
    if (found === null) throw noProxy()
    const proxy = await this.#readyFrom(found)
    // NOTE: what was read is at least as new as the generation, which was read before it.
    if (generation === this.#readyOf && !this.#ready.has(key)) {
      const { length } = found.volume.bytes
      if (this.#bytes + length > KEPT_BYTES || this.#ready.size >= KEPT) this.#clear()
      this.#ready.set(key, proxy)
      this.#bytes += length
    }
    return proxy
  }

  #clear(): void {
    this.#ready.clear()
    this.#bytes = 0
  }

  async #readyFrom({ tenant, volume }: FoundVolume): Promise<ReadyProxy<Identity>> {
    const { vault, ports, exemptOrigins, deadlines } = this.#ports
    const document = parseJson(volume.text) as unknown as StoredProxy
    const { application, client_certificate: certificate, timeout } = document
    const attached = application === null ? null : await vault.applications.attached(tenant, application)
    if (application !== null && attached === null) {
      throw new SluiceError('ERR_CONFLICT', 'The application of the proxy is no longer there')
    }
    const destination = parseDestinationUrl(document.destination_url, ports, exemptOrigins)
    const { host, port } = destination
    const identity = certificate === null ? null : this.#ports.identity({ ...certificate, pins: [] })
    const steps = readySteps(document.request_transforms, document.response_transforms)
    return {
      id: volume.id,
      tenant,
      document,
      attached,
      destination,
      peer: { tenant, host, port, identity },
      deadlines: timeout === null ? deadlines : deadlinesWith(deadlines, timeout),
      steps,
      repeatsByKey: document.retry === 'idempotency-key' && !steps.request.some(({ kind }) => kind === 'code')
    }
  }
}

/**
 * May anybody call a proxy to this destination in the name of the application? It must be bound to destinations, of which
 * one holds the whole of this one, for some method.
 */
export function mayCallUnauthenticated(attached: Caller, { host, port, path }: Destination): boolean {
  if (!attached.isBound) return false
  for (const method of PROXY_METHODS)
    if (attached.mayReach({ host, port, method, path: path === '' ? '/' : path })) return true
  return false
}

/** The same for a key that is not known, and for a proxy of another tenant. */
export function noProxy(): SluiceError {
  return new SluiceError('ERR_NOT_FOUND', 'There is no such proxy')
}

function deadlinesWith(deadlines: Deadlines, timeout: number): Deadlines {
  const { connectTimeoutMs, bodyIdleTimeoutMs } = deadlines
  return { connectTimeoutMs, timeoutMs: timeout * 1000, bodyIdleTimeoutMs }
}

/** Methods of the proxy; the rest is 405. */
export const PROXY_METHODS: ReadonlySet<string> = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD'])
const KEPT = 1000
const KEPT_BYTES = 16 * 1024 * 1024
