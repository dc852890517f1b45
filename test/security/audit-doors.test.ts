/**
 * The attack: a leaked key reads cards where nobody looks for it. Asking for a token is written down, so it asks for something
 * else whose answer shows the token all the same: a change that changes nothing, a copy that is already there, the result of
 * code, a whole export. Whatever shows what the vault keeps is a read in the audit log, before it is shown.
 */
import { createSecretKey, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { footprint, newUser } from '../kit/footprint.ts'
import { newProxy } from '../kit/proxy.ts'
import { reactorCode } from '../kit/reactor.ts'
import { call, newApplication } from '../kit/stored-proxy.ts'
import { newVault } from '../kit/vault.ts'

const NUMBER = '4242424242424242'
const proxy = await newProxy()
t.teardown(() => proxy.close())
const jane = await newUser(proxy, { 'card.primary.number': NUMBER })
const victim = await proxy.token({ number: NUMBER, name: 'Jane' }, { id: 'victim', metadata: { of: 'jane' } })
const copied = await proxy.token('copied-value', { id: 'copied', deduplicate_token: true })

type Line = Record<string, unknown>

async function lines(): Promise<Line[]> {
  await proxy.vault.released()
  const folder = join(proxy.folder, 'audit')
  return readdirSync(folder)
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'))
    .map((line) => JSON.parse(line) as Line)
}

/** The intents that `act` left behind, each with its outcome. */
async function written(act: () => Promise<unknown>): Promise<Line[]> {
  const before = (await lines()).length
  await act()
  const since = (await lines()).slice(before)
  const outcomeOf = (n: unknown) => since.find((line) => line['of'] === n)?.['outcome']
  return since.filter((line) => line['door'] !== undefined).map((line) => ({ ...line, outcome: outcomeOf(line['n']) }))
}

async function shown(method: string, path: string, json?: object, key = proxy.key): Promise<string> {
  const { status, text } = await call(proxy, method, path, json, key)
  if (status > 299) throw new Error(`${method} ${path}: ${status} ${text}`)
  return text
}

t.test('every answer that shows a token in plain is written down as a read of it', async (t) => {
  const doors: readonly (readonly [string, string, string, object | undefined, string])[] = [
    ['GET', `/tokens/${victim}`, 'read', undefined, victim],
    ['GET', `/tokens?id=${victim}`, 'read', undefined, victim],
    ['GET', `/v2/tokens?id=${victim}`, 'read', undefined, victim],
    ['POST', '/tokens/search', 'read', { query: 'metadata.of:jane' }, victim],
    ['POST', '/v2/tokens/search', 'read', { query: 'metadata.of:jane' }, victim],
    ['PATCH', `/tokens/${victim}`, 'read', {}, victim],
    ['PATCH', `/tokens/${victim}`, 'read', { metadata: { more: 'x' } }, victim],
    ['PATCH', `/tokens/${victim}`, 'read', { data: { name: 'John' } }, victim],
    ['POST', '/detokenize', 'detokenize', { a: `{{ ${victim} | json: '$.number' }}` }, victim],
    ['POST', '/tokens', 'read', { type: 'token', data: 'copied-value', deduplicate_token: true }, copied],
    ['POST', '/tokenize', 'read', { a: { type: 'token', data: 'copied-value', deduplicate_token: true } }, copied]
  ]
  for (const [method, path, door, json, id] of doors) {
    let text = ''
    const intents = await written(async () => {
      text = await shown(method, path, json)
    })
    const what = `${method} ${path} ${JSON.stringify(json ?? '')}`
    t.match(text, id === victim ? NUMBER : 'copied-value', what)
    t.match(
      intents.find((line) => line['door'] === door),
      { tokens: [id], outcome: 'shown' },
      what
    )
  }
  const field = `${jane}.card.primary.number`
  const reflected = await written(() => footprint(proxy, '/vault_proxy/reflect', { body: `{{ ${field} }}` }))
  t.match(reflected, [{ door: 'reflect', tokens: [field] }])
  const body = { fields: ['card.primary.number'], reason: 'r' }
  const decrypted = await written(() => footprint(proxy, `/users/${jane}/vault/decrypt`, { body }))
  t.match(decrypted, [{ door: 'decrypt', tokens: [field], outcome: 'shown' }])
})

t.test('code that changes a token is shown it, and so reads it', async (t) => {
  const application = await newApplication(proxy, { permissions: ['token:read', 'token:update'], rules: READ_ALL })
  const code = reactorCode(`return { raw: { of: (await req.bt.tokens.update('${victim}', {})).data.name } }`)
  const made = await call(proxy, 'POST', '/reactors', { name: 'update', code, application: { id: application } })
  const intents = await written(async () => {
    t.match(await shown('POST', `/reactors/${String(made.body['id'])}/react`, { args: {} }), 'John')
  })
  t.match(
    intents.find(({ door }) => door === 'read'),
    { application, tokens: [victim], outcome: 'shown' }
  )
})

t.test('what an asynchronous call gave back is written down each time that it is fetched', async (t) => {
  const code = reactorCode('return { raw: req.args.value }')
  const { body } = await call(proxy, 'POST', '/reactors', { name: 'echo', code })
  const reactor = String(body['id'])
  const started = await shown('POST', `/reactors/${reactor}/react-async`, { args: { value: `{{ ${copied} }}` } })
  const { asyncReactorRequestId: id } = JSON.parse(started) as { asyncReactorRequestId: string }
  const path = `/reactors/${reactor}/results/${id}`
  const until = Date.now() + 20_000
  while ((await call(proxy, 'GET', path)).status === 404 && Date.now() < until) await new Promise(setImmediate)
  const intents = await written(async () => {
    t.match(await shown('GET', path), 'copied-value')
  })
  t.match(intents, [{ door: 'result', reactor, result: id, outcome: 'shown' }])
})

t.test('what shows nothing that the caller did not bring is no read', async (t) => {
  const masked = await proxy.newKey(['token:read', 'token:update', 'token:create'])
  const none: readonly (readonly [string, string, object, string])[] = [
    ['POST', '/tokens', { type: 'token', data: 'of-my-own' }, proxy.key],
    ['POST', '/tokens', { type: 'token', data: 'new-to-all', deduplicate_token: true, id: 'fresh' }, proxy.key],
    ['PATCH', '/tokens/fresh', { data: 'wholly-new' }, proxy.key],
    ['PATCH', `/tokens/${victim}`, { metadata: { more: 'y' } }, masked]
  ]
  for (const [method, path, json, key] of none) {
    const intents = await written(() => shown(method, path, json, key))
    t.strictSame(
      intents.map(({ door }) => door),
      [method === 'POST' ? 'create' : 'update'],
      `${method} ${path}`
    )
  }
})

t.test(
  'an export is written down before its first byte; without an audit log there is none, and no result',
  async (t) => {
    const pieces: Buffer[] = []
    const { vault, directory, auditDirectory, masterKey, caller } = await newVault()
    t.teardown(() => rmSync(directory, { recursive: true, force: true }))
    const by = await caller()
    const transferKey = { id: 'transfer', key: createSecretKey(randomBytes(32)) }
    const count = await vault.exportTo(transferKey, async (piece) => {
      const log = readdirSync(auditDirectory).map((name) => readFileSync(join(auditDirectory, name), 'utf8'))
      t.match(log.join(''), '"door":"export"')
      pieces.push(piece)
    })
    t.equal(count, 0)
    t.ok(pieces.length > 1)
    await vault.close()
    const log = readdirSync(auditDirectory).map((name) => readFileSync(join(auditDirectory, name), 'utf8'))
    t.match(log.join(''), '"outcome":"exported 0"')
    rmSync(auditDirectory, { recursive: true })
    writeFileSync(auditDirectory, 'a file where the directory should be')
    const mute = await newVault({ directory, masterKey })
    pieces.length = 0
    await t.rejects(
      mute.vault.exportTo(transferKey, async (piece) => void pieces.push(piece)),
      { code: 'ERR_AUDIT_UNAVAILABLE' }
    )
    t.equal(pieces.length, 0)
    await t.rejects(mute.vault.showResult(by, 'r', 'x', 'trace'), { code: 'ERR_AUDIT_UNAVAILABLE' })
    await mute.close()
  }
)

const READ_ALL = [
  {
    description: 'all',
    priority: 1,
    container: '/',
    transform: 'reveal',
    permissions: ['token:read', 'token:update']
  }
]
