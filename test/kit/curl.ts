import { readFileSync } from 'node:fs'
import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'

/** What came back. */
export interface CurlAnswer {
  readonly status: number
  /** By lower-case name, as they came; repeated ones joined. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
}

/**
 * Does what a `curl` line of the documents would do, so that a test needs no curl: `-X -H -u -d --data --cert --key -k -i
 * -s --cacert`, in words as a shell splits them.
 */
export function curl(line: string): Promise<CurlAnswer> {
  const words = shellWords(line)
  const headers: [string, string][] = []
  const tls: Record<string, string | boolean> = {}
  let method: string | null = null
  let body: string | null = null
  let url = ''
  for (let at = words[0] === '$' ? 2 : 1; at < words.length; at++) {
    const word = words[at] ?? ''
    const value = () => words[++at] ?? ''
    if (word === '-X') method = value()
    else if (word === '-H') {
      const [, name = '', text = ''] = /^([^:]+):\s*(.*)$/s.exec(value()) ?? []
      headers.push([name, text])
    } else if (word === '-u') headers.push(['Authorization', `Basic ${Buffer.from(value()).toString('base64')}`])
    else if (word === '-d' || word === '--data') body = value()
    else if (word === '--cert') tls['cert'] = readFileSync(value(), 'utf8')
    else if (word === '--key') tls['key'] = readFileSync(value(), 'utf8')
    else if (word === '--cacert') tls['ca'] = readFileSync(value(), 'utf8')
    else if (word === '-k') tls['rejectUnauthorized'] = false
    else if (!word.startsWith('-')) url = word
  }
  if (body !== null && !headers.some(([name]) => name.toLowerCase() === 'content-type')) {
    headers.push(['Content-Type', 'application/x-www-form-urlencoded'])
  }
  // :: name → values
  const fields: Record<string, string[]> = {}
  for (const [name, text] of headers) fields[name] = [...(fields[name] ?? []), text]
  return new Promise((resolve, reject) => {
    const send = url.startsWith('https:') ? requestHttps : requestHttp
    send(url, { method: method ?? (body === null ? 'GET' : 'POST'), headers: fields, ...tls }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => {
        const answered = Object.entries(response.headers).map(([name, value]) => [name, String(value)])
        resolve({ status: response.statusCode ?? 0, headers: Object.fromEntries(answered) as never, body: text })
      })
    })
      .on('error', reject)
      .end(body ?? undefined)
  })
}

/** Words between white space; in single quotes all is literal, a backslash before a line's end joins lines. */
function shellWords(line: string): string[] {
  return [...line.replaceAll('\\\n', ' ').matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"]+)+/g)].map(([word]) =>
    word.replace(/'([^']*)'|"([^"]*)"/g, (_, single?: string, double?: string) => single ?? double ?? '')
  )
}
