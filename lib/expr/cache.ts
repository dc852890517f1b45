import { LRUCache } from 'lru-cache'
import type { Chain } from './chain.ts'

/**
 * Compiled chains by grammar and chain text: a million token ids share one compiled `json: '$.number' | last4`.
 * Bounded in bytes. Holds what callers wrote, never a value; chains with a key in them are not kept.
 */
const chains = new LRUCache<string, Chain>({
  maxSize: 8 * 1024 * 1024,
  sizeCalculation: (chain, key) => ENTRY_BYTES + STEP_BYTES * chain.steps.length + 4 * key.length
})

/** How often a chain was found compiled, and how often it had to be: since the process started. */
export const cacheCounts = { hits: 0, misses: 0 }

/**
 * The compiled chain for a text, compiled now if need be. `compile` gets a copy of the text that does not keep alive
 * the body it was cut from.
 *
 * @param prefix One character that names the grammar.
 */
export function cachedChain(prefix: string, text: string, compile: (text: string) => Chain): Chain {
  if (text.length > KEPT_CHARACTERS) {
    cacheCounts.misses++
    return compile(text)
  }
  const key = prefix + text
  const kept = chains.get(key)
  if (kept !== undefined) {
    cacheCounts.hits++
    return kept
  }
  cacheCounts.misses++
  const own = Buffer.from(text).toString()
  const chain = compile(own)
  if (!chain.keyed) chains.set(prefix + own, chain)
  return chain
}

/** Longer chains are compiled each time. */
const KEPT_CHARACTERS = 512
const ENTRY_BYTES = 256
const STEP_BYTES = 256
