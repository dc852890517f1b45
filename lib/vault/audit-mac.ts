/**
 * Hot: `update`, for every audit record.
 *
 * The MAC of a seal of the audit log, over every byte of a chain's file since the seal before it:
 *
 *     mac = HMAC-SHA-256(key, chain id, mac before, length of the file, tag)
 *     tag = GHASH of the bytes: the tag of AES-256-GCM over them as associated data, under a key of the chain's own
 *
 * A universal hash below a pseudorandom function: the tag itself is never shown, so that not even one nonce for all
 * tells anything of the hash's key, and two texts have the same tag by a chance of their length in 2^128.
 * NOTE: twelve times as fast as SHA-256 on processors without instructions for it, where that took a twentieth of a
 * request with four tokens.
 */
import { type CipherGCM, createCipheriv, createHmac, type KeyObject } from 'node:crypto'

/** Over what follows one seal, up to the next. */
export interface RunningMac {
  update(bytes: Uint8Array): void
  /** Ends it at a file length of `bytes`. base64url */
  final(bytes: number): string
}

/** @param before the mac of the seal before; empty: none */
export function runningMac(key: KeyObject, chain: string, before: string): RunningMac {
  return new HashedMac(key, chain, before)
}

/** That of chains whose first line names no version: HMAC-SHA-256 over all the bytes. */
export function firstMac(key: KeyObject, chain: string, before: string): RunningMac {
  const running = createHmac('sha256', key).update(`${chain}\n${before}\n`)
  return {
    update(bytes) {
      running.update(bytes)
    },
    final: (bytes) => running.update(`seal ${bytes}`).digest('base64url')
  }
}

class HashedMac implements RunningMac {
  readonly #key: KeyObject
  readonly #beginning: string
  readonly #hash: CipherGCM

  constructor(key: KeyObject, chain: string, before: string) {
    this.#key = key
    this.#beginning = `${chain}\n${before}\n`
    const own = createHmac('sha256', key).update(`hash\n${chain}`).digest()
    this.#hash = createCipheriv('aes-256-gcm', own, NONCE)
  }

  update(bytes: Uint8Array): void {
    this.#hash.setAAD(bytes)
  }

  final(bytes: number): string {
    this.#hash.final()
    const tag = this.#hash.getAuthTag()
    return createHmac('sha256', this.#key).update(`${this.#beginning}seal ${bytes}\n`).update(tag).digest('base64url')
  }
}

const NONCE = Buffer.alloc(12)
