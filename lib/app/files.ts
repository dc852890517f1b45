import { readFileSync } from 'node:fs'
import { asSluiceError, SluiceError } from '../errors.ts'

/** The text of a file that a setting names. Throws ERR_CONFIG. */
export function readText(file: string, setting: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (fault) {
    throw new SluiceError('ERR_CONFIG', `${setting}: cannot read the file`, { cause: asSluiceError(fault) })
  }
}
