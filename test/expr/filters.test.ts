import { Liquid } from 'liquidjs'
import t from 'tap'
import { FILTERS } from '../../lib/expr/filters/basis-theory.ts'
import type { Json } from '../../lib/json.ts'
import { code, run, runText } from './_eval.ts'

t.test('Liquid’s standard filters', async (t) => {
  const people = [
    { name: 'b', age: 3, on: true, in: { x: 1 } },
    { name: 'A', age: 1, on: false, in: { x: 2 } },
    { name: 'c', age: 2, in: { x: 3 } }
  ]
  for (const [value, chain, expected] of [
    [-17, '| abs', 17],
    ['-19.86', '| abs', 19.86],
    ['/my/fancy/url', '| append: ".html"', '/my/fancy/url.html'],
    [4, '| at_least: 5', 5],
    [4, '| at_most: 3', 3],
    ['b25lIHR3byB0aHJlZQ==', '| base64_decode', 'one two three'],
    ['one two three é', '| base64_encode', 'b25lIHR3byB0aHJlZSDDqQ=='],
    ['a?>é', '| base64_url_safe_encode', 'YT8-w6k='],
    ['YT8-w6k=', '| base64_url_safe_decode', 'a?>é'],
    ['my GREAT title', '| capitalize', 'My great title'],
    [1.2, '| ceil', 2],
    ['3.5', '| ceil', 4],
    [[1, null, 2], '| compact', [1, 2]],
    ['March 14, 2016', '| date: "%b %d, %y"', 'Mar 14, 16'],
    ['2016-03-14T10:20:30Z', '| date: "%F %T"', '2016-03-14 10:20:30'],
    ['2016-03-14 10:20', '| date: "%F %R"', '2016-03-14 10:20'],
    ['2016-03-14T10:20:30+02:00', '| date: "%F %T"', '2016-03-14 08:20:30'],
    [1457950830, '| date: "%Y"', '2016'],
    ['no date', '| date: "%Y"', 'no date'],
    [null, '| default: 2.99', 2.99],
    ['', '| default: "x"', 'x'],
    [[], '| default: "x"', 'x'],
    [false, '| default: true', true],
    [false, '| default: true, allow_false: true', false],
    [4.99, '| default: 2.99', 4.99],
    [16, '| divided_by: 4', 4],
    [20, '| divided_by: 7', 2],
    [20, '| divided_by: 7.0', 20 / 7],
    ['Parker MOORE', '| downcase', 'parker moore'],
    [
      `Have you read 'James & the <Giant> Peach'?`,
      '| escape',
      'Have you read &#39;James &amp; the &lt;Giant&gt; Peach&#39;?'
    ],
    ['1 &lt; 2 &amp; 3 < 4', '| escape_once', '1 &lt; 2 &amp; 3 &lt; 4'],
    [people, '| find: "name", "A" | json: "$.age"', 1],
    [people, '| find: "name", "z"', null],
    [people, '| find_index: "name", "c"', 2],
    [['x', 'y'], '| first', 'x'],
    [[], '| first', null],
    [1.7, '| floor', 1],
    [people, '| has: "age", 3', true],
    [people, '| has: "age", 9', false],
    [['a', 1, null, 'b'], '| join: "-"', 'a-1--b'],
    [['a', 'b'], '| join', 'a b'],
    [['x', 'y'], '| last', 'y'],
    ['  so much  ', '| lstrip', 'so much  '],
    [people, '| map: "name"', ['b', 'A', 'c']],
    [people, '| map: "in.x" | join: ","', '1,2,3'],
    [people, '| map: "constructor"', [null, null, null]],
    [16, '| minus: 4', 12],
    [183.357, '| modulo: 12', 183.357 % 12],
    ['a\r\nb\n', '| newline_to_br', 'a<br />\nb<br />\n'],
    ['4', '| plus: 2', 6],
    ['apples', '| prepend: "some "', 'some apples'],
    [people, '| reject: "on" | map: "name"', ['A', 'c']],
    ['I strained to see the train', '| remove: "rain"', 'I sted to see the t'],
    ['a-b-c', '| remove_first: "-"', 'ab-c'],
    ['a-b-c', '| remove_last: "-"', 'a-bc'],
    ['aaa', '| replace: "a", "$&"', '$&$&$&'],
    ['aaa', '| replace_first: "a", "$&"', '$&aa'],
    ['aaa', '| replace_last: "a", "b"', 'aab'],
    ['ab', '| replace: "", "-"', 'a-b'],
    [[1, 2, 3], '| reverse', [3, 2, 1]],
    [2.7, '| round', 3],
    [183.357, '| round: 2', 183.36],
    ['  so much  ', '| rstrip', '  so much'],
    ['Ground control to Major Tom.', '| size', 28],
    ['a😀', '| size', 2],
    [[1, 2], '| size', 2],
    [null, '| size', 0],
    ['Liquid', '| slice: 0', 'L'],
    ['Liquid', '| slice: 2, 5', 'quid'],
    ['Liquid', '| slice: -3, 2', 'ui'],
    ['a😀b', '| slice: 1, 1', '😀'],
    [[1, 2, 3], '| slice: 1, 9', [2, 3]],
    [people, '| sort: "age" | map: "age"', [1, 2, 3]],
    [['b', 'a', 'C'], '| sort', ['C', 'a', 'b']],
    [['b', 'a', 'C'], '| sort_natural', ['a', 'b', 'C']],
    ['John, Paul', '| split: ", "', ['John', 'Paul']],
    ['abc', '| split: ""', ['a', 'b', 'c']],
    ['', '| split: ","', []],
    ['  a  \n b ', '| squish', 'a b'],
    ['  so much  ', '| strip', 'so much'],
    ['Have <em>you</em> <script>x</script>read<!-- no -->?', '| strip_html', 'Have you read?'],
    ['a\r\nb\nc', '| strip_newlines', 'abc'],
    [[1, 2.5, '3', 'x', null], '| sum', 6.5],
    [people, '| sum: "age"', 6],
    [3, '| times: 2', 6],
    ['Ground control to Major Tom.', '| truncate: 20', 'Ground control to...'],
    ['Ground control', '| truncate: 10, ""', 'Ground con'],
    ['Ground control to Major Tom.', '| truncatewords: 3', 'Ground control to...'],
    ['Ground control to', '| truncatewords: 3', 'Ground control to'],
    [['a', 'b', 'a', 1, 1], '| uniq', ['a', 'b', 1]],
    ['Parker Moore', '| upcase', 'PARKER MOORE'],
    ['%27Stop%21%27+said+Fred', '| url_decode', "'Stop!' said Fred"],
    ['john@liquid.com a', '| url_encode', 'john%40liquid.com+a'],
    [people, '| where: "on", true | map: "name"', ['b']],
    [people, '| where: "on" | map: "name"', ['b']],
    [2025, '| slice: -2, 2', '25'],
    [true, '| upcase', 'TRUE'],
    [null, '| upcase', ''],
    [null, '| plus: 1', 1]
  ] as [Json, string, Json][]) {
    t.same(run(`data ${chain}`, value), expected, `${JSON.stringify(value).slice(0, 30)} ${chain}`)
  }
})

t.test('text and numbers give what liquidjs gives', async (t) => {
  const liquid = new Liquid({ ownPropertyOnly: true, timezoneOffset: 0 })
  const texts = [
    '',
    'abc',
    '  a b  c ',
    '<b>x</b>&amp;"',
    'é😀ß',
    'a,b,,c,',
    'a\nb\r\nc',
    '%41+b',
    '2020-03-04',
    '2020-03-04T05:06:07Z'
  ]
  const chains = (
    'append: "x"|base64_encode|capitalize|date: "%Y-%m-%d %H:%M %j %a"|default: "d"|downcase|escape|escape_once|first|last|lstrip|' +
    'newline_to_br|prepend: "x"|remove: "a"|remove_first: "a"|remove_last: "b"|replace: "a", "zz"|replace_first: "b", "$&"|' +
    'replace_last: "b", "q"|rstrip|slice: 1|slice: -2, 2|split: ","|split: ""|squish|strip|strip_html|strip_newlines|truncate: 5|' +
    'upcase|url_decode|url_encode'
  ).split('|')
  for (const chain of chains) {
    for (const text of texts) {
      t.same(
        run(`data | ${chain}`, text),
        liquid.evalValueSync(`v | ${chain}`, { v: text }) ?? null,
        `${text} | ${chain}`
      )
    }
  }
  const sums =
    'abs|at_least: 3|at_most: 2|ceil|floor|minus: 2|modulo: 3|plus: 1.5|round|round: 1|times: 3|divided_by: 2.5'.split(
      '|'
    )
  for (const chain of sums) {
    for (const value of [0, 5, -3, 2.5, '12', '3.7', '-5', null]) {
      t.same(run(`data | ${chain}`, value), liquid.evalValueSync(`v | ${chain}`, { v: value }), `${value} | ${chain}`)
    }
  }
})

t.test('values that a filter cannot take', async (t) => {
  for (const [value, chain] of [
    [{ a: 1 }, '| upcase'],
    [['a'], '| append: "b"'],
    ['x', '| times: 2'],
    [{}, '| plus: 1'],
    [true, '| plus: 1'],
    [1, '| divided_by: 0'],
    [1, '| modulo: 0'],
    [1e308, '| times: 1000'],
    ['a=b', '| base64_decode'],
    ['a+b', '| base64_url_safe_decode'],
    ['%E0%A4%A', '| url_decode'],
    ['abc', '| alias_preserve_format: 3'],
    ['', '| alias_preserve_length'],
    [null, '| alias_preserve_length'],
    ['4242', '| alias_card: "false", "true"'],
    ['4242x', '| alias_card'],
    [{}, '| card_exp: "MM"'],
    [{ expiration_month: 13, expiration_year: 2025 }, '| card_exp: "MM"'],
    ['x', '| card_exp: "MM"'],
    ['', '| to_number'],
    ['1e999', '| to_number'],
    ['0x10', '| to_number'],
    [true, '| to_number'],
    ['yes', '| to_boolean'],
    [1, '| to_boolean'],
    [null, '| to_base64'],
    [null, "| hmac: 'sha-1', 'k' | to_base16"],
    [{}, '| to_base16']
  ] as [Json, string][]) {
    t.equal(
      code(() => run(`data ${chain}`, value)),
      'ERR_EXPR_VALUE',
      `${JSON.stringify(value)} ${chain}`
    )
  }
})

t.test('custom filters at their edges', async (t) => {
  for (const [value, chain, expected] of [
    ['a', '| last4', 'a'],
    [null, '| last4', null],
    ['ab😀cd', '| last4', 'b😀cd'],
    ['', '| reveal', ''],
    ['---', "| reveal: 0, 0, 'X', '-'", 'XXX'],
    ['abc', '| reveal: 1, 1', 'aXc'],
    [null, '| reveal: 1', null],
    ['a b-c', '| reveal_last: 1', 'XXX-c'],
    [null, '| reveal_last: 1', null],
    ['ab', "| pad_left: 3, '😀'", '😀ab'],
    ['x"', '| stringify', 'x"'],
    [['x"'], '| json_stringify', '["x\\""]'],
    [false, '| stringify', 'false'],
    ['4242-4242-4242-4242', "| card_bin: '-'", '42424242'],
    ['378282246310005', '| card_bin', '378282'],
    ['378282246310005', "| card_mask: 'true', 'true'", '378282XXXXX0005'],
    ['3782-822463-10005', "| card_mask: 'true', 'true'", '3782-82XXXXXX0005'],
    ['4242', "| card_mask: 'false', 'true'", 'XXXX'],
    [null, '| card_mask', null],
    [{ expiration_month: '3', expiration_year: '28' }, "| card_exp: 'MM_YYYY'", '03_2028'],
    [null, "| card_exp: 'MM'", null],
    [' 42 ', '| to_number', 42],
    ['-007.50', '| to_number | append: ""', '-7.50'],
    ['+.5', '| to_number', 0.5],
    [null, '| to_number', null],
    ['TRUE', '| to_boolean', true],
    [null, '| to_boolean', null],
    [null, '| to_string', null],
    ['é', '| to_base16', 'C3A9'],
    ['é', '| to_base64', 'w6k='],
    ['x', "| hmac: 'sha-1', 'k' | to_base16 | downcase", 'c3cee62ef3fa9c0ae9a4f2b2c8d1e40c8b1b3b1b']
  ] as [Json, string, Json][]) {
    if (chain.includes('sha-1')) t.match(run(`data ${chain}`, value), /^[0-9a-f]{40}$/)
    else t.same(run(`data ${chain}`, value), expected, `${JSON.stringify(value)} ${chain}`)
  }
  t.match(run("data | alias_card: 'true', 'true'", '3622-7206-2716-5567'), /^3622-7206-\d{4}-5567$/)
  t.match(run('data | alias_preserve_format', 'Łé9-x'), /^[a-z]{2}\d-[a-z]$/)
  t.match(run('data | hmac: "sha-512", "k" | to_base64', 'x'), /^[A-Za-z0-9+/]{86}==$/)
  t.equal(runText('data | to_number | append: ""', '"12345678901234567890"'), '12345678901234567890')
})

t.test('random aliases are uniform enough and never the same twice', async (t) => {
  const counts = new Map<string, number>()
  const seen = new Set<Json>()
  for (let i = 0; i < 2000; i++) {
    const alias = run('data | alias_preserve_format', '0000000000') as string
    seen.add(alias)
    for (const digit of alias) counts.set(digit, (counts.get(digit) ?? 0) + 1)
  }
  t.equal(counts.size, 10)
  for (const [digit, times] of counts) t.ok(Math.abs(times - 2000) < 300, `${digit}: ${times}`)
  t.ok(seen.size > 1995)
})

t.test('what no caller may have', async (t) => {
  for (const name of [
    'where_exp',
    'find_exp',
    'group_by_exp',
    'reject_exp',
    'has_exp',
    'find_index_exp',
    'sample',
    'inspect',
    'jsonify',
    'toString',
    'constructor',
    'hasOwnProperty',
    '__proto__'
  ]) {
    t.notOk(FILTERS.has(name), name)
  }
  const shopify =
    'abs append at_least at_most base64_decode base64_encode base64_url_safe_decode base64_url_safe_encode capitalize ceil ' +
    'compact concat date default divided_by downcase escape escape_once find find_index first floor has join last lstrip ' +
    'map minus modulo newline_to_br plus prepend reject remove remove_first remove_last replace replace_first replace_last ' +
    'reverse round rstrip size slice sort sort_natural split squish strip strip_html strip_newlines sum times truncate ' +
    'truncatewords uniq upcase url_decode url_encode where'
  const ours =
    'alias_card alias_preserve_format alias_preserve_length card_bin card_exp card_mask hmac json json_stringify last4 ' +
    'pad_left pad_right raw reveal reveal_last stringify to_base16 to_base64 to_boolean to_number to_string'
  t.same([...FILTERS.keys()].sort(), `${shopify} ${ours}`.split(' ').sort())
})
