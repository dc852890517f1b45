import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { gzipSync } from 'node:zlib'
import { answering, echoing, newDestination } from '../kit/destination.ts'
import type { RawResponse } from '../kit/message.ts'
import { newProxy, proxyRequest } from '../kit/proxy.ts'
import { call, invoke, newApplication, newStoredProxy } from '../kit/stored-proxy.ts'
import { sweep } from '../kit/sweep.ts'

/*
 * A marked value goes through everything that this suite does with one: forwarded whole and streamed, in every kind of
 * body, in the head, through filters that take it and filters that do not, to destinations that answer, refuse, break
 * off and are not there, by keys that may and keys that may not. Then logs, metrics, audit records, the store's files
 * and every answer of Sluice's own are searched for it, in each form that software writes a value in. Keys are swept
 * for as well.
 */

const MARK = 'zq7MARKEDsecret"<&>\\ü'
const CARD = '4000001234562345'
const ERRORS = `require('@basis-theory/basis-theory-reactor-formulas-sdk-js')`
const CONFIGURED = 'zq7CONFIGUREDsecret'

t.test('a marked value is nowhere but at the destination', async (t) => {
  const proxy = await newProxy({ limits: { wholeBodyBytes: 20_000, apiBodyBytes: 50_000 } })
  const destination = await newDestination({ script: echoing })
  const breaking = await newDestination({
    script: async (connection) => {
      await connection.request()
      connection.reset()
    }
  })
  const malformed = await newDestination({ script: answering('HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n') })
  t.teardown(() => Promise.all([proxy.close(), destination.close(), breaking.close(), malformed.close()]))
  const text = await proxy.token(MARK)
  const card = await proxy.token({ number: CARD, note: MARK, cvc: '987' })
  const all = await proxy.newKey(['token:use', 'token:use:head'])
  const reader = await proxy.newKey(['token:read'])
  const bound = await proxy.newKey(['token:use'], { destinations: ['api.example.com'] })
  const closed = await newDestination()
  await closed.close()

  /** Answers that Sluice gave by itself. */
  const own: string[] = []
  let forwarded = 0
  const send = async (bytes: Buffer): Promise<RawResponse | null> => {
    const response = await proxy.request(bytes).catch(() => null)
    if (response?.header('bt-proxy-destination-status') === undefined) own.push(response?.raw.toString('latin1') ?? '')
    else forwarded++
    return response
  }
  const at = (url: string, body: string | Buffer, headers: Record<string, string> = {}, key = all, path = '/proxy') =>
    send(proxyRequest(key, url, body, { headers, path }))

  const types: Record<string, string> = {
    'application/json': `{"a":"{{${text}}}","b":{{${card}}},"{{${text}}}":"<< ${card}.number >>"}`,
    'application/x-www-form-urlencoded': `a={{${text}}}&b=%7B%7B${card}.number%7D%7D`,
    'application/xml': `<a b="{{${text}}}">{{${text}}}<![CDATA[{{${text}}}]]></a>`,
    'text/plain': `{{${text}}} {{${card} | json: '$.number' | last4}}`,
    'text/csv': `"{{${text}}}",{{${card}.number}}`,
    'multipart/form-data; boundary=b': `--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n{{${text}}}\r\n--b--\r\n`
  }
  const filler = ' '.repeat(30_000)
  for (const url of [destination.url, breaking.url, malformed.url, `https://localhost:${closed.port}`]) {
    for (const [type, body] of Object.entries(types)) {
      await at(url, body, { 'Content-Type': type })
      await at(url, gzipSync(body), { 'Content-Type': type, 'Content-Encoding': 'gzip' })
      await at(url, `${body}${filler}`, { 'Content-Type': type })
      await at(url, `${body}${filler}{{nobody}}`, { 'Content-Type': type })
    }
  }
  const application = await newApplication(proxy, { destinations: ['localhost'] })
  const stored = await Promise.all(
    [destination, breaking, malformed].map(({ url }) =>
      newStoredProxy(proxy, url, {
        require_auth: false,
        application: { id: application },
        configuration: { KEY: CONFIGURED }
      })
    )
  )
  for (const { key } of stored) {
    for (const [type, body] of Object.entries(types)) {
      for (const sent of [body, `${body}${filler}{{nobody}}`, `{{ ${text} | nosuch }}`]) {
        const headers = { 'Content-Type': type }
        const response = await invoke(proxy, null, {
          apiKey: null,
          path: `/proxy?bt-proxy-key=${key}`,
          body: sent,
          headers
        })
        if (response.header('bt-proxy-destination-status') === undefined) own.push(response.raw.toString('latin1'))
        else forwarded++
      }
    }
  }
  t.ok(forwarded > 10, `${forwarded} requests arrived`)
  t.ok(destination.requests.some(({ body }) => body.includes('zq7MARKEDsecret')))

  const { url } = destination
  for (const expression of [
    `${text} | to_number`,
    `${text} | nosuch`,
    `${text} | append`,
    `${text} | plus: 1`,
    `${text} | json: '$['`,
    `${text} | date: '%Y'`,
    `${text} | alias_card`,
    `${text} | divided_by: 0`,
    `${card} | json: '$..*'`,
    `${card} | card_exp: 'MM'`,
    `${card} | split: ','`
  ]) {
    await at(url, `{"a":"{{ ${expression} }}"}`)
  }
  await at(url, `<{{${text}}}/>`, { 'Content-Type': 'application/xml' })
  await at(url, `{{${text}}}`, { 'Content-Type': 'text/plain; charset=iso-8859-1' })
  await at(url, '{}', { 'X-A': `{{${text}}}` })
  await at(url, '{}', { 'X-A': `{{${card}.number}}`, 'X-B': '{{nobody}}' })
  await at(url, '{}', {}, all, `/proxy/%7B%7B${text}%7D%7D?x=%7B%7B${text}%7D%7D`)
  await at(url, `{"a":"{{${text}}}","b":"{{nobody}}"}`)
  await at(url, `{"a":"{{${text}}}"}`, { 'Sluice-Subjects': 'another' })
  for (const key of [reader, bound, 'wrong', `${all}x`]) await at(url, `{"a":"{{${text}}}"}`, {}, key)
  for (const body of [
    JSON.stringify({ type: 'card', data: { number: MARK, note: CARD } }),
    JSON.stringify({ type: 'token', data: MARK, mask: '{{ data | nosuch }}' }),
    JSON.stringify({ type: 'token', data: CARD, id: 'fp_x' }),
    `{"type":"token","data":"${CARD}`,
    JSON.stringify({ type: 'token', data: `${CARD}${filler}${filler}` })
  ]) {
    const head = `POST /tokens HTTP/1.1\r\nHost: x\r\nBT-API-KEY: ${proxy.key}\r\nContent-Type: application/json\r\n`
    await send(Buffer.from(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`))
  }
  await send(Buffer.from(`GET /proxy/${CARD} HTTP/1.1\r\nHost: x\r\nHost: ${CARD}\r\n\r\n`))
  await send(Buffer.from(`${CARD} /proxy HTTP/1.1\r\nHost: x\r\n\r\n`))
  t.ok(own.length > 50, `${own.length} answers of Sluice’s own`)

  // Stored proxies, whose steps see plaintext and configuration, and fail on both in every way that they can.
  const hidden = 'zq8HIDDENconfiguration'
  const code = (body: string) => ({ code: `module.exports = async function (req) { ${body} }` })
  const tokenize = (token: object) => ({ type: 'tokenize', options: { token } })
  const failing: object[] = [
    code('throw new Error(JSON.stringify(req))'),
    code('return { headers: { "x-a": "a\\r\\n" + JSON.stringify(req) }, body: 1 }'),
    code('return JSON.stringify(req)'),
    { type: 'append_json', options: { value: '{{ proxy }}', location: '$.none.at.all' } },
    { type: 'append_json', options: { value: '{{ req.b | plus: 1 }}', location: '$.x' } },
    { type: 'append_header', options: { value: '{{ req }}{{ config: HIDDEN }}\n{{ req.a }}', location: 'X-A' } },
    { type: 'append_text', options: { value: '{{ req.a | nosuch: proxy.config.HIDDEN }}' } },
    tokenize({ type: 'card', data: { number: '{{ req.a }}', note: '{{ config: HIDDEN }}' } }),
    tokenize({ type: 'card', data: '{{ req.a }}{{ req.b }}{{ config: HIDDEN }}' }),
    tokenize({ id: '{{ data }}', data: '{{ req.a }}#{{ config: HIDDEN }}' }),
    tokenize({ data: '{{ req.none }}', metadata: { a: '{{ req.a }}{{ config: HIDDEN }}' } }),
    { type: 'mask', matcher: 'regex', expression: '(\\d+)', replacement: '*' }
  ]
  let swept = 0
  for (const side of ['request', 'response']) {
    for (const step of failing) {
      const more = { configuration: { HIDDEN: hidden }, [`${side}_transforms`]: [step] }
      const { key } = await newStoredProxy(proxy, url, more).catch(() => ({ key: '' }))
      if (key === '') continue
      const utf16 = 'type' in step && step.type === 'mask'
      const body = utf16 ? Buffer.from(`{{${text}}}\0`) : `{"a":"{{${text}}}","b":"{{ ${card}.number }}"}`
      const headers = { 'X-A': '{{ proxy.request.body | plus: proxy.config.HIDDEN }}' }
      for (const more of [{}, headers]) {
        const response = await invoke(proxy, key, { apiKey: all, body, headers: more })
        const isOurs = response.header('bt-proxy-destination-status') !== String(response.status)
        if (isOurs) own.push(response.raw.toString('latin1'))
        if (isOurs) swept++
      }
    }
  }
  t.ok(swept > 30, `${swept} answers about transforms that failed`)

  // Reactors: what they throw is swept, what they return goes to the caller, and lies sealed until it is fetched.
  const args = { a: `{{ ${text} }}`, card: `{{ ${card} }}` }
  for (const [body, isOwn] of [
    ['throw new Error(JSON.stringify(req) + req.args.a + req.configuration.HIDDEN)', true],
    [`throw new (${ERRORS}.BadRequestError)({ [req.args.a]: [req.args.card.number] })`, true],
    [
      `throw new (${ERRORS}.CustomHttpResponseError)({ status: 409, headers: { A: req.args.card.number }, body: req })`,
      true
    ],
    ['return JSON.stringify(req)', true],
    ['return { tokenize: { type: "card", data: { number: req.args.a } } }', true],
    ['await fetch("https://" + req.args.card.number + "/" + req.args.a)', true],
    ['console.log(req); await req.bt.tokens.retrieve(req.args.a)', true],
    ['return { raw: req }', false]
  ] as const) {
    const more = { name: 'swept', configuration: { HIDDEN: hidden }, ...code(body) }
    const made = await call(proxy, 'POST', '/reactors', more)
    const path = `/reactors/${String(made.body['id'])}`
    const answer = await call(proxy, 'POST', `${path}/react`, { args })
    const accepted = await call(proxy, 'POST', `${path}/react-async`, { args })
    own.push(made.text, accepted.text)
    t.strictSame([made.status, accepted.status], [201, 202])
    let result = await call(proxy, 'GET', `${path}/results/${String(accepted.body['asyncReactorRequestId'])}`)
    for (let tries = 0; tries < 200 && result.status === 404; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 25))
      result = await call(proxy, 'GET', `${path}/results/${String(accepted.body['asyncReactorRequestId'])}`)
    }
    if (isOwn) own.push(answer.text, result.text)
    t.equal(result.status, answer.status, body)
    t.equal(answer.status < 400, !isOwn, body)
  }

  const metrics = await (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text()
  await proxy.app.close()
  const keys = stored.map(({ key }) => key)
  const secrets = [
    MARK,
    'zq7MARKEDsecret',
    hidden,
    CARD,
    CARD.slice(4),
    CONFIGURED,
    proxy.key,
    all,
    reader,
    bound,
    ...keys
  ]
  const files = (folder: string): Record<string, Buffer> =>
    Object.fromEntries(
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .map((name) => join(folder, name))
        .filter((path) => statSync(path).isFile())
        .map((path) => [path.slice(proxy.folder.length), readFileSync(path)])
    )
  t.strictSame(
    sweep(secrets, {
      'answers of Sluice': own,
      log: proxy.logged(),
      metrics,
      ...files(join(proxy.folder, 'audit')),
      ...files(join(proxy.folder, 'data'))
    }),
    []
  )
})
