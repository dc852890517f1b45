import { lookup as dnsLookup, type LookupAddress } from 'node:dns'
import { LRUCache } from 'lru-cache'
import { SluiceError } from '../errors.ts'

/** The form of `dns.lookup` with `all`. */
export type Lookup = (
  host: string,
  options: { all: true; verbatim: true },
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void
) => void

/** Resolves names through the system's resolver. One question at a time for a name; answers are kept a short while. */
export class Resolver {
  readonly #lookup: Lookup
  readonly #timeoutMs: number
  // :: host → its addresses, in the resolver's order
  readonly #fresh = new LRUCache<string, readonly LookupAddress[]>({ max: 2048, ttl: FRESH_MS })
  // :: host → the question under way
  readonly #asking = new Map<string, Promise<readonly LookupAddress[]>>()

  constructor(timeoutMs: number, lookup: Lookup = dnsLookup) {
    this.#timeoutMs = timeoutMs
    this.#lookup = lookup
  }

  /** All addresses of a host, at least one. Returned at once when known. Rejects with ERR_DESTINATION_DNS. */
  resolve(host: string): readonly LookupAddress[] | Promise<readonly LookupAddress[]> {
    const known = this.#fresh.get(host)
    if (known !== undefined) return known
    const asked = this.#asking.get(host)
    if (asked !== undefined) return asked
    const asking = this.#ask(host)
    this.#asking.set(host, asking)
    return asking
  }

  /** Forgets the addresses of a host: none of them could be reached. */
  forget(host: string): void {
    this.#fresh.delete(host)
  }

  #ask(host: string): Promise<readonly LookupAddress[]> {
    return new Promise((answer, fail) => {
      const late = setTimeout(() => settle('ETIMEOUT', []), this.#timeoutMs)
      const settle = (code: string | undefined, addresses: LookupAddress[]): void => {
        clearTimeout(late)
        this.#asking.delete(host)
        if (code === undefined && addresses.length > 0) {
          this.#fresh.set(host, addresses)
          answer(addresses)
        } else {
          const message = `The name of the destination does not resolve (${code ?? 'ENODATA'})`
          fail(new SluiceError('ERR_DESTINATION_DNS', message, { forwarded: 'no' }))
        }
      }
      this.#lookup(host, { all: true, verbatim: true }, (error, addresses) => {
        settle(error === null ? undefined : (error.code ?? 'EUNKNOWN'), addresses)
      })
    })
  }
}

const FRESH_MS = 10_000
