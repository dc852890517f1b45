/** Pages, as the vendor's lists give them: by number (v1), and by cursor (v2). */
import { SluiceError } from '../../errors.ts'
import type { Json } from '../../json.ts'

export interface PageRequest {
  readonly page: number
  readonly size: number
}

/** From texts of the query or values of a body. Throws ERR_INPUT. */
export function readPage(page: Json | undefined, size: Json | undefined): PageRequest {
  return { page: whole(page, 'page', 1, 1_000_000, 1), size: readSize(size) }
}

export function readSize(size: Json | undefined): number {
  return whole(size, 'size', 1, 100, 20)
}

function whole(value: Json | undefined, field: string, from: number, to: number, otherwise: number): number {
  if (value === undefined || value === null || value === '') return otherwise
  const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value
  if (typeof number === 'number' && Number.isInteger(number) && number >= from && number <= to) return number
  const why = `The ${field} must be a whole number from ${from} to ${to}`
  throw new SluiceError('ERR_INPUT', why, { fields: { [field]: [why] } })
}

/** JSON text. `items` are JSON texts. */
export function pageText(items: readonly string[], { page, size }: PageRequest, total: number): string {
  const pagination = { total_items: total, page_number: page, page_size: size, total_pages: Math.ceil(total / size) }
  return `{"pagination":${JSON.stringify(pagination)},"data":[${items.join(',')}]}`
}

export function cursorText(items: readonly string[], size: number, next: string | null): string {
  return `{"pagination":${JSON.stringify({ page_size: size, next })},"data":[${items.join(',')}]}`
}
