import t from 'tap'
import { KnownLines, UNLIKE, unlikeInARow } from '../lib/known-lines.ts'

const text = 'GET / HTTP/1.1\r\nHost: abcdefg\r\nA: b\r\nX: \xff\xff\xff\xff\xff\xff\xff\xff\r\n'
const marks = [16, 20, 22, 29, 31, 32, 34, 35, 37, 38, 40, 48]
const known = new KnownLines(Buffer.from(text, 'latin1'), marks)

function lengthAt(line: number, said: string, to = said.length): number {
  const bytes = Buffer.from(said, 'latin1')
  return known.lengthAt(line, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, to)
}

t.test('a line is known when each of its bytes is, and all of it is there', (t) => {
  t.strictSame([known.first, ...known.fields.slice(0, 4)], ['GET / HTTP/1.1', 'Host', 'abcdefg', 'A', 'b'])
  const host = 'Host: abcdefg\r\n'
  t.equal(lengthAt(0, `${text.slice(0, 16)}rest`), 16)
  t.equal(lengthAt(1, `${host}rest`), 15)
  t.equal(lengthAt(1, host, 14), 0)
  for (let at = 0; at < host.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const other = String.fromCharCode(host.charCodeAt(at) ^ (1 << bit))
      if (lengthAt(1, host.slice(0, at) + other + host.slice(at + 1)) !== 0) t.fail(`bit ${bit} of byte ${at}`)
    }
  }
  t.equal(lengthAt(1, '\0'.repeat(15)), 0)
  t.equal(lengthAt(2, 'A: b\r\n'), 0, 'a short one is scanned')
  t.equal(lengthAt(3, `${text.slice(37)}rest`), 0, 'one whose bytes are no number is scanned')
  t.end()
})

t.test('a head is kept at the second in a row that is unlike the known one, not when two kinds take turns', (t) => {
  const rowOf = (heads: readonly number[], kept: KnownLines | null) =>
    heads.reduce((before, others) => unlikeInARow(before, kept, 4, others), 0)
  t.equal(rowOf([4], null), 1)
  t.equal(rowOf([4, 4], null), UNLIKE)
  t.equal(rowOf([4, 1, 4, 2, 4], known), 1)
  t.equal(rowOf([0, 3, 3], known), UNLIKE)
  t.end()
})
