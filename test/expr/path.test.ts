import t from 'tap'
import { compilePath } from '../../lib/expr/path.ts'
import { Work } from '../../lib/expr/work.ts'
import { type Json, parseJson } from '../../lib/json.ts'
import { code, cpuMs, run } from './_eval.ts'

const find = (path: string, value: Json): Json => compilePath(path, 'json')(value, new Work())

t.test('older spellings', async (t) => {
  const value: Json = {
    'line-items': [
      { '3ds': true, id: 'a' },
      { id: 'b', tags: ['x', 'y'] }
    ],
    books: [
      { price: 8.99, title: 'Moby Dick' },
      { price: 22.99, title: 'The Lord of the Rings' }
    ]
  }
  for (const [path, expected] of [
    ['books[0].title', 'Moby Dick'],
    ['.books[0].title', 'Moby Dick'],
    ["['books'][0].title", 'Moby Dick'],
    ['$.line-items[0].3ds', true],
    ['$.line-items.0.id', 'a'],
    ['$..3ds', true],
    ['$.line-items[?(@.tags.length == 2)].id', 'b'],
    ['$.line-items[?@.id == "b"].tags.length', 2],
    ['$.books.length', 2],
    ['$.books[(@.length-1)].title', 'The Lord of the Rings'],
    ['$.books[-1].title', 'The Lord of the Rings'],
    ['$.books[?(@.price < 10)].title', 'Moby Dick'],
    ['$.books[?@.price<10].title', 'Moby Dick'],
    ["$.books[?(@.title == 'Moby Dick' && !(@.price > 10))].price", 8.99],
    ['$["books"][ 1 ]["price"]', 22.99],
    ['  $.books[0].price  ', 8.99],
    ['$', value]
  ] as [string, Json][]) {
    t.same(find(path, value), expected, path)
  }
})

t.test('null for nothing on a plain path, an error elsewhere', async (t) => {
  const value: Json = { a: { b: null }, list: [1, 2] }
  for (const path of ['$.x', '$.a.b.c', '$.a.b', '$.list[2]', '$.list[-3]', '$.a[0]', '$.list.x', '$.list.0.x']) {
    t.equal(find(path, value), null, path)
  }
  for (const path of ['$..x', '$.list[*]', '$.list[0,1]', '$.list[5:]', '$.x[*]', '$.list[?@ > 5]', '$.*']) {
    t.equal(
      code(() => find(path, value)),
      'ERR_EXPR_VALUE',
      path
    )
  }
  t.equal(find('$.list[?@ > 1]', value), 2)
  t.equal(find('$.list[1:]', value), 2)
})

t.test('a path that does not parse says where', async (t) => {
  for (const [path, position] of [
    ['$.books[', 8],
    ['$.books[?(@.price < )]', 20],
    ['$.books[?@.a =~ /x/]', 13],
    ['books[', 6],
    ['', 0],
    ['@.a', 0],
    ['$.a b', 4]
  ] as const) {
    try {
      compilePath(path, 'json')
      t.fail(path)
    } catch (thrown) {
      t.equal((thrown as { code: string }).code, 'ERR_EXPR_PATH', path)
      t.match((thrown as Error).message, /character \d+$|path is wrong$/, path)
      t.ok((thrown as Error).message.endsWith(`character ${position}`), `${path}: ${(thrown as Error).message}`)
    }
  }
  for (const path of [
    '$.',
    '$..',
    '$[',
    '$[a]',
    '$[01]',
    '$["a]',
    '$[?]',
    "$[?match(@.a, '(a+)+$')]",
    "$[?search(@.a, 'x')]",
    '$[?nosuch(@.a)]',
    '$[?count(1)]',
    '$[?@.*==1]',
    '$.a.~',
    '$[~]',
    '$[?# == 1]',
    '$.a[(@.length)]',
    `$${'['.repeat(5000)}`,
    '$[?((((((@.a',
    `$[?${'('.repeat(5000)}`,
    `$[?${'!'.repeat(8000)}@.a]`
  ]) {
    t.equal(
      code(() => compilePath(path, 'json')),
      'ERR_EXPR_PATH',
      path.slice(0, 40)
    )
  }
})

t.test('numbers that a double would change', async (t) => {
  const value = parseJson('[{"id":12345678901234567890,"p":19.90},{"id":12345678901234567891,"p":1.10e1}]')
  t.match(find('$[?@.p == 19.9].id', value), { value: '12345678901234567890' })
  t.match(find('$[?@.p < 12].id', value), { value: '12345678901234567891' })
  t.match(find('$[?@.p == 11].p', value), { value: '1.10e1' })
  t.match(find('$[?@.id == $[1].id].id', value), { value: '12345678901234567891' })
})

t.test('hostile paths and values end within their limits', async (t) => {
  const wide: Json = Array.from({ length: 30_000 }, (_, at) => ({ at, a: [1, 2, 3] }))
  let deep: Json = 1
  for (let i = 0; i < 3000; i++) deep = [deep]
  for (const [path, value] of [
    ['$..*..*..*..*..nosuch', wide],
    ['$[?count($..*) > 5]', wide],
    ['$[?@.a == $[?@.at == 29999].a]', wide],
    ['$..[?@..[?@..[?@..*]]]', wide],
    ['$[?$ == $]', wide],
    ['$..x', deep],
    ['$[?@ == $]', deep],
    [`$${'..*'.repeat(200)}`, wide.slice(0, 100)],
    [`$[${Array.from({ length: 2000 }, () => '*').join(',')}]`, wide]
  ] as [string, Json][]) {
    let ended = ''
    const ms = cpuMs(() => {
      ended = code(() => run(`data | json: '${path}'`, value))
    })
    t.match(ended, /^ERR_EXPR_(VALUE|PATH)$/, path.slice(0, 40))
    t.ok(ms < 2000, `${ms} ms`)
  }
  t.equal(find(`$${'.a'.repeat(5000)}`, deep), null)
  t.same(find(`$${'[0]'.repeat(3000)}`, deep), 1)
})
