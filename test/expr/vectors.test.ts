import { readFileSync } from 'node:fs'
import t from 'tap'
import type { Json } from '../../lib/json.ts'
import { code, run } from './_eval.ts'

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

t.test('every published expression of a single token gives the published result', async (t) => {
  for (const vector of vectors) {
    const inner = /^\{\{((?:(?!\{\{).)*)\}\}$/.exec(vector.expr)?.[1]
    if (inner === undefined) continue
    if (vector.error !== undefined)
      t.match(
        code(() => run(inner, vector.data)),
        /^ERR_EXPR_/,
        vector.expr
      )
    else if (vector.pattern !== undefined) t.match(run(inner, vector.data), new RegExp(vector.pattern), vector.expr)
    else t.same(run(inner, vector.data), vector.expect, `${vector.expr} of ${JSON.stringify(vector.data).slice(0, 60)}`)
  }
})
