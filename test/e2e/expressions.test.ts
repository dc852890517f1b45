import { readFileSync } from 'node:fs'
import t from 'tap'
import type { Json } from '../../lib/json.ts'
import { echoing, newDestination } from '../kit/destination.ts'
import { newProxy, proxyRequest } from '../kit/proxy.ts'

/*
 * The expressions that the vendor's documentation shows, through a running proxy to a destination that echoes, compared
 * down to the byte.
 */

interface Vector {
  readonly data: Json
  readonly expr: string
  readonly expect?: Json
  readonly pattern?: string
  readonly error?: number
}

const { vectors } = JSON.parse(
  readFileSync(new URL('../../../test/vectors/basis-theory.json', import.meta.url), 'utf8')
) as { vectors: Vector[] }

const proxy = await newProxy()
const destination = await newDestination({ script: echoing })
const client = await proxy.client()
t.teardown(async () => {
  client.destroy()
  await Promise.all([proxy.close(), destination.close()])
})

/** What the destination received for a body, or the status of the refusal. */
async function sent(body: string, type = 'application/json'): Promise<string | number> {
  const before = destination.requests.length
  const response = await client.request(
    proxyRequest(proxy.key, destination.url, body, { headers: { 'Content-Type': type } })
  )
  if (destination.requests.length === before) return response.status
  return destination.requests.at(-1)?.body.toString() ?? ''
}

t.test('every published expression', async (t) => {
  // :: JSON of the data → token
  const ids = new Map<string, string>()
  for (const { data, expr, expect, pattern, error } of vectors) {
    const json = JSON.stringify(data)
    const id = ids.get(json) ?? (await proxy.token(data === null ? { x: null } : data))
    ids.set(json, id)
    const source = expr.replaceAll('{{ data', data === null ? `{{ ${id}.x` : `{{ ${id}`)
    const body = await sent(`{"x": ${JSON.stringify(source)}, "y":1.0}`)
    if (error !== undefined) t.equal(body, error, expr)
    else if (pattern !== undefined) {
      t.match((JSON.parse(String(body)) as { x: string }).x, new RegExp(pattern), expr)
    } else {
      const written = typeof expect === 'number' && !expr.includes('to_number') ? String(expect) : expect
      t.equal(body, `{"x": ${JSON.stringify(written)}, "y":1.0}`, expr)
    }
  }
})

t.test('the documentation’s requests', async (t) => {
  const card = await proxy.token({
    number: '4242424242424242',
    expiration_month: 11,
    expiration_year: 2025,
    cvc: '123'
  })
  const padded = await proxy.token({
    number: '4242424242424242',
    expiration_month: 3,
    expiration_year: 2025,
    cvc: '123'
  })
  const number = await proxy.token('5555555555554444')
  const owner = await proxy.token('Jane Doe')
  const [first, last] = [await proxy.token('John'), await proxy.token('Brown')]
  const custom = await proxy.token({
    card: {
      card_number: '4000056655665556',
      exp_month: 4,
      exp_year: 2026,
      owner: { first_name: 'John', last_name: 'Smith' }
    }
  })
  const ssn = await proxy.token('111-22-3333')
  const requests: [string, string][] = [
    [`{\n  "ssn": "{{${ssn}}}"\n}`, '{\n  "ssn": "111-22-3333"\n}'],
    [
      `{\n  "card": "{{${card}}}"\n}`,
      '{\n  "card": {"number":"4242424242424242","expiration_month":11,"expiration_year":2025,"cvc":"123"}\n}'
    ],
    [
      // As a shell sends it: it has taken the inner quotes away.
      `{"number": "{{${card} | json: $.number}}","month": "{{${card} | json: $.expiration_month}}","year": "{{${card} | json: $.expiration_year}}","cvc":"{{${card} | json: \\"$.cvc\\"}}"}`,
      '{"number": "4242424242424242","month": "11","year": "2025","cvc":"123"}'
    ],
    [
      // The comma that the documentation lacks is not missed.
      `{"number": "{{${card} | json: '$.number'}}"\n "month": "{{${card} | json: '$.expiration_month'}}",}`,
      '{"number": "4242424242424242"\n "month": "11",}'
    ],
    [
      `{"number": "{{${number}}}","full_name": "{{${owner}}}"}`,
      '{"number": "5555555555554444","full_name": "Jane Doe"}'
    ],
    [`{"full_name": "{{${first}}} {{${last}}}"}`, '{"full_name": "John Brown"}'],
    [
      `{"number":"{{${custom} | json: '$.card.card_number'}}","month":"{{${custom} | json: '$.card.exp_month'}}","full_name":"{{${custom} | json: '$.card.owner.first_name'}} {{${custom} | json: '$.card.owner.last_name'}}"}`,
      '{"number":"4000056655665556","month":"4","full_name":"John Smith"}'
    ],
    [
      `{"month":"{{${padded} | json: '$.expiration_month' | pad_left: 2, '0'}}","year":"{{${padded} | json: '$.expiration_year' | slice: -2, 2}}"}`,
      '{"month":"03","year":"25"}'
    ],
    [
      `{"m":"{{ token: ${padded} | json: '$.data.expiration_month' | to_number }}","id":"{{ token: ${padded} | json: $.id }}"}`,
      `{"m":3,"id":"${padded}"}`
    ]
  ]
  for (const [body, expected] of requests) t.equal(await sent(body), expected)
  t.equal(
    await sent(`{"card": "{{${card}}}"}`, 'application/x-www-form-urlencoded'),
    '{"card": {"number":"4242424242424242","expiration_month":11,"expiration_year":2025,"cvc":"123"}}',
    'JSON that curl labels as a form'
  )
})

t.test('each kind of body escapes what it is given', async (t) => {
  const ugly = await proxy.token(`<a href="x">Tom & "Jerry's" 100%</a> ]]> +1 é`)
  const phone = await proxy.token('(555) 687-5309')
  const card = await proxy.token({ number: '4242424242424242' })
  const plain = await proxy.token("O'Neil, John")
  for (const [type, body, expected] of [
    [
      'application/x-www-form-urlencoded',
      `card[number]=%7B%7B%20${card}%20%7C%20json%3A%20%22%24.number%22%20%7D%7D&phone={{ ${phone} }}&u={{${ugly}}}`,
      'card[number]=4242424242424242&phone=(555)+687-5309&u=%3Ca+href%3D%22x%22%3ETom+%26+%22Jerry%27s%22+100%25%3C%2Fa%3E+%5D%5D%3E+%2B1+%C3%A9'
    ],
    [
      'application/xml',
      `<r a="{{ ${phone} }}" b='{{ ${ugly} }}'><t>{{${ugly}}}</t><![CDATA[{{${ugly}}}]]></r>`,
      `<r a="(555) 687-5309" b='&lt;a href=&quot;x&quot;&gt;Tom &amp; &quot;Jerry&apos;s&quot; 100%&lt;/a&gt; ]]&gt; +1 é'><t>&lt;a href=&quot;x&quot;&gt;Tom &amp; &quot;Jerry&apos;s&quot; 100%&lt;/a&gt; ]]&gt; +1 é</t><![CDATA[<a href="x">Tom & "Jerry's" 100%</a> ]]]]><![CDATA[> +1 é]]></r>`
    ],
    ['text/plain', `a {{ ${ugly} }} b`, `a <a href="x">Tom & "Jerry's" 100%</a> ]]> +1 é b`],
    ['SALEM05210/SLM', `{{ ${plain} | pad_right: 19, "x" }}|`, "O'Neil, Johnxxxxxxx|"],
    ['text/csv', `name,phone\n"{{ ${plain} }}",{{ ${phone} }}\n`, `name,phone\n"O'Neil, John",(555) 687-5309\n`]
  ] as const) {
    t.equal(await sent(body, type), expected, type)
  }
  t.equal(await sent(`<{{ ${phone} }}/>`, 'application/xml'), 400, 'a value is no tag')
  t.equal(await sent(`a,{{ ${plain} }}\n`, 'text/csv'), 400, 'a comma would shift the columns')
})

t.test('no boundary is made of a value and what stands around it', async (t) => {
  const part = (text: string) => `--abc\r\nContent-Disposition: form-data; name="a"\r\n\r\n${text}\r\n--abc--\r\n`
  const [begins, ends, empty] = [await proxy.token('x\r\n--a'), await proxy.token('c--'), await proxy.token('')]
  for (const [text, arrives] of [
    [`{{${begins}}}bc--`, false],
    [`\r\n--ab{{${ends}}}`, false],
    [`{{${begins}}}{{${empty}}}b{{${ends}}}`, false],
    [`--a{{${empty}}}bc`, false],
    [`{{${begins}}} bc--`, true],
    [`{{${begins}}}`, true],
    [`{{${empty}}}`, true]
  ] as const) {
    for (const mode of ['whole', 'stream']) {
      const before = destination.requests.length
      const response = await client.request(
        proxyRequest(proxy.key, destination.url, part(text), {
          headers: { 'Content-Type': 'multipart/form-data; boundary=abc', 'Sluice-Body-Mode': mode }
        })
      )
      t.equal(response.status, arrives ? 200 : 400, `${text} ${mode}`)
      t.equal(destination.requests.length, before + (arrives ? 1 : 0))
    }
  }
})

t.test('a refusal names the filter and the place, and nothing of the value', async (t) => {
  const id = await proxy.token('SECRETVALUE')
  for (const [expression, code, name] of [
    [`${id} | nosuch`, 'ERR_EXPR_FILTER', 'nosuch'],
    [`${id} | append`, 'ERR_EXPR_ARGUMENT', 'append'],
    [`${id} | json: '$['`, 'ERR_EXPR_PATH', 'json'],
    [`${id} | to_number`, 'ERR_EXPR_VALUE', ''],
    [`${id} | json: '$..x'`, 'ERR_EXPR_VALUE', ''],
    ['', 'ERR_EXPR_SYNTAX', '']
  ] as const) {
    const before = destination.requests.length
    const response = await client.request(proxyRequest(proxy.key, destination.url, `{"a": "x {{ ${expression} }}"}`))
    const body = response.body.toString()
    const error = (JSON.parse(body) as { proxy_error: Record<string, unknown> }).proxy_error
    t.match({ status: response.status, error }, { status: 400, error: { code, offset: 9, forwarded: 'no' } }, body)
    t.ok(body.includes(name))
    t.notOk(body.includes('SECRETVALUE'))
    t.equal(destination.requests.length, before)
  }
})
