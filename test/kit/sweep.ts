/** One secret found where none may be. */
export interface Leak {
  /** Name of the place. */
  readonly place: string
  /** Which of the secrets (its position; the value itself is not repeated). */
  readonly secret: number
  /** How it was written. */
  readonly form: string
}

/**
 * Looks for every secret, in every form that software tends to write it (plain, JSON-escaped, percent-encoded, entities,
 * hexadecimal, base64 at each of its three alignments, digits grouped), in every place. An empty list is a clean sweep.
 */
export function sweep(
  secrets: readonly string[],
  places: Readonly<Record<string, string | Uint8Array | readonly (string | Uint8Array)[]>>
): Leak[] {
  const leaks: Leak[] = []
  for (const [place, content] of Object.entries(places)) {
    const text = flatten(content)
    const folded = text.toLowerCase()
    for (const [index, secret] of secrets.entries()) {
      for (const [form, written] of formsOf(secret)) {
        const found = form === 'hexadecimal' ? folded.includes(written) : text.includes(written)
        if (found) leaks.push({ place, secret: index, form })
      }
    }
  }
  return leaks
}

function flatten(content: string | Uint8Array | readonly (string | Uint8Array)[]): string {
  if (typeof content === 'string') return content
  if (content instanceof Uint8Array) return Buffer.from(content).toString('utf8')
  return content.map(flatten).join('\n')
}

function formsOf(secret: string): Map<string, string> {
  const bytes = Buffer.from(secret)
  const forms = new Map([
    ['plain', secret],
    ['JSON', JSON.stringify(secret).slice(1, -1)],
    ['percent', encodeURIComponent(secret)],
    ['entities', secret.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)],
    ['hexadecimal', bytes.toString('hex')],
    ['reversed', Array.from(secret).reverse().join('')]
  ])
  if (/^\d{12,19}$/.test(secret)) {
    forms.set('grouped by spaces', secret.replace(/(\d{4})(?=\d)/g, '$1 '))
    forms.set('grouped by hyphens', secret.replace(/(\d{4})(?=\d)/g, '$1-'))
  }
  for (let shift = 0; shift < 3; shift++) {
    // The characters that depend on neighbouring bytes are cut off both ends.
    const base64 = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    const core = base64.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6))
    if (core.length >= 6) {
      forms.set(`base64 at ${shift}`, core)
      forms.set(`base64url at ${shift}`, core.replaceAll('+', '-').replaceAll('/', '_'))
    }
  }
  return forms
}
