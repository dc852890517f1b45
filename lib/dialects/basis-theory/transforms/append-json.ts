import { readKeys } from '../../../expr/keys.ts'

/** What is wrong with a location; null: nothing. It must be a plain path, to one place below the root. */
export function locationFault(location: string): string | null {
  return keysOf(location) === null ? 'The location must be a path to one place, such as $.a.b or $.list[0]' : null
}

function keysOf(location: string): readonly (string | number)[] | null {
  const path = location.trim()
  const keys = path.startsWith('$') && path.length <= PATH_LENGTH ? readKeys(path, 1) : 0
  return typeof keys === 'number' || keys.length === 0 || keys.length > DEPTH ? null : keys
}

const PATH_LENGTH = 1000
const DEPTH = 100
