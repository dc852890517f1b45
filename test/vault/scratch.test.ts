import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import {
  copyWords,
  PART_NONCE,
  PART_TEXT,
  isPlain,
  read32,
  readText,
  Scratch,
  write32,
  writePlain,
  writeText
} from '../../lib/vault/scratch.ts'
import { isSameId } from '../../lib/vault/token.ts'

t.test('numbers read as Buffer reads them, at every place', (t) => {
  const bytes = randomBytes(512)
  for (let at = 0; at + 4 <= bytes.length; at++) {
    t.equal(read32(bytes, at), bytes.readUInt32BE(at))
  }
  t.end()
})

t.test('numbers are written as Buffer writes them', (t) => {
  const bytes = Buffer.alloc(8)
  for (const value of [0, 1, 0x7f80, 0x12345678, 0x80000000, 0xffffffff]) {
    write32(value, bytes, 3)
    t.equal(bytes.readUInt32BE(3), value)
  }
  t.end()
})

t.test('every byte at every place of a text is judged plain as by itself', (t) => {
  const scratch = new Scratch()
  for (let length = 1; length <= 13; length++) {
    for (let place = 0; place < length; place++) {
      for (let code = 0; code < 0x100; code++) {
        const text = `${'a'.repeat(place)}${String.fromCharCode(code)}${'~'.repeat(length - place - 1)}`
        const naive = /^[ !#-[\]-~]*$/.test(text)
        for (const at of [0, 3]) {
          if (writePlain(text, scratch, at) !== naive) t.fail(`byte ${code} at ${place} of ${length}`)
        }
        if (isPlain(text) !== naive) t.fail(`isPlain: byte ${code} at ${place} of ${length}`)
      }
    }
  }
  t.end()
})

t.test('texts of all characters are judged the same whole and by the naive rule', (t) => {
  const scratch = new Scratch()
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
      return writePlain(text, scratch, 5) === /^[ !#-[\]-~]*$/.test(text)
    }),
    { numRuns: 3000 }
  )
  t.end()
})

t.test('a part shows what is there now, of the place and length that was asked for', (t) => {
  const scratch = new Scratch()
  const shown = (slot: number, at: number, length: number) =>
    Buffer.from(scratch.part(slot, at, length)).toString('latin1')
  writeText('0123456789', scratch.bytes, 0)
  t.equal(shown(PART_NONCE, 2, 3), '234')
  t.equal(shown(PART_TEXT, 2, 4), '2345', 'slots do not share')
  t.equal(shown(PART_NONCE, 3, 3), '345', 'another place')
  t.equal(shown(PART_NONCE, 3, 5), '34567', 'another length')
  writeText('abcdefghij', scratch.bytes, 0)
  t.equal(shown(PART_NONCE, 3, 5), 'defgh', 'other bytes in the same place')
  scratch.reserve(100_000)
  writeText('klmnopqrst', scratch.bytes, 0)
  t.equal(shown(PART_NONCE, 3, 5), 'nopqr', 'the bytes after it has grown')
  t.end()
})

t.test('a text is read as Buffer reads it', (t) => {
  for (const text of ['', 'plain', 'é€😀', '\ufeffmarked', '"\\\0']) {
    const bytes = Buffer.from(`${text}behind it`)
    t.equal(readText(bytes, Buffer.byteLength(text)), text)
  }
  t.equal(readText(Buffer.from([0x61, 0xff, 0x62]), 3), 'a\ufffdb')
  t.end()
})

t.test('what is cleared is zero, and what is behind it stays', (t) => {
  const scratch = new Scratch()
  scratch.reserve(5001)
  scratch.bytes.fill(7)
  scratch.clear(4999)
  t.equal(
    scratch.bytes.subarray(0, 4999).findIndex((byte) => byte !== 0),
    -1
  )
  t.equal(scratch.bytes[5000], 7)
  scratch.clear(scratch.bytes.length)
  t.equal(
    scratch.bytes.findIndex((byte) => byte !== 0),
    -1,
    'up to the last byte'
  )
  t.end()
})

t.test('words are copied whole from and to any place, and nothing before them', (t) => {
  const from = new Scratch()
  randomBytes(64).copy(from.bytes)
  for (let length = 0; length <= 13; length++) {
    for (const [at, to] of [
      [0, 0],
      [3, 6],
      [5, 1]
    ] as const) {
      const target = Buffer.alloc(32, '.')
      copyWords(from.words, at, length, new DataView(target.buffer, target.byteOffset, target.length), to)
      t.ok(target.subarray(to, to + length).equals(from.bytes.subarray(at, at + length)), `${length} bytes`)
      t.equal(target.toString('latin1', 0, to), '.'.repeat(to))
      t.equal(target.toString('latin1', to + length + 3), '.'.repeat(32 - to - length - 3), 'nor far behind')
    }
  }
  t.end()
})

t.test('ids are the same when their texts are', (t) => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 4, unit: fc.constantFrom('a', 'b', 'é') }),
      fc.string({ maxLength: 4, unit: fc.constantFrom('a', 'b', 'é') }),
      (a, b) => {
        const cut = ` ${b} `.slice(1, -1)
        return isSameId(a, b) === (a === b) && isSameId(b, cut)
      }
    )
  )
  t.end()
})
