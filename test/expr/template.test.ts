import { Liquid } from 'liquidjs'
import t from 'tap'
import { readStructure } from '../../lib/expr/structure.ts'
import { checkStructure, compileTemplate, evaluateStructure } from '../../lib/expr/template.ts'
import { type Json, parseJson } from '../../lib/json.ts'
import { Secret } from '../../lib/secret.ts'
import { code, cpuMs } from './_eval.ts'

const render = (source: string, variables: Record<string, Json>): Json => compileTemplate(source).render(variables)

t.test('aliases, fingerprints and search indexes are text; a lone expression keeps its type', async (t) => {
  const bank = { bank: { routing_number: '021000021', account_number: '1234567890' }, n: 3, o: { a: [1] }, z: null }
  for (const [source, expected] of [
    ['{{ data.bank.routing_number }}|{{ data.bank.account_number }}', '021000021|1234567890'],
    ['customer-{{ metadata.id }}', 'customer-7'],
    ['{{ data.n }}', 3],
    ['{{data.o}}', { a: [1] }],
    ['{{ data.z }}', null],
    ['{{ nothing.there }}', null],
    ['{{ data.n }} ', '3 '],
    ['<{{ data.o }}|{{ data.z }}>', '<{"a":[1]}|>'],
    ['{{ data.bank.account_number | last4 }}', '7890'],
    ['{{ data.bank.account_number | append: metadata.id | append: data.n }}', '123456789073'],
    ['{{ "a|b}}" | append: "{{c}}" }}', 'a|b}}{{c}}'],
    ['{{{data.n}}}', '{3}'],
    ['{{ data.n {{ data.n }}', '{{ data.n 3'],
    ['plain {text', 'plain {text'],
    ['{{ unclosed', '{{ unclosed'],
    ["{{ data | json: $.bank['account_number'] | slice: 0, 2 }}", '12'],
    ['', ''],
    ['  a {{- data.n -}}  b', '  a3b']
  ] as const) {
    t.same(render(source, { data: bank, metadata: { id: '7' } }), expected, source)
  }
  t.equal(compileTemplate('text').expressions, 0)
  t.equal(compileTemplate('{{ a }}{% if b %}{% endif %}').expressions, 3)
  t.equal(compileTemplate('{{ a }}'), compileTemplate('{{ a }}'), 'compiled once')
})

t.test('masks: every string of a structure is a template', async (t) => {
  const data = {
    name: { first: 'John', middle: 'Wilson', last: 'Doe' },
    ssn: '123-45-6789',
    card_number: '4242-4242-4242-4242',
    exp: 12
  }
  const mask = {
    name: { first: '{{ data.name.first }}', last: '{{ data.name.last | slice: 0, 1 }}.' },
    ssn: "{{ data.ssn | reveal_last: 4, '#' }}",
    card_number: "{{ data.card_number | reveal_last: 4, '#' }}",
    list: ['{{ data.exp }}', 1, true, null],
    '{{ data.exp }}': 'a key is no template'
  }
  t.same(evaluateStructure(mask, { data }), {
    name: { first: 'John', last: 'D.' },
    ssn: '###-##-6789',
    card_number: '####-####-####-4242',
    list: [12, 1, true, null],
    '{{ data.exp }}': 'a key is no template'
  })
  const proto = evaluateStructure(parseJson('{"__proto__":"{{ data.exp }}"}'), { data })
  t.same(Object.getOwnPropertyNames(proto), ['__proto__'])
  t.equal(
    code(() => checkStructure({ a: ['{{ data | nosuch }}'] })),
    'ERR_EXPR_FILTER'
  )
  t.equal(
    code(() => checkStructure(mask)),
    'none'
  )
})

t.test('tags do what liquidjs does', async (t) => {
  const liquid = new Liquid({ ownPropertyOnly: true })
  const variables = {
    data: { type: 'card', n: 5, list: ['a', 'b', 'c', 'd'], o: { k: 1, l: 2 }, empty: [], s: ' ' },
    zero: 0
  }
  for (const source of [
    '{% if data.n > 3 %}big{% elsif data.n > 1 %}mid{% else %}small{% endif %}',
    '{% if data.n > 9 %}big{% elsif data.n > 1 %}mid{% else %}small{% endif %}',
    '{% if data.n > 9 %}big{% elsif data.n > 7 %}mid{% else %}small{% endif %}',
    '{% unless data.type == "card" %}no{% else %}yes{% endunless %}',
    '{% if data.type contains "ar" and data.list contains "b" %}1{% endif %}',
    '{% if nothing or zero %}zero is true{% endif %}',
    '{% if data.empty == empty %}e{% endif %}{% if data.s == blank %}b{% endif %}{% if nothing == blank %}n{% endif %}',
    '{% if data.n != 5 or data.n <= 5 %}x{% endif %}',
    '{% case data.type %}{% when "bank", "x" %}B{% when "y" or "card" %}C{% else %}?{% endcase %}',
    '{% case data.n %}{% when 4 %}4{% else %}?{% endcase %}',
    '{% for i in data.list %}{{ forloop.index }}{{ i }}{% unless forloop.last %},{% endunless %}{% endfor %}',
    '{% for i in data.list limit: 2 offset: 1 %}{{ i }}{{ forloop.rindex0 }}{% endfor %}',
    '{% for i in data.list reversed %}{{ i }}{% endfor %}',
    '{% for i in (1..data.n) %}{{ i }}{% for j in (1..2) %}.{{ j }}{% endfor %}{% endfor %}',
    '{% for p in data.o %}{{ p[0] }}={{ p[1] }};{% endfor %}',
    '{% for i in data.empty %}x{% else %}none{% endfor %}',
    '{% assign x = data.n | times: 2 %}{{ x }}{% assign x = "s" %}{{ x }}',
    ' {%- if true -%} a {%- endif -%} ',
    '{% if data.list.size == 4 %}{{ data.list.first }}{{ data.list[-1] }}{{ data["type"] }}{% endif %}'
  ]) {
    t.equal(render(source, variables), liquid.parseAndRenderSync(source, variables), source)
  }
  t.equal(render('{% if true or false and false %}right first{% endif %}', {}), 'right first')
  t.equal(
    render('{% for i in (1..2) %}{{ i }}{% endfor %}{{ i }}{{ forloop }}', {}),
    '12',
    'a loop leaves nothing behind'
  )
  t.equal(render('{% assign __proto__ = "x" %}{{ __proto__ }}{{ toString }}', {}), 'x')
})

t.test('faulty templates', async (t) => {
  const codes: Record<string, string> = {
    '{{ }}': 'ERR_EXPR_SYNTAX',
    '{{}}': 'ERR_EXPR_SYNTAX',
    '{{ a b }}': 'ERR_EXPR_SYNTAX',
    '{{ a | }}': 'ERR_EXPR_SYNTAX',
    '{{ a | nosuch }}': 'ERR_EXPR_FILTER',
    '{{ a | append: (1..2) }}': 'ERR_EXPR_SYNTAX',
    '{% include "x" %}': 'ERR_EXPR_SYNTAX',
    '{% render "x" %}': 'ERR_EXPR_SYNTAX',
    '{% capture x %}{% endcapture %}': 'ERR_EXPR_SYNTAX',
    '{% if a %}': 'ERR_EXPR_SYNTAX',
    '{% endif %}': 'ERR_EXPR_SYNTAX',
    '{% if %}{% endif %}': 'ERR_EXPR_SYNTAX',
    '{% if a == %}{% endif %}': 'ERR_EXPR_SYNTAX',
    '{% if a ~ b %}{% endif %}': 'ERR_EXPR_SYNTAX',
    '{% if not a %}{% endif %}': 'ERR_EXPR_SYNTAX',
    '{% if a %}{% else %}{% elsif b %}{% endif %}': 'ERR_EXPR_SYNTAX',
    '{% for a of b %}{% endfor %}': 'ERR_EXPR_SYNTAX',
    '{% for a in b foo: 1 %}{% endfor %}': 'ERR_EXPR_SYNTAX',
    '{% assign = 1 %}': 'ERR_EXPR_SYNTAX',
    '{% case %}{% endcase %}': 'ERR_EXPR_SYNTAX',
    '{% case a %}{% when %}{% endcase %}': 'ERR_EXPR_SYNTAX',
    [`${'{% if a %}'.repeat(20)}${'{% endif %}'.repeat(20)}`]: 'ERR_EXPR_LIMIT',
    [`{{ a }}${'x'.repeat(70_000)}`]: 'ERR_EXPR_LIMIT'
  }
  for (const [source, expected] of Object.entries(codes)) {
    t.equal(
      code(() => compileTemplate(source)),
      expected,
      source.slice(0, 60)
    )
  }
})

t.test('hostile templates end within their limits', async (t) => {
  for (const source of [
    '{% for i in (1..1000000000) %}{% endfor %}',
    `${'{% for i in (1..100000) %}'.repeat(8)}${'{% endfor %}'.repeat(8)}`,
    '{% for i in (1..99999) %}{{ data }}{% endfor %}',
    '{% assign a = data %}{% for i in (1..100) %}{% assign a = a | append: a %}{% endfor %}',
    '{% assign a = list %}{% for i in (1..100) %}{% assign a = a | concat: a %}{% endfor %}{{ a }}',
    '{% assign a = list %}{% for i in (1..12) %}{% assign a = a | concat: a %}{% endfor %}{{ a }}',
    '{% for i in (1..9999) %}{{ data | replace: "", data }}{% endfor %}'
  ]) {
    let ended = ''
    const ms = cpuMs(() => {
      ended = code(() => render(source, { data: 'x'.repeat(5000), list: ['y'.repeat(5000)] }))
    })
    t.equal(ended, 'ERR_EXPR_VALUE', source)
    t.ok(ms < 2000, `${ms} ms`)
  }
})

t.test('a structure of expressions on tokens', async (t) => {
  const secrets: Record<string, string> = { card: '{"number":"4242","exp":11}', a: '"John"', b: '"Brown"' }
  const fill = (structure: Json): Json => {
    const { expressions, fill: run } = readStructure(structure, 'liquid')
    return run(
      expressions.map(({ subject }) => {
        const candidate = subject.candidates.findIndex((id) => Object.hasOwn(secrets, id))
        const id = subject.candidates[candidate] ?? ''
        const data = new Secret(secrets[id] ?? 'null')
        return { candidate, id, data, whole: () => data }
      })
    )
  }
  t.same(
    fill({
      card: '{{card}}',
      full_name: '{{a}} {{ b | upcase }}',
      n: ['{{ card.exp }}', 7, 'x{{ card }}'],
      '{{a}}': '{{'
    }),
    {
      card: { number: '4242', exp: 11 },
      full_name: 'John BROWN',
      n: [11, 7, 'x{"number":"4242","exp":11}'],
      '{{a}}': '{{'
    }
  )
  t.equal(
    code(() => fill(['{{ a | nosuch }}'])),
    'ERR_EXPR_FILTER'
  )
})
