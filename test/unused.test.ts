import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ROOT, readSources, scanSources } from './kit/sources.ts'
import { unused } from './kit/unused.ts'

t.test('nothing of ours is unused', async (t) => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, object>
  const { dependencies, devDependencies, optionalDependencies } = manifest
  const packages = Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })
  t.strictSame(unused(scanSources(readSources('lib', 'test', 'bench')), packages), [])
})

t.test('unused files, exports and dependencies are found', async (t) => {
  const sources = scanSources(
    new Map(
      Object.entries({
        'lib/main.ts': "import { a, type B } from './a.ts'\nimport zod from 'zod'\nconst b: B = a(zod)\n",
        'lib/a.ts': [
          'export function a(z: Z): B {}',
          'export interface B {}',
          'export interface Z {}',
          'export type Lonely = 1',
          'export const spare = 1',
          'const own = spare',
          ''
        ].join('\n'),
        'lib/orphan.ts': 'export const o = 1\n',
        'test/a.test.ts': "const worker = new URL('./worker.ts', import.meta.url)\n",
        'test/worker.ts': ''
      })
    )
  )
  t.strictSame(unused(sources, ['zod', 'left-pad', 'typescript']), [
    'lib/a.ts: nothing imports Lonely',
    'lib/a.ts: nothing imports spare',
    'lib/orphan.ts: nothing imports this file',
    'package.json: nothing imports left-pad'
  ])
})
