import { LRUCache } from 'lru-cache'
import type { Chain } from './chain.ts'
import type { Work } from './work.ts'

/**
 * Compiled chains by grammar and chain text: a million token ids share one compiled `json: '$.number' | last4`.
 * Bounded in bytes. Holds what callers wrote, never a value; chains with a key in them are not kept.
 */
const chains = new LRUCache<string, Chain>({
  maxSize: 16 * 1024 * 1024,
  // Measured: a compiled JSONPath filter, the dearest, keeps 150 bytes for each character of it.
  sizeCalculation: (chain, key) => 1024 + 256 * chain.steps.length + 160 * key.length
})

/** How often a chain was found compiled, and how often it had to be: since the process started. */
export const cacheCounts = { hits: 0, misses: 0 }

/**
 * The compiled chain for a text, compiled now if need be. `compile` gets a copy of the text that does not keep alive
 * the body it was cut from.
 *
 * @param prefix One character that names the grammar.
 * @param work Compiling counts on it. Throws ERR_EXPR_LIMIT.
 */
export function cachedChain(
  prefix: string,
  text: string,
  compile: (text: string) => Chain,
  work: Work | undefined
): Chain {
  if (text.length > KEPT_CHARACTERS) {
    cacheCounts.misses++
    work?.compile(text.length)
    return compile(text)
  }
  const key = prefix + text
  const kept = chains.get(key)
  if (kept !== undefined) {
    cacheCounts.hits++
    return kept
  }
  cacheCounts.misses++
  work?.compile(text.length)
  const own = Buffer.from(text).toString()
  const chain = compile(own)
  if (!chain.keyed) chains.set(prefix + own, chain)
  return chain
}

/** Longer chains are compiled each time. */
const KEPT_CHARACTERS = 512
