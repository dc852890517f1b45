/**
 * 1 KiB of JSON through the compiled `sluice serve`, TLS on both sides, with authentication, permissions, audit, metrics
 * and log on: untouched, and with four tokens that no cache can hold, each found and opened in the store. Against
 * http-proxy, which forwards the same bytes untouched and does nothing else. `--seal=xchacha20-poly1305`,
 * `--tokens=1000000`.
 */
import type { SealName } from '../../lib/vault/keyring.ts'
import { expectedBody, plainBody, requestBody, tokenId, tokenValue } from '../data/small-json.ts'
import { limitTime } from '../kit/child.ts'
import { contest, type Entry } from '../kit/contest.ts'
import { count, option, quick } from '../kit/options.ts'
import { report } from '../kit/report.ts'
import { newScene, startPeer } from '../kit/scene.ts'
import { populate, startSluice } from '../kit/sluice.ts'

limitTime(quick ? 90 : 900)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const seal = option('seal', 'aes-256-gcm') as SealName
const population = await populate(scene, seal, count('tokens', 100_000, 1000))
const sluice = await startSluice(scene, population)
const httpProxy = await startPeer(scene, 'http-proxy')
const sample = Array.from({ length: 8 }, (_, at) => tokenId(at * 5))
const values = new Map(sample.map((id, at) => [id, tokenValue(at * 5)]))

const untouched: Entry = { case: '1 KiB', contender: httpProxy, body: 'plain', forwarded: () => plainBody }
const sameBytes: Entry = {
  case: '1 KiB, four tokens, untouched',
  contender: httpProxy,
  body: 'tokens',
  forwarded: requestBody
}
const entries: Entry[] = [
  untouched,
  {
    case: '1 KiB',
    contender: sluice,
    body: 'plain',
    forwarded: () => plainBody,
    against: [{ entry: untouched, budget: 0.45 }]
  },
  sameBytes,
  {
    case: `1 KiB, four of ${population.tokens} tokens, ${seal}`,
    contender: sluice,
    body: 'tokens',
    forwarded: (ids) => expectedBody(ids.map((id) => values.get(id) ?? '')),
    against: [{ entry: sameBytes, budget: seal === 'aes-256-gcm' ? 0.65 : 0.5 }]
  }
]
report(await contest('e2e/small-json', scene, { file: population.ids, sample }, entries))
await scene.close()
process.exit(0)
