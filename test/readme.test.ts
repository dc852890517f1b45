import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SETTINGS } from '../lib/config/schema.ts'
import { readReadme } from './kit/readme.ts'
import { FILTERS } from '../lib/expr/filters/basis-theory.ts'
import { FOOTPRINT_FILTERS } from '../lib/expr/filters/footprint.ts'
import { PACKAGE_IMPORTERS } from './kit/rules.ts'
import { ROOT } from './kit/sources.ts'

t.test('the tables of settings and codes are the code’s (npm run readme makes them anew)', async (t) => {
  const { text, fresh } = readReadme()
  t.equal(text, fresh)
  for (const { path } of SETTINGS) t.ok(text.includes(`| \`${path}\` |`), path)
})

t.test('every runtime dependency has a row, with those who may import it', async (t) => {
  const { text } = readReadme()
  for (const [name, importers] of Object.entries(PACKAGE_IMPORTERS)) {
    const row = text.split('\n').find((line) => line.startsWith(`| \`${name}\` |`))
    t.ok(row !== undefined, name)
    for (const path of importers.filter((path) => path.startsWith('lib/')))
      t.ok(row?.includes(`\`${path}\``), `${name}: ${path}`)
  }
})

t.test('the documents name no file that is not there', async (t) => {
  const { text } = readReadme()
  for (const [, path] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
    t.doesNotThrow(() => readFileSync(join(ROOT, path ?? '')), path ?? '')
  }
})

t.test('every filter is told of', async (t) => {
  const { text } = readReadme()
  const sections = text.split(/^##+ /m)
  for (const [title, filters] of [
    ['Filters of the Basis Theory dialect', FILTERS],
    ['Filters of the Footprint dialect', FOOTPRINT_FILTERS]
  ] as const) {
    const section = sections.find((each) => each.startsWith(title)) ?? ''
    for (const name of filters.keys()) t.match(section, new RegExp(`\\W${name}\\W`), name)
  }
})
