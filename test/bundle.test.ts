import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import t from 'tap'
import { newMasterKey } from '../lib/vault/master-key.ts'
import { certificates } from './kit/certificates.ts'
import { newClient } from './kit/client.ts'
import { runCommand, startCommand } from './kit/command.ts'
import { answering, newDestination } from './kit/destination.ts'
import { BUNDLE, isFresh } from './kit/main-file.ts'
import { reactorCode } from './kit/reactor.ts'
import { ROOT, readSources } from './kit/sources.ts'

/* What users run is made of lib/ by lib/build/bundle.ts. */

const FOLDER = dirname(BUNDLE)
const PARTS = readdirSync(FOLDER).filter((name) => name.endsWith('.part.js'))
/** Threads that read nothing of the vault or of a configuration have copies of what they need. */
const ALONE = ['guest-thread.part.js', 'masking-thread.part.js']

t.test('it was made of the modules that are there', async (t) => {
  t.ok(isFresh())
})

t.test('no module is in two parts that meet in one process', async (t) => {
  const found = new Map<string, string[]>()
  for (const part of PARTS.filter((name) => !ALONE.includes(name))) {
    // What the bundler itself adds has no map.
    const map = join(FOLDER, `${part}.map`)
    const { sources } = existsSync(map)
      ? (JSON.parse(readFileSync(map, 'utf8')) as { sources: string[] })
      : { sources: [] }
    for (const source of sources) {
      const path = relative(ROOT, join(FOLDER, source))
      found.set(path, [...(found.get(path) ?? []), part])
    }
  }
  const twice = [...found].filter(([, parts]) => parts.length > 1)
  t.strictSame(twice, [])
  t.ok(found.size > 200)
})

t.test('all of a request is one part, whose constants V8 can fold', async (t) => {
  const server = readFileSync(join(FOLDER, 'server.part.js'), 'utf8')
  const text = [...readSources('lib').values()].join('\n')
  const declared = (word: string): Set<string> =>
    new Set([...text.matchAll(new RegExp(`^(?:export )?${word} (\\w+)`, 'gm'))].map((match) => match[1] ?? ''))
  const constants = declared('const')
  const variables = declared('let')
  const spoiled = [...server.matchAll(/^(?:var|let) (\w+)(?:\$\d+)? = /gm)]
    .map((match) => match[1] ?? '')
    .filter((name) => constants.has(name) && !variables.has(name))
  t.strictSame(spoiled, [])
  t.ok([...constants].filter((name) => server.includes(`\nconst ${name} = `)).length > 500)
  for (const room of ['scan/scanner', 'proxy/execute', 'egress/exchange', 'listen/raw-client', 'vault/reveal', 'app']) {
    t.ok(server.includes(`\n// lib/${room}.ts\n`), room)
  }
})

/** The parts that a command loads, each with whether V8 rejected what lies beside it. */
function partsOf(command: readonly string[], ...flags: string[]): [string, boolean | null][] {
  const program = `
    process.setSourceMapsEnabled(false)
    const vm = require('node:vm'), seen = []
    vm.Script = class extends vm.Script {
      constructor(code, options) {
        super(code, options)
        seen.push([require('node:path').basename(options.filename), this.cachedDataRejected])
      }
    }
    process.on('exit', () => console.error(JSON.stringify(seen)))
    process.argv = ${JSON.stringify([process.execPath, BUNDLE, ...command])}
    require(${JSON.stringify(BUNDLE)})`
  const { stderr } = spawnSync(process.execPath, [...flags, '-e', program], { encoding: 'utf8', env: {} })
  return JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as [string, boolean | null][]
}

t.test('what V8 made of it at build is taken, and done without when it is not there', async (t) => {
  const listing = ['keys', 'list', '--config', 'nowhere.yaml']
  const taken = partsOf(listing)
  t.ok(taken.length > 4)
  t.strictSame(
    taken.filter(([, rejected]) => rejected !== false),
    []
  )
  t.ok(taken.some(([name]) => name === 'server.part.js'))
  const rejected = partsOf(listing, '--no-opt')
  t.strictSame(
    rejected,
    taken.map(([name]) => [name, true])
  )
})

t.test('a faulty configuration is told before the server is loaded', async (t) => {
  const parts = partsOf(['serve', '--config', 'nowhere.yaml']).map(([name]) => name)
  t.ok(parts.includes('command.part.js'))
  t.notOk(parts.includes('server.part.js'))
})

t.test('with source maps, stacks name lib/', async (t) => {
  const folder = t.testdir({ 's.yaml': 'listen: { http: { port: 0 } }\n', 'master.key': newMasterKey() })
  const fault = "import c from 'node:crypto'; c.createSecretKey = () => { throw new TypeError('planted') }"
  const node = ['--enable-source-maps', '--import', `data:text/javascript,${encodeURIComponent(fault)}`]
  const { stderr } = await runCommand(['keys', 'list', '--config', 's.yaml'], { cwd: folder, node })
  t.match(stderr, /planted\n(.*\n)*.*parseMasterKeys \(.*[/\\]lib[/\\]vault[/\\]master-key\.ts:\d+/)
})

t.test('workers, threads and commands of it serve', async (t) => {
  const { ca } = await certificates()
  const said = JSON.stringify(Array.from({ length: 4000 }, (_, at) => ({ number: `4242${at}` })))
  const destination = await newDestination({
    script: answering(`HTTP/1.1 200 OK\r\nContent-Length: ${said.length}\r\n\r\n${said}`)
  })
  t.teardown(() => destination.close())
  const yaml = `
listen: { http: { port: 0 } }
admin: { port: 0 }
workers: 2
egress: { ports: [${destination.port}], allowPrivateNetworks: [127.0.0.0/8], ca: [ca.pem] }
`
  const folder = t.testdir({ 's.yaml': yaml, 'master.key': newMasterKey(), 'ca.pem': ca })
  chmodSync(join(folder, 'master.key'), 0o600)
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await runCommand([...args, '--config', 's.yaml'], { cwd: folder })
    if (code !== 0) throw new Error(stderr)
    return stdout
  }
  const { key } = JSON.parse(await run('keys', 'create', '--name', 'k', '--permissions', '*', '--json')) as {
    key: string
  }
  const server = startCommand(['serve', '--config', 's.yaml'], { cwd: folder })
  t.teardown(() => server.kill('SIGKILL'))
  await server.prints(/"msg":"started"/)
  const port = await server.port('listen.http')

  const ask = async (method: string, path: string, json: object, more = ''): Promise<string> => {
    const client = await newClient({ port, tls: null })
    const body = JSON.stringify(json)
    const head = `${method} ${path} HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${key}\r\nContent-Type: application/json\r\n${more}`
    const response = await client.request(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)
    client.destroy()
    if (response.status >= 300) throw new Error(`${path}: ${response.status} ${response.body.toString()}`)
    return response.body.toString()
  }
  const idOf = (text: string): Record<string, string> => JSON.parse(text) as Record<string, string>
  const token = idOf(await ask('POST', '/tokens', { type: 'token', data: '4242424242424242' }))['id']
  const code = reactorCode('return { raw: { last: req.args.pan.slice(-4) } }')
  const reactor = idOf(await ask('POST', '/reactors', { name: 'r', code }))['id']
  const answer = await ask('POST', `/reactors/${reactor}/react`, { args: { pan: `{{ ${token} }}` } })
  t.match(JSON.parse(answer), { raw: { last: '4242' } }, 'the sandbox')
  const mask = { type: 'mask', matcher: 'regex', expression: '"number":\\s*"(.*?)"', replacement: '*' }
  const stored = { name: 'p', destination_url: destination.url, response_transforms: [mask] }
  const proxyKey = idOf(await ask('POST', '/proxies', stored))['key']
  const masked = await ask('POST', '/proxy', { pan: `{{ ${token} }}` }, `BT-PROXY-KEY: ${proxyKey}\r\n`)
  t.equal(
    masked,
    said.replace(/4242\d+/g, (digits) => '*'.repeat(digits.length)),
    'the thread of masks'
  )
  t.match((await destination.request(0)).body.toString(), '{"pan":"4242424242424242"}')
  server.kill('SIGTERM')
  t.match(await server.exited, { code: 0 })
  await run('keyring', 'init', '--vault.masterKeyFile', 'export.key')
  await run('tokens', 'export', 'tokens.jsonl', '--key-file', 'export.key')
  t.match(await run('audit', 'verify'), /./)
})
