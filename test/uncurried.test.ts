import t from 'tap'
import { uncurried } from '../lib/uncurried.ts'

t.test('a method takes its object first, and one that is not there is told at once', async (t) => {
  const indexOf = uncurried<(buffer: Buffer, text: string, at: number) => number>(Buffer.prototype, 'indexOf')
  t.equal(indexOf(Buffer.from('abcabc'), 'b', 2), 4)
  t.throws(() => uncurried(Buffer.prototype, 'indexof'), { message: 'no method: indexof' })
})
