import fc from 'fast-check'
import t from 'tap'
import { appendJson } from '../../lib/dialects/basis-theory/transforms/append-json.ts'
import type { SluiceError } from '../../lib/errors.ts'

/* A value put into JSON text, against the same done to the value and nothing of the text. */

type Holder = Record<string | number, unknown>

/** Throws where the text cannot be extended either. */
function reference(root: unknown, keys: readonly (string | number)[], value: unknown): void {
  let at = root as Holder
  for (const [depth, key] of keys.entries()) {
    const isList = Array.isArray(at)
    if (typeof at !== 'object' || at === null || isList !== (typeof key === 'number')) throw new Error('no place')
    const length = Array.isArray(at) ? at.length : 0
    const where = isList && typeof key === 'number' && key < 0 ? length + key : key
    if (isList && typeof where === 'number' && (where < 0 || where > length)) throw new Error('no place')
    if (depth === keys.length - 1) {
      Object.defineProperty(at, where, { value, enumerable: true, configurable: true, writable: true })
      return
    }
    if (!Object.hasOwn(at, where)) {
      if (keys.slice(depth + 1).some((later) => typeof later === 'number')) throw new Error('no list')
      Object.defineProperty(at, where, { value: {}, enumerable: true, configurable: true, writable: true })
    }
    at = at[where] as Holder
  }
}

const key = fc.oneof(fc.constantFrom('a', 'b', '__proto__', 'ü"\\', ''), fc.integer({ min: -2, max: 3 }))
const value = fc.jsonValue({ maxDepth: 2 })
const tree = fc.letrec((tie) => ({
  node: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(1, 'x', null, true, 'q"}]', {}),
    fc.array(tie('node'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', '__proto__', 'ü"\\', ''), tie('node'), { maxKeys: 3 })
  )
})).node

t.test('what is read back is what the reference makes, in any white space', async (t) => {
  let placed = 0
  fc.assert(
    fc.property(
      tree,
      fc.array(key, { minLength: 1, maxLength: 4 }),
      value,
      fc.constantFrom(0, 2),
      (root, keys, put, space) => {
        const text = JSON.stringify(root, null, space)
        const expected = JSON.parse(text) as unknown
        let isPlaced = true
        try {
          reference(expected, keys, put)
        } catch {
          isPlaced = false
        }
        let made: string | null = null
        try {
          made = appendJson(text, keys, put as never)
        } catch (thrown) {
          if ((thrown as SluiceError).code !== 'ERR_TRANSFORM') throw thrown
        }
        if (isPlaced) placed++
        t.equal(made === null ? null : JSON.stringify(JSON.parse(made)), isPlaced ? JSON.stringify(expected) : null)
      }
    ),
    { numRuns: 2000 }
  )
  t.ok(placed > 200, `${placed} of 2000 had a place`)
})
