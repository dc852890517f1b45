/** The master key: what opens the keyring, and lies outside the store. */
import { createHash, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { SluiceError } from '../errors.ts'

export interface MasterKey {
  /** Names the key without saying anything about it: the first 16 hex digits of a hash. */
  readonly id: string
  readonly key: KeyObject
}

/**
 * The keys of a text: lines of base64, each 32 bytes; the first wraps, all unwrap. Empty lines and lines that begin
 * with `#` are skipped. Throws ERR_CONFIG naming the line, never its content.
 */
export function parseMasterKeys(text: string): MasterKey[] {
  const keys: MasterKey[] = []
  text.split('\n').forEach((line, index) => {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#')) return
    const bytes = Buffer.from(trimmed, 'base64')
    if (bytes.length !== 32 || !/^[A-Za-z0-9+/]{43}=$/.test(trimmed)) {
      throw fault(`Line ${index + 1} of the master key is not the base64 of 32 bytes`)
    }
    const id = createHash('sha256').update('sluice master key id\0').update(bytes).digest('hex').slice(0, 16)
    keys.push({ id, key: createSecretKey(bytes) })
  })
  if (keys.length === 0) throw fault('There is no master key')
  return keys
}

/** The keys of a file. Throws ERR_CONFIG, naming the file. */
export function readMasterKeys(path: string): MasterKey[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw fault(`${path} cannot be read${(cause as { code?: string }).code === 'ENOENT' ? ': it does not exist' : ''}`)
  }
  return parseMasterKeys(text)
}

/** Makes a new master key file, readable by its owner only. Throws ERR_CONFIG when the file exists. */
export function createMasterKeyFile(path: string): void {
  try {
    writeFileSync(path, newMasterKey(), { mode: 0o600, flag: 'wx' })
  } catch (cause) {
    throw fault(`${path} cannot be made${(cause as { code?: string }).code === 'EEXIST' ? ': it exists' : ''}`)
  }
}

/** The text of a master key file with one new key. */
export function newMasterKey(): string {
  return `${randomBytes(32).toString('base64')}\n`
}

const fault = (why: string) =>
  new SluiceError('ERR_CONFIG', `vault.masterKeyFile: ${why}`, { names: ['vault.masterKeyFile'] })
