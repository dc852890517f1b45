import { Socket } from 'node:net'

/** Called with the socket as `this`; the bytes are valid until it returns. */
export type OnRead = (this: Socket, size: number, buffer: Buffer) => boolean

/**
 * Makes an accepted socket read into `first`, and then into what `next` names after each read, instead of allocating a
 * buffer for each read: a seventh of what a small request costs. `next` is asked right after `onRead`. False when this
 * version of Node cannot do it; then the socket emits `data` as usual.
 *
 * NOTE: that is Node's `onread` option, which it documents for sockets that connect and has no way to set for ones that
 * are accepted. The properties that the option sets are found by setting it on a socket that goes nowhere.
 */
export function readInto(socket: Socket, first: Buffer, next: () => Buffer, onRead: OnRead): boolean {
  if (FIELDS === null) return false
  const target = socket as unknown as Record<symbol, unknown> & {
    _handle?: { useUserBuffer?: (buffer: Buffer) => void }
  }
  const handle = target._handle
  if (typeof handle?.useUserBuffer !== 'function') return false
  target[FIELDS.buffer] = first
  target[FIELDS.next] = next
  target[FIELDS.callback] = onRead
  handle.useUserBuffer(first)
  return true
}

interface OnReadFields {
  readonly buffer: symbol
  readonly next: symbol
  readonly callback: symbol
}

function findFields(): OnReadFields | null {
  const given = Buffer.alloc(1)
  const callback = (): boolean => true
  const next = (): Buffer => given
  const fixed = socketWith({ onread: { buffer: given, callback } })
  const generated = socketWith({ onread: { buffer: next, callback } })
  const find = (owner: Record<symbol, unknown>, value: unknown): symbol | undefined =>
    Object.getOwnPropertySymbols(owner).find((symbol) => owner[symbol] === value)
  const fields = { buffer: find(fixed, given), next: find(generated, next), callback: find(fixed, callback) }
  const { buffer, next: generator, callback: called } = fields
  if (buffer === undefined || generator === undefined || called === undefined) return null
  return { buffer, next: generator, callback: called }
}

/** The types know the option for `connect` alone. */
function socketWith(options: object): Record<symbol, unknown> {
  return new Socket(options) as unknown as Record<symbol, unknown>
}

const FIELDS = findFields()
