/** A real vault in a temporary directory, and what a test needs around it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ApiCall } from '../../lib/listen/api.ts'
import type { Caller } from '../../lib/vault/access.ts'
import type { DestinationName, DestinationRule } from '../../lib/vault/destinations.ts'
import type { SealName } from '../../lib/vault/keyring.ts'
import { newMasterKey, parseMasterKeys } from '../../lib/vault/master-key.ts'
import type { Rule } from '../../lib/vault/permissions.ts'
import type { Door, Purpose, RevealSubject } from '../../lib/vault/purpose.ts'
import type { Store } from '../../lib/vault/store.ts'
import { openLmdb } from '../../lib/vault/stores/lmdb.ts'
import { newKeyMemo, Vault } from '../../lib/vault/vault.ts'

export interface TestVault {
  readonly vault: Vault
  readonly store: Store
  readonly directory: string
  readonly auditDirectory: string
  /** The text of its master key file. */
  readonly masterKey: string
  /** An authenticated caller of a new application. Default: `['*']` in the tenant `acme`. */
  caller(grants?: TestGrants): Promise<Caller>
  /** Closes the vault and removes its directory. */
  close(): Promise<void>
}

export interface TestGrants {
  readonly permissions?: readonly string[]
  readonly tenant?: string
  readonly rules?: readonly Rule[]
  readonly destinations?: readonly DestinationRule[]
}

export interface TestVaultOptions {
  readonly seal?: SealName
  readonly now?: () => number
  readonly directory?: string
  readonly masterKey?: string
  readonly cvcRetentionMs?: number
  readonly auditSyncMs?: number
  /** Default: LMDB in the directory. */
  readonly openStore?: (directory: string) => Store | Promise<Store>
}

/** Opens a vault; with `directory` and `masterKey` of another, that one's again. */
export async function newVault(options: TestVaultOptions = {}): Promise<TestVault> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'sluice-vault-'))
  const masterKey = options.masterKey ?? newMasterKey()
  const store = await (options.openStore ?? openLmdb)(join(directory, 'store'))
  const auditDirectory = join(directory, 'audit')
  const vault = await Vault.open({
    store,
    masterKeys: parseMasterKeys(masterKey),
    seal: options.seal ?? 'aes-256-gcm',
    auditDirectory,
    ...(options.now === undefined ? {} : { now: options.now }),
    ...(options.cvcRetentionMs === undefined ? {} : { cvcRetentionMs: options.cvcRetentionMs }),
    ...(options.auditSyncMs === undefined ? {} : { auditSyncMs: options.auditSyncMs })
  })
  return {
    vault,
    store,
    directory,
    auditDirectory,
    masterKey,
    caller: async ({ permissions = ['*'], tenant = 'acme', rules, destinations } = {}) => {
      const request = { name: 'test', permissions, tenant, destinations: destinations ?? null }
      const { key } = await vault.createKey(rules === undefined ? request : { ...request, rules })
      return vault.authenticate(key, newKeyMemo())
    },
    close: async () => {
      await vault.close()
      if (options.directory === undefined) rmSync(directory, { recursive: true, force: true })
    }
  }
}

/** The subject of a bare `{{ id }}`. */
export function subject(text: string, form: 'data' | 'token' = 'data'): RevealSubject {
  const candidates = [text]
  for (let at = text.indexOf('.'); at >= 0; at = text.indexOf('.', at + 1)) candidates.push(text.slice(0, at))
  return { text, form, candidates }
}

export function purpose(door: Door = 'proxy', destination: Partial<DestinationName> = {}): Purpose {
  const to = { host: 'psp.example', port: 443, method: 'POST', path: '/', ...destination }
  const goes = door === 'proxy' || door === 'reactor'
  return { door, destination: goes ? to : null, traceId: 'trace-1', reason: null, intent: 0 }
}

export function apiCall(caller: Caller, given: Partial<ApiCall> & { json?: unknown } = {}): ApiCall {
  const { json, ...rest } = given
  return {
    caller,
    params: {},
    query: new URLSearchParams(),
    body: json === undefined ? null : JSON.stringify(json),
    contentType: 'application/json',
    traceId: 'trace-1',
    header: () => undefined,
    ...rest
  }
}
