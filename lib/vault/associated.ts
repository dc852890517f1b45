/**
 * Hot: per token. Associated data of seals, so that a seal opens only where it was made:
 *
 *      | format, data key id (5) | purpose (1) | length (2), tenant | length (2), id | length (4), header |
 *
 * A scratch that holds one at a time. The header is either copied into it, or read by a store right into its place: the
 * rest of a record may follow, and is opened from there.
 */
import { copyWords, Scratch, writePlain, writeText } from './scratch.ts'
import type { RowKey } from './store.ts'

export class Associated extends Scratch implements RowKey {
  /** The tenant that stands here already, and the place after it. */
  #tenant: string | null = null
  #idAt = 0
  #idEnd = 0

  /** Writes all that comes before the header, but the format, the key and the header's length. Returns the header's place. */
  begin(purpose: number, tenant: string, id: string): number {
    this.#begin(purpose, tenant, id)
    return this.#end(writeText(id, this.bytes, this.#idAt))
  }

  /** The same for an id of ASCII that can stand in JSON as it is; -1 when it is another one. */
  beginPlain(purpose: number, tenant: string, id: string): number {
    this.#begin(purpose, tenant, id)
    return writePlain(id, this, this.#idAt) ? this.#end(id.length) : -1
  }

  #begin(purpose: number, tenant: string, id: string): void {
    this.reserve(FIXED + (tenant.length + id.length) * 3)
    const { bytes } = this
    bytes[5] = purpose
    if (tenant === this.#tenant) return
    const length = writeText(tenant, bytes, TENANT_AT)
    bytes[6] = length >>> 8
    bytes[7] = length & 0xff
    this.#tenant = tenant
    this.#idAt = TENANT_AT + length + 2
  }

  #end(length: number): number {
    const { bytes } = this
    const at = this.#idAt
    bytes[at - 2] = length >>> 8
    bytes[at - 1] = length & 0xff
    this.#idEnd = at + length
    return at + length + 4
  }

  /** `tenant:id`, of those that were written last. */
  writeKey(target: DataView, at: number): number {
    const { words } = this
    const tenant = this.#idAt - 2 - TENANT_AT
    const id = this.#idEnd - this.#idAt
    copyWords(words, TENANT_AT, tenant, target, at)
    target.setUint8(at + tenant, COLON)
    copyWords(words, this.#idAt, id, target, at + tenant + 1)
    return at + tenant + 1 + id
  }

  /**
   * The associated data, now that the header stands at `start` (as `begin` said) up to `end`, for the seal that begins at
   * `sealed[at]`.
   */
  complete(start: number, end: number, sealed: Uint8Array, at: number): Buffer {
    const { bytes } = this
    for (let n = 0; n < 5; n++) bytes[n] = sealed[at + n] as number
    this.words.setUint32(start - 4, end - start)
    return this.view(end)
  }

  /** The same for the seal that begins here, at `bytes[at]`. */
  completeHere(start: number, end: number, at: number): Buffer {
    const { bytes, words } = this
    words.setInt32(0, words.getInt32(at))
    bytes[4] = bytes[at + 4] as number
    words.setUint32(start - 4, end - start)
    return this.view(end)
  }
}

const TENANT_AT = 8
const FIXED = 5 + 1 + 2 + 2 + 4
const COLON = 0x3a
