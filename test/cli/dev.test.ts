import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import t from 'tap'
import { type Command, runCommand, startCommand } from '../kit/command.ts'

const ANY_PORTS = ['--listen.http.port', '0', '--listen.https.port', '0', '--admin.port', '0', '--echo-port', '0']

/** The command line that `dev` prints for pasting, in words as a shell splits them. */
function printedCurl(stdout: string): { readonly script: string; readonly words: readonly string[] } {
  const script = /^curl [\s\S]*?-d '.*'$/m.exec(stdout)?.[0] ?? ''
  const words = [...script.replaceAll('\\\n', ' ').matchAll(/'([^']*)'|(\S+)/g)].map(
    ([, quoted, bare]) => quoted ?? bare ?? ''
  )
  return { script, words }
}

/** What the printed line is to answer with. */
function printedAnswer(stdout: string): string {
  return /^The echo destination answers .*\n\n(.*)\n/m.exec(stdout)?.[1] ?? 'no answer'
}

/** Does what curl would do with these words, so that the test needs no curl. */
function curl(words: readonly string[], ca?: string): Promise<{ status: number; body: string }> {
  const headers: Record<string, string> = {}
  let body = ''
  let url = ''
  for (let at = 1; at < words.length; at++) {
    const word = words[at] ?? ''
    if (word === '-s') continue
    if (word === '-H') {
      const [name = '', value = ''] = (words[++at] ?? '').split(': ')
      headers[name] = value
    } else if (word === '-d') body = words[++at] ?? ''
    else url = word
  }
  return new Promise((resolve, reject) => {
    const send = url.startsWith('https:') ? httpsRequest : httpRequest
    send(url, { method: 'POST', headers, ...(ca === undefined ? {} : { ca }) }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
    })
      .on('error', reject)
      .end(body)
  })
}

async function startDev(folder: string): Promise<Command> {
  const dev = startCommand(['dev', ...ANY_PORTS], { cwd: folder })
  await dev.prints(/The echo destination answers[\s\S]*\n\n.*\n/)
  return dev
}

t.test(
  'the printed curl answers with what it says, a second start reuses all, and SIGTERM ends it with 0',
  async (t) => {
    const folder = t.testdir({})
    const state = join(folder, '.sluice')
    const first = await startDev(folder)
    t.teardown(() => first.kill('SIGKILL'))
    t.match(
      first.stdout,
      /^Sluice serves on http:\/\/127\.0\.0\.1:\d+, https:\/\/localhost:\d+ \(curl --cacert \.sluice\/ca\.pem\)\n/
    )
    const { script, words } = printedCurl(first.stdout)
    const answer = await curl(words)
    t.strictSame(answer, { status: 200, body: printedAnswer(first.stdout) })
    t.match(answer.body, '4242424242424242')

    const pasted = await new Promise<string | null>((resolve) => {
      execFile('bash', ['-c', script], (error, stdout) => resolve(error === null ? stdout : null))
    })
    if (pasted === null) t.comment('no curl on this machine')
    else t.equal(pasted, printedAnswer(first.stdout), 'pasted into a shell')

    const httpsPort = /https:\/\/localhost:(\d+)/.exec(first.stdout)?.[1] ?? ''
    const overTls = words.map((word) => word.replace(/^http:\/\/127\.0\.0\.1:\d+/, `https://localhost:${httpsPort}`))
    const ca = readFileSync(join(state, 'ca.pem'), 'utf8')
    t.strictSame(
      await curl(overTls, ca),
      { status: 200, body: printedAnswer(first.stdout) },
      'over HTTPS with its own CA'
    )

    const wrong = await curl(words.map((word) => word.replace('demo_name', 'demo_nome')))
    t.equal(wrong.status, 400)
    t.match(wrong.body, 'demo_nome')

    for (const file of ['master.key', 'api-key', 'key.pem'])
      t.equal(statSync(join(state, file)).mode & 0o777, 0o600, file)
    t.equal(statSync(state).mode & 0o777, 0o700)
    const metrics = /^Metrics: (\S+)$/m.exec(first.stdout)?.[1] ?? ''
    t.match(await (await fetch(metrics)).text(), /^sluice_tokens_revealed_total [1-9]/m)

    first.kill('SIGTERM')
    const ended = await first.exited
    t.match(ended, { code: 0, signal: null, stderr: '' })
    for (const secret of ['4242424242424242', '078-05-1120']) {
      const logged = ended.stdout.split('\n').filter((line) => line.startsWith('{"level"'))
      t.ok(logged.length > 0)
      t.notMatch(logged.join('\n'), secret, 'no value is logged')
    }

    const kept = Object.fromEntries(
      ['ca.pem', 'cert.pem', 'key.pem', 'master.key', 'api-key', 'sluice.yaml'].map((file) => [
        file,
        readFileSync(join(state, file), 'utf8')
      ])
    )
    const second = await startDev(folder)
    t.teardown(() => second.kill('SIGKILL'))
    for (const [file, text] of Object.entries(kept)) t.equal(readFileSync(join(state, file), 'utf8'), text, file)
    t.equal(printedCurl(second.stdout).words[4], words[4], 'the same key')
    t.strictSame(await curl(printedCurl(second.stdout).words), { status: 200, body: printedAnswer(second.stdout) })
    second.kill('SIGINT')
    t.match(await second.exited, { code: 0, signal: null, stderr: '' })
    t.strictSame(readdirSync(folder), ['.sluice'], 'everything lies in one folder')

    const served = await runCommand(['serve', '--config', join(state, 'sluice.yaml')], { cwd: folder })
    t.match(served, { code: 1, stdout: '', stderr: /^sluice serve: .*sluice dev/ }, 'serve refuses its vault')
  }
)

t.test('dev refuses production, the network, and other vaults', async (t) => {
  const folder = t.testdir({})
  const refusals = await Promise.all([
    runCommand(['dev', ...ANY_PORTS], { cwd: folder, env: { NODE_ENV: 'production' } }),
    runCommand(['dev', ...ANY_PORTS, '--folder', 'a', '--listen.http.host', '0.0.0.0'], { cwd: folder }),
    runCommand(['dev', ...ANY_PORTS, '--folder', 'b', '--listen.allowPlainHttp', 'true', '--listen.http.host', '::'], {
      cwd: folder
    }),
    runCommand(['dev', ...ANY_PORTS, '--folder', 'c', '--admin.host', '0.0.0.0'], { cwd: folder }),
    runCommand(['dev', ...ANY_PORTS, '--folder', 'd', '--vault.path', './elsewhere'], { cwd: folder })
  ])
  for (const refusal of refusals) t.match(refusal, { code: 1, stdout: '', stderr: /^sluice dev: [^\n]+\n$/ })
  t.match(await runCommand(['dev', '--echo-port', 'x'], { cwd: folder }), { code: 2 })
  t.notOk(readdirSync(folder).includes('elsewhere'))
})
