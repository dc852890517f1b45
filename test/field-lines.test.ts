import t from 'tap'
import { FieldLines } from '../lib/known-lines.ts'
import { internalized } from '../lib/json.ts'
import { answerHead } from '../lib/listen/answer-head.ts'

t.test('a line is known by its place, its name and its value', async (t) => {
  const lines = new FieldLines()
  t.equal(lines.known(3, 'A', 'b'), '')
  lines.keep(3, 'A', 'b', 'A: b\r\n')
  t.equal(lines.known(3, ['A'].join(''), ['b'].join('')), 'A: b\r\n')
  for (const [place, name, value] of [
    [2, 'A', 'b'],
    [3, 'a', 'b'],
    [3, 'A', 'B'],
    [3, 'A', 'b '],
    [0, '', '']
  ] as const) {
    t.equal(lines.known(place, name, value), '', `${place} ${name} ${value}`)
  }
  lines.keep(0, 'X', 'y'.repeat(600), `X: ${'y'.repeat(600)}\r\n`)
  t.equal(lines.known(0, 'X', 'y'.repeat(600)), '', 'a long one is not kept')
  t.notOk(lines.wants(64), 'nor is one far down')
})

t.test('a place where no line comes twice is kept for a few times of many', async (t) => {
  const lines = new FieldLines()
  let kept = 0
  for (let n = 0; n < 640; n++) {
    const line = lines.known(0, 'Id', `${n}`)
    t.equal(line, '')
    if (!lines.wants(0)) continue
    kept++
    lines.keep(0, 'Id', `${n}`, `Id: ${n}\r\n`)
  }
  t.ok(kept > 10 && kept < 60, `${kept} of 640`)
  while (!lines.wants(0)) lines.known(0, 'Id', 'same')
  lines.keep(0, 'Id', 'same', 'Id: same\r\n')
  t.equal(lines.known(0, 'Id', 'same'), 'Id: same\r\n')
})

t.test(
  'a head with lines that are known is that of one without, and what cannot stand in a field is refused each time',
  async (t) => {
    const lines = new FieldLines()
    const heads = [
      ['Server', 'nginx', 'X-Id', '1', 'Caf\xe9', '\xff'],
      ['Server', 'nginx', 'X-Id', '2', 'Date', 'Tue, 15 Nov 1994 08:12:31 GMT'],
      ['X-Id', '2', 'Server', 'nginx'],
      []
    ]
    for (let n = 0; n < 300; n++) {
      const fields = heads[n % 7 < 5 ? 0 : n % heads.length] as string[]
      const reason = n % 3 === 0 ? null : n % 3 === 1 ? 'OK' : 'Fine'
      const [head, alone] = [
        answerHead(200, reason, fields, 'A: b\r\n', lines),
        answerHead(200, reason, fields, 'A: b\r\n')
      ]
      if (head.replace(/Date: .*/, '') !== alone.replace(/Date: .*/, '')) t.equal(head, alone)
      for (const odd of ['a\r\nSet-Cookie: b', 'a\r', '\n', '\0', '\u0141']) {
        t.throws(() => answerHead(200, reason, [...fields.slice(0, 2), 'X', odd], '', lines), { code: 'ERR_INTERNAL' })
      }
      t.throws(() => answerHead(200, 'a\r\nb: c', fields, '', lines), { code: 'ERR_INTERNAL' })
    }
  }
)

t.test('an internalized text is the same text', async (t) => {
  for (const text of [
    '',
    'a',
    '12',
    '-1',
    '__proto__',
    'constructor',
    'Authorization',
    '\xe9',
    '\u0141',
    'x'.repeat(5000)
  ]) {
    t.equal(internalized(`${text}`), text)
    t.equal(internalized(text.split('').join('')), text)
  }
})
