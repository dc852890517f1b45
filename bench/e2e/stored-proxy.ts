/**
 * What a stored proxy costs beside the ephemeral one: the same 1 KiB of JSON through the same process, named by BT-PROXY-URL,
 * by the key of a stored proxy, and by one that asks for no API key. Each call of a stored proxy is written to the audit
 * log, whatever it holds.
 */
import { readFileSync } from 'node:fs'
import { newClient } from '../../test/kit/client.ts'
import { expectedBody, plainBody, tokenId, tokenValue } from '../data/small-json.ts'
import { limitTime } from '../kit/child.ts'
import { contest, type Entry } from '../kit/contest.ts'
import { count, quick } from '../kit/options.ts'
import { report } from '../kit/report.ts'
import { type Contender, newScene } from '../kit/scene.ts'
import { populate, startSluice } from '../kit/sluice.ts'

/** Of the ratio to the ephemeral proxy: an audit record more. */
const BUDGET = 1.1

limitTime(quick ? 60 : 900)
const scene = await newScene(new URL('../kit/small-upstream.ts', import.meta.url))
const population = await populate(scene, 'aes-256-gcm', count('tokens', 100_000, 1000))
const sluice = await startSluice(scene, population)
const sample = Array.from({ length: 8 }, (_, at) => tokenId(at * 5))
const values = new Map(sample.map((id, at) => [id, tokenValue(at * 5)]))
const substituted = (ids: readonly string[]) => expectedBody(ids.map((id) => values.get(id) ?? ''))

const key = `BT-API-KEY: ${population.apiKey}\r\n`
const base = { name: 'bench', destination_url: `https://localhost:${scene.upstreamPort}/v1/payments` }
const grants = { name: 'bench', type: 'private', permissions: ['token:use'], destinations: ['localhost'] }
const application = await make('/applications', grants)
const asked = await make('/proxies', base)
const open = await make('/proxies', { ...base, require_auth: false, application: { id: application['id'] } })
const named = (name: string, headers: string): Contender => ({ ...sluice, name, headers })
const stored = named('sluice, stored proxy', `${key}BT-PROXY-KEY: ${String(asked['key'])}\r\n`)
const unasked = named('sluice, stored proxy without a key', `BT-PROXY-KEY: ${String(open['key'])}\r\n`)

const plain = { case: '1 KiB', body: 'plain', forwarded: () => plainBody } as const
const tokens = { case: '1 KiB, four tokens', body: 'tokens', forwarded: substituted } as const
const entries = [plain, tokens].flatMap((what): Entry[] => {
  const entry: Entry = { ...what, contender: sluice }
  const against = [{ entry, budget: BUDGET }]
  return [entry, { ...what, contender: stored, against }, { ...what, contender: unasked, against }]
})
report(await contest('e2e/stored-proxy', scene, { file: population.ids, sample }, entries))
await scene.close()
process.exit(0)

/** Makes something by the API. */
async function make(path: string, json: object): Promise<Record<string, unknown>> {
  const client = await newClient({ port: sluice.port, tls: { ca: readFileSync(scene.ca, 'utf8') } })
  const body = JSON.stringify(json)
  const head = `POST ${path} HTTP/1.1\r\nHost: ${sluice.host}\r\n${key}Content-Type: application/json\r\n`
  const answer = await client.request(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)
  client.destroy()
  if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${answer.body.toString()}`)
  return JSON.parse(answer.body.toString()) as Record<string, unknown>
}
