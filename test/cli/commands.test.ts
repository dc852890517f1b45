import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCheck } from '../../lib/cli/check.ts'
import { runKeyring } from '../../lib/cli/keyring.ts'
import { runKeys } from '../../lib/cli/keys.ts'
import { ROOT } from '../kit/sources.ts'
import { runCommand } from '../kit/command.ts'

type Run = (argv: readonly string[]) => Promise<number>

/** Runs a command that is to fail, in this process; what it prints on standard error is kept. */
async function refusal(t: Test, run: Run, argv: readonly string[]): Promise<{ code: number; stderr: string }> {
  const told = t.capture(process.stderr, 'write', () => true)
  const code = await run(argv)
  const stderr = told().map(({ args }) => String(args[0]))
  told.restore()
  return { code, stderr: stderr.join('') }
}

const CONFIG = 'listen: { http: { port: 0 } }\nadmin: { port: 0 }\n'

t.test('without a command, and with a wrong one, the usage is told', async (t) => {
  const help = await runCommand([])
  t.match(help, { code: 0, stdout: /^usage: sluice COMMAND/, stderr: /^$/ })
  const wrong = await runCommand(['sevre'])
  t.match(wrong, { code: 2, stdout: /^$/, stderr: /^sluice: there is no command sevre\nusage: / })
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
  t.match(await runCommand(['--version']), { code: 0, stdout: `${version}\n` })
})

t.test('every command tells its usage when asked', async (t) => {
  const commands = ['echo', 'keys', 'serve']
  const told = await Promise.all(commands.map((command) => runCommand([command, '--help'])))
  for (const [at, result] of told.entries()) t.match(result, { code: 0, stdout: /^usage: sluice / }, commands[at] ?? '')
})

t.test('check tells every fault on a line of its own', async (t) => {
  const folder = t.testdir({
    's.yaml': `${CONFIG}egress: { prots: [443], timeoutMs: -1 }\nworkers: many\n`,
    'good.yaml': CONFIG
  })
  const check = (file: string) => refusal(t, runCheck, ['--config', join(folder, file)])
  const faulty = await check('s.yaml')
  t.equal(faulty.code, 1)
  t.strictSame(faulty.stderr.split('\n').sort(), [
    '',
    'sluice check: egress.prots: no such setting',
    'sluice check: egress.timeoutMs: must be at least 1',
    'sluice check: workers: must be a whole number'
  ])
  t.match(await check('good.yaml'), {
    code: 1,
    stderr: /^sluice check: vault\.masterKeyFile: \S+ cannot be read \(ENOENT\)\n$/
  })
  const env = { SLUICE_MASTER_KEY: Buffer.alloc(32, 1).toString('base64') }
  t.match(await runCommand(['check', '--config', 'good.yaml'], { cwd: folder, env }), {
    code: 0,
    stdout: 'good.yaml is good\n',
    stderr: ''
  })
  const wrongKey = await runCommand(['check', '--config', 'good.yaml'], {
    cwd: folder,
    env: { SLUICE_MASTER_KEY: 'marked' }
  })
  t.match(wrongKey, { code: 1, stderr: /master key/i })
  t.notMatch(wrongKey.stderr, 'marked')
  t.match(await check('nowhere.yaml'), { code: 1, stderr: /nowhere\.yaml cannot be read/ })
})

t.test('wrong usage is exit code 2 and tells the usage', async (t) => {
  const wrong: readonly (readonly [run: Run, ...argv: string[]])[] = [
    [runCheck],
    [runCheck, '--config'],
    [runCheck, '--confg', 'x'],
    [runCheck, '--config', 'a', 'b'],
    [runKeys],
    [runKeys, 'make'],
    [runKeys, 'create', '--name', 'n'],
    [runKeys, 'create', '--permissions', '*'],
    [runKeys, 'create', '--name', 'n', '--permissions', '*', '--type', 'secret'],
    [runKeys, 'revoke'],
    [runKeys, 'list', 'all'],
    [runKeyring]
  ]
  for (const [run, ...argv] of wrong) {
    const { code, stderr } = await refusal(t, run, argv)
    t.equal(code, 2)
    t.match(stderr, /^sluice \w+: [^\n]+\nusage: sluice /, `${run.name} ${argv.join(' ')}`)
  }
})

t.test('keyring init makes a master key for its owner alone, once', async (t) => {
  const folder = t.testdir({ 's.yaml': `${CONFIG}vault: { masterKeyFile: keys }\n` })
  const made = await runCommand(['keyring', 'init', '--config', 's.yaml'], { cwd: folder })
  t.match(made, { code: 0, stderr: '' })
  const file = join(folder, 'keys')
  t.equal(statSync(file).mode & 0o777, 0o600)
  const text = readFileSync(file, 'utf8')
  t.match(text, /^[A-Za-z0-9+/]{43}=\n$/)
  t.notMatch(made.stdout, text.trim())
  const again = await refusal(t, runKeyring, ['init', '--config', join(folder, 's.yaml')])
  t.match(again, { code: 1, stderr: /exists/ })
  t.equal(readFileSync(file, 'utf8'), text)
  t.match(await runCommand(['check', '--config', 's.yaml'], { cwd: folder }), { code: 0 })
})

t.test('keys are made, listed and revoked', async (t) => {
  const folder = t.testdir({
    's.yaml': CONFIG,
    'rules.json': JSON.stringify([{ container: '/pci/', transform: 'reveal', permissions: ['token:use'] }]),
    'bad.json': JSON.stringify([{ container: '/pci/', transform: 'reveal', permissions: ['token:fly'] }]),
    'odd.json': JSON.stringify([{ container: '/pci/' }])
  })
  const sluice = (...args: string[]) => runCommand([...args, '--config', 's.yaml'], { cwd: folder })
  const refused = (...args: string[]) => refusal(t, runKeys, [...args, '--config', join(folder, 's.yaml')])
  t.match(await refused('list'), { code: 1, stderr: /^sluice keys: vault\.masterKeyFile: .* \(ENOENT\)\n$/ })
  t.notOk(existsSync(join(folder, 'data')), 'a fault leaves nothing behind')
  await sluice('keyring', 'init')

  const made = await sluice('keys', 'create', '--name', 'one', '--permissions', '*', '--json')
  t.match(made, { code: 0, stderr: '' })
  const first = JSON.parse(made.stdout) as { id: string; key: string }
  t.strictSame(Object.keys(first), ['id', 'key'])
  t.match(first.key, /^key_(live|test)_pvt_[0-9A-Za-z]+\.[0-9A-Za-z]+$/)
  const bound = await sluice(
    'keys',
    'create',
    ...['--name', 'two', '--permissions', 'token:create', '--rules', 'rules.json'],
    ...['--destinations', 'api.example.com,*.example.org', '--tenant', 'acme', '--type', 'private']
  )
  t.match(bound, { code: 0, stdout: /^id {3}(\S+)\nkey {2}key_\S+\n\n/ })

  const listed = await sluice('keys', 'list')
  t.equal(listed.code, 0)
  t.equal(listed.stdout.split('\n').length, 4)
  t.match(
    listed.stdout,
    /\sacme\s+private\s+two\s+token:create \/pci\/ reveal: token:use\s+api\.example\.com,\*\.example\.org\n/
  )
  t.notMatch(listed.stdout, first.key.split('.')[1] ?? '')
  const all = JSON.parse((await sluice('keys', 'list', '--json')).stdout) as { id: string; name: string }[]
  t.strictSame(all.map(({ name }) => name).sort(), ['one', 'two'])

  t.match(await sluice('keys', 'revoke', first.id), { code: 0, stdout: `${first.id} is revoked\n` })
  t.match(await refused('revoke', first.id), { code: 1, stderr: /^sluice keys: [^\n]+\n$/ })
  t.notMatch((await sluice('keys', 'list')).stdout, first.id)

  const grants = ['create', '--name', 'x', '--permissions', 'token:use']
  for (const rules of ['bad.json', 'odd.json', 'nowhere.json']) {
    const result = await refused(...grants, '--rules', join(folder, rules))
    t.match(result, { code: 1, stderr: /^sluice keys: [^\n]+\n$/ }, rules)
  }
  t.match(await refused(...grants.slice(0, 4), 'token:fly'), { code: 1, stderr: /token:fly/ })
  t.match(await refused(...grants, '--destinations', 'https://x'), { code: 1, stderr: /destinations/ })
})

t.test('another master key does not open a vault', async (t) => {
  const folder = t.testdir({ 's.yaml': CONFIG })
  const sluice = (...args: string[]) => runCommand([...args, '--config', 's.yaml'], { cwd: folder })
  await sluice('keyring', 'init')
  await sluice('keys', 'create', '--name', 'one', '--permissions', '*')
  const file = join(folder, 'master.key')
  const right = readFileSync(file, 'utf8')
  const wrong = Buffer.alloc(32, 7).toString('base64')
  chmodSync(file, 0o600)
  writeFileSync(file, wrong)
  const refused = await refusal(t, runKeys, ['list', '--config', join(folder, 's.yaml')])
  t.match(refused, { code: 1, stderr: /^sluice keys: vault\.masterKeyFile: [^\n]+\n$/ })
  writeFileSync(file, `${wrong}\n${right}`)
  t.match(await sluice('keys', 'list'), { code: 0, stdout: /one/ }, 'any line of the file unwraps')
})
