import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SETTINGS, type Setting } from '../../lib/config/schema.ts'
import { ERRORS } from '../../lib/errors.ts'
import { Metrics, NOTHING_TO_READ } from '../../lib/observe/metrics.ts'
import { ROOT } from './sources.ts'

/** The README, and the README with its tables of settings, error codes and metrics made anew. */
export function readReadme(): { readonly text: string; readonly fresh: string } {
  const text = readFileSync(README, 'utf8')
  const settings = between(text, 'settings', settingsTable())
  const codes = between(settings, 'error codes', codesTable())
  return { text, fresh: between(codes, 'metrics', metricsTable()) }
}

/** The text with a table between the markers of that name. */
function between(text: string, name: string, table: string): string {
  const begin = `<!-- ${name}: made by npm run readme -->`
  const from = text.indexOf(begin)
  const to = text.indexOf(`<!-- end of ${name} -->`)
  if (from < 0 || to < from) throw new Error(`README.md has lost the markers around its table of ${name}`)
  return `${text.slice(0, from + begin.length)}\n${table}\n${text.slice(to)}`
}

/** What a caller can be answered: by status, in the order of the table of codes. */
function codesTable(): string {
  const rows = Object.entries(ERRORS)
    .filter(([code]) => !UNSEEN.has(code))
    .map(([code, { status, title }], at) => ({ code, status, title, at }))
    .sort((a, b) => a.status - b.status || a.at - b.at)
    .map(({ code, status, title }) => `| ${status} | \`${code}\` | ${cell(title)} |`)
  return ['| status | code | means |', '|---|---|---|', ...rows].join('\n')
}

function metricsTable(): string {
  const rows = new Metrics(NOTHING_TO_READ, '').described.map(
    ({ name, type, help }) => `| \`${name}\` | ${type} | ${cell(help)} |`
  )
  return ['| metric | type | is |', '|---|---|---|', ...rows].join('\n')
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
/** Codes that nobody is answered with: the client has left, or no server runs. */
export const UNSEEN: ReadonlySet<string> = new Set(['ERR_CLIENT_GONE', 'ERR_CONFIG'])

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(README, readReadme().fresh)
