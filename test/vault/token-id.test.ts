import t from 'tap'
import { randomId } from '../../lib/vault/token-id.ts'

t.test('an id is a UUID of version 4, and none comes twice', (t) => {
  const ids = new Set<string>()
  for (let n = 0; n < 20_000; n++) ids.add(randomId())
  t.equal(ids.size, 20_000)
  for (const id of ids) {
    if (!/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/.test(id)) t.fail(id)
  }
  t.end()
})

t.test('every digit but that of the version, and two bits beside it, is random', (t) => {
  const seen = Array.from({ length: 36 }, () => new Set<string>())
  for (let n = 0; n < 2000; n++) {
    const id = randomId()
    for (const [place, digits] of seen.entries()) digits.add(id.charAt(place))
  }
  const FEWER = new Map([
    [8, 1],
    [13, 1],
    [14, 1],
    [18, 1],
    [19, 4],
    [23, 1]
  ])
  for (const [place, digits] of seen.entries()) t.equal(digits.size, FEWER.get(place) ?? 16, `place ${place}`)
  t.end()
})
