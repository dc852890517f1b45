import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SETTINGS, type Setting } from '../../lib/config/schema.ts'
import { ROOT } from './sources.ts'

/** The README, and the README with its table of settings made anew from the schema. */
export function readReadme(): { readonly text: string; readonly fresh: string } {
  const text = readFileSync(README, 'utf8')
  const begin = text.indexOf(BEGIN)
  const end = text.indexOf(END)
  if (begin < 0 || end < begin) throw new Error('README.md has lost the markers around its table of settings')
  return { text, fresh: `${text.slice(0, begin + BEGIN.length)}\n${settingsTable()}\n${text.slice(end)}` }
}

function settingsTable(): string {
  const rows = SETTINGS.map(
    (setting) => `| \`${setting.path}\` | ${fallbackOf(setting)} | ${rangeOf(setting)} | ${descriptionOf(setting)} |`
  )
  return ['| setting | default | type and range | what it does |', '|---|---|---|---|', ...rows].join('\n')
}

function fallbackOf({ fallback }: Setting): string {
  return fallback === null ? 'none: has to be given' : `\`${cell(fallback)}\``
}

function rangeOf({ type, range }: Setting): string {
  return cell(range === '' ? type : `${type}: ${range}`)
}

function descriptionOf({ description, zero }: Setting): string {
  return cell(zero === null ? description : `${description}. 0: ${zero}`)
}

/** Text as it may stand in a cell of a table. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

const README = join(ROOT, 'README.md')
const BEGIN = '<!-- settings: made by npm run readme -->'
const END = '<!-- end of settings -->'

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(README, readReadme().fresh)
