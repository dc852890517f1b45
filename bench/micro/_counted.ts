/**
 * Program: what one request consists of, piece by piece, to be run so and so often: cases of the micro benchmarks, and four
 * tokens revealed. It runs in valgrind, too, where a whole proxy is too slow and too unsteady to be held against a baseline.
 */
import type { Caller } from '../../lib/vault/access.ts'
import { newKeyMemo } from '../../lib/vault/vault.ts'
import { serveCommands } from '../kit/child.ts'
import { keepCases, type MicroCase } from '../kit/micro.ts'
import { benchVault, idAt } from './vault/_filled.ts'

/** Argument of `run`. */
export interface Piece {
  /** A case, behind its program's path; or `four tokens revealed`. */
  readonly name: string
  readonly times: number
}

const REVEAL = 'four tokens revealed'
const TOKENS = 64
const TURN = 10
const DATA = '"4242424242424242"'
const TOKEN = { type: 'card_number', container: '/pci/high/', data: DATA, expiresAt: null }
const DESTINATION = { host: 'psp.example', port: 443, method: 'POST', path: '/v1/charges' }

const cases = keepCases()
await import('./listen/request-parser.ts')
await import('./listen/answer-head.ts')
await import('./scan/scanner.ts')
await import('./expr/render.ts')
await import('./egress/exchange.ts')
const { vault, key, close } = await benchVault({ count: TOKENS, token: () => TOKEN })
const memo = newKeyMemo()
await vault.authenticate(key, memo)
const revealed: MicroCase = { name: '', run: revealFour }
let at = 0

serveCommands({
  check: (names: readonly string[]) => {
    for (const name of names) caseOf(name).check?.()
  },
  /** In turns of the event loop as long as a busy server's. */
  run: async ({ name, times }: Piece) => {
    const { run } = caseOf(name)
    for (let left = times; left > 0; left -= TURN) {
      for (let n = Math.min(left, TURN); n > 0; n--) run()
      await vault.released()
    }
  },
  close
})

function caseOf(name: string): MicroCase {
  const found = name === REVEAL ? revealed : cases.get(name)
  if (found === undefined) throw new Error(`there is no case ${name}`)
  return found
}

function revealFour(): number {
  const caller = vault.authenticate(key, memo) as Caller
  const subjects = [0, 1, 2, 3].map((n) => {
    const id = idAt((at + n) % TOKENS, TOKENS)
    return { text: id, form: 'data' as const, candidates: [id] }
  })
  at += 4
  const purpose = { door: 'proxy' as const, destination: DESTINATION, traceId: 'bench', reason: null, intent: 0 }
  const found = vault.reveal(caller, subjects, purpose, 100)
  if (found instanceof Promise || found[3]?.data.exposeText() !== DATA) throw new Error('wrong reveal')
  vault.outcome(purpose.intent, 'ok')
  return found.length
}
