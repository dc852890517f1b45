import { FIELD_FORWARD, requestField } from '../../../plan/headers.ts'

/** What is wrong with the name of a field that is to be added; null: nothing. */
export function headerNameFault(name: string): string | null {
  const lower = name.toLowerCase()
  if (!TOKEN.test(name) || name.length > 200) return 'The location must be the name of a header'
  const isOurs = requestField(lower) !== FIELD_FORWARD || lower.startsWith('content-') || OF_THE_BYTES.has(lower)
  return isOurs ? 'This header is set by Sluice or by the destination alone' : null
}

const TOKEN = /^[A-Za-z0-9_-]+$/
const OF_THE_BYTES: ReadonlySet<string> = new Set(['digest', 'repr-digest', 'etag', 'accept-ranges', 'trailer', 'date'])
