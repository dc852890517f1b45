import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Command, startCommand } from '../kit/command.ts'
import { curl } from '../kit/curl.ts'

/*
 * The examples of the vendor's page on its vault proxy, run against `sluice dev` as they stand: only hosts and API keys are
 * replaced. The users that they name are among those that `dev` makes.
 */

const ADA = 'fp_id_tctecBEvGc98V7Vx4MhZU'
const JANE = 'fp_id_JHSfbHz7VdxfoPXuaOlZqb'

async function startDev(folder: string): Promise<Command> {
  const ports = ['--listen.http.port', '0', '--listen.https.port', '0', '--admin.port', '0', '--echo-port', '0']
  const dev = startCommand(['dev', ...ports], { cwd: folder })
  await dev.prints(/shows one that nobody signed.*\n/)
  return dev
}

t.test('the documented examples', async (t) => {
  const folder = t.testdir({})
  const dev = await startDev(folder)
  t.teardown(async () => {
    dev.kill('SIGTERM')
    await dev.exited
  })
  const state = join(folder, '.sluice')
  const [, sluice = ''] = /^Sluice serves on (\S+?),/m.exec(dev.stdout) ?? []
  const [, echo = ''] = /BT-PROXY-URL: (https:\/\/localhost:\d+)/.exec(dev.stdout) ?? []
  const [, mtls = ''] = /^(https:\/\/localhost:\d+) echoes as well/m.exec(dev.stdout) ?? []
  const key = readFileSync(join(state, 'api-key'), 'utf8').trim()
  const run = (line: string) =>
    curl(
      line
        .replaceAll('https://api.onefootprint.com', sluice)
        .replaceAll('https://payments.acmebank.com', echo)
        .replaceAll('https://ditto.footprint.dev:8443', mtls)
        .replaceAll('https://ditto.footprint.dev', echo)
        .replaceAll(/sk_test_\w+/g, key)
        .replaceAll('client.crt', join(state, 'client.crt'))
        .replaceAll('client.key', join(state, 'client.key'))
        .replace(`POST ${echo}`, `POST --cacert ${join(state, 'ca.pem')} ${echo}`)
    )
  const jit = (headers: readonly string[], body: string) =>
    run(
      `curl https://api.onefootprint.com/vault_proxy/jit -u sk_test_x: -H 'x-fp-proxy-target-url: https://ditto.footprint.dev' ${headers.map((header) => `-H '${header}'`).join(' ')} --data '${body}'`
    )
  const reflect = (headers: readonly string[], body: string) =>
    run(
      `curl https://api.onefootprint.com/vault_proxy/reflect -u sk_test_x: ${headers.map((header) => `-H '${header}'`).join(' ')} --data '${body}'`
    )

  t.test('making a proxy request', async (t) => {
    const answer = await run(`curl https://api.onefootprint.com/vault_proxy/jit \\
    -u sk_test_CXUsbCR8j2kH6e5GeEl8eSBnQTIPCUaKpv: \\
    -X POST \\
    -H 'x-fp-proxy-target-url: https://payments.acmebank.com' \\
    -H 'x-fp-proxy-fwd-custom-header: custom value' \\
    -H 'x-fp-proxy-fwd-content-type: application/json' \\
    --data '{
        "full_name": "{{ fp_id_tctecBEvGc98V7Vx4MhZU.id.first_name }} {{ fp_id_tctecBEvGc98V7Vx4MhZU.id.last_name }}",
        "last4_ssn": "{{ fp_id_tctecBEvGc98V7Vx4MhZU.id.ssn4 }}",
        "cc": "{{ fp_id_tctecBEvGc98V7Vx4MhZU.custom.credit_card }}",
        "cc_exp": "{{ fp_id_tctecBEvGc98V7Vx4MhZU.custom.credit_card_exp }}",
        "cc_cvc": "{{ fp_id_tctecBEvGc98V7Vx4MhZU.custom.credit_card_cvc }}"
    }'`)
    t.equal(answer.status, 200)
    t.equal(
      answer.body,
      `{
        "full_name": "Ada Doè",
        "last4_ssn": "1120",
        "cc": "4242424242424242",
        "cc_exp": "04/30",
        "cc_cvc": "123"
    }`
    )
    t.equal(answer.headers['custom-header'], 'custom value')
    t.equal(answer.headers['content-type'], 'application/json')
    t.equal(answer.headers['authorization'], undefined)
  })

  t.test('tokens of both forms', async (t) => {
    const values = [
      ['id.last_name', 'Doè'],
      ['id.ssn9', '078051120'],
      ['id.dob', '1988-12-30'],
      ['custom.credit_card', '4242424242424242']
    ] as const
    for (const [name, value] of values) {
      t.equal((await jit([], `{{ ${ADA}.${name} }}`)).body, value)
      t.equal((await jit([`x-fp-id: ${ADA}`], `{{ ${name} }}`)).body, value)
    }
  })

  t.test('filter functions', async (t) => {
    const examples = [
      ['{{ id.last_name | to_ascii | to_uppercase }}', 'DOE'],
      ['{{ id.dob | date_format("%Y-%m-%d", "%A in %B of %y") }}', 'Friday in December of 88'],
      ['{{ custom.ach_account| replace("-", "") }}', '1212121212'],
      ['{{ id.first_name | to_lowercase }}', 'ada'],
      ['{{ custom.credit_card | prefix(6) }}', '424242'],
      ['{{ custom.credit_card | suffix(4) }}', '4242']
    ] as const
    for (const [expression, value] of examples) {
      t.equal((await reflect([`x-fp-id: ${ADA}`], expression)).body, value, expression)
      t.equal((await jit([`x-fp-id: ${ADA}`], expression)).body, value, expression)
    }
  })

  t.test('ingress vaulting', async (t) => {
    const response = `{
  "data": {
    "card": {
      "number": "4242424242424",
      "expiration": {
        "month": "04",
        "year": "25"
      }
    },
    "processor": "amex"
  }
}`
    const rule = 'x-fp-proxy-ingress-rule: fp_id_tctecBEvGc98V7Vx4MhZU.custom.credit_card_number=$.data.card.number'
    const answer = await jit(['x-fp-proxy-ingress-content-type: json', rule], response)
    t.equal(answer.body, response.replace('4242424242424', `${ADA}.custom.credit_card_number`))
    t.equal((await reflect([`x-fp-id: ${ADA}`], '{{ custom.credit_card_number }}')).body, '4242424242424')

    const more = [
      `${ADA}.card.primary.number=$.data.card.number`,
      `${ADA}.card.primary.exp_month=$.data.card.expiration_month`,
      `${ADA}.card.primary.exp_year=$.data.card.expiration_year`,
      `${ADA}.card.primary.cvc=$.data.card.security_code`
    ].map((text) => `x-fp-proxy-ingress-rule: ${text}`)
    const card =
      '{"data":{"card":{"number":"4242424242424242","expiration_month":"04","expiration_year":"25","security_code":"123"}}}'
    t.equal((await jit(['x-fp-proxy-ingress-content-type: json', ...more], card)).headers['sluice-captured'], '4')
    const back =
      '{{ card.primary.number }} {{ card.primary.exp_month }} {{ card.primary.exp_year }} {{ card.primary.cvc }}'
    t.equal((await reflect([`x-fp-id: ${ADA}`], back)).body, '4242424242424242 04 25 123')

    const filtered =
      'x-fp-proxy-ingress-rule: fp_id_tctecBEvGc98V7Vx4MhZU.card.primary.number = $.card.number | replace("-", "")'
    const dashed = `{
  "card": {
    "number": "4242-4242-4242-4242"
  }
}`
    const replaced = await jit(['x-fp-proxy-ingress-content-type: json', filtered], dashed)
    t.equal(replaced.body, dashed.replace('4242-4242-4242-4242', `${ADA}.card.primary.number`))
    t.equal((await reflect([`x-fp-id: ${ADA}`], '{{ card.primary.number }}')).body, '4242424242424242')
  })

  t.test('reflection', async (t) => {
    const answer = await run(`curl https://api.onefootprint.com/vault_proxy/reflect \\
      -u sk_test_0Te2YtSveZpWLMjQgNRkCv6siiC86iMIkZ: \\
      -H 'x-fp-id: fp_id_JHSfbHz7VdxfoPXuaOlZqb' \\
      --data \\
      'The name on my credit card is {{ card.primary.name | to_ascii | to_uppercase }}. I was born on a {{ id.dob | date_format("%Y-%m-%d", "%A in %B of %y") }}.'`)
    t.equal(answer.body, 'The name on my credit card is JANE DOE. I was born on a Friday in December of 88.')
    const printed = /vault_proxy\/reflect[\s\S]*?--data '.*'\n\n(.*)\n/.exec(dev.stdout)?.[1]
    const line = /^curl [^\n]*reflect[\s\S]*?--data '.*'$/m.exec(dev.stdout)?.[0] ?? ''
    t.equal((await curl(line)).body, printed, 'and the line that dev prints')
    t.match(line, JANE)
  })

  t.test('ditto, with and without a client certificate', async (t) => {
    const plain = await run(
      `$ curl -i -X POST https://ditto.footprint.dev -H 'Test-Header: FootprintRocks'  --data '{"hello": "world" }'`
    )
    t.match(plain, {
      status: 200,
      body: '{"hello": "world" }',
      headers: { 'test-header': 'FootprintRocks', 'content-type': 'application/x-www-form-urlencoded' }
    })
    t.equal(plain.headers['x-ditto-client-cert-serial'], undefined)
    const line = `$ curl --cert client.crt --key client.key -i -k -X POST https://ditto.footprint.dev:8443 -H 'Test-Header: FootprintRocks' --data '{"hello": "world" }'`
    const serial = BigInt(`0x${new X509Certificate(readFileSync(join(state, 'client.crt'))).serialNumber}`).toString()
    t.match(await run(line), {
      status: 200,
      body: '{"hello": "world" }',
      headers: { 'test-header': 'FootprintRocks', 'x-ditto-client-cert-serial': serial }
    })

    const pem = (name: string) => encodeURIComponent(readFileSync(join(state, name), 'utf8'))
    const identity = `-H 'x-fp-proxy-client-cert: ${pem('client.crt')}' -H 'x-fp-proxy-client-key: ${pem('client.key')}'`
    const pin = `-H 'x-fp-proxy-pin-cert: ${pem('ditto.crt')}'`
    const call = `curl https://api.onefootprint.com/vault_proxy/jit -u sk_test_x: -H 'x-fp-proxy-target-url: https://ditto.footprint.dev:8443' -H 'x-fp-id: ${JANE}' --data '{{ id.dob }}'`
    const pinned = await run(`${call} ${identity} ${pin}`)
    t.equal(pinned.body, '1988-12-30')
    t.equal(pinned.headers['x-ditto-client-cert-serial'], serial)
    t.equal((await run(`${call} ${pin}`)).headers['x-ditto-client-cert-serial'], undefined)
    t.match(await run(`${call} ${identity}`), { status: 502, body: /ERR_DESTINATION_TLS/ }, 'unless it is pinned')
  })
})
